"""A convolution of one picture, as both ways of doing it see it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..strips import Finish
from .transform import cells
from .workspace import Room


@dataclass(frozen=True)
class Layer:
    picture: Tensor  # height × width × channels
    y: Tensor  # the same of the result
    kernels: Tensor  # at the points: 36 × in × out
    padding: int
    turned: bool
    finish: Finish
    room: Room

    @property
    def cells(self) -> tuple[int, int]:
        """Of the result: how many down, and how many across."""
        return cells(self.y.shape[0]), cells(self.y.shape[1])
