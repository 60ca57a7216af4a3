"""What kinds of device refuse, as far as that is known, and that nothing asks it of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchgen
from fake_device import DEVICE, FakeDevice
from pictures import clouds

import nst_engine as nst
from nst_engine.objective.temporal import Temporal
from nst_engine.pictures.colour import METHODS
from nst_engine.statistics.distances import STATISTICS
from nst_engine.styles.copies import COPIES
from nst_engine.visualise import feature_sheet, gram_sheet, reconstruct


def float64(name, args, made):
    assert not any(t.dtype in (torch.float64, torch.complex128) for t in made), f"{name}: float64"


def bfloat16(name, args, made):
    assert not any(t.dtype == torch.bfloat16 for t in made), f"{name}: bfloat16"


def uneven_pooling(name, args, made):
    if "adaptive" in name:
        (h, w), (height, width) = args[0].shape[-2:], args[1]
        assert h % height == 0 and w % width == 0, f"{name}: {h}×{w} to {height}×{width}"


def looking_up(name, args, made):
    """MPS: bilinear and nearest, with zeros outside, and no way back."""
    if "grid_sampler" in name:
        assert name == "grid_sampler_2d" and args[2] != 2 and args[3] == 0, f"{name}: mode {args[2]}, outside {args[3]}"


def many_of_the_largest(name, args, made):
    assert name != "topk" or args[1] <= 16, f"{name}: the {args[1]} largest"


def absent_from_mps():
    """What torch's own table of operations gives a CPU and CUDA, and nothing else; the oldest torch's has most."""
    table = Path(torchgen.__file__).with_name("packaged") / "ATen/native/native_functions.yaml"
    names, there, delegates = set(), set(), {}
    for entry in re.split(r"(?m)^- func: ", table.read_text(encoding="utf-8"))[1:]:
        full = entry.partition("(")[0]
        names.add(full.partition(".")[0])
        if delegate := re.search(r"(?m)^  structured_delegate: (\S+)", entry):
            delegates[full] = delegate[1]
        elif kernels := re.search(r"(?m)^  dispatch:\n((?:    .*\n)+)", entry):
            if re.search(r"(?m)^    [^#:]*\b(?:MPS|Composite\w+)\b.*:", kernels[1]):
                there.add(full)
        else:
            there.add(full)
    there |= {full for full, delegate in delegates.items() if delegate in there}
    return names - {full.partition(".")[0] for full in there}


def lacking(*operations):
    def refuses(name, args, made):
        assert name not in operations, f"{name}: no such operation"

    return refuses


KINDS = {
    "mps": (
        float64,  # "the MPS framework doesn't support float64", pytorch/pytorch#122602
        bfloat16,  # before macOS 14, pytorch/torchchat#616
        uneven_pooling,  # interpolate's `area` too, pytorch/pytorch#96056
        looking_up,  # "MPS: Unsupported Bicubic interpolation", "Unsupported padding mode", GridSampler.mm of torch 2.4
        many_of_the_largest,  # before macOS 13, Sort.mm of torch 2.4
        # The names are from torch 2.4's table, for where a newer torch is tested.
        lacking(
            *absent_from_mps(),
            "_upsample_bicubic2d_aa",
            "upsample_bicubic2d",
            "_linalg_eigh",
            "_linalg_svd",
            "linalg_cholesky_ex",
            *("linalg_qr", "geqrf", "linalg_householder_product", "_linalg_solve_ex", "linalg_lstsq", "linalg_eig"),
            *("kthvalue", "mode", "_cummax_helper", "_cummin_helper", "avg_pool3d", "upsample_trilinear3d"),
        ),
    ),
    "xpu": (float64,),  # Arc A, intel/torch-xpu-ops#1742
    "directml": (
        float64,  # microsoft/DirectML#309
        bfloat16,  # microsoft/DirectML#688
    ),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture(scope="module")
def there(vgg):
    return replace(vgg, device=DEVICE, precision="auto")


def run(vgg, refuses, content_shape=(50, 70), **choices):
    """Levels, previews, pictures and losses of a whole run."""
    seen = []

    def look(progress):
        seen.append((progress.preview(20), progress.image, progress.total))

    with FakeDevice(refuses) as device:
        grams = nst.compute_style_grams(vgg, clouds(2, 40, 60), recipe=choices.get("recipe", "balanced"))
        content = clouds(1, *content_shape).to(DEVICE)
        result = nst.stylize(vgg, content, grams, steps=2, scales=2, on_step=look, **choices)
    for small, image, _ in seen:
        assert small.device.type == image.device.type == "cpu"
        assert max(small.shape[2:]) == 20
    assert len(seen) >= 2
    assert device.read
    assert result.image.shape == (1, 3, *content_shape)
    return seen


@pytest.mark.parametrize("statistic", STATISTICS)
def test_every_statistic(there, kind, statistic):
    run(there, kind, statistic=statistic, size=70)


@pytest.mark.parametrize("name", sorted(nst.RECIPES))
def test_every_recipe(there, kind, name):
    run(there, kind, recipe=name, size=70)


@pytest.mark.parametrize(
    "choices",
    [
        {"seamless": True, "content_shape": (64, 96), "size": 96},
        {"optimizer": "lbfgs", "tile": 32, "size": 70},
        {"averaging": 0.9, "start": "style-noise", "strength": 0.5, "size": 70},
        {"protect": torch.ones(50, 70).tril(), "start": "style", "normalise_gradients": True, "size": 70},
        {"content_measure": "laplacian", "protect": torch.ones(50, 70), "protect_mode": "content", "size": 70},
        {"content_shape": (96, 128), "octaves": 2, "size": 128},
        {"content_shape": (96, 128), "octaves": 2, "size": 128, "seamless": True},
    ],
    ids=["seamless", "tiles", "averaging", "protect", "laplacian", "octaves", "seamless octaves"],
)
def test_what_else_a_run_may_do(there, kind, choices):
    run(there, kind, **choices)


@pytest.mark.parametrize("method", METHODS)
def test_every_colour_method(kind, method):
    with FakeDevice(kind):
        matched = nst.match_colours(clouds(1, 30, 40).to(DEVICE), clouds(2, 32, 32).to(DEVICE), method)
    assert matched.device.type == "cpu"


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("statistic", STATISTICS)
def test_measuring_by_pieces_with_masks_and_regions(there, kind, statistic, strength):
    with FakeDevice(kind, waits_for_masks=True):
        half = torch.zeros(50, 70)
        half[:, :35] = 1
        grams = nst.compute_style_grams(there, clouds(2, 40, 60), size=60, mask=torch.ones(40, 60).tril())
        grams = grams.within(half, "inside") + nst.compute_style_grams(there, clouds(3, 40, 40))
        nst.stylize(there, clouds(1, 50, 70), grams, statistic=statistic, strength=strength, steps=1, scales=1, size=70)


@pytest.mark.parametrize("recipe", ["balanced", "strotss"])
def test_a_frame_of_a_film(there, kind, recipe):
    """Held to those before it, whose flow and warping are the CPU's; of pixels, and of a pyramid of them."""
    before = Temporal(clouds(3, 50, 70), torch.ones(1, 1, 50, 70), torch.ones(1, 1, 50, 70), 300.0)
    run(there, kind, recipe=recipe, temporal=before, size=70)


