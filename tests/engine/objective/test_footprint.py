"""What passes are said to take, and what they really take."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import nst_engine as nst
from nst_engine.network import precision
from nst_engine.network.conventions import Conventions
from nst_engine.network.vgg import Network
from nst_engine.objective import layout as layout_module
from nst_engine.objective.footprint import ExtraMemory, bytes_per_pixel, footprint

ROOT = Path(__file__).resolve().parents[3]

MEASURE = """
import json, sys, torch
import nst_engine as nst
from nst_engine.objective import layout as layout_module
from nst_engine.network.cpu.winograd import workspace
from nst_engine.objective.footprint import bytes_per_pixel, footprint
from nst_engine.recipes import FIVE, Adam
from nst_engine.network.conventions import Conventions
from nst_engine.network.vgg import Network

def peak():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))

size, dtype, pooling, padding, recipe = int(sys.argv[1]), *sys.argv[2:6]
torch.set_num_threads(1)
layout_module.AMPLE = 0 if "ample" in sys.argv else 1e9
workspace.MOST_BYTES = 1 << 20  # what does not grow with the picture is to be small
vgg = nst.load_vgg("vgg19-caffe", precision=dtype, device="cpu", pooling=pooling, padding=padding)
content = torch.rand(1, 3, size, size)
half = torch.zeros(size, size)
half[: size // 2] = 1
grams = nst.compute_style_grams(vgg, content[:, :, :64, :64], size=64, region=half if "regions" in sys.argv else None)
if "regions" in sys.argv:
    grams = nst.compute_style_grams(vgg, content[:, :, 64:128, :64], size=64, blend_with=grams)
objective = nst.objective(vgg, content, grams, recipe=recipe)
image = content.clone()
few = content[:, :, :272, :272]
nst.objective(vgg, few, grams, recipe=recipe).value_and_grad(few)  # kernels are brought into their forms once
def forget():
    open("/proc/self/clear_refs", "w").write("5")  # the peak so far

forget()
before, peaks = peak(), []
for _ in range(3):  # the first tells how much memory the others share
    forget()
    objective.value_and_grad(image)
    peaks.append(peak() - before)
# The least: a pass may meet what the allocator holds beside it just then. What is shared has to hold for all of them.
print(max(peaks) if "ample" in sys.argv else min(peaks))
"""


def bytes_per_pixel_measured_and_said(vgg, dtype, pooling, padding, recipe, *words):
    def peak(size):
        command = [sys.executable, "-c", MEASURE, str(size), dtype, pooling, padding, recipe, *words]
        # Every tensor in memory of its own, given back at once, so that peaks are those of the tensors.
        environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**19)}
        return int(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)

    small, large = 448, 704
    with ThreadPoolExecutor() as pool:
        least, most = pool.map(peak, (small, large))
    measured = (most - least) / (large**2 - small**2)
    conventions = Conventions(pooling=pooling, padding=padding)
    network = Network(vgg, conventions, dtype=precision.resolve(dtype, torch.device("cpu")))
    chosen = nst.RECIPES[recipe]
    style, content = set(chosen.style_layers), set(chosen.content_layers)
    crowded = style if "regions" in words else style & content
    return measured, bytes_per_pixel(network, style | content, crowded)


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
@pytest.mark.parametrize(
    ("dtype", "pooling", "padding", "recipe", "words"),
    [
        ("bf16", "max", "zeros", "balanced", []),
        ("fp32", "max", "zeros", "balanced", []),
        ("bf16", "l2", "reflect", "balanced", []),
        ("bf16", "average", "replicate", "balanced", []),
        ("bf16", "max", "zeros", "balanced", ["regions"]),
        ("bf16", "max", "zeros", "persson", []),  # content and style at the same taps
    ],
)
def test_a_pass_takes_what_is_said(vgg, dtype, pooling, padding, recipe, words):
    measured, said = bytes_per_pixel_measured_and_said(vgg, dtype, pooling, padding, recipe, *words)
    assert measured == pytest.approx(said, rel=0.1)


MEASURE_RUN = """
import sys, torch
import nst_engine as nst

def peak():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))

