"""The parts of a run, each alone: options, the evaluator that retries, a level's steps, the reporter, the finishing."""

from __future__ import annotations

import inspect
from dataclasses import FrozenInstanceError, fields, replace

import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.objective.layout import Layout
from nst_engine.objective.objective import Terms
from nst_engine.objective.setup import set_up
from nst_engine.options import Options
from nst_engine.recipes import LBFGS, Adam
from nst_engine.run.canvas import Canvas
from nst_engine.run.evaluator import Evaluator
from nst_engine.run.levels import Level
from nst_engine.run.loop import descend
from nst_engine.run.picture import Picture, Protect
from nst_engine.run.progress import Reporter
from nst_engine.stylize import finish

CPU = torch.device("cpu")


def terms(total):
    nothing = torch.zeros(())
    return Terms(torch.as_tensor(float(total)), nothing, nothing, nothing, nothing)


# --- options ----------------------------------------------------------------------------------------------------------


def test_stylize_takes_every_option_by_its_name():
    taken = inspect.signature(nst.stylize).parameters
    assert list(taken)[:3] == ["vgg", "content", "grams"]
    for option in fields(Options):
        assert taken[option.name].default == option.default
    assert {"on_step", "on_tile", "on_measure", "on_layer"} <= taken.keys()
    with pytest.raises(TypeError, match="sharpness"):
        nst.stylize(None, None, None, sharpness=1)


def test_options_never_change():
    with pytest.raises(FrozenInstanceError):
        Options().steps = 3


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"start_mix": 2}, "start_mix: 2 will not do; give 0 to 1"),
        ({"protect_mode": "some"}, "protect_mode: 'some' is not one of pixels, content"),
        ({"protect_weight": 0.5}, "protect_weight: 0.5"),
        ({"keep_colours": "red"}, "keep_colours: 'red'"),
        ({"stroke_size": float("nan")}, "stroke_size: nan"),
        ({"strength": 11}, "strength: 11"),
        ({"averaging": 1.0}, "averaging: 1.0"),
        ({"statistic": "mode"}, "statistic: 'mode'"),
    ],
)
def test_options_that_cannot_be_used(choices, says):
    with pytest.raises(nst.NSTError, match=f"^{says}"):
        Options(**choices)


def test_the_recipe_in_use_is_the_users():
    used = Options(recipe="gatys2016", optimizer="adam", learning_rate=0.5, steps=7, statistic="covariance").used_recipe
    assert isinstance(used.optimizer, Adam) and used.optimizer.lr == 0.5
    assert (used.variable, used.steps, used.statistic) == ("pixels", 7, "covariance")
    assert isinstance(Options(optimizer="lbfgs").used_recipe.optimizer, LBFGS)
    assert Options(recipe="johnson").used_recipe == nst.RECIPES["johnson"]


# --- the evaluator ----------------------------------------------------------------------------------------------------


