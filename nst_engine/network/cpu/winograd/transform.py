"""The points of the transforms, and the transform of kernels.

The points are 0, ±p, ±q and ∞ with p = 1/√2, q = √2, for two reasons. In bf16 they round half as much as 0, ±1, ±2, ∞.
And x → 1/x maps the points onto each other: at 1/x a flipped kernel has, but for a factor x², the value that the kernel
has at x, so that the way back through a layer reads the same transformed kernels in another order.
"""

from __future__ import annotations

import torch

from ...plain import equal_parts
from ..threads import even

P, Q = 2**-0.5, 2**0.5

# G of Lavin & Gray. Rows: 0, p, -p, q, -q, ∞. Interpolation's own factors are -2/3 at ±p and 1/6 at ±q. With 2/3 and
# 1/3 in their place, a flipped kernel's values are the kernel's, exchanged between p and q; the inverse transform makes
# up for -1 and 1/2.
_G = (
    (1.0, 0.0, 0.0),
    (2 / 3, 2 / 3 * P, 1 / 3),
    (2 / 3, -2 / 3 * P, 1 / 3),
    (1 / 3, 1 / 3 * Q, 2 / 3),
    (1 / 3, -1 / 3 * Q, 2 / 3),
    (0.0, 0.0, 1.0),
)
INVERSES = (5, 3, 4, 1, 2, 0)  # the row of each point's inverse


def transform_kernel(kernel: torch.Tensor) -> torch.Tensor:
    """G g Gᵀ of a kernel, out × in × 3 × 3: 36 × in × out."""
    line = torch.tensor(_G, dtype=torch.float64)
    plane = torch.kron(line, line).to(kernel)
    outgoing, incoming = kernel.shape[:2]
    # Columns before rows, as in the other transforms.
    return (plane @ kernel.permute(3, 2, 1, 0).reshape(9, -1)).view(36, incoming, outgoing)


def cells(length: int) -> int:
    """How many cells of 4 cover it."""
    return -(-length // 4)


def strips(down: int, across: int, most: int) -> list[range]:
    """`down` rows of cells in parts that are worked on together, nearly equal and of no more than `most` cells."""
    count = even(-(-down // max(1, most // across)))
    return [range(part.start, part.stop) for part in equal_parts(down, min(down, count))]
