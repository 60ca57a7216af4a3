"""Memory that convolutions share one after the other: fresh pages take longer than what is done in them."""

from __future__ import annotations

import threading

import torch

from ..threads import EXTRA

MOST_BYTES = 16 << 20  # of a strip of cells: all channels, transformed


def workspace_bytes() -> int:
    """At the most: what a strip's threads share, and what each has for itself."""
    return (2 + torch.get_num_threads() + EXTRA) * MOST_BYTES


class Memory(threading.local):
    """One block for each thread, as large as it was ever asked for."""

    def __init__(self) -> None:
        self.numbers = torch.empty(0)

    def divide(self, like: torch.Tensor, *sizes: int) -> list[torch.Tensor]:
        if self.numbers.dtype != like.dtype or self.numbers.numel() < sum(sizes):
            self.numbers = torch.empty(0)  # the old block is given back first
            with torch.inference_mode(False):  # so that it can be written to whether the host is in that mode or not
                self.numbers = like.new_empty(sum(sizes))
        return list(self.numbers[: sum(sizes)].split(sizes))


class Workspace:
    def __init__(self) -> None:
        self.strip = Memory()  # a strip's transformed data and products, where one thread has it
        # Where threads share it, apart: a layer's data are transformed while products of the one before are still read.
        self.data, self.products = Memory(), Memory()
        self.part = Memory()  # what one transform of a part of the strip needs
