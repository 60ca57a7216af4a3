"""Kernels in the forms that a network uses them in, made once and shared by every run with the same weights."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch

# Layer, form, number format, and whether the weights are in the network's own units.
Key = tuple[str, str, torch.dtype, bool]


class Kernels:
    """Grows to one tensor for each key and no further. Runs in several threads may share it: what one of them makes,
    the others wait for."""

    def __init__(self) -> None:
        self._made: dict[Key, torch.Tensor] = {}
        self._lock = threading.Lock()

    def get(self, key: Key, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """The tensor of this key, made when it is first asked for."""
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]

    def all(self) -> dict[Key, torch.Tensor]:
        with self._lock:
            return dict(self._made)
