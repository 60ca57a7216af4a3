"""What the engine asks for where time counts: threads, memory and convolutions.

They come from `cpu/`, or, where that folder is gone, from `plain`: the same results in more time.
"""

from __future__ import annotations

from torch import Tensor

from .plain import Arena, Convolutions, empty, equal_parts, share_of

try:
    from .cpu import (
        launch,
        max_pool_backward_rows,
        max_pool_rows,
        new_arena,
        new_convolutions,
        parallel_for,
        strips,
        synchronize,
        thread_pool,
        workspace_bytes,
    )
except ImportError as error:
    if error.name != f"{__package__}.cpu":
        raise
    from .plain import (
        launch,
        max_pool_backward_rows,
        max_pool_rows,
        new_arena,
        new_convolutions,
        parallel_for,
        strips,
        synchronize,
        thread_pool,
        workspace_bytes,
    )

__all__ = (
    "Arena",
    "Convolutions",
    "empty",
    "equal_parts",
    "launch",
    "max_pool_backward_rows",
    "max_pool_rows",
    "new_arena",
    "new_convolutions",
    "parallel_for",
    "rows_of",
    "share_of",
    "strips",
    "synchronize",
    "thread_pool",
    "workspace_bytes",
)


def rows_of(x: Tensor) -> list[slice]:
    """The rows of N×C×H×W in strips."""
    return strips(x.shape[2], x.shape[0] * x.shape[1] * x.shape[3], x.device)
