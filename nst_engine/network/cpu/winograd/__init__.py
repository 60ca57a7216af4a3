"""3×3 convolutions with a quarter of the products: Winograd's minimal filtering, F(4×4, 3×3) (Lavin & Gray 2016).

Along one line: a polynomial of three coefficients times one of four has six, and is known from its values at six
points. The same steps transposed give four outputs of a kernel of three from six neighbours. Kernels and neighbours are
taken to the points, multiplied there (over the channels, as matrices), and outputs made of the products; in a plane,
along its columns and its rows.
"""

from __future__ import annotations

import platform
from collections.abc import Callable

import torch

from ...precision import has_matrix_units, keeps_fp32
from ..arena import Arena, empty
from ..strips import AS_IT_IS, Finish
from ..threads import alone, each, split
from . import by_torch, in_loops
from .layer import Layer
from .transform import cells, strip, transform
from .workspace import MOST_BYTES, Room, workspace

__all__ = ["Room", "convolve", "pays", "transform", "workspace"]

# Below this (of channels in and out), taking pictures to the points and back takes longer than the products saved.
LEAST_PRODUCTS, LEAST_IN_LOOPS = 128 * 128, 64 * 64
# Fewer than this, and reading four times as many numbers of the kernels takes longer than the products saved.
FEWEST_CELLS = 16
# Cells of a strip: fewer leave the caches sooner, more make better matrices. Measured on two cores.
CELLS = 256
MOST_NUMBERS = 512 * 64  # of more cells, where they have few channels
FEWEST_STRIPS = 8
AT_ONCE = [slice(first, first + 3) for first in range(0, 36, 3)]  # points whose products are made together


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
    padding: int = 1,
    turned: bool = False,
    room: Room | None = None,
    arena: Arena | None = None,
    finish: Finish = AS_IT_IS,
) -> torch.Tensor:
    """conv2d of x, padded with zeros, and the kernels that `transform` gave; or, `turned`, with those turned by half a
    circle and from `out` to `in`, as slopes go back through the layer. In channels_last, without gradient."""
    if turned:
        kernels = kernels.transpose(1, 2)
    source = x.permute(0, 2, 3, 1).contiguous()
    batch, height, width, _ = source.shape
    y = empty((batch, kernels.shape[2], height + 2 * padding - 2, width + 2 * padding - 2), x, arena)
    for k, (picture, result) in enumerate(zip(source, y.permute(0, 2, 3, 1), strict=True)):
        _by_strips(Layer(picture, result, kernels, padding, turned, finish.of(k), room or Room()))
    return y


def _by_strips(layer: Layer) -> None:
    """Where there are many strips, a thread takes a whole one; else they share out each step of one."""
    down, across = layer.cells
    rows = strip(down, across, max(CELLS, MOST_NUMBERS // max(layer.kernels.shape[1:])))
    if -(-down // rows) >= FEWEST_STRIPS:
        each(lambda some: _work(layer, some, alone), _strips(down, rows))
        return
    rows = strip(down, across, MOST_BYTES // (36 * max(layer.kernels.shape[1:]) * layer.y.itemsize))
    for some in _strips(down, rows):
        _work(layer, some, each)


def _strips(down: int, rows: int) -> list[range]:
    return [range(top, min(top + rows, down)) for top in range(0, down, rows)]


def _work(layer: Layer, rows: range, share: Callable) -> None:
    """One strip, rows of cells, there and back. `each` shares out the parts of every step; `alone`, there is one."""
    incoming, outgoing = layer.kernels.shape[1:]
    count = len(rows) * layer.cells[1]
    values, products = layer.room.strip.divide(layer.y, 36 * count * incoming, 36 * count * outgoing)
    values, products = values.view(36, count, incoming), products.view(36, count, outgoing)
    way = in_loops if in_loops.can(layer.y.dtype, incoming, outgoing) else by_torch
    take_there, bring_back = way.steps(layer, rows, values, products)

    def multiply(points: slice) -> None:
        torch.bmm(values[points], layer.kernels[points], out=products[points])

    parts, points = [rows], [slice(36)]
    if share is not alone:
        parts = [rows[part] for part in split(len(rows), min(len(rows), max(2, count // way.CELLS)))]
        points = AT_ONCE
    share(take_there, parts)
    share(multiply, points)
    share(bring_back, parts)
