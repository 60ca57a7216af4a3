"""Numbers as the integers that their bits are. A CPU compares and masks integers in a half or a tenth of the time that
it takes for floating-point numbers of 16 bits; and numbers that are not below 0 have the order of their bits."""

from __future__ import annotations

import torch
from torch import Tensor

from ..system.devices import kind_of

INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes


def bits(x: Tensor) -> Tensor:
    """The same memory, on a CPU as integers."""
    return x.view(INTEGERS[x.itemsize]) if kind_of(x.device).is_cpu else x


def relu_backward(gradient: Tensor, output: Tensor, out: Tensor) -> None:
    """The gradient where the ReLU's output is above 0, else 0."""
    if gradient.itemsize == 2 and output.dtype == gradient.dtype and kind_of(gradient.device).is_cpu:
        above = torch.gt(bits(output), 0, out=torch.empty_like(bits(output)))
        torch.mul(bits(gradient), above, out=bits(out))
        return
    torch.ops.aten.threshold_backward.grad_input(gradient, output, 0, grad_input=out)
