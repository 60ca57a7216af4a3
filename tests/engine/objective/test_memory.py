"""What a run is said to take, what it really takes, and what is made of too little."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.network import precision
from nst_engine.network.conventions import Conventions
from nst_engine.network.vgg import Network
from nst_engine.objective import layout as layout_module
from nst_engine.objective.build import build
from nst_engine.objective.content import ContentTarget
from nst_engine.objective.footprint import ExtraMemory, bytes_per_pixel, footprint
from nst_engine.objective.layout import Layout, lay_out
from nst_engine.objective.setup import set_up
from nst_engine.recipes import FIVE, LBFGS, Adam
from nst_engine.system.devices import free_memory
from nst_engine.system.out_of_memory import is_out_of_memory

CONTENT = ("relu4_2",)
GB = 2**30


ADAM = Adam(0.03)
CLASSIC = nst.RECIPES["classic"]


def taken(vgg):
    return footprint(Network(vgg, dtype=torch.bfloat16), CLASSIC, (FIVE, CONTENT))


def lay(vgg, shape, free, optimizer=ADAM, tile="auto"):
    recipe = replace(CLASSIC, optimizer=optimizer)
    return lay_out(Network(vgg, dtype=torch.bfloat16), recipe, (FIVE, CONTENT), shape, tile, int(free))


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
    ("words", "asked"),
    [
        ((), ExtraMemory()),
        (("regions", "protect"), ExtraMemory(6, guided=True, pinned=True)),
        (("emphasis",), ExtraMemory(emphasis=True)),
        (("laplacian",), ExtraMemory()),
        (("octaves",), ExtraMemory()),
    ],
)
def test_a_run_by_tiles_takes_what_is_said_for_each_pixel_of_the_picture(vgg, words, asked):
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
    recipe = replace(CLASSIC, octaves=4 if "octaves" in words else 1)
    said = footprint(network, recipe, (("relu1_1", "relu2_1"), ("relu3_1",)), asked=asked).state
    assert measured == pytest.approx(said, rel=0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
@pytest.mark.parametrize(("dtype", "recipe"), [("fp32", "balanced"), ("bf16", "persson")])
def test_passes_that_share_memory_take_no_more_than_is_ample(vgg, dtype, recipe):
    measured, said = bytes_per_pixel_measured_and_said(vgg, dtype, "max", "zeros", recipe, "ample")
    assert measured <= layout_module.AMPLE * said


def test_a_gpu_is_given_no_more_numbers_at_a_time_than_it_counts(vgg):
    """An H200 has the memory for 8192² in one pass, but torch refused such tensors."""
    network = Network(replace(vgg, device=torch.device("cuda")), dtype=torch.bfloat16)

    def laid_out(*shape, recipe=CLASSIC):
        return lay_out(network, recipe, (FIVE, CONTENT), shape, "auto", 2**40)

    assert laid_out(5600, 5600).tile is None
    for shape in ((8192, 8192), (16384, 2048)):
        layout = laid_out(*shape)
        around = 2 * footprint(network, CLASSIC, (FIVE, CONTENT)).margin
        assert layout.tile is not None
        assert 64 * min(shape[0], layout.tile + around) * min(shape[1], layout.tile + around) < 2**31
    with pytest.raises(
        nst.NSTError, match=r"8192×8192 pixels in one pass are too many for a GPU\. A long side of 5792"
    ):
        laid_out(8192, 8192, recipe=replace(CLASSIC, statistic="sliced"))


def test_memory_is_kept_from_pass_to_pass_only_where_there_is_plenty(vgg):
    whole = taken(vgg).total((512, 512)) / layout_module.USABLE_SHARE
    assert lay(vgg, (512, 512), whole * 1.01 * layout_module.AMPLE).ample
    assert not lay(vgg, (512, 512), whole * 0.99 * layout_module.AMPLE).ample
    by_tiles = lay(vgg, (512, 512), whole * 0.8)
    assert by_tiles.tile and not by_tiles.ample
    assert not lay(vgg, (512, 512), whole * 100).smaller((512, 512), 80).ample


def test_one_pass_when_it_fits_and_tiles_as_large_as_fit_when_it_does_not(vgg):
    whole = taken(vgg).total((1024, 1024)) / layout_module.USABLE_SHARE
    assert lay(vgg, (1024, 1024), whole * 1.01).tile is None
    tiles = [lay(vgg, (1024, 1024), whole * share).tile for share in (0.99, 0.8, 0.6)]
    assert tiles == sorted(tiles, reverse=True)
    assert all(tile % 16 == 0 and 128 <= tile < 1024 for tile in tiles)
    # Never more than there is, and not much less either.
    for share, tile in zip((0.99, 0.8, 0.6), tiles, strict=True):
        assert taken(vgg).total((1024, 1024), tile) <= share * whole * layout_module.USABLE_SHARE
        assert (
            taken(vgg).total((1024, 1024), tile + 16) > share * whole * layout_module.USABLE_SHARE
            or tile + 16 > 1024 - 160
        )


def test_content_targets_are_given_up_when_that_saves_time_or_makes_it_possible(vgg):
    shape = (8192, 8192)
    keeping = taken(vgg)
    tight = (keeping.network + keeping.state * 8192**2 + keeping.seen * 400**2) / layout_module.USABLE_SHARE
    assert lay(vgg, shape, 64 * GB).keep_content
    assert not lay(vgg, shape, tight).keep_content
    assert not lay(vgg, shape, tight - 0.3 * GB).keep_content


def test_lbfgs_remembers_no_more_than_half_of_what_is_free(vgg):
    assert lay(vgg, (512, 512), 8 * GB, LBFGS(history=100)).history == 100
    layout = lay(vgg, (4096, 4096), 16 * GB, LBFGS(history=100))
    assert 4 <= layout.history < 100
    assert 24 * layout.history * 4096**2 <= 0.5 * layout_module.USABLE_SHARE * 16 * GB
    assert lay(vgg, (512, 512), 8 * GB).history == 0


def test_what_cannot_be_done_is_refused_with_the_size_that_can(vgg):
    with pytest.raises(nst.NSTError, match=r"16384×16384 pixels take .* GB.* A long side of \d+ would do") as refused:
        lay(vgg, (16384, 16384), 8 * GB)
    side = int(str(refused.value).split("A long side of ")[1].split()[0])
    assert 4096 < side < 16384
    lay(vgg, (side, side), 8 * GB)  # and so it does
    with pytest.raises(nst.NSTError):
        lay(vgg, (side + 64, side + 64), 8 * GB)
    with pytest.raises(nst.NSTError, match="tile: 'large'"):
        lay(vgg, (64, 64), GB, tile="large")


def test_a_run_by_tiles_gives_the_same_picture_and_tells_of_every_tile(vgg, content, grams):
    told, steps = [], []
    options = {"steps": 3, "tv_weight": 1.0}
    whole = nst.stylize(vgg, content, grams, tile=None, **options)
    tiled = nst.stylize(
        vgg, content, grams, tile=32, on_tile=told.append, on_step=lambda p: steps.append(p.done) and None, **options
    )
    assert (tiled.image - whole.image).abs().mean() < 1e-5
    assert tiled.settings["tiles"] == [32] and whole.settings["tiles"] == [None]
    assert [p.tile for p in told] == list(range(1, told[0].tiles + 1)) * 3
    assert [p.step for p in told] == [step for step in range(3) for _ in range(told[0].tiles)]
    done = [p.done for p in told]
    assert done == sorted(done) and 0 < done[0] < 1 and done[-1] == 3
    assert steps == [1, 2, 3]


def test_a_run_can_be_ended_within_a_step(vgg, content, grams):
    class Cancelled(Exception):
        pass

    def on_tile(position):
        if position.tile == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        nst.stylize(vgg, content, grams, steps=3, tile=32, on_tile=on_tile)


def test_targets_made_anew_are_those_that_are_kept(vgg, content, grams):
    image = clouds(4, *content.shape[-2:])
    setup = set_up(vgg, nst.RECIPES["balanced"], None, content=True)
    found = [
        build(setup, content, grams, content.shape[-2:], 1.0, Layout(32, keep)).value_and_grad(image)
        for keep in (True, False)
    ]
    (kept, gradient), (made, same) = found
    assert float(made.content) == pytest.approx(float(kept.content), rel=1e-6)
    assert torch.allclose(same, gradient, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("error", [MemoryError(), torch.cuda.OutOfMemoryError(), None])
def test_running_out_of_memory_halves_the_tiles_and_the_picture_is_the_same(vgg, grams, monkeypatch, error):
    content = clouds(1, 480, 480)
    options = {"steps": 3, "scales": 1, "layers": nst.LayerWeights(style={"relu2_1": 1.0}, content={"relu2_2": 1.0})}
    expected = nst.stylize(vgg, content, grams, tile=None, **options)
    real = Network.activations
    failed = []

    def starved(self, pixels, taps, tape=None, arena=None):
        # As a device with room for 200 x 200 pixels would.
        if pixels.shape[2] * pixels.shape[3] > 200 * 200:
            failed.append(pixels.shape)
            if error is None:
                torch.empty(2**60, dtype=torch.uint8)  # what torch really says on a CPU
            raise error
        return real(self, pixels, taps, tape, arena)

    monkeypatch.setattr(Network, "activations", starved)
    result = nst.stylize(vgg, content, grams, tile="auto", **options)
    # Adam's first step is a sign, so a pixel whose slope is nearly nothing may go either way.
    assert (result.image - expected.image).abs().mean() < 1e-5
    assert len(result.history) == 3
    assert result.settings["tiles"] == [128]
    assert len(failed) >= 2
    assert [note for note in result.notes if "memory ran out" in note] == result.notes


def test_content_is_made_anew_before_a_run_is_refused(vgg, grams, monkeypatch):
    content = clouds(1, 320, 320)
    options = {"steps": 2, "layers": nst.LayerWeights(style={"relu2_1": 1.0}, content={"relu2_2": 1.0})}
    expected = nst.stylize(vgg, content, grams, tile=None, **options)
    real = ContentTarget._keep

    def starved(self, tile, tap, p):
        # As a device would that has no room for the features of the whole picture.
        if p.numel() * 2 < self.picture.numel() * 32 / 3:
            torch.empty(2**60, dtype=torch.uint8)
        real(self, tile, tap, p)

    monkeypatch.setattr(ContentTarget, "_keep", starved)
    result = nst.stylize(vgg, content, grams, tile=160, **options)
    assert (result.image - expected.image).abs().mean() < 1e-5
    assert "computed again" in result.notes[-1]


def test_other_errors_are_not_taken_for_a_lack_of_memory(vgg, content, grams, monkeypatch):
    def broken(*_):
        raise RuntimeError("expected scalar type Float but found Half")

    monkeypatch.setattr(Network, "activations", broken)
    with pytest.raises(RuntimeError, match="Half"):
        nst.stylize(vgg, content, grams, steps=1)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 must have the same dtype"))


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "CUDA error: out of memory",
        "HIP out of memory. Tried to allocate 2.00 GiB",
        "MPS backend out of memory (MPS allocated: 8.00 GB, max allowed: 9.07 GB).",
        "Invalid buffer size: 16.00 GB",
        "XPU out of memory. Tried to allocate 2.00 GiB.",
        "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)",
        "Could not allocate tensor with 1073741824 bytes. There is not enough GPU video memory available!",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1152921504606846976 bytes.",
        "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate",
    ],
)
def test_a_lack_of_memory_is_known_in_every_devices_words(words):
    assert is_out_of_memory(RuntimeError(words))


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`",
        "view size is not compatible with input tensor's size and memory format",
    ],
)
def test_words_about_memory_alone_are_no_lack_of_it(words):
    assert not is_out_of_memory(RuntimeError(words))


def test_a_device_without_room_for_the_smallest_tile_says_so(vgg, content, grams, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(Network, "activations", full)
    with pytest.raises(nst.NSTError, match="do not fit into the memory of cpu"):
        nst.stylize(vgg, content, grams, steps=1)


def test_what_is_free_is_known_here():
    free = free_memory(torch.device("cpu"))
    assert 2**20 < free < 2**44


@pytest.mark.skipif(sys.platform == "win32", reason="no ulimit")
def test_a_limit_of_the_process_counts():
    code = (
        "import json, resource, torch\nfrom nst_engine.system import devices as m\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**36, 2**36))\n"
        "print(json.dumps(m.free_memory(torch.device('cpu'))))"
    )
    free = json.loads(subprocess.check_output([sys.executable, "-c", code], text=True))
    assert free < 2**36


def test_moments_are_carried_to_the_next_level(vgg, content, grams, monkeypatch):
    """With them, the second level begins where the first ended instead of feeling its way from nothing."""
    from nst_engine.run.optim import AdamState

    seen = []
    real = AdamState.resized

    def spy(self, shape, *choices):
        seen.append((self.t, shape))
        return real(self, shape, *choices)

    monkeypatch.setattr(AdamState, "resized", spy)
    result = nst.stylize(vgg, content, grams, steps=8, scales=2)
    first, second = result.settings["levels"]
    assert seen == [(first[2], tuple(second[:2]))]
    m = torch.ones(1, 3, 4, 6)
    grown = AdamState(m, 4 * m, 7).resized((8, 12))
    assert torch.allclose(grown.m, torch.full((1, 3, 8, 12), 0.25))
    assert torch.allclose(grown.v, torch.full((1, 3, 8, 12), 0.25))
    assert replace(grown, t=0).t == 0 and grown.t == 7
