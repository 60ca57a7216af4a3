"""Memory for what a pass through the network makes, kept from pass to pass.

C libraries give large blocks back to the system at once, and getting pages anew takes longer than most of what is done
in them; what could be told to the main thread's library is of no effect in others, such as a host's.
"""

from __future__ import annotations

import bisect
import contextlib
import math
import threading
import weakref
from collections import deque
from collections.abc import Sequence

import numpy as np
import torch

LEAST = 1 << 18  # bytes; what is smaller, libraries keep themselves
GRAIN = 64
LARGE = 0.4  # of the largest
GROWTH = 13 / 12


class Arena:
    """One block, in which a tensor has a place until nothing refers to it any more. The first pass does without it,
    mostly, and tells how long it has to be: passes are alike."""

    def __init__(self) -> None:
        self.block = np.empty(0, np.uint8)
        self.taken: list[tuple[int, int]] = []  # beginnings and ends in the block, in order
        self.live, self.most = 0, 0  # bytes, in the block and beside it, now and at the most
        self.largest = 0
        self.short = False  # something found no place in a block that seemed long enough
        self.lock = threading.Lock()
        # Tensors may be dropped in any thread, and while one is being made: that is seen to when the next is.
        self.dropped: deque[tuple[int | None, int]] = deque()

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        size = math.prod(shape) * dtype.itemsize
        if size < LEAST:
            return torch.empty(shape, dtype=dtype)
        length = -(-size // GRAIN) * GRAIN
        with self.lock:
            self._take_back()
            if not self.live:
                self._fit()
            first = self._gap(length)
            self.live += length
            self.most, self.largest = max(self.most, self.live), max(self.largest, length)
            if first is None:
                part = torch.empty(size, dtype=torch.uint8).numpy()
            else:
                part = self.block[first : first + size]
                bisect.insort(self.taken, (first, first + length))
        # The tensor holds `part`, and with it, this part of the block.
        weakref.finalize(part, self.dropped.append, (first, length)).atexit = False
        return torch.from_numpy(part).view(dtype).view(*shape)

    def _take_back(self) -> None:
        while self.dropped:
            first, length = self.dropped.popleft()
            self.live -= length
            if first is not None:
                self.taken.remove((first, first + length))

    def _fit(self) -> None:
        wanted = max(self.most, math.ceil(len(self.block) * GROWTH / GRAIN) * GRAIN if self.short else 0)
        self.short = False
        if wanted > len(self.block):
            self.block = np.empty(0, np.uint8)  # given back first
            with contextlib.suppress(RuntimeError):  # torch's lack of memory: then it goes without
                self.block = torch.empty(wanted, dtype=torch.uint8).numpy()

    def _gap(self, length: int) -> int | None:
        """Where there is room for it. Large tensors come and go at the one end and small ones at the other: so those do
        not leave gaps too short for these, and the block is hardly longer than what is in it (bench/RESULTS.md)."""
        ends = [0, *(end for _, end in self.taken)]
        beginnings = [*(begin for begin, _ in self.taken), len(self.block)]
        gaps = [(end, begin) for end, begin in zip(ends, beginnings, strict=True) if begin - end >= length]
        if gaps:
            return gaps[0][0] if length >= LARGE * self.largest else gaps[-1][1] - length
        self.short |= self.live + length <= len(self.block)  # there is enough, but in pieces
        return None
