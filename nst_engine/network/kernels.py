"""Kernels in the forms that convolutions use, each made once and shared by every run with the same weights."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch

Form = Callable[[torch.Tensor], torch.Tensor]

# Layer, name of the form, number format, and whether the weights are in the network's own units.
Key = tuple[str, str, torch.dtype, bool]


@dataclass(frozen=True)
class Kernel:
    """One layer's kernel: its shape, out × in × 3 × 3, and the kernel itself in any form that is asked for."""

    shape: torch.Size
    form: Callable[[Form], torch.Tensor]


class Kernels:
    """Holds one tensor for each key. Several threads may share it: while one makes a tensor, the others wait for it."""

    def __init__(self) -> None:
        self._tensors: dict[Key, torch.Tensor] = {}
        self._lock = threading.Lock()

    def get(self, key: Key, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """The tensor of this key, made when it is first asked for."""
        with self._lock:
            if key not in self._tensors:
                self._tensors[key] = make()
            return self._tensors[key]

    def all(self) -> dict[Key, torch.Tensor]:
        with self._lock:
            return dict(self._tensors)
