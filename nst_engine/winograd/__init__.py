"""3×3 convolutions with a quarter of the products: Winograd's minimal filtering, F(4×4, 3×3) (Lavin & Gray 2016).

Along one line: a polynomial of three coefficients times one of four has six, and is known from its values at six
points. The same steps transposed give four outputs of a kernel of three from six neighbours. Kernels and neighbours are
taken to the points, multiplied there (over the channels, as matrices), and outputs made of the products; in a plane,
along its columns and its rows.
"""

from __future__ import annotations

import platform

import torch

from ..arena import Arena, empty
from ..precision import has_matrix_units, keeps_fp32
from ..strips import Finish
from ..workers import alone, each
from . import by_torch, in_loops
from .points import Steps, cells, strip, transform
from .room import MOST_BYTES, Room, workspace

__all__ = ["Room", "convolve", "pays", "transform", "workspace"]

# Below this (of channels in and out), taking pictures to the points and back takes longer than the products saved.
LEAST_PRODUCTS, LEAST_IN_LOOPS = 128 * 128, 64 * 64
# Fewer than this, and reading four times as many numbers of the kernels takes longer than the products saved.
FEWEST_CELLS = 16
# Cells of a strip: fewer leave the caches sooner, more make better matrices. Measured on two cores.
CELLS = 256
FEWEST_STRIPS = 8


def pays(kernel: torch.Size, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> bool:
    """Whether outputs of this shape come sooner than from torch's convolution, and as exact. Measured on one x86
    machine (bench/RESULTS.md); matrix units make products too cheap to save, and other machines are left to torch."""
    return (
        dtype in (torch.float32, torch.bfloat16)
        and kernel[0] * kernel[1] >= LEAST_IN_LOOPS
        and cells(shape[0]) * cells(shape[1]) >= FEWEST_CELLS
        and device.type == "cpu"
        and platform.machine().lower() in ("x86_64", "amd64")
        and (keeps_fp32(device) if dtype == torch.float32 else not has_matrix_units())
        and (kernel[0] * kernel[1] >= LEAST_PRODUCTS or in_loops.can(dtype, *kernel[:2]))
    )


def convolve(
    x: torch.Tensor,
    kernels: torch.Tensor,
    bias: torch.Tensor | None = None,
    padding: int = 1,
    turned: bool = False,
    room: Room | None = None,
    arena: Arena | None = None,
    finish: Finish | None = None,
) -> torch.Tensor:
    """conv2d of x, padded with zeros, and the kernels that `transform` gave; or, `turned`, with those turned by half a
    circle and from `out` to `in`, as slopes go back through the layer. In channels_last, without gradient."""
    if turned:
        kernels = kernels.transpose(1, 2)
    source = x.permute(0, 2, 3, 1).contiguous()
    batch, height, width, _ = source.shape
    y = empty((batch, kernels.shape[2], height + 2 * padding - 2, width + 2 * padding - 2), x, arena)
    way = in_loops if in_loops.can(x.dtype, *kernels.shape[1:]) else by_torch
    for picture, whole in zip(source, y.permute(0, 2, 3, 1), strict=True):
        _by_strips(way.steps(picture, whole, kernels, bias, padding, turned, room or Room()), whole, kernels, finish)
    return y


def _by_strips(steps: Steps, y: torch.Tensor, kernels: torch.Tensor, finish: Finish | None) -> None:
    """Where there are many strips, a thread takes a whole one; else they share out each step of one."""
    down, across = cells(y.shape[0]), cells(y.shape[1])
    rows = strip(down, across, CELLS)
    picture = y.permute(2, 0, 1)[None]

    def done(part: range) -> None:
        if finish is not None:
            finish(picture, slice(4 * part.start, min(4 * part.stop, len(y))))

    if -(-down // rows) >= FEWEST_STRIPS:
        each(lambda part: steps(part, alone, done), [range(top, min(top + rows, down)) for top in range(0, down, rows)])
        return
    rows = strip(down, across, MOST_BYTES // (36 * max(kernels.shape[1:]) * y.itemsize))
    for top in range(0, down, rows):
        steps(range(top, min(top + rows, down)), each, done)
