"""Threads that share strips: everything is done once, errors come back, and results do not depend on who did what."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import threading
import weakref
from dataclasses import replace

import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.network.cpu.threads import parallel_for, strips, thread_pool

CPU = torch.device("cpu")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
def test_every_task_is_done_once(count):
    done: list[int] = []
    parallel_for(done.append, range(count))
    assert sorted(done) == list(range(count))


def test_what_a_task_raises_is_raised_where_the_tasks_came_from():
    def work(number):
        if number == 17:
            raise ValueError("seventeen")

    for _ in range(3):
        with pytest.raises(ValueError, match="seventeen"):
            parallel_for(work, range(40))
    parallel_for(lambda _: None, range(40))


def test_what_is_raised_keeps_no_tensors():
    """Else a run that lacks memory and tries again with smaller tiles would still hold those of the first attempt."""
    held = torch.zeros(3)
    gone = weakref.ref(held)

    def work(number, held=held):
        if number == 7:
            raise MemoryError

    gc.disable()
    try:
        with contextlib.suppress(MemoryError):
            parallel_for(work, range(9))
        del held, work
        assert gone() is None
    finally:
        gc.enable()


def test_tasks_may_share_out_tasks_of_their_own():
    done: list[tuple[int, int]] = []
    parallel_for(lambda a: parallel_for(lambda b: done.append((a, b)), range(5)), range(5))
    assert len(set(done)) == len(done) == 25


def test_torch_goes_on_with_as_many_threads_as_before():
    threads = torch.get_num_threads()
    seen: list[int] = []
    with thread_pool():
        assert torch.get_num_threads() == 1
        other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        other.start()
        other.join()
        parallel_for(lambda _: None, range(8))
        assert torch.get_num_threads() == 1
    with pytest.raises(KeyError), thread_pool():
        raise KeyError
    assert torch.get_num_threads() == threads
    assert seen == [threads]


def test_strips_cover_everything_and_stay_whole_on_other_devices():
    for height, numbers in ((0, 5), (1, 10**7), (7, 10), (1000, 5000), (3, 10**6)):
        parts = strips(height, numbers, CPU)
        assert [row for part in parts for row in range(part.start, part.stop)] == list(range(height))
    assert strips(1000, 5000, torch.device("cuda")) == [slice(0, 1000)]


def test_inference_mode_is_that_of_the_caller():
    with torch.inference_mode():
        total = torch.zeros(64, 1000)
        parallel_for(lambda rows: total[rows].add_(1), strips(64, 1 << 18, CPU))
    assert total.is_inference() and bool((total == 1).all())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_has_threads_of_its_own():
    code = """
import os, sys, threading
from nst_engine.network.cpu.threads import parallel_for
barrier = threading.Barrier(2, timeout=20)
parallel_for(lambda _: barrier.wait(), range(2))  # two threads for sure
pid = os.fork()
if pid == 0:
    parallel_for(lambda _: barrier.wait(), range(2))
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100, env=environment)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_process_forked_while_work_is_launched_does_its_own():
    code = """
import os, sys, time
from nst_engine.network.cpu.threads import launch, parallel_for, thread_pool
with thread_pool():
    launch(lambda _: time.sleep(0.01), range(50))
    time.sleep(0.1)  # a helper is in the middle of it
    pid = os.fork()
    if pid == 0:
        done = []
        parallel_for(done.append, range(3))
        os._exit(done != [0, 1, 2])
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20, env=environment)


def picture(vgg, recipe):
    content = clouds(1, 136, 200)
    grams = nst.compute_style_grams(vgg, clouds(2, 120, 136), size=0)
    return nst.stylize(vgg, content, grams, recipe=recipe, steps=2, seed=5).image


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("statistic", ["gram", "covariance", "sliced"])
def test_the_same_bits_whatever_runs_beside_and_with_any_number_of_threads(precision, statistic):
    vgg = nst.load_vgg("vgg19-caffe", precision=precision, device="cpu")
    recipe = replace(nst.RECIPES["balanced"], statistic=statistic)
    threads = torch.get_num_threads()
    expected = picture(vgg, recipe)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        assert torch.equal(picture(vgg, recipe), expected)
        for number in (1, 3):
            torch.set_num_threads(number)
            assert torch.equal(picture(vgg, recipe), expected)
    finally:
        torch.set_num_threads(threads)
        for process in busy:
            process.kill()
            process.wait()


def test_two_runs_at_once_give_what_each_gives_alone():
    vgg = nst.load_vgg("vgg19-caffe", precision="fp32", device="cpu")
    recipes = ("balanced", "pytorch-tutorial")
    expected = [picture(vgg, recipe) for recipe in recipes]
    found: dict[str, torch.Tensor] = {}
    threads = [
        threading.Thread(target=lambda recipe=recipe: found.update({recipe: picture(vgg, recipe)}))
        for recipe in recipes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for recipe, image in zip(recipes, expected, strict=True):
        assert torch.equal(found[recipe], image)
