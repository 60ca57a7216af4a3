"""Convolutions on a CPU: with fewer products where that pays, else strip by strip in whichever thread is free."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import exact, plain
from ..kernels import Kernel
from ..plain import CPU, NO_EPILOGUE, Arena, Epilogue, empty, flipped, share_of, unchanged
from . import packed, winograd
from .threads import launch, strips, synchronize
from .winograd.workspace import Workspace

CHANNELS = 128  # of a convolution's output that a thread makes of a small picture
LEAST_PRODUCTS = 1 << 24  # that are worth a thread's attention
A_STRIP = 1 << 20  # numbers; a core's cache holds them, and each strip is a call, which takes as long as many sums
# With a packed kernel a call takes less, and the next layer begins sooner in finer strips: of a small picture at most
# so many, each of at least so many numbers.
STRIPS_PACKED, A_STRIP_PACKED = 4, 3 << 16


class Convolutions(plain.Convolutions):
    """The 3×3 convolutions of one network, and the workspace that they share."""

    def __init__(self) -> None:
        self._workspace = Workspace()

    def forward(
        self, x: Tensor, kernel: Kernel, padding: int, epilogue: Epilogue = NO_EPILOGUE, arena: Arena | None = None
    ) -> Tensor:
        if _in_fewer_products(x, kernel, padding):
            transformed = kernel.form(winograd.transform_kernel)
            return winograd.convolve(x, transformed, padding, False, self._workspace, arena, epilogue)
        form = packed.packed if packed.pays(x) else unchanged
        return convolve_strips(x, kernel.form(form), padding, epilogue, arena)

    def backward(
        self,
        gradient: Tensor,
        kernel: Kernel,
        padding: int,
        epilogue: Epilogue = NO_EPILOGUE,
        arena: Arena | None = None,
    ) -> Tensor:
        if _in_fewer_products(gradient, kernel, padding):
            transformed = kernel.form(winograd.transform_kernel)
            return winograd.convolve(gradient, transformed, padding, True, self._workspace, arena, epilogue)
        if kernel.shape[1] <= 4:
            return four_at_once(gradient, kernel.form(flipped_for_four), padding)
        form = packed.packed_flipped if packed.pays(gradient) else flipped
        return convolve_strips(gradient, kernel.form(form), padding, epilogue, arena)

    def kernel_bytes(self, shape: torch.Size, dtype: torch.dtype) -> int:
        """A picture with small levels has, for a time, the other forms as well."""
        if winograd.pays(shape, (1000, 1000), dtype, CPU):
            return 36 * shape[0] * shape[1] * dtype.itemsize  # the same for both ways
        return super().kernel_bytes(shape, dtype)


def _in_fewer_products(x: Tensor, kernel: Kernel, padding: int) -> bool:
    grown = 2 * padding - 2
    return winograd.pays(kernel.shape, (x.shape[2] + grown, x.shape[3] + grown), x.dtype, x.device)


def convolve_strips(
    x: Tensor,
    kernel: Tensor,
    padding: int,
    epilogue: Epilogue = NO_EPILOGUE,
    arena: Arena | None = None,
    stride: int = 1,
) -> Tensor:
    """conv2d, finished row by row while the rows are still in a core's cache. Its last windows may reach further down
    than the padding."""
    size = kernel.shape[2]
    height = -(-(x.shape[2] + 2 * padding - size) // stride) + 1
    width = (x.shape[3] + 2 * padding - size) // stride + 1
    numbers = x.shape[0] * max(len(kernel) * width, x.shape[1] * x.shape[3] * stride)  # of a row, read or written
    least = max(A_STRIP_PACKED, min(A_STRIP, height * numbers // STRIPS_PACKED)) if kernel.is_mkldnn else A_STRIP
    rows = strips(height, numbers, x.device, least)
    single = len(rows) == 1 and not kernel.is_mkldnn
    if single and len(kernel) > CHANNELS and height * width * kernel.numel() >= LEAST_PRODUCTS:
        return _by_channels(x, kernel, padding, epilogue, arena)
    if single:
        synchronize()
        if stride > 1:
            missing = (height - 1) * stride + size - 2 * padding - x.shape[2]
            x = F.pad(x, (0, 0, 0, missing)) if missing else x
            return exact.conv2d(x, kernel, epilogue.bias, stride, padding)
        return plain.convolve(x, kernel, padding, epilogue)
    y = empty((x.shape[0], len(kernel), height, width), x, arena)

    def work(part: slice) -> None:
        first, end = part.start * stride - padding, (part.stop - 1) * stride - padding + size
        above, below = max(0, -first), max(0, end - x.shape[2])
        read = x[:, :, first + above : end - below]
        if above or below:
            read = F.pad(read, (0, 0, above, below))
        sums, left = _convolve(read, kernel, epilogue, stride, padding)
        left.write(sums, y, part)

    def needs(part: slice) -> float:
        read: int = (part.stop - 1) * stride - padding + size
        return read / x.shape[2]

    launch(work, rows, needs, share_of(height))
    return y


def _convolve(x: Tensor, kernel: Tensor, epilogue: Epilogue, stride: int, across: int) -> tuple[Tensor, Epilogue]:
    """The sums of rows, padded `across`, with the bias; and what is left to do to them."""
    if kernel.is_mkldnn:
        return packed.convolve(x, kernel, epilogue, (0, across)), Epilogue(relu_output=epilogue.relu_output)
    return exact.conv2d(x, kernel, epilogue.bias, stride, (0, across)), epilogue


def _by_channels(x: Tensor, kernel: Tensor, padding: int, epilogue: Epilogue, arena: Arena | None) -> Tensor:
    """Of a picture so small that strips of it would read the kernels more often than they are worth."""
    height, width = (side + 2 * padding - 2 for side in x.shape[2:])
    y = empty((len(x), len(kernel), height, width), x, arena)

    def work(part: slice) -> None:
        some = epilogue.of_channels(part)
        some.write(exact.conv2d(x, kernel[part], some.bias, padding=padding), y[:, part], slice(0, height))

    launch(work, [slice(first, first + CHANNELS) for first in range(0, len(kernel), CHANNELS)])
    return y


def four_at_once(gradient: Tensor, kernel: Tensor, padding: int) -> Tensor:
    """Back to the pixels. They have three channels, and a CPU works on sixteen numbers at a time: so the channels of
    2×2 pixels are computed as those of one position."""
    height, width = (side + 2 * padding - 2 for side in gradient.shape[2:])
    if width % 2:
        synchronize()
        gradient = F.pad(gradient, (0, 1))
    windows = convolve_strips(gradient, kernel, padding, stride=2)
    n, channels, down, across = windows.shape
    pixels = windows.new_empty(n, channels // 4, down, 2, across, 2)

    def work(rows: slice) -> None:
        part = windows[:, :, rows].unflatten(1, (-1, 2, 2))
        pixels[:, :, rows] = part.permute(0, 1, 4, 2, 5, 3)

    launch(work, strips(down, n * channels * across, windows.device), share_of(down), share_of(down))
    return pixels.view(n, channels // 4, 2 * down, 2 * across)[:, :, :height, :width]


def flipped_for_four(kernel: Tensor) -> Tensor:
    """The flipped kernel at the four positions that it has in a window of 4×4."""
    small = flipped(kernel)
    return torch.stack([F.pad(small, (j, 1 - j, i, 1 - i)) for i in (0, 1) for j in (0, 1)], dim=1).flatten(0, 1)
