"""Convolutions in fewer products against torch's own."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import clouds

import nst_engine as nst
from nst_engine.network.conventions import Conventions
from nst_engine.network.cpu import winograd
from nst_engine.network.cpu.winograd import in_loops, in_torch
from nst_engine.network.cpu.winograd.workspace import Workspace
from nst_engine.network.plain import Epilogue
from nst_engine.network.vgg import Network
from nst_engine.recipes import FIVE

CPU = torch.device("cpu")


def numbers(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def expected_and_found(kernel, x, bias, padding, flipped, epilogue):
    plain = kernel.flip(2, 3).transpose(0, 1) if flipped else kernel
    expected = F.conv2d(x, plain, bias, padding=padding)
    gave = numbers(4, *expected.shape).contiguous(memory_format=torch.channels_last) if epilogue == "back" else None
    if epilogue == "relu":
        expected = expected.relu()
    elif gave is not None:
        expected = expected * (gave > 0)
    finishing = Epilogue(bias, epilogue == "relu", gave)
    found = winograd.convolve(x, winograd.transform_kernel(kernel), padding, flipped, epilogue=finishing)
    assert found.shape == expected.shape
    assert found.is_contiguous(memory_format=torch.channels_last)
    return expected, found


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 2),
    incoming=st.integers(1, 9),
    outgoing=st.integers(1, 9),
    height=st.integers(3, 40),
    width=st.integers(3, 40),
    padding=st.integers(0, 2),
    flipped=st.booleans(),
    biased=st.booleans(),
    cells=st.integers(1, 60),
    fewest=st.integers(1, 3),
    loops=st.booleans(),
    epilogue=st.sampled_from(["as it is", "relu", "back"]),
)
def test_it_is_the_convolution(
    batch, incoming, outgoing, height, width, padding, flipped, biased, cells, fewest, loops, epilogue
):
    if loops:  # they take eight numbers of a format with 64 bits at a time
        incoming, outgoing = 8 * incoming, 8 * outgoing
    kernel = numbers(1, outgoing, incoming, 3, 3)
    x = numbers(2, batch, outgoing if flipped else incoming, height, width)
    bias = numbers(3, incoming if flipped else outgoing) if biased else None
    with pytest.MonkeyPatch.context() as patch:  # so that one, some or all rows of cells make a strip
        patch.setattr(winograd, "CELLS", cells)
        patch.setattr(winograd, "MOST_NUMBERS", 0)
        patch.setattr(winograd, "FEWEST_STRIPS", fewest)
        patch.setattr(in_torch, "CELLS", cells // 3 + 1)
        if not loops:
            patch.setattr(in_loops, "can", lambda *_: False)
        expected, found = expected_and_found(kernel, x, bias, padding, flipped, epilogue)
    assert (found - expected).norm() <= 1e-13 * expected.norm()


@pytest.fixture(params=["by torch", "in loops"])
def way(request, monkeypatch):
    if request.param == "by torch":
        monkeypatch.setattr(in_loops, "can", lambda *_: False)
    elif not in_loops.can(torch.float32, 64, 64):
        pytest.skip("no llvmlite, or no machine that it has been tried on")
    return request.param


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="left to torch")
def test_here_loops_are_compiled():
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        assert in_loops.can(dtype, 64, 128)
    assert not in_loops.can(torch.float16, 64, 64)
    assert not in_loops.can(torch.float32, 64, 24)  # no whole number of lines


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 2e-6), (torch.bfloat16, 0.025)])
@pytest.mark.parametrize("flipped", [False, True])
def test_what_it_rounds(way, dtype, bound, flipped):
    """fp32 to within twice what torch's convolution rounds (1e-6); bf16, of eight bits, to 2 % (torch's: 0.2 %)."""
    kernel, x = numbers(1, 128, 128, 3, 3).to(dtype), numbers(2, 1, 128, 48, 64).relu().to(dtype)
    plain = kernel.flip(2, 3).transpose(0, 1) if flipped else kernel
    exact = F.conv2d(x.double(), plain.double(), padding=1)
    transformed = winograd.transform_kernel(kernel.float()).to(dtype)
    found = winograd.convolve(x, transformed, flipped=flipped)
    assert (found.double() - exact).norm() < bound * exact.norm()


@pytest.mark.skipif(not in_loops.can(torch.bfloat16, 64, 64), reason="not compiled here")
def test_loops_round_to_the_nearest():
    """Cut off instead, what is above 0 would fade from layer to layer: here by 6 in a thousand."""
    generator = torch.Generator().manual_seed(0)
    x, kernel = torch.rand(1, 64, 64, 64, generator=generator).bfloat16(), torch.rand(64, 64, 3, 3, generator=generator)
    expected = F.conv2d(x.float(), kernel.bfloat16().float(), padding=1)
    found = winograd.convolve(x, winograd.transform_kernel(kernel).bfloat16()).float()
    assert float(found.sum()) == pytest.approx(float(expected.sum()), rel=1e-3)


@pytest.mark.skipif(not in_loops.can(torch.bfloat16, 64, 64), reason="not compiled here")
def test_loops_let_through_what_is_no_number():
    """A run that diverges is found by its numbers: they must not vanish on the way."""
    for bad in (float("nan"), float("inf")):
        for dtype in (torch.float32, torch.bfloat16):
            x = torch.ones(1, 64, 12, 12, dtype=dtype)
            x[0, 3, 5, 6] = bad
            kernels = winograd.transform_kernel(torch.ones(64, 64, 3, 3)).to(dtype)
            for relu in (False, True):
                found = winograd.convolve(x, kernels, epilogue=Epilogue(relu=relu))
                assert not torch.isfinite(found[0, :, 5, 6]).any()


@pytest.mark.skipif(not in_loops.can(torch.bfloat16, 64, 64), reason="not compiled here")
def test_loops_run_in_as_many_threads_as_torch_and_in_any():
    kernel, x = numbers(1, 64, 64, 3, 3), numbers(2, 1, 64, 50, 33)
    expected = F.conv2d(x, kernel, padding=1)
    threads = torch.get_num_threads()
    results = []

    def work():
        for n in (1, 3, threads):
            torch.set_num_threads(n)
            results.append(winograd.convolve(x, winograd.transform_kernel(kernel)))

    try:
        work()
        other = threading.Thread(target=work)
        other.start()
        other.join()
    finally:
        torch.set_num_threads(threads)
    assert len(results) == 6
    for found in results:
        assert (found - expected).norm() <= 1e-13 * expected.norm()


def test_without_llvmlite_it_is_done_by_torch():
    code = """
