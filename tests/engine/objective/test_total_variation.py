"""Total variation and its gradient, over a border or not."""

from __future__ import annotations

import pytest
import torch
from pictures import clouds
from short_runs import TAPS

import nst_engine as nst
from nst_engine.objective.total_variation import ACROSS_BORDER, VARIATIONS, total_variation


@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("kind", [*VARIATIONS, ACROSS_BORDER])
def test_total_variation_and_its_gradient(kind, reduction, wraps):
    x = clouds(1, 20, 30).double()
    x += 0.01 * torch.rand(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    value, gradient = total_variation(x, reduction, kind, wraps)
    way = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    there, back = (float(total_variation(x + e * way, reduction, kind, wraps)[0]) for e in (1e-7, -1e-7))
    assert float((gradient * way).sum()) == pytest.approx((there - back) / 2e-7, rel=1e-5)
    moved = float(total_variation(x.roll((3, 5), (2, 3)), reduction, kind, wraps)[0])
    assert (moved == pytest.approx(float(value), rel=1e-9)) == wraps


def test_five_and_nine_points_agree_on_a_slope_and_differ_on_a_corner():
    ramp = (torch.arange(200.0)[:, None] * 0.002 + torch.arange(300.0)[None] * 0.001).expand(1, 3, 200, 300)
    five, nine = (float(total_variation(ramp, "mean", kind)[0]) for kind in ("l2", "l2-nine"))
    assert nine == pytest.approx(five, rel=0.01)
    dot = torch.zeros(1, 3, 20, 20)
    dot[..., 10, 10] = 1
    assert float(total_variation(dot, "sum", "l2")[0]) == pytest.approx(12)  # four steps of 1 in three colours
    assert float(total_variation(dot, "sum", "l2-nine")[0]) == pytest.approx(3 * (4 * 2 / 3 + 4 / 6))


def test_l1_leaves_edges_that_l2_smooths(vgg):
    """What is left of a noisy step: without noise in either, and with a sharper edge in the one."""
    edge = torch.full((1, 3, 32, 64), 0.2)
    edge[..., 32:] = 0.8
    noisy = (edge + 0.05 * torch.randn(edge.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    grams = nst.compute_style_grams(vgg, clouds(2, 48, 48), layers=TAPS, size=48)
    layers = nst.LayerWeights(style=TAPS, content={"relu1_1": 1.0})
    found = {}
    for kind in ("l1", "l2"):
        options = {"recipe": "classic", "layers": layers, "style_weight": 0, "content_weight": 0.5, "tv_weight": 6.0}
        found[kind] = nst.stylize(vgg, noisy, grams, steps=60, tv_kind=kind, **options).image
    rough = {kind: float(x[..., :24].std(-1).mean()) for kind, x in found.items()}
    step = {kind: float((x[..., 33] - x[..., 30]).mean()) for kind, x in found.items()}
    assert rough["l1"] < 0.5 * float(noisy[..., :24].std(-1).mean())
    assert step["l1"] > step["l2"]
