"""Convolutions and matrix products of fp32 numbers in fp32, whatever else the process has told torch.

Any program in the process may let torch round fp32 numbers to TF32 or bf16 before it multiplies them, at any moment and
for all threads; for cuDNN's convolutions that is so from the start. These settings are not ours to change, not even for
a moment. cuDNN is told with every convolution, and what torch would round elsewhere is computed in float64.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F

from .precision import convolves_in_fp32, keeps_fp32, widest_float

Tensor = torch.Tensor

AT_ONCE = 1 << 21  # numbers in float64


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None = None, padding: int = 1) -> Tensor:
    """conv2d of a tensor in channels_last."""
    if x.dtype != torch.float32 or not _goes_to_cudnn(x, kernel):
        return conv2d(x, kernel, bias, padding=padding)
    cudnn = torch.backends.cudnn
    deterministic = cudnn.deterministic or torch.are_deterministic_algorithms_enabled()
    y: Tensor = torch.ops.aten.cudnn_convolution(
        x.contiguous(memory_format=torch.channels_last),
        kernel,
        (padding, padding),
        (1, 1),
        (1, 1),
        1,
        cudnn.benchmark,
        deterministic,
        allow_tf32=False,
    )
    return y if bias is None else y.add_(bias.view(1, -1, 1, 1))


def conv2d(
    x: Tensor, kernel: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int | tuple[int, int] = 0
) -> Tensor:
    """torch's own, where that is not cuDNN's."""
    if x.dtype != torch.float32 or x.device.type != "cpu" or convolves_in_fp32():
        return F.conv2d(x, kernel, bias, stride, padding)
    y = F.conv2d(x.double(), kernel.double(), None if bias is None else bias.double(), stride, padding)
    return y.to(x.dtype)


def convolve_relu(x: Tensor, kernel: Tensor, bias: Tensor, padding: int = 1) -> Tensor | None:
    """relu(conv2d + bias) of half-precision numbers in one pass of cuDNN: on a large picture bias and ReLU alone would
    take longer than the convolution. None where cuDNN has no such pass."""
    half = x.dtype in (torch.bfloat16, torch.float16)
    if not half or not _goes_to_cudnn(x, kernel) or not _has_convolution_with_relu(x.device, x.dtype):
        return None
    return _convolve_relu(x, kernel, bias, padding)


def _convolve_relu(x: Tensor, kernel: Tensor, bias: Tensor, padding: int) -> Tensor:
    p = [padding, padding]
    y: Tensor = torch.ops.aten.cudnn_convolution_relu(x, kernel, bias, [1, 1], p, [1, 1], 1)
    return y.contiguous(memory_format=torch.channels_last)


@cache
def _has_convolution_with_relu(device: torch.device, dtype: torch.dtype) -> bool:
    """Tried with a small picture: not every version of cuDNN has it for every GPU and number format."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        numbers = torch.randn(shape, generator=generator).to(device, dtype)
        return numbers.contiguous(memory_format=torch.channels_last) if numbers.ndim == 4 else numbers

    x, kernel, bias = random(1, 64, 16, 16), random(64, 64, 3, 3) / 24, random(64)
    try:
        found = _convolve_relu(x, kernel, bias, 1).float()
    except RuntimeError:
        return False
    return torch.allclose(found, F.conv2d(x, kernel, bias, padding=1).relu().float(), rtol=0.02, atol=0.05)


def _goes_to_cudnn(x: Tensor, kernel: Tensor) -> bool:
    """Whether conv2d would use cuDNN."""
    cudnn = torch.backends.cudnn
    if x.device.type != "cuda" or torch.version.hip is not None or not cudnn.is_available() or not cudnn.enabled:
        return False
    # Before 9.3, cuDNN counts with 32 bits, and torch has its own kernels for larger pictures.
    largest = max(kernel.shape[:2]) * x.shape[0] * (x.shape[2] + 2) * (x.shape[3] + 2)
    return largest < 2**31 or (cudnn.version() or 0) >= 90300


def matmul(a: Tensor, b: Tensor, row: Tensor | None = None) -> Tensor:
    """A·B + row."""
    if not _rounded(a):
        return a @ b if row is None else torch.addmm(row, a, b)
    total = a.new_zeros(len(a), b.shape[1])
    return add_matmul(total if row is None else total.add_(row), a, b)


def add_matmul(into: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Adds A·B."""
    if not _rounded(a):
        return into.addmm_(a, b)
    wide = b.double()
    for part, rows in zip(_parts(into, a), _parts(a, a), strict=True):
        part += rows.double() @ wide
    return into


def transpose_matmul(f: Tensor) -> Tensor:
    """FᵀF of N rows."""
    if not _rounded(f):
        return f.T @ f
    total = f.new_zeros(f.shape[1], f.shape[1], dtype=torch.float64)
    for rows in _parts(f, f):
        wide = rows.double()
        total.addmm_(wide.T, wide)
    return total.to(f.dtype)


def einsum(equation: str, a: Tensor, b: Tensor) -> Tensor:
    if not _rounded(a):
        return torch.einsum(equation, a, b)
    return torch.einsum(equation, a.double(), b.double()).to(a.dtype)


def _parts(x: Tensor, a: Tensor) -> tuple[Tensor, ...]:
    """As many rows at a time as may be in float64."""
    parts: tuple[Tensor, ...] = x.split(max(1, AT_ONCE // a.shape[1]))
    return parts


def _rounded(x: Tensor) -> bool:
    return x.dtype == torch.float32 and widest_float(x.device) == torch.float64 and not keeps_fp32(x.device)
