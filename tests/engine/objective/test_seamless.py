"""Pictures without a border, textures, starts, strength: what has no seam has none, and every start is what it says."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.network.tiles import cut
from nst_engine.objective.footprint import footprint
from nst_engine.objective.total_variation import ACROSS_BORDER, VARIATIONS, total_variation
from nst_engine.pictures.images import resize
from nst_engine.recipes import FIVE, STARTS, network_for
from nst_engine.run.starts import covering

TAPS = {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0}
LAYERS = nst.LayerWeights(style=TAPS, content={"relu3_1": 1.0})


@pytest.fixture(scope="module")
def small(vgg):
    return nst.compute_style_grams(vgg, clouds(2, 48, 64), layers=TAPS, size=64)


def texture(vgg, grams, h, w, **options):
    return nst.stylize(vgg, None, grams, shape=(h, w), layers=LAYERS, **{"steps": 25, **options})


# --- no border ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
@pytest.mark.parametrize("tile", [None, 16, 48])
def test_where_a_seamless_picture_begins_does_not_matter(small, pooling, tile):
    """Moved around by whole positions of the deepest tap, with its content, it has the same loss and the same gradient,
    moved as well; in one pass and by tiles, whose margins are wider than the picture here."""
    vgg = nst.load_vgg("vgg19-caffe", precision="fp32", device="cpu", pooling=pooling)
    grams = nst.compute_style_grams(vgg, clouds(2, 48, 64), layers=TAPS, size=64)
    content, image = clouds(1, 64, 96), clouds(4, 64, 96)
    options = {"layers": LAYERS, "seamless": True, "tv_weight": 1.0}
    terms, gradient = nst.objective(vgg, content, grams, **options).value_and_grad(image)
    by = (8, 20)
    moved, there = (x.roll(by, (2, 3)) for x in (content, image))
    same, slope = nst.objective(vgg, moved, grams, tile=tile, **options).value_and_grad(there)
    for name in ("content", "style", "tv"):
        assert float(getattr(same, name)) == pytest.approx(float(getattr(terms, name)), rel=1e-5), name
    assert (slope - gradient.roll(by, (2, 3))).norm() < 2e-5 * gradient.norm()
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


# --- total variation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("kind", [*VARIATIONS, ACROSS_BORDER])
def test_total_variation_and_its_slope(kind, reduction, wraps):
    x = clouds(1, 20, 30).double()
    x += 0.01 * torch.rand(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    value, slope = total_variation(x, reduction, kind, wraps)
    way = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    there, back = (float(total_variation(x + e * way, reduction, kind, wraps)[0]) for e in (1e-7, -1e-7))
    assert float((slope * way).sum()) == pytest.approx((there - back) / 2e-7, rel=1e-5)
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


# --- textures -----------------------------------------------------------------------------------------------------


def test_a_texture_of_any_size_comes_nearer_to_the_style(vgg, small):
    result = texture(vgg, small, 90, 150)
    assert result.image.shape == (1, 3, 90, 150)
    assert result.settings["start"] == "style-noise"
    assert result.history[-1].style < 0.2 * result.history[0].style
    assert result.history[-1].content == 0


def test_textures_have_no_content_to_keep(vgg, small):
    for options, says in (
        ({"keep_colours": "lab"}, "keep_colours: a picture made of the style alone"),
        ({"protect": torch.ones(32, 32)}, "protect: a picture made of the style alone"),
        ({"start": "content"}, "start: 'content' needs a content picture"),
        ({"strength": 0.0}, "strength: a picture made of the style alone"),
        ({"shape": None}, "shape: None is not a size"),
        ({"shape": (0, 5)}, r"shape: \(0, 5\) is not a size"),
    ):
        with pytest.raises(nst.NSTError, match=says):
            nst.stylize(vgg, None, small, layers=LAYERS, **{"shape": (32, 32), "steps": 1, **options})


def test_a_texture_of_a_loaded_style_begins_from_noise(vgg, small, tmp_path):
    small.save(tmp_path / "s.safetensors")
    loaded = nst.StyleGrams.load(tmp_path / "s.safetensors")
    assert texture(vgg, loaded, 64, 64, steps=2).settings["start"] == "noise"
    with pytest.raises(nst.NSTError, match="start: 'style-noise' needs the style's picture, and s was loaded"):
        texture(vgg, loaded, 64, 64, steps=2, start="style-noise")


def test_a_texture_can_be_tiled_and_stopped(vgg, small):
    whole, tiled = (texture(vgg, small, 64, 96, steps=3, tile=tile, seamless=True).image for tile in (None, 32))
    assert (whole - tiled).abs().max() < 1e-3
    stopped = texture(vgg, small, 64, 96, steps=9, on_step=lambda p: nst.STOP if p.step == 2 else None)
    assert stopped.settings["stopped_early"] and len(stopped.history) == 2
    assert stopped.image.shape == (1, 3, 64, 96)


# --- starts -------------------------------------------------------------------------------------------------------


def begun(vgg, grams, content, start, **options):
    return nst.stylize(vgg, content, grams, layers=LAYERS, start=start, steps=0, **options).image


def test_every_start_is_what_it_says(vgg, small):
    content, image = clouds(1, 48, 64), clouds(9, 48, 64)
    found = {s: begun(vgg, small, content, s, start_image=image, seed=3) for s in STARTS}
    assert torch.equal(found["content"], content)
    assert torch.equal(found["image"], image)
    assert torch.equal(found["grey"], torch.full_like(content, 0.5))
    assert torch.equal(found["style"], clouds(2, 48, 64))
    assert torch.equal(found["noise"], begun(vgg, small, content, "noise", seed=3))
    assert not torch.equal(found["noise"], begun(vgg, small, content, "noise", seed=4))


def test_noise_of_the_style_has_its_colours(vgg):
    style = 0.35 + 0.3 * clouds(2, 100, 100)
    grams = nst.compute_style_grams(vgg, style, layers=TAPS, size=64)
    noise = begun(vgg, grams, clouds(1, 200, 200), "style-noise")
    a, b = (x[0].flatten(1) for x in (noise, style))
    assert torch.allclose(a.mean(1), b.mean(1), atol=0.005)
    assert torch.allclose(torch.cov(a), torch.cov(b), atol=0.0006)
    flat = nst.compute_style_grams(vgg, torch.full((1, 3, 64, 64), 0.25), layers=TAPS, size=64)
    assert torch.allclose(begun(vgg, flat, clouds(1, 32, 32), "style-noise"), torch.tensor(0.25), atol=1e-4)


def test_noise_has_the_colours_of_the_masked_part(vgg):
    style, mask = torch.zeros(1, 3, 64, 64), torch.zeros(64, 64)
    style[:, 0, :, :32], mask[:, :32] = 1.0, 1.0
    grams = nst.compute_style_grams(vgg, style, layers=TAPS, size=64, mask=mask)
    mean = begun(vgg, grams, clouds(1, 32, 32), "style-noise").mean((0, 2, 3))
    assert torch.allclose(mean, torch.tensor([1.0, 0.0, 0.0]), atol=0.01)


def test_content_is_mixed_into_the_start(vgg, small):
    content = clouds(1, 48, 64)
    noise = begun(vgg, small, content, "noise")
    half = nst.stylize(vgg, content, small, layers=LAYERS, start="noise", start_mix=0.25, steps=0).image
    inside = (noise > 0) & (noise < 1)
    assert torch.allclose(half[inside], (0.75 * noise + 0.25 * content)[inside], atol=1e-6)
    with pytest.raises(nst.NSTError, match=r"start_mix: 1\.5 will not do; give 0 to 1"):
        nst.stylize(vgg, content, small, start_mix=1.5)


def test_the_heaviest_style_begins_and_covers(vgg, small):
    both = nst.compute_style_grams(vgg, clouds(7, 64, 64), layers=TAPS, size=64, weight=3, blend_with=small)
    found = begun(vgg, both, clouds(1, 32, 64), "style")
    assert torch.allclose(found, covering(clouds(7, 64, 64), (32, 64)), atol=1e-6)
    assert torch.equal(covering(clouds(7, 64, 64), (32, 64)), clouds(7, 64, 64)[:, :, 16:48])


# --- strength -----------------------------------------------------------------------------------------------------


def test_strength_goes_from_the_content_to_the_style_and_beyond(vgg, small):
    content = clouds(1, 64, 96)

    def made(**options):
        return nst.stylize(vgg, content, small, layers=LAYERS, steps=40, content_weight=20, **options).image

    def style_of(image):
        return float(nst.objective(vgg, content, small, layers=LAYERS).value_and_grad(image)[0].style)

    assert torch.equal(made(strength=0.0), content)
    assert torch.equal(made(strength=0.0, start="noise"), content), "whatever the start"
    assert torch.equal(made(strength=1.0), made())
    pictures = [made(strength=s) for s in (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5)]
    styles = [style_of(x) for x in pictures]
    assert styles == sorted(styles, reverse=True)
    changes = [float((x - content).square().mean().sqrt()) for x in pictures]
    assert changes == sorted(changes)
    with pytest.raises(nst.NSTError, match=r"strength: -0\.1 is not a strength"):
        made(strength=-0.1)


@pytest.mark.parametrize("statistic", ["covariance", "sliced"])
def test_strength_goes_with_any_statistic_and_with_regions(vgg, statistic):
    content, region = clouds(1, 64, 96), torch.zeros(64, 96)
    region[:, :48] = 1
    grams = nst.compute_style_grams(vgg, clouds(2, 48, 64), layers=TAPS, size=64, region=region)
    changes = []
    for strength in (0.05, 0.5, 1.0):
        options = {"layers": LAYERS, "statistic": statistic, "strength": strength, "steps": 25}
        made = nst.stylize(vgg, content, grams, **options).image
        assert (made - content)[..., 48:].abs().max() < 1e-6
        changes.append(float((made - content)[..., :48].square().mean()))
    assert changes[0] < 0.5 * changes[1] < 0.5 * changes[2] / 0.8


# --- averaging ----------------------------------------------------------------------------------------------------


def test_the_average_is_the_mean_of_the_last_pictures(vgg, content):
    """persson's rate stays the same, so a run of n steps ends where a longer one was after n."""
    grams = nst.compute_style_grams(vgg, clouds(2, 48, 64), recipe="persson")
    options = {"recipe": "persson", "size": 0, "learning_rate": 0.02}
    single = [nst.stylize(vgg, content, grams, steps=n, **options).image for n in range(1, 6)]
    averaged = nst.stylize(vgg, content, grams, steps=5, averaging=0.9, **options)
    assert torch.allclose(averaged.image, torch.stack(single).mean(0), atol=1e-5)
    short = nst.stylize(vgg, content, grams, steps=5, averaging=0.5, **options).image
    expected = single[0]
    for n, image in enumerate(single[1:], 2):
        expected = torch.lerp(expected, image, max(0.5, 1 / n))
    assert torch.allclose(short, expected, atol=1e-5)


