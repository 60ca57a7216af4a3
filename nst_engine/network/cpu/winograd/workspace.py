"""Memory that convolutions share one after the other: fresh pages take longer than what is done in them."""

from __future__ import annotations

import threading

import torch

MOST_BYTES = 16 << 20  # of a strip of cells: all channels at all points


def workspace() -> int:
    """Bytes, at the most: what a strip's threads share, and what each has for itself."""
    return 2 * MOST_BYTES + torch.get_num_threads() * MOST_BYTES


class Memory(threading.local):
    """A thread's own, as large as it was ever asked for."""

    def __init__(self) -> None:
        self.numbers = torch.empty(0)

    def divide(self, like: torch.Tensor, *sizes: int) -> list[torch.Tensor]:
        if self.numbers.dtype != like.dtype or self.numbers.numel() < sum(sizes):
            self.numbers = torch.empty(0)  # given back first
            with torch.inference_mode(False):  # so that it can be written to whether the host is in that mode or not
                self.numbers = like.new_empty(sum(sizes))
        return list(self.numbers[: sum(sizes)].split(sizes))


class Room:
    def __init__(self) -> None:
        self.strip = Memory()  # what the strip's steps hand on
        self.part = Memory()  # what one step of a part of it needs
