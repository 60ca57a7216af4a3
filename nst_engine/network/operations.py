"""What a network does beside convolutions and pooling: borders and ReLU, there and back."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .fast import Arena, empty, launch, rows_of, share_of, synchronize
from .plain import Epilogue

# For each way of continuing a picture beyond its border: the row that is repeated before the first and the one after
# the last, counted in the padded picture, whose last row this is.
CONTINUED: dict[str, Callable[[int], tuple[int, int]]] = {
    "replicate": lambda last: (1, last - 1),
    "reflect": lambda last: (2, last - 2),
    "circular": lambda last: (last - 1, 1),
}


def pad(x: Tensor, edges: str, arena: Arena | None = None) -> Tensor:
    """x with one position more on every side, as `edges` says."""
    # Not F.pad: of a tensor in channels_last it takes several times as long on an H200.
    n, c, h, w = x.shape
    y = empty((n, c, h + 2, w + 2), x, arena)

    def work(rows: slice) -> None:
        y[:, :, 1 + rows.start : 1 + rows.stop, 1:-1] = x[:, :, rows]

    launch(work, rows_of(x), share_of(h))
    synchronize()
    for dim in (3, 2):
        last = y.shape[dim] - 1
        for side, source in zip((0, last), CONTINUED[edges](last), strict=True):
            y.select(dim, side).copy_(y.select(dim, source))
    return y


def fold_border(gradient: Tensor, edges: str) -> Tensor:
    """∂L/∂x from the gradient of the padded x: that of the border is added to the pixels that it repeated."""
    synchronize()
    for dim in (2, 3):
        last = gradient.shape[dim] - 1
        for side, source in zip((0, last), CONTINUED[edges](last), strict=True):
            gradient.select(dim, source).add_(gradient.select(dim, side))
        gradient = gradient.narrow(dim, 1, last - 1)
    return gradient


def relu(x: Tensor, arena: Arena | None = None) -> Tensor:
    y = empty(x.shape, x, arena)
    launch(lambda rows: Epilogue(relu=True).write(x[:, :, rows], y, rows), rows_of(x), *_both(x))
    return y


def relu_backward(gradient: Tensor, output: Tensor) -> Tensor:
    """∂L/∂x, in the gradient's memory: 0 where the output is 0."""
    launch(lambda rows: Epilogue(relu_output=output).in_place(gradient, rows), rows_of(gradient), *_both(gradient))
    return gradient


def _both(x: Tensor) -> tuple[Callable[[slice], float], Callable[[slice], float]]:
    """What rows need of a picture of this height, and what they make of the next."""
    share = share_of(x.shape[2])
    return share, share
