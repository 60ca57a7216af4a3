"""fp32 is fp32, whatever another program in the process has told torch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pictures import clouds
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import nst_engine as nst
from nst_engine.network import exact
from nst_engine.pictures.colour import METHODS
from nst_engine.recipes import network_for
from nst_engine.statistics.distances import STATISTICS
from nst_engine.statistics.roots import newton_schulz

NEW = hasattr(torch.backends.mkldnn, "matmul")  # since torch 2.9
PLACES = {
    "all": torch.backends,
    "cuda products": torch.backends.cuda.matmul,
    "cudnn": torch.backends.cudnn,
    "cudnn convolutions": getattr(torch.backends.cudnn, "conv", None),
    "cpu products": getattr(torch.backends.mkldnn, "matmul", None),
    "cpu convolutions": getattr(torch.backends.mkldnn, "conv", None),
}
SETTINGS = {
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "allow_tf32": lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    "cudnn.allow_tf32": lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
}
if NEW:
    SETTINGS |= {
        f"{name}: {value}": lambda place=place, value=value: setattr(place, "fp32_precision", value)
        for name, place in PLACES.items()
        for value in ("ieee", "tf32", *(["bf16"] if name.startswith("cpu") else []))
    }


@pytest.fixture(autouse=True)
def as_before():
    usual = {name: place.fp32_precision for name, place in PLACES.items()} if NEW else {}
    yield
    if NEW:
        for name, value in usual.items():
            PLACES[name].fp32_precision = value
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("highest")


class Multiplied(TorchDispatchMode):
    """In which formats matrices were multiplied, and what cuDNN was told."""

    PRODUCTS = ("mm", "bmm", "addmm", "addmm_", "baddbmm")

    def __init__(self):
        super().__init__()
        self.formats, self.allow_tf32, self.convolutions = set(), [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in self.PRODUCTS:
            self.formats.add(args[-1].dtype)
        if name not in ("convolution", "cudnn_convolution") or args[0].device.type != "cuda":
            return func(*args, **(kwargs or {}))
        # There is no GPU to do it.
        self.convolutions += 1
        x, kernel = args[:2]
        if name == "cudnn_convolution":
            padding, self.allow_tf32 = args[2], [*self.allow_tf32, (*args, *(kwargs or {}).values())[-1]]
        else:
            padding = args[4]
        height, width = (side + 2 * p - 2 for side, p in zip(x.shape[2:], padding, strict=True))
        return x.new_empty(len(x), len(kernel), height, width)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_run_goes_on_under_any_setting(vgg, setting):
    content, style = clouds(1, 32, 48), clouds(2, 32, 32)
    expected = nst.stylize(vgg, content, nst.compute_style_grams(vgg, style), steps=2).history[-1]
    SETTINGS[setting]()
    found = nst.stylize(vgg, content, nst.compute_style_grams(vgg, style), steps=2).history[-1]
    assert found.total == pytest.approx(expected.total, rel=1e-3)


@pytest.mark.parametrize("setting", ["medium", *(name for name in SETTINGS if name.startswith("cpu"))])
@pytest.mark.parametrize("size", [(32, 48), (160, 240)])
def test_no_convolution_on_a_cpu_is_rounded(vgg, setting, size):
    """Small ones go by another of torch's settings than large ones. Only a CPU with units for bf16 rounds."""
    content, style = clouds(1, *size), clouds(2, *size)
    expected = nst.objective(vgg, content, nst.compute_style_grams(vgg, style)).value_and_grad(content)[1]
    SETTINGS[setting]()
    found = nst.objective(vgg, content, nst.compute_style_grams(vgg, style)).value_and_grad(content)[1]
    assert (found - expected).norm() < 1e-3 * expected.norm()


@pytest.mark.parametrize("statistic", STATISTICS)
def test_no_product_of_a_step_is_rounded(vgg, statistic):
    recipe = replace(nst.RECIPES["classic"], statistic=statistic)
    content, style = clouds(1, 48, 64), clouds(2, 48, 48)

    def gradient():
        grams = nst.compute_style_grams(vgg, style, recipe=recipe)
        return nst.objective(vgg, content, grams, recipe=recipe, strength=0.5).value_and_grad(content)[1]

    expected = gradient()
    torch.set_float32_matmul_precision("high")
    with Multiplied() as seen:
        found = gradient()
    assert torch.float32 not in seen.formats
    assert (found - expected).norm() < 1e-3 * expected.norm()


