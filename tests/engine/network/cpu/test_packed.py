"""Kernels laid out in advance: the same convolutions, with or without matrix units."""

from __future__ import annotations

import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.network.cpu import convolutions, packed, winograd
from nst_engine.network.cpu.convolutions import convolve_strips
from nst_engine.network.cpu.threads import thread_pool
from nst_engine.network.plain import Epilogue

pytestmark = pytest.mark.skipif(not packed._works(), reason="this torch has no such operations")


def random(*shape, seed=1):
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(torch.bfloat16)
    return numbers.contiguous(memory_format=torch.channels_last) if numbers.ndim == 4 else numbers


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize(
    ("incoming", "outgoing", "height", "width"),
    [(3, 64, 40, 30), (64, 64, 130, 128), (256, 256, 50, 70), (512, 512, 9, 12)],
)
@pytest.mark.parametrize("what", ["sums", "bias and ReLU", "back through a ReLU"])
def test_as_torch_convolves(incoming, outgoing, height, width, padding, what):
    x, kernel, bias = (
        random(1, incoming, height, width),
        random(outgoing, incoming, 3, 3, seed=2) / 30,
        random(outgoing),
    )
    expected = torch.nn.functional.conv2d(x.float(), kernel.float(), padding=padding)
    epilogue = Epilogue()
    if what == "bias and ReLU":
        epilogue = Epilogue(bias, relu=True)
        expected = (expected + bias.float().view(1, -1, 1, 1)).relu()
    if what == "back through a ReLU":
        output = random(*expected.shape, seed=3)
        epilogue = Epilogue(relu_output=output)
        expected = torch.where(output > 0, expected, 0)
    with thread_pool():
        found = convolve_strips(x, packed.packed(kernel), padding, epilogue)
    assert found.shape == expected.shape and found.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(found.float(), expected, rtol=0.02, atol=0.02 * float(expected.abs().max()))


def gradient(vgg):
    content, style, x = (clouds(seed, 120, 136) for seed in (1, 2, 3))
    grams = nst.compute_style_grams(vgg, style, size=0, recipe="classic")
    return nst.objective(vgg, content, grams, recipe="classic").value_and_grad(x)[1]


def test_a_step_is_the_same(monkeypatch):
    """Or nearly so: another processor may sum in another order."""
    monkeypatch.setattr(winograd, "pays", lambda *_: False)
    found = {}
    for pays in (False, True):
        monkeypatch.setattr(convolutions.packed, "pays", lambda x, pays=pays: pays and x.dtype == torch.bfloat16)
        found[pays] = gradient(nst.load_vgg("vgg19-caffe", precision="bf16", device="cpu"))
    difference = (found[True] - found[False]).norm() / found[False].norm()
    assert difference < 0.02


def test_a_torch_without_the_operations_convolves_as_before(monkeypatch):
    packed._works.cache_clear()
    monkeypatch.setattr(packed, "has_matrix_units", lambda: True)
    with monkeypatch.context() as patch:
        patch.setattr(packed, "convolve", lambda *_: torch.ops.mkldnn.not_there())
        assert not packed.pays(random(1, 16, 8, 8))
    packed._works.cache_clear()
    assert packed.pays(random(1, 16, 8, 8))
    assert not packed.pays(random(1, 16, 8, 8).float())
