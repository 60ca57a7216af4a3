"""What `stylize` gives: pictures, their history and batches, what ends a run, what is left as it was."""

from __future__ import annotations

import math

import pytest
import torch
from pictures import clouds
from short_runs import run

import nst_engine as nst


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


def test_it_works_under_the_hosts_inference_mode(vgg):
    with torch.inference_mode():
        hosted = clouds(1, 40, 50)
        inside = nst.load_vgg("vgg19-caffe", precision="fp32", device="cpu")
        grams = nst.compute_style_grams(inside, hosted)
        result = run(inside, hosted, grams)
    assert not result.image.is_inference()
    outside = run(vgg, clouds(1, 40, 50), nst.compute_style_grams(vgg, clouds(1, 40, 50)))
    assert torch.equal(result.image, outside.image)


def test_seconds_and_steps_are_told(vgg, content, grams):
    told = []
    run(vgg, torch.cat([content, content]), grams, on_step=lambda p: told.append((p.picture, p.step, p.total)))
    assert [t[:2] for t in told] == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]
    assert all(math.isfinite(t[2]) for t in told)
