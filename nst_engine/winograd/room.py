"""Memory that convolutions share one after the other: fresh pages take longer than what is done in them."""

from __future__ import annotations

import threading

import torch

MOST_BYTES = 16 << 20  # of a strip of cells: all channels at all points
WORKSPACE = 4 * MOST_BYTES  # three and a half such parts by torch's operations, two in loops


class Room(threading.local):
    def __init__(self) -> None:
        self.memory = torch.empty(0)

    def divide(self, like: torch.Tensor, *sizes: int) -> list[torch.Tensor]:
        if self.memory.dtype != like.dtype or self.memory.numel() < sum(sizes):
            self.memory = torch.empty(0)  # given back first
            with torch.inference_mode(False):  # so that it can be written to whether the host is in that mode or not
                self.memory = like.new_empty(sum(sizes))
        return list(self.memory[: sum(sizes)].split(sizes))