def halved(layout):
    if layout.tile == 32:
        raise nst.NSTError("size: too large")
    return replace(layout, tile=(layout.tile or 256) // 2)


def test_an_evaluator_goes_on_with_less_where_memory_runs_out():
    built = []

    def build(layout):
        built.append(layout.tile)
        if layout.tile is None:
            raise MemoryError

        def evaluate(pixels, on_tile):
            if layout.tile > 64:
                raise MemoryError
            on_tile(1, 1)
            return terms(3), pixels

        return evaluate

    evaluate, told = Evaluator(build, Layout(), halved, CPU), []
    assert built == [None, 128]
    for _ in range(2):
        loss, gradient = evaluate(torch.ones(2), lambda *tile: told.append(tile))
        assert float(loss.total) == 3 and torch.equal(gradient, torch.ones(2))
    assert built == [None, 128, 64]
    assert evaluate.layout == Layout(tile=64)
    assert told == [(1, 1)] * 2


def test_an_evaluator_gives_up_when_nothing_is_left_to_save_and_passes_other_errors_on():
    def build(error):
        def evaluate(*_):
            raise error

        return lambda _: evaluate

    with pytest.raises(nst.NSTError, match="too large"):
        Evaluator(build(MemoryError()), Layout(), halved, CPU)(torch.ones(1), print)
    with pytest.raises(RuntimeError, match="Half"):
        Evaluator(build(RuntimeError("expected Float but found Half")), Layout(), halved, CPU)(torch.ones(1), print)


# --- a level's steps --------------------------------------------------------------------------------------------------


class Bowl:
    """Σ(x − ½)²"""

    layout = Layout(history=10)

    def __call__(self, pixels, on_tile):
        on_tile(1, 1)
        return terms((pixels - 0.5).square().sum()), 2 * (pixels - 0.5)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("variable", ["pixels", "bytes"])
def test_a_level_goes_down_for_as_many_steps_as_it_has(vgg, optimizer, variable):
    recipe = replace(Options(optimizer=optimizer, averaging=0.0).used_recipe, variable=variable)
    setup = set_up(vgg, recipe, None, content=True)
    canvas, told = Canvas(recipe, CPU), []
    level = Level((4, 6), 1.0, 9)
    report = Reporter([level], 1, lambda p: told.append((p.step, p.total)), lambda p: told.append(p.step))
    canvas.begin_level(clouds(1, 4, 6))
    pinned = torch.zeros(1, 1, 4, 6)
    pinned[..., 0] = 1
    descend(canvas, Bowl(), level, setup, report, pinned)
    assert report.step == 9
    assert [entry for entry in told if isinstance(entry, int)] == list(range(9))
    losses = [entry[1] for entry in told if isinstance(entry, tuple)]
    assert losses[-1] < losses[0]
    assert torch.allclose(canvas.shown()[..., 0], clouds(1, 4, 6)[..., 0], atol=1e-6)
    assert not torch.allclose(canvas.shown()[..., 1:], clouds(1, 4, 6)[..., 1:], atol=1e-3)


# --- the reporter -----------------------------------------------------------------------------------------------------


def test_a_reporter_counts_and_keeps_and_stops():
    seen, shares = [], []

    def on_step(progress):
        seen.append((progress.picture, progress.step, progress.level, progress.done))
        shares.append(progress.share)
        return nst.STOP if progress.picture == 1 else None

    report = Reporter([Level((2, 2), 0.5, 1), Level((4, 4), 1.0, 1)], 2, on_step)
    for picture, levels in enumerate(((0, 1), (0,))):
        for report.level in levels:
            report.record(terms(10 - report.level))
            report.tell(terms(10), lambda: torch.zeros(1, 3, 2, 2))
        assert not report.histories[picture:]
        report.end_picture()
    assert seen == [(0, 1, 0, 1), (0, 2, 1, 2), (1, 1, 0, 3)]
    assert shares == pytest.approx([0.1, 0.5, 0.6])  # a step on the second level has four times the pixels
    assert report.stopped
    assert [[(s.step, s.level, s.total) for s in history] for history in report.histories] == [
        [(0, 0, 10), (1, 1, 9)],
        [(0, 0, 10)],
    ]


def test_a_reporter_knows_where_a_loss_diverged():
    report = Reporter([Level((4, 6), 1.0, 9)])
    assert report.diverged_at() is None
    for total in (1, float("inf"), float("nan")):
        report.record(terms(total))
    assert report.diverged_at() == 1


# --- the finishing ----------------------------------------------------------------------------------------------------


def test_what_is_protected_comes_back_in_the_finished_picture(grams):
    content, painted = clouds(1, 8, 12), clouds(2, 8, 12)
    half = torch.zeros(1, 1, 8, 12)
    half[..., :6] = 1
    picture = Picture(content, None, grams, Protect(half))
    finished = finish(painted, picture, (8, 12), Options())
    assert torch.equal(finished[..., :6], content[..., :6]) and torch.equal(finished[..., 6:], painted[..., 6:])
    assert torch.equal(finish(painted, picture, (8, 12), Options(strength=0.0)), content)
    assert torch.equal(finish(painted, replace(picture, content=None), (8, 12), Options()), painted)
    coloured = finish(painted, replace(picture, protect=None), (8, 12), Options(keep_colours="lab"))
    assert torch.equal(coloured, nst.match_colours(painted, content, "lab"))
