"""Threads, memory and convolutions by torch's own operations, on any device.

`cpu/` offers the same functions, faster on a CPU; `fast` picks one of the two.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from . import exact
from .bits import relu_backward
from .kernels import Kernel

Task = TypeVar("Task")
Share = Callable[[Any], float]  # from a task to a share of a picture, from the top: 1 is all of it

CPU = torch.device("cpu")


# --- threads ------------------------------------------------------------------------------------------------------


def parallel_for(do: Callable[[Task], object], tasks: Sequence[Task]) -> None:
    """do(task) for every task, in this thread."""
    for task in tasks:
        do(task)


def launch(
    do: Callable[[Task], object],
    tasks: Sequence[Task],
    needs: Share | None = None,
    makes: Share | None = None,
    aside: bool = False,
) -> None:
    """The same some time later, when what was launched before is done, and by `synchronize` at the latest; here at
    once. `needs` is how much of the picture has to be there before a task may begin (all, if it is not given), and
    `makes` how much is there when it is done, with those before it. What is made `aside` is read by no later job,
    except by one made aside without `needs`, which waits for all before it."""
    parallel_for(do, tasks)


def share_of(height: int) -> Share:
    """Of so many rows: as much as ends with these."""
    return lambda rows: rows.stop / height


def synchronize() -> None:
    """Returns when all that was launched is done: here it always is."""


@contextlib.contextmanager
def thread_pool(device: torch.device = CPU) -> Iterator[None]:
    """While this lasts, `parallel_for` may use several threads: here it does not."""
    yield


def strips(height: int, numbers: int, device: torch.device, least: int = 1 << 18) -> list[slice]:
    """The rows of a tensor in strips to be worked on one by one: here in one piece."""
    return [slice(0, height)]


def equal_parts(length: int, count: int) -> list[slice]:
    """A range in `count` parts, as equal as they can be."""
    bounds = [length * k // count for k in range(count + 1)]
    return [slice(first, end) for first, end in itertools.pairwise(bounds)]


# --- memory -------------------------------------------------------------------------------------------------------


class Arena(Protocol):
    """Memory for tensors, kept from pass to pass."""

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor: ...


def new_arena() -> Arena | None:
    """None: every tensor gets memory of its own from torch."""
    return None


def empty(shape: Sequence[int], like: Tensor, arena: Arena | None, dtype: torch.dtype | None = None) -> Tensor:
    """N×C×H×W, channels last."""
    n, c, h, w = shape
    if arena is None:
        return torch.empty((n, h, w, c), dtype=dtype or like.dtype, device=like.device).permute(0, 3, 1, 2)
    return arena.empty((n, h, w, c), dtype or like.dtype).permute(0, 3, 1, 2)


def workspace_bytes() -> int:
    """The most memory that convolutions take beside kernels and features."""
    return 0


# --- max-pooling ---------------------------------------------------------------------------------------------------

DEAD = 4  # the argmax of a window in which nothing is above 0

PoolRows = Callable[[slice], None]


def max_pool_rows(whole: Tensor, pooled: Tensor, argmax: Tensor) -> PoolRows | None:
    """What max-pooling does to some rows of windows, in a compiled loop: here there is none."""
    return None


def max_pool_backward_rows(whole: Tensor, pooled: Tensor, argmax: Tensor) -> PoolRows | None:
    return None


# --- convolutions -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Epilogue:
    """What is done to a convolution's sums before they are written: `bias` is added; then they go through a ReLU, or
    back through the ReLU that had this output, which lets a gradient through where the output is above 0."""

    bias: Tensor | None = None
    relu: bool = False
    relu_output: Tensor | None = None

    def of(self, picture: int) -> Epilogue:
        """For one picture of a batch."""
        if self.relu_output is None:
            return self
        return replace(self, relu_output=self.relu_output[picture : picture + 1])

    def of_channels(self, some: slice) -> Epilogue:
        bias = None if self.bias is None else self.bias[some]
        return replace(self, bias=bias, relu_output=None if self.relu_output is None else self.relu_output[:, some])

    def write(self, sums: Tensor, y: Tensor, rows: slice) -> None:
        """Writes sums, to which the bias is added already, into these rows of y."""
        out = y[:, :, rows]
        if self.relu:
            torch.clamp_min(sums, 0, out=out)
        elif self.relu_output is not None:
            relu_backward(sums, self.relu_output[:, :, rows], out)
        else:
            y[:, :, rows] = sums

    def in_place(self, y: Tensor, rows: slice) -> None:
        """The same where the sums stand in y already."""
        if self.relu or self.relu_output is not None:
            self.write(y[:, :, rows], y, rows)


NO_EPILOGUE = Epilogue()


def unchanged(kernel: Tensor) -> Tensor:
    return kernel


def flipped(kernel: Tensor) -> Tensor:
    """Rows and columns reversed, channels in and out exchanged: carries gradients back through a layer."""
    return kernel.flip(2, 3).transpose(0, 1)


def convolve(x: Tensor, kernel: Tensor, padding: int, epilogue: Epilogue) -> Tensor:
    bias = epilogue.bias
    if epilogue.relu and bias is not None and (y := exact.convolve_relu(x, kernel, bias, padding)) is not None:
        return y
    y = exact.convolve(x, kernel, bias, padding)
    epilogue.in_place(y, slice(0, y.shape[2]))
    return y


class Convolutions:
    """The 3×3 convolutions of one network, padded with zeros."""

    def forward(
        self, x: Tensor, kernel: Kernel, padding: int, epilogue: Epilogue = NO_EPILOGUE, arena: Arena | None = None
    ) -> Tensor:
        return convolve(x, kernel.form(unchanged), padding, epilogue)

    def backward(
        self,
        gradient: Tensor,
        kernel: Kernel,
        padding: int,
        epilogue: Epilogue = NO_EPILOGUE,
        arena: Arena | None = None,
    ) -> Tensor:
        """∂L/∂x from ∂L/∂y: a convolution with the flipped kernel."""
        return convolve(gradient, kernel.form(flipped), padding, epilogue)

    def kernel_bytes(self, shape: torch.Size, dtype: torch.dtype) -> int:
        """Of a kernel of this shape, in the forms that a large picture needs."""
        return 2 * shape.numel() * dtype.itemsize


def new_convolutions(device: torch.device) -> Convolutions:
    return Convolutions()