def test_the_average_is_shown_and_carried_through_the_levels(vgg, content, grams):
    shown = []
    options = {"recipe": "classic", "steps": 8, "scales": 2}
    result = nst.stylize(vgg, content, grams, on_step=lambda p: shown.append(p.image), averaging=0.9, **options)
    assert len(result.settings["levels"]) == 2
    plain = nst.stylize(vgg, content, grams, **options).image
    assert not torch.allclose(result.image, plain, atol=1e-3)
    steps = [float((a - b).abs().mean()) for a, b in itertools.pairwise(shown[5:])]
    assert max(steps) < 0.02, "from step to step it moves little"
    with pytest.raises(nst.NSTError, match=r"averaging: 1\.0 will not do"):
        nst.stylize(vgg, content, grams, averaging=1.0)


# --- protected by content -----------------------------------------------------------------------------------------


def test_a_protected_part_keeps_more_of_the_content(vgg, small):
    content, mask = clouds(1, 64, 96), torch.zeros(64, 96)
    mask[:, :48] = 1
    options = {"layers": LAYERS, "steps": 30, "content_weight": 3}

    def change(**protect):
        made = nst.stylize(vgg, content, small, **options, **protect).image
        squares = (made - content).square().mean((0, 1))
        return float(squares[:, :40].mean()), float(squares[:, 56:].mean())

    plain, more = change(), change(protect=mask, protect_mode="content", protect_weight=100.0)
    assert 0 < more[0] < 0.5 * plain[0], "stylised still, but less"
    assert more[1] > 0.8 * plain[1]
    one = change(protect=mask, protect_mode="content", protect_weight=1.0)
    assert one == pytest.approx(plain, rel=1e-5)
    with pytest.raises(nst.NSTError, match="protect_mode: 'face' is not one of pixels, content"):
        change(protect=mask, protect_mode="face")


