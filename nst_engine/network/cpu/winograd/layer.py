"""A convolution of one picture, as both implementations of its transforms see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ...plain import Epilogue
from .transform import cells
from .workspace import Workspace

# The data transform and the inverse transform of some rows of cells.
Transforms = tuple[Callable[[range], None], Callable[[range], None]]


@dataclass(frozen=True)
class Layer:
    picture: Tensor  # height × width × channels
    y: Tensor  # the same of the result
    kernels: Tensor  # transformed: 36 × in × out
    padding: int
    flipped: bool
    epilogue: Epilogue
    workspace: Workspace

    @property
    def cells(self) -> tuple[int, int]:
        """Of the result: how many down, and how many across."""
        return cells(self.y.shape[0]), cells(self.y.shape[1])

    def needs(self, rows: range) -> float:
        """The share of the picture, from the top, that some rows of cells read."""
        return (4 * rows.stop + 2 - self.padding) / self.picture.shape[0]

    def makes(self, rows: range) -> float:
        """The share of the result that is there with them."""
        return rows.stop / self.cells[0]
