"""Memory for what a pass through the network makes, kept from pass to pass.

C libraries give large blocks back to the system at once, and getting pages anew takes longer than most of what is done
in them; what could be told to the main thread's library is of no effect in others, such as a host's.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Sequence

import numpy as np
import torch

LEAST = 1 << 18  # bytes; what is smaller, libraries keep themselves
GRAIN = 64


class Arena:
    """One block, in which a tensor takes the first place that is long enough, until nothing refers to it any more. The
    first pass goes without, and tells how long the block has to be: passes are alike."""

    def __init__(self) -> None:
        self.block = np.empty(0, np.uint8)
        self.taken: dict[int, int] = {}  # beginnings and ends in the block
        self.live, self.most = 0, 0  # bytes, now and at the most
        self.short = 0  # bytes that found no place in a block that seemed long enough
        # Tensors may be dropped in any thread, and while one is being made.
        self.lock = threading.RLock()

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        size = math.prod(shape) * dtype.itemsize
        if size < LEAST:
            return torch.empty(shape, dtype=dtype)
        length = -(-size // GRAIN) * GRAIN
        with self.lock:
            if not self.live:
                self._fit()
            first = self._gap(length)
            if first is None:
                part = np.empty(size, np.uint8)
            else:
                part, self.taken[first] = self.block[first : first + size], first + length
            self.live += length
            self.most = max(self.most, self.live)
        # The tensor holds `part`, and with it, this part of the block.
        weakref.finalize(part, self._give_back, first, length).atexit = False
        return torch.from_numpy(part).view(dtype).view(*shape)

    def _fit(self) -> None:
        wanted = self.most + self.short
        if wanted > len(self.block):
            self.block = np.empty(0, np.uint8)  # given back first
            block = np.empty(wanted + GRAIN, np.uint8)
            start = -block.ctypes.data % GRAIN
            self.block = block[start : start + wanted]
        self.short = 0

    def _gap(self, length: int) -> int | None:
        first = 0
        for begin, end in sorted(self.taken.items()):
            if begin - first >= length:
                return first
            first = end
        if first + length <= len(self.block):
            return first
        if self.live + length <= len(self.block):
            self.short += length  # there is enough, but in pieces
        return None

    def _give_back(self, first: int | None, length: int) -> None:
        with self.lock:
            self.live -= length
            if first is not None:
                del self.taken[first]


def empty(shape: Sequence[int], like: torch.Tensor, arena: Arena | None) -> torch.Tensor:
    """N×C×H×W, channels last."""
    n, c, h, w = shape
    if arena is None:
        return torch.empty(n, c, h, w, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
    return arena.empty((n, h, w, c), like.dtype).permute(0, 3, 1, 2)