import sys
sys.modules["llvmlite"] = None  # as if it were not installed
import torch
from nst_engine.network.cpu import winograd
from nst_engine.network.cpu.winograd import in_loops
assert not in_loops.can(torch.float32, 64, 64)
kernel, x = torch.randn(128, 128, 3, 3), torch.randn(1, 128, 40, 40)
found = winograd.convolve(x, winograd.transform_kernel(kernel))
expected = torch.conv2d(x, kernel, padding=1)
assert (found - expected).norm() < 1e-5 * expected.norm()
print("done")
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "done\n"


def test_llvmlite_is_not_imported_before_it_is_needed():
    code = "import sys, nst_engine; assert 'llvmlite' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not winograd.pays(torch.Size((512, 512)), (64, 64), torch.float32, CPU), reason="x86")
@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_a_run_uses_it_and_sees_the_same(vgg, padding, monkeypatch):
    used = []
    convolve = winograd.convolve
    monkeypatch.setattr(winograd, "convolve", lambda *a, **k: used.append(1) or convolve(*a, **k))
    picture = clouds(1, 160, 224)

    def look():
        network = Network(vgg, Conventions(padding=padding))
        features = network.features(picture, FIVE)
        grams = nst.compute_style_grams(vgg, clouds(2, 96, 96))
        return features, nst.objective(vgg, picture, grams).value_and_grad(clouds(3, 160, 224))

    features, (terms, gradient) = look()
    assert used
    monkeypatch.setattr(winograd, "pays", lambda *_: False)
    plain_features, (plain_terms, plain_gradient) = look()
    for tap, value in features.items():
        assert (value - plain_features[tap]).norm() < 3e-6 * plain_features[tap].norm()
    assert float(terms.total) == pytest.approx(float(plain_terms.total), rel=1e-6)
    assert (gradient - plain_gradient).norm() < 3e-3 * plain_gradient.norm()


def test_a_workspace_made_in_inference_mode_can_be_written_outside_of_it(way):
    kernel, x, workspace = numbers(1, 8, 8, 3, 3), numbers(2, 1, 8, 12, 12), Workspace()
    transformed = winograd.transform_kernel(kernel)
    with torch.inference_mode():
        first = winograd.convolve(x, transformed, workspace=workspace)
    kept = workspace.strip.numbers
    assert torch.equal(winograd.convolve(x, transformed, workspace=workspace), first)
    assert workspace.strip.numbers is kept


def test_small_and_narrow_layers_are_left_to_torch(way):
    narrow = ((32, 64), (500, 500), torch.float32), ((128, 3), (500, 500), torch.bfloat16)
    if way == "by torch":  # whose operations take longer than the products saved
        narrow = ((64, 64), (500, 500), torch.float32), ((128, 64), (500, 500), torch.bfloat16)
    for kernel, shape, dtype in (
        *narrow,
        ((512, 512), (8, 12), torch.float32),
        ((512, 512), (500, 500), torch.float16),
        ((512, 512), (500, 500), torch.float64),
    ):
        assert not winograd.pays(torch.Size((*kernel, 3, 3)), shape, dtype, CPU)
    assert not winograd.pays(torch.Size((512, 512)), (500, 500), torch.float32, torch.device("cuda"))
