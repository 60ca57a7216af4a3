"""Memory for the tensors of a pass through the network, kept from pass to pass.

C libraries give large blocks back to the system at once, and getting new pages takes longer than most of what is done
in them. Settings of the library (mallopt) have no effect in other threads than the main one, such as a host's.
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

LEAST = 1 << 18  # bytes; smaller blocks the C library keeps
GRAIN = 64
LARGE = 0.4  # of the largest
GROWTH = 13 / 12


class Arena:
    """One block, of which a tensor has a part until nothing refers to it any more. The first pass, which goes mostly
    without, shows how long the block has to be: passes are alike."""

    def __init__(self) -> None:
        self.block = np.empty(0, np.uint8)
        self.taken: list[tuple[int, int]] = []  # parts of the block in use, first and end, in order
        self.live, self.most = 0, 0  # bytes in use, in the block and beside it, now and at the most
        self.largest = 0
        self.short = False  # a tensor found no gap in a block that has enough free memory in all
        self.lock = threading.Lock()
        # Tensors may be dropped in any thread, even inside `empty`; their parts are taken back at the next call.
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
            self.block = np.empty(0, np.uint8)  # the old block is given back first
            with contextlib.suppress(RuntimeError):  # torch is out of memory: then there is no block
                self.block = torch.empty(wanted, dtype=torch.uint8).numpy()

    def _gap(self, length: int) -> int | None:
        """The start of a gap that is long enough. Large tensors go to the front and small ones to the back, so that
        small ones leave no gaps too short for large ones, and the block is hardly longer than what is in it
        (bench/RESULTS.md)."""
        ends = [0, *(end for _, end in self.taken)]
        beginnings = [*(begin for begin, _ in self.taken), len(self.block)]
        gaps = [(end, begin) for end, begin in zip(ends, beginnings, strict=True) if begin - end >= length]
        if gaps:
            return gaps[0][0] if length >= LARGE * self.largest else gaps[-1][1] - length
        self.short |= self.live + length <= len(self.block)  # there is enough free memory, but in pieces
        return None
