"""Pictures without a border: what has no seam has none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pictures import clouds
from short_runs import LAYERS, TAPS, texture

import nst_engine as nst
from nst_engine.network.tiles import cut
from nst_engine.objective.footprint import footprint
from nst_engine.pictures.images import resize
from nst_engine.recipes import FIVE, network_for


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
@pytest.mark.parametrize("tile", [None, 16, 48])
def test_where_a_seamless_picture_begins_does_not_matter(pooling, tile):
    """Moved around by whole positions of the deepest tap, with its content, it has the same loss and the same gradient,
    moved as well; in one pass and by tiles, whose margins are wider than the picture here."""
    vgg = nst.load_vgg("vgg19-caffe", precision="fp32", device="cpu", pooling=pooling)
    grams = nst.compute_style_grams(vgg, clouds(2, 48, 64), layers=TAPS, size=64)
    content, image = clouds(1, 64, 96), clouds(4, 64, 96)
    options = {"layers": LAYERS, "seamless": True, "tv_weight": 1.0}
    terms, gradient = nst.objective(vgg, content, grams, **options).value_and_grad(image)
    by = (8, 20)
    moved, there = (x.roll(by, (2, 3)) for x in (content, image))
    same, moved_gradient = nst.objective(vgg, moved, grams, tile=tile, **options).value_and_grad(there)
    for name in ("content", "style", "tv"):
        assert float(getattr(same, name)) == pytest.approx(float(getattr(terms, name)), rel=1e-5), name
    assert (moved_gradient - gradient.roll(by, (2, 3))).norm() < 2e-5 * gradient.norm()
    _, bordered = nst.objective(vgg, moved, grams, layers=LAYERS, tv_weight=1.0).value_and_grad(there)
    assert (bordered - gradient.roll(by, (2, 3))).norm() > 1e-2 * gradient.norm()


def test_the_gradient_of_a_seamless_picture_is_that_of_small_steps(vgg, small):
    content, image = clouds(1, 64, 96), clouds(4, 64, 96)
    objective = nst.objective(vgg, content, small, layers=LAYERS, seamless=True, tv_weight=1.0)
    _, gradient = objective.value_and_grad(image)
    way = torch.zeros_like(image)
    way[:, :, :3], way[..., -3:] = gradient[:, :, :3], gradient[..., -3:]  # at the border alone
    way /= way.norm()
    there, back = (float(objective.value_and_grad(image + e * way)[0].total) for e in (0.02, -0.02))
    assert float((gradient * way).sum()) == pytest.approx((there - back) / 0.04, rel=0.01)


def seam(image: torch.Tensor, dim: int) -> float:
    """The step across the seam, against those within from one position of the deepest tap to the next: between pooling
    windows neighbours differ more than inside of one."""
    across = (image.select(dim, 0) - image.select(dim, -1)).abs().mean()
    within = image.diff(dim=dim).abs().movedim(dim, 0)[3::4].mean()
    return float(across / within)


def edge_statistics(vgg, image: torch.Tensor) -> float:
    """The Gram matrix of a strip across the seam of the tiled picture, against that of the picture's middle."""
    network = network_for(vgg, nst.RECIPES["balanced"])
    tiled = image.repeat(1, 1, 2, 2)
    w = image.shape[-1]

    def moment(x: torch.Tensor) -> torch.Tensor:
        f = network.features(x, ("relu2_1",))["relu2_1"][0].flatten(1)
        return f @ f.T / f.shape[1]

    across, inside = moment(tiled[..., w - 16 : w + 16]), moment(image[..., w // 2 - 16 : w // 2 + 16])
    return float((across - inside).norm() / inside.norm())


@pytest.mark.parametrize("scales", [1, 3])
def test_a_seamless_texture_meets_itself(vgg, small, scales):
    options = {"start": "noise", "steps": 30, "scales": scales}
    closed, open_ = (texture(vgg, small, 96, 128, seamless=s, **options).image for s in (True, False))
    for dim in (2, 3):
        assert seam(closed, dim) < 1.4, "the step across the seam is one like others"
        assert seam(open_, dim) > 1.45, "which the test would see otherwise"
    assert edge_statistics(vgg, closed) < edge_statistics(vgg, open_)


def test_a_seamless_picture_may_have_any_size(vgg, small):
    result = texture(vgg, small, 83, 101, seamless=True, steps=25)
    assert result.image.shape == (1, 3, 83, 101)
    assert result.settings["levels"] == [[84, 100, 25]]
    assert max(seam(result.image, 2), seam(result.image, 3)) < 1.4
    with pytest.raises(nst.NSTError, match=r"seamless: 101×83 will not do; .* multiples of 4"):
        nst.objective(vgg, None, small, layers=LAYERS, shape=(83, 101), seamless=True)


def test_a_seamless_content_stays_seamless(vgg, small):
    tile = torch.sin(torch.arange(64) / 64 * 2 * torch.pi)
    content = (0.5 + 0.4 * tile[:, None] * tile[None]).expand(1, 3, 64, 64)
    result = nst.stylize(vgg, content, small, layers=LAYERS, steps=20, seamless=True)
    assert max(seam(result.image, 2), seam(result.image, 3)) < 1.4


@pytest.mark.parametrize("shape", [(48, 96), (100, 36), (70, 111)])
def test_resizing_around_has_no_seam(shape):
    picture = clouds(3, 60, 84)
    around = torch.cat([torch.cat([picture] * 3, 2)] * 3, 3)
    expected = resize(around, (3 * shape[0], 3 * shape[1]))[..., shape[0] : 2 * shape[0], shape[1] : 2 * shape[1]]
    assert torch.allclose(resize(picture, shape, wraps=True), expected, atol=2e-5)
    assert not torch.allclose(resize(picture, shape), expected, atol=1e-3)
    assert resize(picture, (60, 84), wraps=True) is picture


def test_a_tile_of_a_seamless_picture_has_its_margin_on_all_sides(vgg):
    network = network_for(vgg, nst.RECIPES["balanced"], seamless=True)
    found = footprint(network, nst.RECIPES["balanced"], (FIVE, ("relu4_2",)))
    plain = replace(found, wraps=False)
    for shape, tile in (((512, 8192), 512), ((256, 4096), 512), ((2048, 2048), 1024)):
        seen = max(
            (bottom - top) * (right - left)
            for (top, bottom), (left, right) in (t.outer for t in cut(shape, tile, FIVE, "vgg19", wraps=True))
        )
        state = found.network + found.state * shape[0] * shape[1]
        assert found.total(shape, tile) == pytest.approx(state + found.seen * seen, rel=1e-6)
        assert found.total(shape, tile) > plain.total(shape, tile) or min(shape) > tile
        budget = found.total(shape, tile)
        largest = found.largest_tile(shape, budget)
        assert largest is not None and found.total(shape, largest) <= budget
