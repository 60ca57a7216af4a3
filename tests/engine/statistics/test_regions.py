"""Styles for parts of pictures: guided statistics against their formula, gradients, tiles, and what is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from pictures import clouds

import nst_engine as nst
from nst_engine.network.architecture import layer_names, stride
from nst_engine.network.tiles import receptive_radius
from nst_engine.network.vgg import Network
from nst_engine.statistics.masks import check_mask, complement, fit_mask, guide

TAPS = {"relu1_1": 1.0, "relu2_1": 0.5, "relu3_1": 2.0}
LAYERS = nst.LayerWeights(style=TAPS, content={"relu2_2": 1.0})


def soft(seed, h, w):
    return clouds(seed, h, w)[:, :1]


def left(h, w, share=0.5):
    mask = torch.zeros(1, 1, h, w)
    mask[..., : round(w * share)] = 1
    return mask


@pytest.fixture(scope="module")
def two(vgg):
    """One style for a soft region, from a part of its picture; another for the rest."""
    region = soft(5, 80, 112)
    grams = nst.compute_style_grams(vgg, clouds(2, 64, 80), layers=TAPS, mask=soft(7, 64, 80)[0], region=region[0])
    return nst.compute_style_grams(vgg, clouds(3, 72, 64), layers=TAPS, blend_with=grams), region


def plain_value(vgg, content, image, regions):
    """Σ over regions and taps, in float64 with autograd: the definition, with the engine's weights alone."""
    convolutions = {k: tuple(x.double() for x in Network(vgg).weights(k)) for k in vgg.convolutions}

    def features(x):
        mean, std = (torch.tensor(v).view(1, 3, 1, 1).double() for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        x, found = (x - mean) / std, {}
        for layer in layer_names("vgg19"):
            if layer.startswith("conv"):
                x = F.conv2d(x, *convolutions[layer], padding=1)
            else:
                x = F.relu(x) if layer.startswith("relu") else F.max_pool2d(x, 2)
            found[layer] = x
            if layer == "relu3_1":
                return found

    def moment(f, t):
        f = f[0].flatten(1)
        t = torch.ones_like(f[0]) if t is None else F.avg_pool2d(t, round((t.numel() / f.shape[1]) ** 0.5)).flatten()
        return (f * t) @ (f * t).T / t.square().sum(), float(t.square().sum()) / f.shape[1]

    x = image.double().requires_grad_()
    own, p = features(x), features(content.double())
    loss = 0.02 * (own["relu2_2"] - p["relu2_2"]).square().sum() / p["relu2_2"].square().sum()
    for picture, mask, region in regions:
        theirs = features(picture.double())
        for tap, weight in TAPS.items():
            target, _ = moment(theirs[tap], None if mask is None else mask.double())
            found, share = moment(own[tap], region.double())
            relative = (found - target).square().sum() / target.square().sum()
            loss = loss + weight / sum(TAPS.values()) * share * relative
    loss.backward()
    return loss.item(), x.grad


def test_guided_statistics_are_those_of_the_formula(vgg):
    content, image = clouds(1, 80, 112), clouds(4, 80, 112)
    # As large as the transfer, so that nothing is resized on the way to the definition.
    one, other = clouds(2, 80, 112), clouds(3, 80, 112)
    mask, region = soft(7, 80, 112), soft(5, 80, 112)
    grams = nst.compute_style_grams(vgg, one, layers=TAPS, mask=mask[0], region=region[0])
    grams = nst.compute_style_grams(vgg, other, layers=TAPS, blend_with=grams)
    terms, gradient = nst.objective(vgg, content, grams, recipe="classic", layers=LAYERS).value_and_grad(image)
    expected, expected_gradient = plain_value(vgg, content, image, [(one, mask, region), (other, None, 1 - region)])
    assert float(terms.total) == pytest.approx(expected, rel=1e-5)
    assert (gradient - expected_gradient).norm() < 1e-5 * expected_gradient.norm()


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize("tile", [16, 40, 64])
def test_regions_tile_exactly(vgg, two, tile):
    grams, _ = two
    content, image = clouds(1, 80, 112), clouds(4, 80, 112)
    whole, gradient = nst.objective(vgg, content, grams, layers=LAYERS).value_and_grad(image)
    tiled, same = nst.objective(vgg, content, grams, layers=LAYERS, tile=tile).value_and_grad(image)
    assert float(tiled.total) == pytest.approx(float(whole.total), rel=1e-6)
    assert (same - gradient).norm() < 1e-5 * gradient.norm()


def test_a_region_of_everything_is_no_region(vgg):
    content, image, style = clouds(1, 80, 112), clouds(4, 80, 112), clouds(2, 64, 80)
    plain = nst.compute_style_grams(vgg, style, layers=TAPS)
    everywhere = nst.compute_style_grams(vgg, style, layers=TAPS, mask=torch.ones(64, 80), region=torch.ones(80, 112))
    results = [nst.objective(vgg, content, g, layers=LAYERS).value_and_grad(image) for g in (plain, everywhere)]
    assert float(results[1][0].total) == pytest.approx(float(results[0][0].total), rel=1e-6)
    assert (results[1][1] - results[0][1]).norm() < 1e-5 * results[0][1].norm()


def test_a_style_mask_is_stretched_with_its_picture(vgg):
    """As recipes do that make the style the content's shape, whatever its own."""
    mask = left(64, 80)
    grams = nst.compute_style_grams(vgg, clouds(2, 64, 80), layers=TAPS, mask=mask[0])
    (found,) = grams.regions(Network(vgg), TAPS, (96, 96), 1.0, "shape")
    picture = F.interpolate(clouds(2, 64, 80), size=(96, 96), mode="bicubic", antialias=True).clamp(0, 1)
    expected = nst.compute_style_grams(vgg, picture, layers=TAPS, mask=left(96, 96)[0], size=96)
    for tap, s in expected.blend(Network(vgg), TAPS, (96, 96)).items():
        assert (found.targets[tap].moment - s.moment).norm() < 0.02 * s.moment.norm()


def test_outside_of_its_region_a_style_changes_nothing(vgg):
    content = clouds(1, 64, 192)
    grams = nst.compute_style_grams(vgg, clouds(2, 64, 64), layers=TAPS, region=left(64, 192)[0])
    objective = nst.objective(vgg, content, grams, layers=LAYERS, content_weight=0, tv_weight=0)
    _, gradient = objective.value_and_grad(content)
    assert gradient[..., :90].abs().mean() > 0
    # Convolutions in fewer products round where others have exact zeros.
    assert gradient[..., 96 + receptive_radius(TAPS, "vgg19") :].abs().max() < 1e-6 * gradient.abs().max()
    for start in ("content", "noise"):
        result = nst.stylize(vgg, content, grams, layers=LAYERS, steps=15, start=start, tv_weight=0)
        change = (result.image - content).abs().mean((0, 1, 2))
        assert change[:96].mean() > 0.02
        assert change[96:].max() < 1e-6, "what no style covers is the content"


def test_what_is_protected_stays_as_it_is(vgg):
    content = clouds(1, 64, 96)
    grams = nst.compute_style_grams(vgg, clouds(2, 64, 64), layers=TAPS)
    mask = torch.zeros(64, 96)
    mask[16:40, 30:60] = 1
    mask[16:40, 60] = 0.5
    for optimizer in ("adam", "lbfgs"):
        result = nst.stylize(vgg, content, grams, layers=LAYERS, steps=8, protect=mask, optimizer=optimizer, scales=2)
        change = (result.image - content).abs().mean((0, 1))
        assert change[16:40, 30:60].max() < 1e-6
        assert change[:12].mean() > 0.02
    with pytest.raises(nst.NSTError, match="protect: the mask covers nothing"):
        nst.stylize(vgg, content, grams, layers=LAYERS, steps=1, protect=torch.zeros(64, 96))


def test_the_rest_goes_to_the_style_without_a_region(vgg):
    content = clouds(1, 64, 192)
    mine = nst.compute_style_grams(vgg, clouds(2, 64, 64), layers=TAPS, region=left(64, 192)[0])
    both = nst.compute_style_grams(vgg, clouds(9, 64, 64), layers=TAPS, blend_with=mine)
    result = nst.stylize(vgg, content, both, layers=LAYERS, steps=15)
    change = (result.image - content).abs().mean((0, 1, 2))
    assert change[:90].mean() > 0.02 and change[110:].mean() > 0.02


def test_styles_with_one_region_are_blended_and_regions_stay_apart(vgg):
    region = left(80, 112)[0]
    a = nst.compute_style_grams(vgg, clouds(2, 64, 64), layers=TAPS, region=region, weight=1)
    ab = nst.compute_style_grams(vgg, clouds(3, 64, 64), layers=TAPS, region=region, weight=3, blend_with=a)
    abc = nst.compute_style_grams(vgg, clouds(4, 64, 64), layers=TAPS, weight=100, blend_with=ab)
    network = Network(vgg)
    shared, rest = abc.regions(network, TAPS, (80, 112), 1.0, "long")
    singles = [style.statistics(network, TAPS, style.shape_at((80, 112), 1.0, "long")) for style in abc.styles]
    for tap in TAPS:
        expected = 0.25 * singles[0][tap].moment + 0.75 * singles[1][tap].moment
        assert torch.allclose(shared.targets[tap].moment, expected, rtol=1e-5, atol=1e-7)
        assert torch.equal(rest.targets[tap].moment, singles[2][tap].moment)
        assert torch.allclose(shared.guides[tap] + rest.guides[tap], torch.ones_like(rest.guides[tap]))


def same_value(vgg, one, other):
    content, image = clouds(1, 80, 112), clouds(4, 80, 112)
    results = [nst.objective(vgg, content, g, layers=LAYERS).value_and_grad(image) for g in (one, other)]
    return float(results[0][0].total) == float(results[1][0].total) and torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("mode", ["simple", "inside"])
def test_a_style_can_be_sent_to_a_region_later(vgg, mode):
    picture, region = clouds(2, 64, 64), left(80, 112, 0.75)[0]
    at_once = nst.compute_style_grams(vgg, picture, layers=TAPS, region=region, mask_mode=mode)
    plain = nst.compute_style_grams(vgg, picture, layers=TAPS)
    later = plain.within(region, mode)
    assert same_value(vgg, later, at_once) and not same_value(vgg, later, plain)
    assert not plain.guided and later.styles[0].memo is plain.styles[0].memo
    assert same_value(vgg, later.within(None), plain)


def test_styles_sent_to_regions_are_blended_like_any_others(vgg):
    a, b = (nst.compute_style_grams(vgg, clouds(seed, 64, 64), layers=TAPS, name=str(seed)) for seed in (2, 3))
    one, other = left(80, 112)[0], 1 - left(80, 112)[0]
    regions = (a.within(one) + b).regions(Network(vgg), TAPS, (80, 112), 1.0, "long")
    alone = [g.regions(Network(vgg), TAPS, (80, 112), 1.0, "long")[0] for g in (a.within(one), b.within(other))]
    for found, expected in zip(regions, alone, strict=True):
        for tap in TAPS:
            assert torch.equal(found.targets[tap].moment, expected.targets[tap].moment)
            assert torch.equal(found.guides[tap], expected.guides[tap])
    # A blend goes there as a whole, whatever it weighs.
    (blend,) = (a + b.weighted(3)).within(one).weighted(8).regions(Network(vgg), TAPS, (80, 112), 1.0, "long")
    for tap in TAPS:
        expected = 0.25 * alone[0].targets[tap].moment + 0.75 * alone[1].targets[tap].moment
        assert torch.allclose(blend.targets[tap].moment, expected, rtol=1e-5, atol=1e-7)
    with pytest.raises(nst.NSTError, match=r"2, 3 overlap on 50\.0%"):
        nst.objective(vgg, clouds(1, 80, 112), a.within(one) + b.within(one.clone().fill_(1)), layers=LAYERS)


def test_the_mode_of_a_region_changes_nothing_that_is_measured(vgg):
    """A style mask has a mode of its own, for what was measured and for what is measured later."""
    region = left(80, 112)[0]
    options = {"layers": TAPS, "mask": left(64, 80)[0], "mask_mode": "inside"}
    moved = nst.compute_style_grams(vgg, clouds(2, 64, 80), **options).within(region, "simple")
    (there,) = moved.regions(Network(vgg), TAPS, (80, 112), 1.0, "long")
    fresh = nst.compute_style_grams(vgg, clouds(2, 64, 80), **options)
    for tap, s in fresh.blend(Network(vgg), TAPS, (80, 112)).items():
        assert torch.equal(there.targets[tap].moment, s.moment)
        assert torch.equal(there.guides[tap], guide(region[None], tap, "simple", "vgg19"))


def test_what_cannot_be_a_region_is_refused(grams):
    with pytest.raises(nst.NSTError, match="region: the mask covers nothing"):
        grams.within(torch.zeros(8, 8))
    with pytest.raises(nst.NSTError, match="mask_mode: 'outside' is not one of simple, inside"):
        grams.within(torch.ones(8, 8), "outside")


def test_a_part_narrower_than_a_deep_layer_sees_on_a_small_level_does_for_the_default(vgg):
    """At 128 pixels it is half as wide as relu4_2 sees; at its own size there is room for every layer."""
    mask = torch.zeros(1, 256, 256)
    mask[:, 60:180, 60:180] = 1
    grams = nst.compute_style_grams(vgg, clouds(2, 256, 256), mask=mask, mask_mode="inside")
    result = nst.stylize(vgg, clouds(1, 256, 256), grams, size=0, steps=3)
    assert torch.isfinite(result.image).all()


def test_inside_counts_only_what_sees_nothing_else():
    mask = left(96, 160)
    for tap in ("relu1_1", "relu2_1", "relu3_1"):
        s, r = stride(tap), receptive_radius((tap,), "vgg19")
        t = guide(mask, tap, "inside", "vgg19")
        assert t.shape == (1, 1, 96 // s, 160 // s)
        expected = torch.tensor([float(p * s + s - 1 + r < 80) for p in range(160 // s)])
        assert torch.equal(t[0, 0, 3], expected), tap
        assert torch.equal(guide(torch.ones(1, 1, 96, 160), tap, "inside", "vgg19"), torch.ones_like(t))
    assert guide(mask, "relu2_1", "simple", "vgg19").sum() == 48 * 40


def test_a_layer_that_sees_too_much_is_left_out_of_a_small_region(vgg):
    region = torch.zeros(80, 112)
    region[20:40, 20:40] = 1
    grams = nst.compute_style_grams(vgg, clouds(2, 64, 64), layers=TAPS, region=region, mask_mode="inside")
    (found,) = grams.regions(Network(vgg), TAPS, (80, 112), 1.0, "long")
    assert set(found.targets) == {"relu1_1", "relu2_1"}
    terms, gradient = nst.objective(vgg, clouds(1, 80, 112), grams, layers=LAYERS).value_and_grad(clouds(4, 80, 112))
    assert torch.isfinite(gradient).all() and float(terms.style) > 0


def test_masks_are_resized_with_their_picture_and_refused_when_they_are_another_shape(vgg, two):
    grams, _ = two
    result = nst.stylize(vgg, clouds(1, 80, 112), grams, layers=LAYERS, size=56, steps=2)
    assert result.image.shape[-2:] == (40, 56)
    assert fit_mask(torch.ones(1, 1, 100, 200), (50, 101), "m").shape[-2:] == (50, 101)
    with pytest.raises(nst.NSTError, match=r"region of style image: the mask is 112×80, .* proportions of 80×80"):
        nst.stylize(vgg, clouds(1, 80, 80), grams, layers=LAYERS, steps=1)


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (torch.zeros(8, 8), "covers nothing"),
        (torch.full((8, 8), 2.0), "numbers from 0 to 1"),
        (torch.full((8, 8), float("nan")), "numbers from 0 to 1"),
        (torch.ones(3, 8, 8), "a batch of 3 masks; give 1."),
        (torch.ones(1, 3, 8, 8), r"expected a mask"),
        (torch.ones(1, 0, 8), r"expected a mask"),
    ],
)
def test_what_is_no_mask_is_refused(mask, says):
    with pytest.raises(nst.NSTError, match=says):
        check_mask(mask, "region mask")


def test_overlap_is_refused_with_how_much(vgg):
    a = nst.compute_style_grams(vgg, clouds(2, 64, 64), layers=TAPS, region=left(80, 112)[0], name="one")
    b = nst.compute_style_grams(
        vgg, clouds(3, 64, 64), layers=TAPS, region=left(80, 112, 0.75)[0], name="other", blend_with=a
    )
    with pytest.raises(nst.NSTError, match=r"one, other overlap on 50\.0% of the picture, where they come to 2"):
        nst.objective(vgg, clouds(1, 80, 112), b, layers=LAYERS)
    assert torch.equal(complement([left(4, 4), 1 - left(4, 4)], ["a", "b"]), torch.zeros(1, 1, 4, 4))


def test_a_style_mask_that_is_too_small_for_a_layer_is_refused(vgg):
    dot = torch.zeros(64, 64)
    dot[:8, :8] = 1
    with pytest.raises(nst.NSTError, match=r"mask of style image: it is too small for .*mode simple would do"):
        nst.compute_style_grams(vgg, clouds(2, 64, 64), layers=TAPS, mask=dot, size=64, mask_mode="inside")


def test_masks_are_squashed_with_their_picture(vgg):
    """persson makes a square of every picture; a seamless one is a multiple of the grid."""
    content = clouds(1, 80, 112)
    region = left(80, 112)[0]
    grams = nst.compute_style_grams(vgg, clouds(2, 64, 64), recipe="persson", region=region)
    for options in ({"recipe": "persson", "size": -1}, {"seamless": True, "size": 90}):
        result = nst.stylize(vgg, content, grams, steps=1, protect=region, **options)
        other = nst.stylize(vgg, content, grams, steps=1, protect=region, protect_mode="content", **options)
        assert torch.isfinite(result.image).all() and other.image.shape == result.image.shape
    with pytest.raises(nst.NSTError, match=r"protect: the mask is 112×80, .* proportions of 80×80"):
        nst.stylize(vgg, clouds(1, 80, 80), nst.compute_style_grams(vgg, clouds(2, 64, 64)), protect=region, steps=1)


def test_rungs_that_a_mask_leaves_nothing_of_are_left_out(vgg):
    """A style that can be measured at its own size is not refused for a smaller one, which nobody asked for."""
    mask = torch.zeros(256, 256)
    mask[:, : round(0.62 * 256)] = 1
    grams = nst.compute_style_grams(vgg, clouds(2, 256, 256), recipe="classic", size=256, mask=mask, mask_mode="inside")
    measured = {shape for _, tap, shape in grams.styles[0].memo if tap == "relu5_1"}
    assert (256, 256) in measured and (128, 128) not in measured


@pytest.mark.parametrize("mode", ["pixels", "content"])
def test_every_picture_of_a_batch_has_its_own_protected_part(vgg, mode):
    batch, style = clouds(1, 48, 64, 2), nst.compute_style_grams(vgg, clouds(2, 48, 48), layers=TAPS, size=48)
    masks = torch.cat([left(48, 64)[0], 1 - left(48, 64)[0]])
    options = {"steps": 2, "layers": LAYERS, "protect_mode": mode, "size": 0}
    both = nst.stylize(vgg, batch, style, protect=masks, **options).image
    for i in range(2):
        alone = nst.stylize(vgg, batch[i : i + 1], style, protect=masks[i], **options).image
        assert torch.equal(both[i : i + 1], alone)
    with pytest.raises(nst.NSTError, match=r"^protect: a batch of 3 masks; give 1 or 2"):
        nst.stylize(vgg, batch, style, protect=masks[[0, 1, 0]], **options)


def test_every_picture_of_a_batch_has_its_own_region(vgg):
    batch, region = clouds(1, 48, 64, 2), torch.cat([left(48, 64)[0], 1 - left(48, 64, 0.25)[0]])
    region[1, :, :8] = 0
    options = {"layers": TAPS, "size": 48}
    rest = nst.compute_style_grams(vgg, clouds(3, 48, 48), **options)

    def image(content, region):
        grams = nst.compute_style_grams(vgg, clouds(2, 48, 48), region=region, blend_with=rest, **options)
        return nst.stylize(vgg, content, grams, steps=2, layers=LAYERS, size=0).image

    both = image(batch, region)
    for i in range(2):
        assert torch.equal(both[i : i + 1], image(batch[i : i + 1], region[i]))
    with pytest.raises(nst.NSTError, match=r"^region of style image: a batch of 2 masks for 3 pictures; give 1 or 3"):
        image(clouds(1, 48, 64, 3), region)
    with pytest.raises(nst.NSTError, match=r"^region of style image: a batch of 2 masks for 1 picture; give 1\."):
        image(batch[:1], region)


def test_every_picture_of_a_batch_of_styles_has_its_own_mask(vgg):
    pictures, masks = clouds(2, 48, 64, 2), torch.cat([left(48, 64)[0], 1 - left(48, 64)[0]])
    both = nst.compute_style_grams(vgg, pictures, layers=TAPS, size=64, mask=masks)
    for i, style in enumerate(both.styles):
        [alone] = nst.compute_style_grams(vgg, pictures[i : i + 1], layers=TAPS, size=64, mask=masks[i]).styles
        for key, found in alone.memo.items():
            assert torch.equal(style.memo[key].moment, found.moment)