@pytest.mark.parametrize("tile", [None, 40])
def test_emphasis_weighs_the_content_term_place_by_place(vgg, small, tile):
    content, image, emphasis = clouds(1, 64, 96), clouds(4, 64, 96), 1 + 4 * clouds(6, 64, 96)[:, :1]
    options = {"recipe": "classic", "layers": LAYERS, "style_weight": 0, "emphasis": emphasis, "tile": tile}
    objective = nst.objective(vgg, content, small, **options)
    terms, gradient = objective.value_and_grad(image)
    network = network_for(vgg, nst.RECIPES["classic"])
    f, p = (network.features(x, ("relu3_1",))["relu3_1"] for x in (image, content))
    w = torch.nn.functional.avg_pool2d(emphasis, 4)
    expected = 0.02 * (w * (f - p).square()).sum() / p.square().sum()
    assert float(terms.content) == pytest.approx(float(expected), rel=1e-5)
    way = gradient / gradient.norm()
    there, back = (float(objective.value_and_grad(image + e * way)[0].total) for e in (0.02, -0.02))
    assert float(gradient.norm()) == pytest.approx((there - back) / 0.04, rel=0.01)


def test_what_is_protected_is_exact_whatever_else_is_done(vgg, small):
    """A seamless result of a size that is no multiple of the grid, in the content's colours."""
    content, mask = clouds(1, 70, 90), torch.zeros(70, 90)
    mask[20:50, 30:60] = 1
    options = {"layers": LAYERS, "steps": 4, "protect": mask, "seamless": True, "keep_colours": "symmetric"}
    change = (nst.stylize(vgg, content, small, **options).image - content).abs().amax((0, 1))
    assert change[20:50, 30:60].max() == 0
    assert change[:16].mean() > 0.02
    assert torch.equal(nst.stylize(vgg, content, small, **{**options, "strength": 0.0}).image, content)


