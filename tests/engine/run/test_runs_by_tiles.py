"""Runs by tiles: the same picture, and every tile is told."""

from __future__ import annotations

import pytest

import nst_engine as nst


def test_a_run_by_tiles_gives_the_same_picture_and_tells_of_every_tile(vgg, content, grams):
    told, steps = [], []
    options = {"steps": 3, "tv_weight": 1.0}
    whole = nst.stylize(vgg, content, grams, tile=None, **options)
    tiled = nst.stylize(
        vgg, content, grams, tile=32, on_tile=told.append, on_step=lambda p: steps.append(p.done) and None, **options
    )
    assert (tiled.image - whole.image).abs().mean() < 1e-5
    assert tiled.settings["tiles"] == [32] and whole.settings["tiles"] == [None]
    assert [p.tile for p in told] == list(range(1, told[0].tiles + 1)) * 3
    assert [p.step for p in told] == [step for step in range(3) for _ in range(told[0].tiles)]
    done = [p.done for p in told]
    assert done == sorted(done) and 0 < done[0] < 1 and done[-1] == 3
    assert steps == [1, 2, 3]


def test_a_run_can_be_ended_within_a_step(vgg, content, grams):
    class Cancelled(Exception):
        pass

    def on_tile(position):
        if position.tile == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        nst.stylize(vgg, content, grams, steps=3, tile=32, on_tile=on_tile)
