"""The recipe `nnst` beside the paper's procedure written out plainly, step by step."""

from __future__ import annotations

from dataclasses import replace

import nnst_program
import pytest
import torch

import nst_engine as nst
from nst_engine.pictures.images import resize
from nst_engine.recipes import Ladder, Refinement, network_for
from nst_engine.run.levels import plan, usual_steps

NNST = nst.RECIPES["nnst"]


def test_levels_double_from_64_and_the_last_size_comes_twice():
    levels = plan((384, 512), NNST, None)
    assert [level.shape for level in levels] == [(48, 64), (96, 128), (192, 256), (384, 512), (384, 512)]
    assert [level.steps for level in levels] == [200] * 5
    assert [level.rematch for level in levels] == [0, 0, 0, 0, 10]
    assert usual_steps((384, 512), NNST) == NNST.steps == 1000
    larger = replace(NNST, steps=usual_steps((768, 1024), NNST))
    assert [(max(level.shape), level.steps) for level in plan((768, 1024), larger, None)][-2:] == [(1024, 200)] * 2


@pytest.mark.parametrize(("steps", "scales"), [(100, None), (7, 3), (3, 1), (0, None)])
def test_fewer_steps_are_shared_out(steps, scales):
    levels = plan((128, 96), replace(NNST, steps=steps), scales)
    assert sum(level.steps for level in levels) == steps
    assert levels[-1].rematch
    assert not any(level.rematch for level in levels[:-1])


def test_the_first_steps_of_every_level_are_the_programs(vgg, content, style):
    """Losses and gradients; after some steps the paths of Adam part, where a gradient is nothing but rounding."""
    short = replace(NNST, ladder=Ladder(1, "long", 44, (4,)), refinement=Refinement(4, 2))
    grams = nst.compute_style_grams(vgg, style)
    images = []
    result = nst.stylize(vgg, content, grams, recipe=short, on_step=lambda p: images.append(p.image))
    levels = [((35, 45), (29, 45), 4, 0), ((70, 90), (58, 90), 4, 0), ((70, 90), (58, 90), 4, 2)]
    assert result.settings["levels"] == [[*shape, steps] for shape, _, steps, _ in levels]
    losses, gradients, picture = nnst_program.run(network_for(vgg, NNST), content, style, levels, resize)
    found = [step.total for step in result.history]
    assert found == pytest.approx(losses, rel=1e-4)
    assert (result.image - picture).abs().mean() < 1e-4
    # At the pictures of the first level's steps, from the same matches.
    small = resize(content, (35, 45))
    objective = nst.objective(vgg, small, grams, recipe=short)
    _, gradient = objective.value_and_grad(small)
    assert (gradient - gradients[0]).norm() < 1e-4 * gradients[0].norm()


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
