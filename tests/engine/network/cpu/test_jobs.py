"""Jobs in a line: each in its turn, none on what is not there yet."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.network.cpu import threads, winograd
from nst_engine.network.cpu.jobs import Job
from nst_engine.network.cpu.threads import launch, parallel_for, synchronize, thread_pool
from nst_engine.network.plain import equal_parts, share_of


@pytest.fixture(autouse=True)
def two_threads():
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(usual)


@pytest.fixture
def late(monkeypatch):
    """Nothing is begun before `synchronize`: whoever reads what was only launched, finds nothing there."""

    class NoHelpers:
        def call(self, line, count, in_all):
            pass

    monkeypatch.setattr(threads, "_helpers", NoHelpers())


@pytest.fixture
def uneven(monkeypatch):
    """One task in four is begun and then held up, while five threads go on with what they may begin."""
    delays = random.Random(1)

    class Uneven(Job):
        def __init__(self, do, tasks, needs=None, makes=None, aside=False):
            def slowly(task):
                if delays.random() < 0.25:
                    time.sleep(0.003)
                do(task)

            super().__init__(slowly, tasks, needs, makes, aside)

    class Crowded:
        def is_there(self, threads, at_work):
            return True

    monkeypatch.setattr(threads, "Job", Uneven)
    monkeypatch.setattr(threads, "_crowd", Crowded())
    monkeypatch.setattr(threads, "EXTRA", 3)


def test_a_job_begins_when_the_one_before_is_done(uneven):
    done: list[tuple[int, int]] = []
    with thread_pool():
        for job in range(5):
            launch(lambda task, job=job: done.append((job, task)), range(7))
        synchronize()
        assert [job for job, _ in done] == [job for job in range(5) for _ in range(7)]
        assert sorted(done) == [(job, task) for job in range(5) for task in range(7)]


def test_a_task_begins_when_its_part_of_the_picture_is_there(uneven):
    """Each row of a picture is the sum of three of the one before: some tasks overtake, none reads too soon."""
    height = 40
    empty = torch.full((height,), torch.nan, dtype=torch.float64)
    pictures = [torch.arange(height, dtype=torch.float64), *(empty.clone() for _ in range(12))]
    order: list[int] = []

    def blur(job):
        source, result = pictures[job], pictures[job + 1]

        def work(rows):
            order.append(job)
            for row in range(rows.start, rows.stop):
                result[row] = source[max(0, row - 1) : row + 2].sum()

        return work

    with thread_pool():
        for job in range(12):
            launch(blur(job), equal_parts(height, 8), lambda rows: (rows.stop + 1) / height, share_of(height))
        synchronize()
    expected = pictures[0]
    for _ in range(12):
        expected = torch.stack([expected[max(0, row - 1) : row + 2].sum() for row in range(height)])
    assert torch.equal(pictures[-1], expected)
    assert order != sorted(order)


def test_what_is_made_aside_holds_up_nobody_and_is_done_meanwhile():
    """A sum of it is made when all of it is there."""
    order: list[str] = []
    both, later_is_done = threading.Barrier(2, timeout=20), threading.Event()

    def first(task):
        both.wait()  # for the other thread, which may not begin what is later
        order.append("first")

    def aside(task):
        if task == 0:
            both.wait()
        else:
            assert later_is_done.wait(20)
            time.sleep(0.02)  # in which the other thread has nothing to do, and may not make the sum
        order.append(f"aside {task}")

    def later(task):
        order.append(f"later {task}")
        if task == 1:
            later_is_done.set()

    with thread_pool():
        launch(first, [0])
        launch(aside, range(2), lambda task: 0.0, aside=True)
        launch(lambda task: order.append("sum"), [0], aside=True)
        launch(later, range(2))
        synchronize()
    assert sorted(order) == ["aside 0", "aside 1", "first", "later 0", "later 1", "sum"]
    assert order.index("first") < order.index("later 0")
    assert order.index("later 1") < order.index("aside 1") < order.index("sum")


def test_a_job_that_is_done_holds_nothing_while_one_made_aside_waits():
    begun, end = threading.Event(), threading.Event()

    def slowly(task):
        begun.set()
        assert end.wait(20)

    def layer(task, x=None):
        pass

    with thread_pool():
        launch(slowly, [0], aside=True)
        launch(layer, range(2))  # has the other thread come
        assert begun.wait(20)
        x = torch.zeros(9)
        held = weakref.ref(x)
        launch(lambda task, x=x: None, range(2), lambda task: 0.0)
        del x
        for _ in range(40):  # works until half of them are done
            launch(layer, range(4), lambda task: 0.0)
        assert held() is None
        end.set()


def test_a_task_may_have_tasks_of_its_own(monkeypatch):
    """Also where who launches too much does it."""
    monkeypatch.setattr(threads, "MOST_WAITING", 4)
    done: list[int] = []
    with thread_pool():
        for _ in range(5):
            launch(lambda task: parallel_for(done.append, range(3)), range(20))
    assert len(done) == 5 * 20 * 3


def test_who_launches_too_much_works_until_there_is_less(monkeypatch):
    """And goes on even where others take the last of it."""
    monkeypatch.setattr(threads, "MOST_WAITING", 4)
    done: list[int] = []

    def work(task):
        time.sleep(0.0005)
        done.append(task)

    for _ in range(40):
        with thread_pool():
            for job in range(6):
                launch(work, range(job, job + 3), lambda task: 0.0)
    assert len(done) == 40 * 18


CORES = os.cpu_count() or 1


@pytest.mark.skipif(
    not Path("/proc/loadavg").exists() or CORES > 8, reason="other systems do not say how busy they are"
)
def test_other_programs_are_noticed_in_the_middle_of_a_run():
    """Then more threads than cores work on it."""
    counting = threading.Lock()
    now = most = 0

    def work(task):
        nonlocal now, most
        with counting:
            now += 1
            most = max(most, now)
        time.sleep(0.005)
        with counting:
            now -= 1

    with thread_pool():
        launch(work, range(8), lambda task: 0.0)
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(CORES)]
        try:
            end = time.monotonic() + 30
            while most <= 2 and time.monotonic() < end:
                launch(work, range(8), lambda task: 0.0)
        finally:
            for program in others:
                program.kill()
                program.wait()
    assert 2 < most <= 2 + threads.EXTRA


def test_an_error_comes_back_and_nothing_after_it_is_done(late):
    done: list[int] = []

    def fail(task):
        raise ValueError("in the second job")

    with thread_pool():
        launch(done.append, range(3))
        launch(fail, range(3))
        launch(done.append, range(3))
        with pytest.raises(ValueError, match="in the second job"):
            synchronize()
        assert done == [0, 1, 2]
        parallel_for(done.append, range(3, 6))
    assert sorted(done) == list(range(6))


def test_an_error_comes_back_to_who_launches_too_much(late, monkeypatch):
    monkeypatch.setattr(threads, "MOST_WAITING", 4)
    launched = 0

    def fail(task):
        raise ValueError("too much")

    with pytest.raises(ValueError, match="too much"), thread_pool():
        for _ in range(20):
            launch(fail, range(3))
            launched += 1
    assert launched == 2


def test_leaving_by_an_error_leaves_nothing_running():
    done: list[int] = []
    begun = threading.Event()

    def slowly(task):
        begun.set()
        time.sleep(0.05)
        done.append(task)

    with pytest.raises(KeyError), thread_pool():
        launch(slowly, range(6))
        assert begun.wait(10)
        raise KeyError
    count = len(done)
    assert count < 6
    time.sleep(0.2)
    assert len(done) == count


def test_leaving_waits_for_what_was_launched(late):
    done: list[int] = []
    with thread_pool():
        launch(done.append, range(3))
        assert not done
    assert done == [0, 1, 2]


def test_ctrl_c_leaves_no_helper_asleep(monkeypatch):
    """Even where it comes between taking a task and doing it, and others wait for what that task would have made."""

    class Interrupted(threads.Line):
        def _begin(self, until):
            begun = super()._begin(until)
            if threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt
            time.sleep(0.001)
            return begun

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), thread_pool():
        patch.setattr(threads, "Line", Interrupted)
        for _ in range(3):
            launch(lambda task: time.sleep(0.001), range(20))
        synchronize()
    both = threading.Barrier(2, timeout=20)
    parallel_for(lambda task: both.wait(), range(2))  # takes two threads


CASES = [
    ("fp32", "max", "zeros", None, "classic"),
    ("bf16", "max", "zeros", None, "classic"),
    ("bf16", "average", "replicate", None, "classic"),
    ("fp32", "l2", "reflect", None, "classic"),
    ("fp32", "recipe", "recipe", 128, "classic"),
    ("bf16", "recipe", "recipe", None, "balanced"),
    ("bf16", "recipe", "recipe", 128, "balanced"),
    ("fp32", "recipe", "recipe", None, "convnet"),
    ("bf16", "recipe", "recipe", None, "strotss"),
    ("fp32", "recipe", "recipe", None, "nnst"),
    ("fp32", "recipe", "recipe", None, "gatys2017"),
    ("fp32", "recipe", "recipe", None, "pytorch-tutorial"),
]


def gradient(vgg, tile, recipe, shape=(241, 259)):
    content, x = clouds(1, *shape), clouds(3, *shape)
    style = nst.compute_style_grams(vgg, clouds(2, 120, 136), size=0, recipe=recipe)
    terms, grad = nst.objective(vgg, content, style, recipe=recipe, tile=tile).value_and_grad(x)
    return torch.cat([grad.flatten(), terms.total.reshape(1)])


@pytest.mark.parametrize("when", ["late", "uneven"])
@pytest.mark.parametrize(("precision", "pooling", "padding", "tile", "recipe"), CASES)
def test_the_same_bits_whenever_tasks_are_done(request, when, precision, pooling, padding, tile, recipe):
    vgg = nst.load_vgg("vgg19-caffe", precision=precision, pooling=pooling, padding=padding, device="cpu")
    torch.set_num_threads(1)
    expected = gradient(vgg, tile, recipe)
    torch.set_num_threads(2)
    request.getfixturevalue(when)
    assert torch.equal(gradient(vgg, tile, recipe), expected)


def test_tiles_as_wide_as_the_picture(request):
    """Their inner part is a run of rows, too, but rows counted from another top."""
    vgg = nst.load_vgg("vgg19-caffe", precision="fp32", device="cpu")
    torch.set_num_threads(1)
    expected = gradient(vgg, 256, "classic", (720, 250))
    torch.set_num_threads(2)
    request.getfixturevalue("uneven")
    assert torch.equal(gradient(vgg, 256, "classic", (720, 250)), expected)


def test_layers_that_threads_share_do_not_write_into_each_other(uneven):
    """The next layer's data are transformed while products of this one are still read."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 64, 80, 80, generator=generator).contiguous(memory_format=torch.channels_last)
    kernels = [torch.randn(shape, generator=generator) / 30 for shape in ((160, 64, 3, 3), (64, 160, 3, 3))]
    first, second = (winograd.transform_kernel(kernel) for kernel in kernels)
    workspace = winograd.Workspace()

    def both():
        return winograd.convolve(winograd.convolve(x, first, workspace=workspace), second, workspace=workspace)

    expected = both()
    for _ in range(5):
        with thread_pool():
            found = both()
        assert torch.equal(found, expected)