size, words = int(sys.argv[1]), sys.argv[2:]
torch.set_num_threads(1)
vgg = nst.load_vgg("vgg19-caffe", precision="bf16", device="cpu")
layers = nst.LayerWeights(style={"relu1_1": 1.0, "relu2_1": 1.0}, content={"relu3_1": 1.0})
content, grams, options = torch.rand(1, 3, size, size), None, {}
count = 6 if "regions" in words else 1
for i in range(count):
    region = torch.zeros(size, size)
    region[i * size // count : (i + 1) * size // count] = 1
    grams = nst.compute_style_grams(
        vgg, torch.rand(1, 3, 32, 32), size=32, layers=layers.style, blend_with=grams,
        region=region if count > 1 else None,
    )
if "protect" in words or "emphasis" in words:
    mode = "pixels" if "protect" in words else "content"
    options = {"protect": torch.rand(size, size), "protect_mode": mode}
options |= {"content_measure": "laplacian"} if "laplacian" in words else {}
options |= {"octaves": 4} if "octaves" in words else {}
# Not the default, which measures the content first: that takes as much as measuring a style, at any size.
options |= {"recipe": "classic", "layers": layers, "tile": 128, "steps": 2, "memory": 2**36, "scales": 1}
few = content[:, :, :160, :160]
# Kernels are brought into their forms once.
nst.stylize(vgg, few, grams.within(None), recipe="classic", layers=layers, steps=1)
open("/proc/self/clear_refs", "w").write("5")  # the peak so far is forgotten
before = peak()
nst.stylize(vgg, content, grams, **options)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
@pytest.mark.parametrize(
    ("words", "extras"),
    [
        ((), ExtraMemory()),
        (("regions", "protect"), ExtraMemory(6, guided=True, pinned=True)),
        (("emphasis",), ExtraMemory(emphasis=True)),
        (("laplacian",), ExtraMemory()),
        (("octaves",), ExtraMemory()),
    ],
)
def test_a_run_by_tiles_takes_what_is_said_for_each_pixel_of_the_picture(vgg, words, extras):
    small, large = 384, 1152  # far apart: a peak varies by a megabyte or two from run to run
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**18)}
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", MEASURE_RUN, str(size), *words],
                capture_output=True,
                text=True,
                check=True,
                env=environment,
            ).stdout
        )
        for size in (small, large)
    ]
    measured = (peaks[1] - peaks[0]) / (large**2 - small**2)
    network = Network(vgg, dtype=torch.bfloat16)
    recipe = replace(nst.RECIPES["classic"], octaves=4 if "octaves" in words else 1)
    said = footprint(network, recipe, (("relu1_1", "relu2_1"), ("relu3_1",)), extras=extras).state
    assert measured == pytest.approx(said, rel=0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
@pytest.mark.parametrize(("dtype", "recipe"), [("fp32", "balanced"), ("bf16", "persson")])
def test_passes_that_share_memory_take_no_more_than_is_ample(vgg, dtype, recipe):
    measured, said = bytes_per_pixel_measured_and_said(vgg, dtype, "max", "zeros", recipe, "ample")
    assert measured <= layout_module.AMPLE * said


MEASURE_SAMPLES = """
import sys, torch
import nst_engine as nst
from tests.peak_memory import peak

recipe, dtype, size = *sys.argv[1:3], int(sys.argv[3])
torch.set_num_threads(1)
vgg = nst.load_vgg("vgg19-caffe", precision=dtype, device="cpu")
content, style = torch.rand(2, 1, 3, size, size)
grams = nst.compute_style_grams(vgg, style, recipe=recipe)
open("/proc/self/clear_refs", "w").write("5")  # the peak so far is forgotten
before = peak()
nst.stylize(vgg, content, grams, recipe=recipe, size=size, steps=2, scales=1)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
@pytest.mark.parametrize(("recipe", "dtype"), [("nnst", "bf16"), ("nnst", "fp32"), ("strotss", "bf16")])
def test_what_samples_and_matches_take_is_said_and_not_much_more(vgg, recipe, dtype):
    size = 256
    command = [sys.executable, "-c", MEASURE_SAMPLES, recipe, dtype, str(size)]
    measured = float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)
    chosen, style = nst.RECIPES[recipe], nst.compute_style_grams(vgg, torch.rand(1, 3, size, size), recipe=recipe)
    matched = style.hypercolumn_counts(chosen.style_layers, (size, size), chosen.style_fit, chosen.statistic)
    network = Network(vgg, dtype=precision.resolve(dtype, torch.device("cpu")))
    taps = chosen.style_layers, chosen.content_layers
    said = footprint(network, chosen, taps, extras=ExtraMemory(matched=matched)).total((size, size)) / 2**20
    # No more than is asked to be free, and not twice as much as is needed.
    assert layout_module.USABLE_SHARE * measured <= said <= 2 * measured
