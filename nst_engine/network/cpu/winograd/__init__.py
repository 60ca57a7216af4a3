"""3×3 convolutions with a quarter of the products: Winograd's minimal filtering, F(4×4, 3×3) (Lavin & Gray 2016).

Along one line: a polynomial of three coefficients times one of four has six, and is known from its values at six
points. Transposed, the same steps give four outputs of a kernel g of three from six neighbours d:

    Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A

with the kernel transform G, the data transform Bᵀ and the inverse transform Aᵀ, along the columns and the rows. The
products ⊙ are summed over the channels, as products of matrices. A cell is what the paper calls a tile: 4×4 outputs.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from types import ModuleType

import torch

from ...plain import NO_EPILOGUE, Arena, Epilogue, empty, equal_parts
from ...precision import has_matrix_units, keeps_fp32
from ..threads import launch, synchronize
from . import in_loops, in_torch
from .layer import Layer
from .transform import cells, strips, transform_kernel
from .workspace import MOST_BYTES, Workspace

__all__ = ["Workspace", "convolve", "pays", "transform_kernel"]

# Below this (channels in × channels out), the transforms take longer than the products saved.
LEAST_PRODUCTS, LEAST_IN_LOOPS = 128 * 128, 64 * 64
# With fewer, reading four times as many numbers of the kernels takes longer than the products saved.
FEWEST_CELLS = 16
# Cells of a strip: fewer leave the caches sooner, more make better matrices. Measured on two cores.
CELLS = 256
MOST_NUMBERS = 512 * 64  # of more cells, where they have few channels
FEWEST_STRIPS = 8
AT_ONCE = [slice(first, first + 3) for first in range(0, 36, 3)]  # matrices that a thread multiplies at once

# The data transform of some rows of cells, the products of some matrices, the inverse transform.
Steps = tuple[Callable[[range], None], Callable[[slice], None], Callable[[range], None]]


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
    flipped: bool = False,
    workspace: Workspace | None = None,
    arena: Arena | None = None,
    epilogue: Epilogue = NO_EPILOGUE,
) -> torch.Tensor:
    """conv2d of x, padded with zeros, with the kernels that `transform_kernel` gave; or with those flipped, from `out`
    to `in`, as gradients go back through the layer. In channels_last, without autograd."""
    if flipped:
        kernels = kernels.transpose(1, 2)
    source = x.permute(0, 2, 3, 1)
    if not source.is_contiguous():
        synchronize()
        source = source.contiguous()
    batch, height, width, _ = source.shape
    y = empty((batch, kernels.shape[2], height + 2 * padding - 2, width + 2 * padding - 2), x, arena)
    for k, (picture, result) in enumerate(zip(source, y.permute(0, 2, 3, 1), strict=True)):
        _by_strips(Layer(picture, result, kernels, padding, flipped, epilogue.of(k), workspace or Workspace()))
    return y


def _by_strips(layer: Layer) -> None:
    """Where there are many strips, a thread takes a whole one; else the threads share each step of one."""
    down, across = layer.cells
    channels = max(layer.kernels.shape[1:])
    parts = strips(down, across, max(CELLS, MOST_NUMBERS // channels))
    if len(parts) >= FEWEST_STRIPS:
        launch(lambda some: _convolve_strip(layer, some), parts, layer.needs, layer.makes)
        return
    parts = strips(down, across, MOST_BYTES // (36 * channels * layer.y.itemsize))
    for some in parts:
        _share_strip(layer, some, alone=len(parts) == 1)


def _convolve_strip(layer: Layer, rows: range) -> None:
    """Some rows of cells, in one thread."""
    incoming, outgoing = _numbers(layer, rows)
    data, products = layer.workspace.strip.divide(layer.y, incoming, outgoing)
    transform_data, multiply, inverse_transform = _steps(layer, rows, data, products)
    transform_data(rows)
    multiply(slice(36))
    inverse_transform(rows)


def _share_strip(layer: Layer, rows: range, alone: bool) -> None:
    """The same with the parts of every step shared among the threads. Strips that take turns in the same memory wait
    for each other."""
    incoming, outgoing = _numbers(layer, rows)
    [data] = layer.workspace.data.divide(layer.y, incoming)
    [products] = layer.workspace.products.divide(layer.y, outgoing)
    transform_data, multiply, inverse_transform = _steps(layer, rows, data, products)
    cells = len(rows) * layer.cells[1]
    count = min(len(rows), max(2, cells // _implementation(layer).CELLS))
    parts = [rows[part] for part in equal_parts(len(rows), count)]
    launch(transform_data, parts, layer.needs if alone else None)
    launch(multiply, AT_ONCE)
    launch(inverse_transform, parts, None, layer.makes if alone else None)


def _numbers(layer: Layer, rows: range) -> list[int]:
    """Of some rows of cells at all points: before the products, and after."""
    return [36 * len(rows) * layer.cells[1] * channels for channels in layer.kernels.shape[1:]]


def _steps(layer: Layer, rows: range, data: torch.Tensor, products: torch.Tensor) -> Steps:
    data, products = (x.view(36, len(rows) * layer.cells[1], -1) for x in (data, products))
    transform_data, inverse_transform = _implementation(layer).transforms(layer, rows, data, products)

    def multiply(some: slice) -> None:
        torch.bmm(data[some], layer.kernels[some], out=products[some])

    return transform_data, multiply, inverse_transform


def _implementation(layer: Layer) -> ModuleType:
    return in_loops if in_loops.can(layer.y.dtype, *layer.kernels.shape[1:]) else in_torch
