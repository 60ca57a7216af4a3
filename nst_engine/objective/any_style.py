"""What the objective asks of a style term and its gradient, whatever the statistic: of moments or sorted features
(`style`), of every feature's nearest (`nearest`), of samples (`remd`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from ..network.tiles import Tile
from ..statistics.moments import RowGradient


class AnyStyleGradient(Protocol):
    """∂(style term)/∂F at one tap after the other."""

    @property
    def weights(self) -> Mapping[str, float]:
        """By tap, what its part of the term is multiplied by."""

    @property
    def values(self) -> Mapping[Any, Tensor]:
        """Parts of the term's value that are known only when their gradient has been asked for."""

    def at(self, tap: str, f: Tensor, tile: Tile | None) -> Tensor | None: ...

    def of_one_region(self, tap: str) -> RowGradient | None:
        """The gradient at a tap, where it is nothing but F times a matrix."""


class AnyStyleTerm(Protocol):
    @property
    def weights(self) -> Mapping[str, float]: ...

    @property
    def sorts(self) -> bool:
        """Whether it wants the features themselves, when its gradient is asked for, and no sums of them."""

    @property
    def repeats(self) -> bool:
        """Whether every evaluation does the same with the same numbers: no new directions, samples or matches."""

    def begin(self, x: Tensor) -> None:
        """Called before every evaluation."""

    def sums(self, tap: str, features: Tensor, tile: Tile | None = None) -> Mapping[int, Any]:
        """By region, what the value follows from; those of several tiles are added. There after `synchronize`, as the
        features may be."""

    def value_and_gradient(self, sums: Mapping[str, Any]) -> tuple[Tensor, AnyStyleGradient]: ...

    def add_to(self, gradient: Tensor, x: Tensor) -> Tensor | float:
        """Add what depends on the pixels themselves to their gradient; returns its value."""