@pytest.mark.parametrize("masked", [False, True])
def test_no_product_by_tiles_or_within_a_region_is_rounded(vgg, masked):
    content = clouds(1, 48, 64)
    grams = nst.compute_style_grams(vgg, clouds(2, 48, 48))
    if masked:
        grams = grams.within(torch.ones(48, 64).tril())
    torch.set_float32_matmul_precision("high")
    with Multiplied() as seen:
        nst.objective(vgg, content, grams, tile=32).value_and_grad(content)
    assert torch.float32 not in seen.formats


def test_no_product_outside_of_the_network_is_rounded(vgg):
    torch.set_float32_matmul_precision("high")
    a, b = clouds(1, 24, 24), clouds(2, 24, 24)
    with Multiplied() as seen:
        for method in METHODS:
            nst.match_colours(a, b, method)
        nst.stylize(vgg, a, nst.compute_style_grams(vgg, b), start="style-noise", steps=1)
        newton_schulz(torch.eye(8))
    assert torch.float32 not in seen.formats


def test_products_are_those_of_torch_where_nothing_is_rounded(vgg):
    content = clouds(1, 48, 64)
    grams = nst.compute_style_grams(vgg, clouds(2, 48, 48))
    with Multiplied() as seen:
        nst.objective(vgg, content, grams, recipe="classic").value_and_grad(content)
    assert seen.formats == {torch.float32}


def test_products_in_parts(monkeypatch):
    monkeypatch.setattr(exact, "AT_ONCE", 32)
    torch.set_float32_matmul_precision("high")
    a, b, row = torch.rand(37, 8), torch.rand(8, 5), torch.rand(5)
    torch.testing.assert_close(exact.matmul(a, b, row), (a.double() @ b.double() + row).float())
    torch.testing.assert_close(exact.add_matmul(torch.ones(37, 5), a, b), (a.double() @ b.double() + 1).float())
    torch.testing.assert_close(exact.transpose_matmul(a), (a.double().T @ a.double()).float())


SET_FIRST = ["nothing", *(name for name in SETTINGS if "cudnn" in name or "all" in name)]


@pytest.mark.parametrize("setting", SET_FIRST)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cudnn_is_told_with_every_convolution(setting, dtype, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: True)
    SETTINGS.get(setting, lambda: None)()
    with FakeTensorMode():
        there = {"device": "cuda", "dtype": dtype}
        x, kernel = (torch.empty(s, memory_format=torch.channels_last, **there) for s in ((1, 3, 8, 8), (4, 3, 3, 3)))
        bias = torch.empty(4, **there)
        with Multiplied() as seen:
            y = exact.convolve(x, kernel, bias)
    assert y.shape == (1, 4, 8, 8)
    assert seen.convolutions == 1
    assert seen.allow_tf32 == ([False] if dtype == torch.float32 else [])


@pytest.mark.parametrize("setting", SET_FIRST)
def test_every_convolution_of_the_network_tells_cudnn(vgg, setting, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: True)
    SETTINGS.get(setting, lambda: None)()
    network = network_for(replace(vgg, device=torch.device("cuda")), nst.RECIPES["balanced"])
    tape = []
    with FakeTensorMode(allow_non_fake_inputs=True), Multiplied() as seen:
        try:
            torch.ones(1).to("cuda")
        except RuntimeError:
            pytest.skip("this torch has no fake CUDA where there is no real one")
        x = torch.rand(1, 3, 32, 32, device="cuda")
        (features,) = (f for _, f in network.activations(x, ("relu2_1",), tape))
        network.backward(tape, lambda tap, gradient, relu_output: features)
    assert seen.convolutions == 6
    assert seen.allow_tf32 == [False] * 6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("setting", SETTINGS)
def test_on_a_gpu(setting):
    SETTINGS[setting]()
    x, kernel, bias = torch.randn(1, 64, 40, 56), torch.randn(128, 64, 3, 3), torch.randn(128)
    expected = torch.nn.functional.conv2d(x.double(), kernel.double(), bias.double(), padding=1)
    found = exact.convolve(x.cuda(), kernel.cuda(), bias.cuda()).cpu()
    assert (found - expected).norm() < 1e-6 * expected.norm()
    f = torch.randn(5000, 64)
    expected = f.double().T @ f.double()
    assert (exact.transpose_matmul(f.cuda()).cpu() - expected).norm() < 1e-6 * expected.norm()
