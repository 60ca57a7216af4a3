"""What a run does on a GPU, as far as can be known without one: where every tensor lies, and what makes Python wait."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fake_device import DEVICE, FakeDevice
from pictures import clouds

import nst_engine as nst
from nst_engine.objective.build import build
from nst_engine.objective.controls import Multipliers
from nst_engine.objective.layout import Layout
from nst_engine.objective.objective import Terms
from nst_engine.objective.setup import set_up
from nst_engine.run.canvas import Parametrisation
from nst_engine.run.cuda_graphs import WARM_UP, Recorded, capture_cuda_graph, worth_recording
from nst_engine.run.optim import Finished, adam
from nst_engine.statistics.distances import STATISTICS

GPU = torch.device("cuda")
SHAPE = (64, 96)
IN_ONE_PASS = Layout()


def fake_objective(vgg, recipe, layout=IN_ONE_PASS, emphasis=False, region=False, precision="bf16", **choices):
    picture = clouds(1, *SHAPE)
    there = replace(vgg, device=DEVICE, precision=precision, **choices)
    weight = torch.ones(1, 1, *SHAPE) if emphasis else None
    everything = Multipliers(1.0, 1.0, 0.5, 1.0)
    with FakeDevice():
        grams = nst.compute_style_grams(there, clouds(2, 64, 64), recipe=recipe)
        if region:
            half = torch.zeros(SHAPE)
            half[:, :48] = 1
            grams = grams.within(half) + nst.compute_style_grams(there, clouds(3, 64, 64), recipe=recipe)
        setup = replace(set_up(there, recipe, None, content=True), multipliers=everything)
        return build(setup, picture, grams, SHAPE, 1.0, layout, weight)


CASES = {
    "plain": {},
    "regions": {"region": True},
    "emphasis": {"emphasis": True},
    "reflect": {"padding": "reflect"},
    "average pooling": {"pooling": "average"},
    "l2 pooling": {"pooling": "l2"},
    "tiles": {"layout": Layout(tile=32)},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_step_lies_on_the_gpu_and_does_not_wait_for_it(vgg, case, precision):
    check_step(fake_objective(vgg, nst.RECIPES["balanced"], precision=precision, **CASES[case]))


@pytest.mark.parametrize("statistic", STATISTICS)
def test_no_statistic_waits(vgg, statistic):
    objective = fake_objective(vgg, replace(nst.RECIPES["balanced"], statistic=statistic))
    check_step(objective, copies=drawn(objective, statistic))


def drawn(objective, statistic) -> int:
    """What comes from the CPU at every step, on CUDA from pinned memory, without waiting: directions, one matrix for
    each layer; positions, for each region."""
    return {"sliced": len(objective.style.weights), "remd": 1}.get(statistic, 0)


def test_content_that_is_made_anew_comes_tile_by_tile(vgg):
    objective = fake_objective(vgg, nst.RECIPES["balanced"], layout=Layout(tile=32, keep_content=False))
    check_step(objective, copies=len(objective.tiles))


@pytest.mark.parametrize("name", sorted(nst.RECIPES))
def test_no_recipe_waits(vgg, name):
    objective = fake_objective(vgg, nst.RECIPES[name])
    check_step(objective, copies=drawn(objective, nst.RECIPES[name].statistic))


def check_step(objective, copies=0):
    with FakeDevice():
        x = torch.rand(1, 3, *SHAPE, device=DEVICE)
        objective.value_and_grad(x)  # what is made once
        with FakeDevice() as seen:
            terms, gradient = objective.value_and_grad(x)
    assert len(seen.copied) == copies
    assert seen.read == []
    assert {t.device for t in (terms.total, terms.content, terms.style, terms.tv, gradient)} == {DEVICE}
    assert gradient.shape == x.shape


def test_adam_and_what_is_around_a_step_do_not_wait(vgg):
    recipe = nst.RECIPES["pytorch-tutorial"]
    objective = fake_objective(vgg, recipe)
    with FakeDevice(), torch.no_grad():
        space = Parametrisation("imagenet", DEVICE)
        variable = space.variable(torch.rand(1, 3, *SHAPE, device=DEVICE)).requires_grad_()
        evaluations = 0

        def evaluate():
            nonlocal evaluations
            evaluations += 1
            if evaluations > 4:
                raise Finished
            space.clamp_(variable)
            terms, gradient = objective.value_and_grad(space.pixels(variable.detach()))
            variable.grad = space.gradient(gradient)
            return terms.total

        evaluate()
        with FakeDevice() as seen:
            moments = adam(variable, evaluate, nst.RECIPES["balanced"].optimizer, 4)
    assert evaluations == 5
    assert seen.copied == seen.read == []
    assert moments.m.device == DEVICE


def test_what_the_check_finds():
    """A copy, a number that is read, two devices in one operation."""
    with FakeDevice() as seen:
        x = torch.rand(4, device=DEVICE)
        x.cpu()
        torch.ones(4).to(DEVICE)
        torch.tensor(1.0, device=DEVICE)
        x.copy_(torch.ones(4))
        assert len(seen.copied) == 4
        float(x.sum())
        if (x > 0).all():
            torch.equal(x, x)
        assert len(seen.read) == 3
        x[1:] = 0
        x += 1
        torch.ones(4).to(DEVICE, non_blocking=True)
        assert len(seen.copied) == 4
        for wrong in (
            lambda: x + torch.ones(4),
            lambda: torch.cat([x, torch.ones(4)]),
            lambda: x[torch.tensor([1, 2])],
            lambda: torch.ones(4) * x.sum(),
        ):
            with pytest.raises(AssertionError, match="two devices"):
                wrong()
        with pytest.raises(AssertionError, match="waited for"):
            x[x > 0]


# Recordings. The rule by which one is used can be tested without a GPU.


def evaluation(pixels):
    values = pixels.square().sum()
    return Terms(values, values, *[values * 0] * 3), 2 * pixels


class StandIn:
    """Makes what a recording should be, or a wrong one, and counts."""

    def __init__(self, wrong=lambda terms, gradient: (terms, gradient)):
        self.wrong = wrong
        self.made = self.played = 0

    def record(self, evaluate, seen):
        self.made += 1
        evaluate(seen)

        def play(pixels):
            self.played += 1
            return self.wrong(*evaluate(pixels))

        return play


def repeats_itself(evaluate, seen):
    first = evaluate(seen)
    return lambda pixels: first


def pixels(k):
    return torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(k))


def test_a_recording_is_made_once_after_warming_up_and_used_from_then_on():
    stand_in = StandIn()
    recorded = Recorded(evaluation, stand_in.record)
    for k in range(6):
        terms, gradient = recorded(pixels(k))
        assert torch.equal(gradient, evaluation(pixels(k))[1])
        assert torch.equal(terms.total, evaluation(pixels(k))[0].total)
        assert stand_in.made == (k >= WARM_UP)
    assert stand_in.played == 1 + 6 - WARM_UP  # once to compare


@pytest.mark.parametrize(
    "record",
    [
        StandIn(lambda terms, gradient: (terms, 1.2 * gradient)).record,
        StandIn(lambda terms, gradient: (terms, gradient * float("nan"))).record,
        StandIn(lambda terms, gradient: (replace(terms, total=2 * terms.total), gradient)).record,
        repeats_itself,
    ],
)
def test_a_recording_that_says_something_else_is_not_used(record, caplog):
    recorded = Recorded(evaluation, record)
    for k in range(6):
        terms, gradient = recorded(pixels(k))
        assert torch.equal(gradient, evaluation(pixels(k))[1])
        assert torch.equal(terms.total, evaluation(pixels(k))[0].total)
    assert caplog.text.count("not used") == 1


def test_what_cannot_be_recorded_goes_on_as_before(caplog):
    tried = []

    def record(evaluate, pixels):
        tried.append(1)
        raise RuntimeError("operation not permitted when stream is capturing")

    recorded = Recorded(evaluation, record)
    for k in range(6):
        assert torch.equal(recorded(pixels(k))[1], evaluation(pixels(k))[1])
    assert len(tried) == 1
    assert "not permitted" in caplog.text


def test_a_run_that_has_diverged_is_not_recorded(caplog):
    stand_in = StandIn()
    recorded = Recorded(evaluation, stand_in.record)
    for _ in range(4):
        recorded(pixels(1) * float("nan"))
    assert stand_in.made == 0
    assert caplog.text == ""


def test_which_steps_are_recorded(vgg, monkeypatch):
    balanced = nst.RECIPES["balanced"]

    def on_gpu(**choices):
        objective = fake_objective(vgg, **choices)
        objective.network.device = GPU
        return objective

    monkeypatch.setattr(torch.cuda, "get_allocator_backend", lambda: "native")
    plain = on_gpu(recipe=balanced)
    monkeypatch.setenv("NST_CUDA_GRAPHS", "0")
    assert not worth_recording(plain, 100)
    monkeypatch.delenv("NST_CUDA_GRAPHS")
    assert worth_recording(plain, 100)
    assert not worth_recording(plain, 5)
    assert not worth_recording(on_gpu(recipe=replace(balanced, statistic="sliced")), 100)
    assert not worth_recording(on_gpu(recipe=nst.RECIPES["strotss"]), 100)
    matched = on_gpu(recipe=nst.RECIPES["nnst"])
    assert worth_recording(matched, 100)
    matched.style.rematch = 10
    assert not worth_recording(matched, 100)
    assert not worth_recording(on_gpu(recipe=balanced, layout=Layout(tile=32)), 100)
    on_cpu = nst.objective(vgg, clouds(1, 48, 48), nst.compute_style_grams(vgg, clouds(2, 48, 48)))
    assert not worth_recording(on_cpu, 100)
    monkeypatch.setattr(torch.cuda, "get_allocator_backend", lambda: "cudaMallocAsync")
    assert not worth_recording(plain, 100)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("recipe", ["balanced", "nnst"])
def test_a_recorded_step_on_a_gpu(vgg, precision, recipe):
    on_gpu = replace(vgg, device=GPU, precision=precision)
    grams = nst.compute_style_grams(on_gpu, clouds(2, 96, 96))
    objective = nst.objective(on_gpu, clouds(1, 160, 224), grams, recipe=recipe)
    recorded = Recorded(objective.value_and_grad, capture_cuda_graph)
    starts = [clouds(k, 160, 224).to(GPU) for k in range(WARM_UP + 4)]
    given = [recorded(x) for x in starts]  # all kept, so that one that is written over is seen
    for x, (terms, gradient) in zip(starts, given, strict=True):
        expected, expected_gradient = objective.value_and_grad(x)
        assert float(terms.total) == pytest.approx(float(expected.total), rel=1e-3)
        assert (gradient - expected_gradient).norm() < 0.01 * expected_gradient.norm()
    assert recorded.now is not recorded.usual


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_recorded_run_on_a_gpu(vgg, optimizer, monkeypatch):
    on_gpu = replace(vgg, device=GPU, precision="fp32")
    grams = nst.compute_style_grams(on_gpu, clouds(2, 96, 96))

    def run(switch):
        monkeypatch.setenv("NST_CUDA_GRAPHS", switch)
        result = nst.stylize(on_gpu, clouds(1, 160, 224), grams, steps=24, scales=2, optimizer=optimizer)
        torch.cuda.empty_cache()
        return [step.total for step in result.history], torch.cuda.memory_allocated()

    usual, _ = run("0")
    run("1")
    recorded, taken = run("1")
    assert recorded == pytest.approx(usual, rel=0.05)
    assert run("1")[1] == taken
