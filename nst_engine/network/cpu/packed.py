"""Convolutions with kernels that are laid out in advance as matrix units read them.

torch's convolution lays its kernel out anew at every call; for a strip of a deep layer that takes a quarter as long as
the products and, the lower the strip, up to four fifths. The operations that do without are the ones torch itself uses
in compiled models.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..plain import Epilogue, flipped
from ..precision import has_matrix_units


def pays(x: Tensor) -> bool:
    return x.dtype == torch.bfloat16 and has_matrix_units() and _works()


def packed(kernel: Tensor) -> Tensor:
    laid_out = kernel.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    found: Tensor = torch.ops.mkldnn._reorder_convolution_weight(laid_out, [1, 1], [1, 1], [1, 1], 1, None)
    return found


def packed_flipped(kernel: Tensor) -> Tensor:
    return packed(flipped(kernel))


def convolve(x: Tensor, kernel: Tensor, epilogue: Epilogue, padding: tuple[int, int]) -> Tensor:
    """conv2d with bias and ReLU; the way back through a ReLU is left to do."""
    after = "relu" if epilogue.relu else "none"
    y: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, kernel, epilogue.bias, padding, [1, 1], [1, 1], 1, after, [], ""
    )
    return y


@cache
def _works() -> bool:
    """Tried with a small picture: these operations are nowhere promised."""
    generator = torch.Generator().manual_seed(0)
    x, kernel = torch.randn(1, 16, 8, 8, generator=generator), torch.randn(16, 16, 3, 3, generator=generator)
    x = x.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    try:
        found = convolve(x, packed(kernel), Epilogue(relu=True), (1, 1))
    except (AttributeError, RuntimeError):
        return False
    expected = F.conv2d(x, kernel.to(torch.bfloat16), padding=1).relu()
    return found.is_contiguous(memory_format=torch.channels_last) and torch.allclose(found, expected, 0.02, 0.05)
