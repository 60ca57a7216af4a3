"""Six points, and how convolution kernels are taken there.

They are 0, ±p, ±q and ∞ with p = 1/√2, q = √2, for two reasons. In bf16 they round half as much as 0, ±1, ±2, ∞. And
1/x leads from one to another: a kernel turned by half a circle has at 1/x, but for a factor x², the value that it has
itself at x, so the way back through a layer reads the same kernels in another order.
"""

from __future__ import annotations

import torch

P, Q = 2**-0.5, 2**0.5

# Rows: 0, p, -p, q, -q, ∞. Interpolation's own factors are -2/3 at ±p and 1/6 at ±q. With 2/3 and 1/3 in their place, a
# turned kernel's values are the kernel's, exchanged between p and q; -1 and 1/2 are made up for on the way from there.
_KERNEL = (
    (1.0, 0.0, 0.0),
    (2 / 3, 2 / 3 * P, 1 / 3),
    (2 / 3, -2 / 3 * P, 1 / 3),
    (1 / 3, 1 / 3 * Q, 2 / 3),
    (1 / 3, -1 / 3 * Q, 2 / 3),
    (0.0, 0.0, 1.0),
)
INVERSES = (5, 3, 4, 1, 2, 0)  # where each point's inverse stands


def transform(kernel: torch.Tensor) -> torch.Tensor:
    """A convolution's kernel (out × in × 3 × 3) at the 36 pairs of points: 36 × in × out."""
    line = torch.tensor(_KERNEL, dtype=torch.float64)
    plane = torch.kron(line, line).to(kernel)
    outgoing, incoming = kernel.shape[:2]
    # Columns before rows, as `convolve` keeps them.
    return (plane @ kernel.permute(3, 2, 1, 0).reshape(9, -1)).view(36, incoming, outgoing)


def cells(length: int) -> int:
    """How many cells of 4 cover it."""
    return -(-length // 4)


def strip(down: int, across: int, many: int) -> int:
    """How many rows of cells are worked on together, where they are to be no more than so many cells: strips of equal
    height."""
    rows = max(1, min(down, many // across))
    return -(-down // -(-down // rows))
