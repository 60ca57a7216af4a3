"""What makes the network fast on a CPU: threads that share strips of a picture, memory kept from pass to pass,
convolutions with fewer products, loops in machine code. It offers what `plain` offers, and nothing else imports it but
`fast`: without this folder, everything works as before in more time."""

from __future__ import annotations

import torch

from .. import plain
from .arena import Arena
from .convolutions import Convolutions
from .pooling import max_pool_backward_rows, max_pool_rows
from .threads import launch, parallel_for, strips, synchronize, thread_pool
from .winograd.workspace import workspace_bytes

__all__ = [
    "launch",
    "max_pool_backward_rows",
    "max_pool_rows",
    "new_arena",
    "new_convolutions",
    "parallel_for",
    "strips",
    "synchronize",
    "thread_pool",
    "workspace_bytes",
]


def new_arena() -> plain.Arena | None:
    return Arena()


def new_convolutions(device: torch.device) -> plain.Convolutions:
    return Convolutions() if device.type == "cpu" else plain.Convolutions()
