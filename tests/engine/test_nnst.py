"""The recipe `nnst` beside the paper's procedure written out plainly, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pictures import clouds
from procedures import nnst_program

import nst_engine as nst
from nst_engine.pictures.images import resize
from nst_engine.recipes import Ladder, Refinement, network_for
from nst_engine.run.levels import levels_of, usual_steps

NNST = nst.RECIPES["nnst"]


def test_levels_double_from_64_and_the_last_size_comes_twice():
    levels = levels_of((384, 512), NNST, None)
    assert [level.shape for level in levels] == [(48, 64), (96, 128), (192, 256), (384, 512), (384, 512)]
    assert [level.steps for level in levels] == [200] * 5
    assert [level.rematch for level in levels] == [0, 0, 0, 0, 10]
    assert usual_steps((384, 512), NNST) == NNST.steps == 1000
    larger = replace(NNST, steps=usual_steps((768, 1024), NNST))
    assert [(max(level.shape), level.steps) for level in levels_of((768, 1024), larger, None)][-2:] == [(1024, 200)] * 2


@pytest.mark.parametrize(("steps", "scales"), [(100, None), (7, 3), (3, 1), (0, None), (1000, 3)])
def test_fewer_steps_are_shared_out(steps, scales):
    levels = levels_of((128, 96), replace(NNST, steps=steps), scales)
    assert sum(level.steps for level in levels) == steps
    assert all(level.steps >= 0 for level in levels)
    if scales:  # as at the recipe's own size, whatever the picture's
        assert levels[-1].steps == pytest.approx(steps / 5, abs=0.5)
    assert levels[-1].rematch
    assert not any(level.rematch for level in levels[:-1])


def test_a_recipe_without_a_ladder_refines_with_all_it_has():
    short = replace(NNST, ladder=None, steps=50)
    assert [level.steps for level in levels_of((96, 128), short, None)] == [50]


@pytest.mark.parametrize(("steps", "rematch"), [(5, 0), (5, 2)], ids=["matched once", "rematched"])
def test_the_steps_of_a_level_are_the_programs(vgg, content, style, steps, rematch):
    """From the same picture."""
    start = clouds(5, 70, 90)
    short = replace(NNST, ladder=None, steps=steps, refinement=Refinement(steps if rematch else 0, rematch))
    result = nst.stylize(
        vgg, content, nst.compute_style_grams(vgg, style), recipe=short, start="image", start_image=start
    )
    levels = [((70, 90), (58, 90), steps, rematch)]
    losses, gradients, picture = nnst_program.run(network_for(vgg, NNST), content, style, levels, resize, start)
    assert [step.total for step in result.history] == pytest.approx(losses, rel=1e-4)
    assert losses[-1] < 0.95 * losses[0]
    assert (result.image - picture).abs().mean() < 1e-4
    if not rematch:
        objective = nst.objective(vgg, content, nst.compute_style_grams(vgg, style), recipe=short)
        _, gradient = objective.value_and_grad(start)
        assert (gradient - gradients[0]).norm() < 1e-4 * gradients[0].norm()


def test_the_levels_of_a_run_are_the_programs(vgg, content, style):
    """From level to level two nearly alike features change positions, where both are as near."""
    short = replace(NNST, ladder=Ladder(1, "long", 44, (3,)), refinement=Refinement(3, 2))
    result = nst.stylize(vgg, content, nst.compute_style_grams(vgg, style), recipe=short)
    levels = [((35, 45), (29, 45), 3, 0), ((70, 90), (58, 90), 3, 0), ((70, 90), (58, 90), 3, 2)]
    assert result.settings["levels"] == [[*shape, steps] for shape, _, steps, _ in levels]
    losses, _, picture = nnst_program.run(network_for(vgg, NNST), content, style, levels, resize)
    assert [step.total for step in result.history] == pytest.approx(losses, rel=1e-3)
    assert (result.image - picture).abs().mean() < 2e-3


def test_it_paints(vgg, content, style):
    """A texture, a seamless picture, one with the content's colours, one that is stopped, and a batch."""
    grams = nst.compute_style_grams(vgg, style)
    texture = nst.stylize(vgg, None, grams, recipe="nnst", shape=(64, 64), steps=10)
    assert texture.history[-1].total < texture.history[0].total
    options = {"recipe": "nnst", "steps": 10, "size": 64}
    pictures = torch.cat([content, content.flip(3)])
    batch = nst.stylize(vgg, pictures, grams, seamless=True, keep_colours="luminance", **options)
    assert torch.isfinite(batch.image).all()
    assert len(batch.histories) == 2
    stopped = nst.stylize(vgg, content, grams, on_step=lambda p: nst.STOP if p.step == 3 else None, **options)
    assert stopped.settings["stopped_early"]
    assert len(stopped.history) == 3


def test_it_can_be_cancelled_while_it_matches(vgg, content, style):
    grams, network_calls = nst.compute_style_grams(vgg, style), []

    def on_layer():
        network_calls.append(1)
        if len(network_calls) > 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nst.stylize(vgg, content, grams, recipe="nnst", steps=10, on_layer=on_layer)
