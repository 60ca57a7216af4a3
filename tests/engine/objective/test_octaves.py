"""Style compared in several sizes of the picture: the halving, the mean over octaves, by tiles, with regions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from pictures import clouds

import nst_engine as nst
from nst_engine.objective.octaves import Halving
from nst_engine.statistics.distances import BY_POSITION, BY_SAMPLING

CPU = torch.device("cpu")


def recipe(octaves: int, name: str = "balanced", **changes) -> nst.Recipe:
    return replace(nst.RECIPES[name], octaves=octaves, **changes)


def half(x: torch.Tensor) -> torch.Tensor:
    size = (x.shape[2] // 2, x.shape[3] // 2)
    return F.interpolate(x, size=size, mode="bicubic", antialias=True, align_corners=False)


def test_halving_is_resizing():
    x = clouds(1, 70, 90)
    assert (Halving((70, 90), False, CPU)(x) - half(x)).abs().max() < 1e-6


def test_a_seamless_picture_is_halved_around_its_edges():
    x = clouds(1, 64, 48)
    around = half(torch.cat([torch.cat([x] * 3, 2)] * 3, 3))[:, :, 32:64, 24:48]
    assert (Halving((64, 48), True, CPU)(x) - around).abs().max() < 1e-6


@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize("shape", [(64, 48), (71, 33), (2, 9)])
def test_the_way_back_is_the_transpose(shape, wraps):
    if wraps:
        shape = tuple(side // 2 * 2 for side in shape)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 3, *shape, generator=generator)
    g = torch.randn(1, 3, shape[0] // 2, shape[1] // 2, generator=generator)
    halving = Halving(shape, wraps, CPU)
    back = halving.backward(g.clone())
    assert back.shape == x.shape
    assert float((halving(x) * g).sum()) == pytest.approx(float((x * back).sum()), rel=1e-4)


@pytest.mark.parametrize("name", ["balanced", "johnson", "crowsonkb"])
def test_the_mean_of_each_octaves_own_term(vgg, name):
    """Each octave as a transfer of its own, of the smaller content, to a style that is as much smaller."""
    content, style, image = clouds(1, 256, 320), clouds(2, 200, 320), clouds(9, 256, 320)
    grams = nst.compute_style_grams(vgg, style, recipe=name)
    terms, _ = nst.objective(vgg, content, grams, recipe=recipe(3, name)).value_and_grad(image)
    expected = []
    for _ in range(3):
        alone = nst.objective(vgg, content, grams, recipe=name).value_and_grad(image)[0]
        expected.append(float(alone.style))
        if len(expected) == 1:
            assert float(terms.content) == pytest.approx(float(alone.content), rel=1e-6)
            assert float(terms.tv) == pytest.approx(float(alone.tv), rel=1e-6)
        content, image = half(content), half(image)
    assert len({round(value, 6) for value in expected}) == 3
    assert float(terms.style) == pytest.approx(sum(expected) / 3, rel=1e-3)


def test_a_style_of_a_size_of_its_own_shrinks_with_the_picture(vgg):
    content, style, image = clouds(1, 128, 160), clouds(2, 120, 200), clouds(9, 128, 160)
    large, small = (nst.compute_style_grams(vgg, style, size=size) for size in (200, 100))
    both = nst.objective(vgg, content, large, recipe=recipe(2)).value_and_grad(image)[0]
    first = nst.objective(vgg, content, large).value_and_grad(image)[0]
    second = nst.objective(vgg, half(content), small).value_and_grad(half(image))[0]
    assert float(both.style) == pytest.approx(float(first.style + second.style) / 2, rel=1e-3)


@pytest.mark.parametrize("name", ["balanced", "classic", "spst"])
def test_the_gradient_is_the_slope_of_the_total(vgg, style, name):
    content, image = clouds(1, 140, 150), clouds(9, 140, 150)
    grams = nst.compute_style_grams(vgg, style, recipe=name)
    objective = nst.objective(vgg, content, grams, recipe=recipe(2, name), content_weight=0, tv_weight=0)
    _, gradient = objective.value_and_grad(image)
    plain = nst.objective(vgg, content, grams, recipe=name, content_weight=0, tv_weight=0).value_and_grad(image)[1]
    assert (gradient - plain).norm() > 0.02 * plain.norm()
    direction = gradient / gradient.norm()
    ahead, behind = (objective.value_and_grad(image + s * 0.01 * direction)[0].total for s in (1, -1))
    assert float(ahead - behind) / 0.02 == pytest.approx(float(gradient.norm()), rel=5e-3)


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize("changes", [{}, {"normalise_gradients": True}], ids=["plain", "normalised"])
def test_tiles_give_what_one_pass_gives(vgg, grams, changes):
    content, image = clouds(1, 150, 190), clouds(2, 150, 190)
    told = []
    whole, tiled = (
        nst.objective(vgg, content, grams, recipe=recipe(2, **changes), tile=tile).value_and_grad(
            image, lambda *at: told.append(at)
        )
        for tile in (None, 64)
    )
    assert float(tiled[0].style) == pytest.approx(float(whole[0].style), rel=1e-5)
    assert (tiled[1] - whole[1]).norm() <= (1e-3 if changes else 1e-5) * whole[1].norm()
    assert [done for done, _ in told] == list(range(1, told[0][1] + 1))


def test_regions_strength_and_what_sorts_go_with_it(vgg):
    content, image, left = clouds(1, 130, 140), clouds(2, 130, 140), torch.zeros(130, 140)
    left[:, :60] = 1
    one, two = (nst.compute_style_grams(vgg, clouds(seed, 64, 100)) for seed in (3, 4))
    grams = one.within(left) + two
    for options in ({"strength": 0.5}, {"seed": 1}):
        statistic = "covariance" if "strength" in options else "sliced"
        found = []
        for count in (1, 2):
            used = recipe(count, statistic=statistic)
            terms, gradient = nst.objective(vgg, content, grams, recipe=used, **options).value_and_grad(image)
            assert torch.isfinite(gradient).all()
            found.append(float(terms.style))
        assert found[0] != found[1]
    with pytest.raises(nst.NSTError, match="tile: the statistic 'sliced' sorts"):
        nst.objective(vgg, content, grams, recipe=recipe(2, statistic="sliced"), tile=64)


def test_octaves_that_are_too_small_are_left_out(vgg, content, grams):
    """The next would have less than 64 pixels; of a style too small for its layers, too."""
    one, four = (nst.objective(vgg, content, grams, recipe=recipe(n)).value_and_grad(content)[0] for n in (1, 4))
    assert float(one.total) == float(four.total)
    tiny = nst.compute_style_grams(vgg, clouds(3, 9, 12), size=12)
    big = clouds(1, 130, 140)
    assert nst.objective(vgg, big, tiny, recipe=recipe(2)).smaller is None
    assert nst.objective(vgg, big, grams, recipe=recipe(9)).smaller is not None


def test_an_octave_that_fails_for_another_reason_says_so(vgg, grams, monkeypatch):
    whole = type(grams).regions

    def regions(self, network, taps, shape, *rest):
        if max(shape) < 100:
            raise nst.NSTError("style: broken")
        return whole(self, network, taps, shape, *rest)

    monkeypatch.setattr(type(grams), "regions", regions)
    with pytest.raises(nst.NSTError, match="style: broken"):
        nst.objective(vgg, clouds(1, 130, 140), grams, recipe=recipe(2))


def test_a_seamless_texture_has_seamless_octaves(vgg, grams):
    result = nst.stylize(vgg, None, grams, shape=(130, 150), seamless=True, steps=2, octaves=2, scales=1)
    assert result.settings["octaves"] == 2
    assert all(side % 8 == 0 for side in result.settings["levels"][-1][:2])
    image = clouds(5, 128, 144)
    objective = nst.objective(vgg, None, grams, shape=(128, 144), seamless=True, recipe=recipe(2))
    terms, gradient = objective.value_and_grad(image)
    # By what is a position of the deepest layer in both octaves.
    moved_terms, moved = objective.value_and_grad(image.roll((16, 32), (2, 3)))
    assert float(moved_terms.style) == pytest.approx(float(terms.style), rel=1e-4)
    assert (moved.roll((-16, -32), (2, 3)) - gradient).norm() < 1e-3 * gradient.norm()


def test_a_saved_style_has_the_octaves(vgg, style, tmp_path):
    grams = nst.compute_style_grams(vgg, style, size=128)
    grams.save(tmp_path / "style.safetensors")
    loaded = nst.StyleGrams.load(tmp_path / "style.safetensors")
    content = clouds(1, 100, 128)
    with_picture, without = (
        nst.stylize(vgg, content, which, steps=2, octaves=2, scales=1) for which in (grams, loaded)
    )
    assert torch.equal(with_picture.image, without.image)
    assert not without.notes


@pytest.mark.parametrize("statistic", BY_POSITION + BY_SAMPLING)
def test_what_compares_features_in_one_size_is_refused(vgg, content, grams, statistic):
    """But not where style counts nothing."""
    with pytest.raises(nst.NSTError, match=f"octaves: 2 will not do with the statistic {statistic}, .*; give 1, or"):
        nst.objective(vgg, content, grams, recipe=recipe(2, statistic=statistic))
    unstyled = nst.objective(vgg, content, grams, recipe=recipe(2, statistic=statistic), style_weight=0)
    assert unstyled.smaller is None


def test_numbers_that_are_none_are_refused(vgg, content, grams):
    for octaves in (0, 9):
        with pytest.raises(nst.NSTError, match=f"octaves: {octaves} will not do; give 1 to 8"):
            nst.stylize(vgg, content, grams, octaves=octaves)
