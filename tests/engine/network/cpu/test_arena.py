"""Memory that passes share: nothing in use is ever given out twice, and a second pass needs no new pages."""

from __future__ import annotations

import gc
import sys
import threading
from itertools import pairwise
from statistics import median

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import clouds

import nst_engine as nst
from nst_engine.network.cpu.arena import GRAIN, LEAST, Arena
from nst_engine.network.plain import empty

NUMBERS = LEAST // 4  # of fp32 in the least that an arena takes care of


def within(arena, tensor):
    begin = arena.block.ctypes.data
    return begin <= tensor.data_ptr() and tensor.data_ptr() + tensor.nbytes <= begin + len(arena.block)


def in_use(arena):
    arena._take_back()
    return arena.live


def one_pass(arena, *lengths):
    """Made one after the other, all held at the end."""
    return [arena.empty((n * NUMBERS,), torch.float32) for n in lengths]


def test_the_first_pass_goes_without_and_the_second_finds_memory_for_all():
    arena = Arena()
    first = one_pass(arena, 1, 2, 3)
    assert not any(within(arena, t) for t in first)
    del first
    second = one_pass(arena, 1, 2, 3)
    assert all(within(arena, t) for t in second)
    assert len(arena.block) == 6 * LEAST


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 6)), min_size=1, max_size=30))
def test_what_is_in_use_is_never_given_out_again(steps):
    arena = Arena()
    for _ in range(3):
        held: list[torch.Tensor] = []
        for number, (length, drop) in enumerate(steps):
            tensor = arena.empty((length * NUMBERS + 3,), torch.float32)
            held.append(tensor.fill_(number))
            assert tensor.data_ptr() % GRAIN == 0 or not within(arena, tensor)
            if drop < len(held):
                del held[drop]
            assert all(bool((t == t[0]).all()) for t in held)
            values = [float(t[0]) for t in held]
            assert values == sorted(set(values))
            del tensor
        del held
        assert in_use(arena) == 0
        assert not arena.taken


def test_memory_in_pieces_makes_the_block_grow_until_a_pass_fits():
    def a_pass():
        a, b, c = one_pass(arena, 2, 2, 2)
        del a, c  # two gaps of two, none of four
        found = arena.empty((4 * NUMBERS,), torch.float32)
        return within(arena, found) and within(arena, b)

    arena = Arena()
    assert not a_pass()  # goes without
    fits = [a_pass() for _ in range(8)]
    assert not fits[0] and fits[-1]
    assert len(arena.block) < 9 * LEAST


@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
def test_the_block_is_hardly_longer_than_what_is_in_it(pooling):
    vgg = nst.load_vgg("vgg19-caffe", precision="bf16", device="cpu", pooling=pooling)
    content = clouds(1, 256, 320)
    objective = nst.objective(vgg, content, nst.compute_style_grams(vgg, content), recipe="classic")
    first = objective.value_and_grad(content)[1]
    for _ in range(3):
        assert torch.equal(objective.value_and_grad(content)[1], first)
    arena = objective.arena
    assert in_use(arena) == 0
    assert not arena.short
    assert arena.most <= len(arena.block) <= 1.09 * arena.most


def test_a_view_keeps_its_part_of_the_block():
    arena = Arena()
    one_pass(arena, 4)
    view = empty((1, 4, 2 * NUMBERS // 8, 4), torch.empty(0), arena).fill_(7)[:, 1:2, :, 2:]
    gc.collect()
    other = one_pass(arena, 2)[0].fill_(9)
    assert within(arena, view[0, 0, 0, :1])
    assert bool((view == 7).all()) and bool((other == 9).all())


def test_small_tensors_and_no_arena_are_torchs():
    arena = Arena()
    small = arena.empty((10,), torch.float32)
    assert arena.live == 0 and small.shape == (10,)
    for given_arena in (arena, None):
        tensor = empty((2, 3, 5, 7), torch.empty(0, dtype=torch.bfloat16), given_arena)
        assert tensor.shape == (2, 3, 5, 7) and tensor.dtype == torch.bfloat16
        assert tensor.is_contiguous(memory_format=torch.channels_last)


def test_tensors_may_be_dropped_in_another_thread():
    arena = Arena()
    held = one_pass(arena, 1, 2)
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert in_use(arena) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults")
def test_a_step_gets_few_pages_anew():
    """Also in a thread that is not the program's first, where libraries give large blocks back at once."""
    import resource

    vgg = nst.load_vgg("vgg19-caffe", precision="bf16", device="cpu")
    content = clouds(1, 640, 640)
    faults = []

    def work():
        def on_step(progress):
            faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)

        nst.stylize(vgg, content, nst.compute_style_grams(vgg, content), steps=12, scales=1, on_step=on_step)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    widest = 640 * 640 * 64 * 2 // 4096  # pages of the first layer's features, which torch makes; all in all, 50000
    later = [after - before for before, after in pairwise(faults[4:])]
    assert median(later) < 2 * widest  # one step alone may meet what the system or another thread does just then