def test_styles_that_all_count_nothing_are_refused_by_name(vgg, style):
    nothing = nst.compute_style_grams(vgg, style, layers=TAPS, weight=0, region=torch.ones(64, 64))
    for content, options in (
        (None, {"shape": (64, 64)}),
        (clouds(1, 64, 64), {"start": "style"}),
        (clouds(1, 64, 64), {}),
    ):
        with pytest.raises(nst.NSTError, match="the weights of the styles sum to zero"):
            nst.stylize(vgg, content, nothing, layers=LAYERS, steps=1, **options)


def test_a_texture_has_a_style_everywhere(vgg, style):
    half = torch.zeros(64, 64)
    half[:32] = 1
    one = nst.compute_style_grams(vgg, style, layers=TAPS, size=64, region=half)
    with pytest.raises(nst.NSTError, match="region: a texture has no content for where no style goes"):
        texture(vgg, one, 64, 64)
    both = nst.compute_style_grams(vgg, clouds(3, 64, 64), layers=TAPS, size=64, blend_with=one)
    assert texture(vgg, both, 64, 64, steps=2).image.shape == (1, 3, 64, 64)
    with pytest.raises(nst.NSTError, match="shape: a result with a content has its proportions"):
        nst.stylize(vgg, clouds(1, 64, 64), both, layers=LAYERS, shape=(32, 32))


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
