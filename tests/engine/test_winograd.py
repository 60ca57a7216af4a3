"""Convolutions in fewer products against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import clouds

import nst_engine as nst
from nst_engine import winograd
from nst_engine.recipes import FIVE
from nst_engine.vgg import Network


def numbers(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 2),
    incoming=st.integers(1, 9),
    outgoing=st.integers(1, 9),
    height=st.integers(3, 40),
    width=st.integers(3, 40),
    padding=st.integers(0, 2),
    turned=st.booleans(),
    cells=st.integers(1, 60),
)
def test_it_is_the_convolution(batch, incoming, outgoing, height, width, padding, turned, cells):
    kernel = numbers(1, outgoing, incoming, 3, 3)
    x = numbers(2, batch, outgoing if turned else incoming, height, width)
    bias = numbers(3, incoming if turned else outgoing)
    plain = kernel.flip(2, 3).transpose(0, 1) if turned else kernel
    expected = F.conv2d(x, plain, bias, padding=padding)
    with pytest.MonkeyPatch.context() as patch:  # so that one, some or all rows of cells make a strip
        patch.setattr(winograd, "BYTES_PER_THREAD", cells * 8 // torch.get_num_threads())
        found = winograd.convolve(x, winograd.transform(kernel), bias, padding, turned)
    assert found.shape == expected.shape
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert (found - expected).norm() <= 1e-13 * expected.norm()


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 2e-6), (torch.bfloat16, 0.025)])
@pytest.mark.parametrize("turned", [False, True])
def test_what_it_rounds(dtype, bound, turned):
    """fp32 to within twice what torch's convolution rounds (1e-6); bf16, of eight bits, to 2 % (torch's: 0.2 %)."""
    kernel, x = numbers(1, 128, 128, 3, 3).to(dtype), numbers(2, 1, 128, 48, 64).relu().to(dtype)
    plain = kernel.flip(2, 3).transpose(0, 1) if turned else kernel
    exact = F.conv2d(x.double(), plain.double(), padding=1)
    at_points = winograd.transform(kernel.float()).to(dtype)
    found = winograd.convolve(x, at_points, turned=turned)
    assert (found.double() - exact).norm() < bound * exact.norm()


@pytest.mark.skipif(
    not winograd.pays(torch.Size((512, 512)), (64, 64), torch.float32, torch.device("cpu")), reason="x86"
)
@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_a_run_uses_it_and_sees_the_same(vgg, padding, monkeypatch):
    used = []
    convolve = winograd.convolve
    monkeypatch.setattr(winograd, "convolve", lambda *a, **k: used.append(1) or convolve(*a, **k))
    picture = clouds(1, 160, 224)

    def look():
        network = Network(vgg, padding=padding)
        features = network.features(picture, FIVE)
        grams = nst.compute_style_grams(vgg, clouds(2, 96, 96))
        return features, nst.objective(vgg, picture, grams).value_and_grad(clouds(3, 160, 224))

    features, (terms, slope) = look()
    assert used
    monkeypatch.setattr(winograd, "pays", lambda *_: False)
    plain_features, (plain_terms, plain_slope) = look()
    for tap, value in features.items():
        assert (value - plain_features[tap]).norm() < 3e-6 * plain_features[tap].norm()
    assert float(terms.total) == pytest.approx(float(plain_terms.total), rel=1e-6)
    assert (slope - plain_slope).norm() < 3e-3 * plain_slope.norm()


def test_room_made_in_inference_mode_can_be_written_outside_of_it():
    kernel, x, room = numbers(1, 4, 4, 3, 3), numbers(2, 1, 4, 12, 12), winograd.Room()
    at_points = winograd.transform(kernel)
    with torch.inference_mode():
        first = winograd.convolve(x, at_points, room=room)
    kept = room.memory
    assert torch.equal(winograd.convolve(x, at_points, room=room), first)
    assert room.memory is kept


def test_small_and_narrow_layers_are_left_to_torch():
    for kernel, shape, dtype in (
        ((64, 64), (500, 500), torch.float32),
        ((512, 512), (8, 12), torch.float32),
        ((128, 64), (500, 500), torch.bfloat16),
        ((512, 512), (500, 500), torch.float16),
        ((512, 512), (500, 500), torch.float64),
    ):
        assert not winograd.pays(torch.Size((*kernel, 3, 3)), shape, dtype, torch.device("cpu"))
    assert not winograd.pays(torch.Size((512, 512)), (500, 500), torch.float32, torch.device("cuda"))