@pytest.mark.parametrize("copies", COPIES)
def test_a_texture_of_a_style_in_copies(there, kind, copies):
    with FakeDevice(kind):
        grams = nst.compute_style_grams(there, clouds(2, 40, 60), copies=copies)
        nst.stylize(there, None, grams, shape=(48, 64), seamless=True, steps=1, scales=1)


def test_looking_inside(there, kind):
    with FakeDevice(kind):
        picture = clouds(1, 40, 60).to(DEVICE)
        feature_sheet(there, picture, "relu3_1")
        gram_sheet(there, nst.compute_style_grams(there, picture), "relu2_1")
        reconstruct(there, picture, "relu2_1", "style", steps=1, size=48)


def test_what_the_rules_find():
    for refuses, what in (
        (KINDS["mps"], lambda x: x.double()),
        (KINDS["xpu"], lambda x: torch.zeros(3, dtype=torch.float64, device=DEVICE)),
        (KINDS["mps"], lambda x: F.interpolate(x, (3, 3), mode="area")),
        (KINDS["mps"], lambda x: F.interpolate(x, (16, 16), mode="bicubic", antialias=True)),
        (KINDS["mps"], lambda x: torch.linalg.eigh(x[0, 0])),
        (KINDS["mps"], lambda x: torch.linalg.qr(x[0, 0])),
        (KINDS["mps"], lambda x: torch.linalg.solve(x[0, 0], x[0, 0])),
        (KINDS["mps"], lambda x: torch.linalg.ldl_factor(x[0, 0])),
        (KINDS["mps"], lambda x: x.flatten().topk(20)),
        (KINDS["mps"], lambda x: F.grid_sample(x, x[0, :2].movedim(0, -1)[None], "bicubic", align_corners=False)),
        (KINDS["mps"], lambda x: F.grid_sample(x, x[0, :2].movedim(0, -1)[None], "bilinear", "border", False)),
        (KINDS["directml"], lambda x: x.bfloat16()),
    ):
        with FakeDevice(), pytest.raises(AssertionError):
            x = torch.rand(1, 3, 8, 8, device=DEVICE)
            with FakeDevice(refuses):
                what(x)
    with FakeDevice(KINDS["mps"]):
        F.interpolate(torch.rand(1, 3, 8, 8, device=DEVICE), (4, 4), mode="area")
