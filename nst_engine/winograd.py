"""3×3 convolutions with a quarter of the products: Winograd's minimal filtering, F(4×4, 3×3) (Lavin & Gray 2016).

Along one line: a polynomial of three coefficients times one of four has six, and is known from its values at six
points. The same steps transposed give four outputs of a kernel of three from six neighbours. Kernels and neighbours are
taken to the points, multiplied there (over the channels, as matrices), and outputs made of the products; in a plane,
along its columns and its rows.

The points are 0, ±p, ±q and ∞ with p = 1/√2, q = √2, for two reasons. In bf16 they round half as much as 0, ±1, ±2, ∞.
And 1/x leads from one to another: a kernel turned by half a circle has at 1/x, but for a factor x², the value that it
has itself at x, so the way back through a layer reads the same kernels in another order.
"""

from __future__ import annotations

import math
import platform
import threading
from collections.abc import Sequence

import torch

from .precision import has_matrix_units, keeps_fp32

Tensor = torch.Tensor

P, Q = 2**-0.5, 2**0.5

# Rows: 0, p, -p, q, -q, ∞. Interpolation's own factors are -2/3 at ±p and 1/6 at ±q. With 2/3 and 1/3 in their place, a
# turned kernel's values are the kernel's, exchanged between p and q; -1 and 1/2 are made up for in `_from_points`.
_KERNEL = (
    (1.0, 0.0, 0.0),
    (2 / 3, 2 / 3 * P, 1 / 3),
    (2 / 3, -2 / 3 * P, 1 / 3),
    (1 / 3, 1 / 3 * Q, 2 / 3),
    (1 / 3, -1 / 3 * Q, 2 / 3),
    (0.0, 0.0, 1.0),
)
ZERO, AT_P, AT_Q, INFINITY = 0, slice(1, 3), slice(3, 5), 5

# Cells are 4×4 outputs. How many are worked on together was measured on two cores; more threads take more.
BYTES_PER_THREAD = 1024  # of one channel, at one point
MOST_BYTES = 16 << 20  # of all channels, at all points
WORKSPACE = 4 * MOST_BYTES  # `convolve` has three and a half such parts
# Below this (of channels in and out), taking pictures to the points and back takes longer than the products saved.
LEAST_PRODUCTS = 128 * 128
# Fewer than this, and reading four times as many numbers of the kernels takes longer than the products saved.
FEWEST_CELLS = 16


def pays(kernel: torch.Size, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> bool:
    """Whether outputs of this shape come sooner than from torch's convolution, and as exact. Measured on one x86
    machine (bench/RESULTS.md); matrix units make products too cheap to save, and other machines are left to torch."""
    return (
        dtype in (torch.float32, torch.bfloat16)
        and kernel[0] * kernel[1] >= LEAST_PRODUCTS
        and cells(shape[0]) * cells(shape[1]) >= FEWEST_CELLS
        and device.type == "cpu"
        and platform.machine().lower() in ("x86_64", "amd64")
        and (keeps_fp32() if dtype == torch.float32 else not has_matrix_units())
    )


def cells(length: int) -> int:
    return -(-length // 4)


def strip(down: int, across: int, channels: int, itemsize: int) -> int:
    """How many rows of cells are worked on together."""
    many = min(BYTES_PER_THREAD * torch.get_num_threads(), MOST_BYTES // (36 * channels)) // itemsize
    rows = max(1, min(down, many // across))
    return -(-down // -(-down // rows))  # strips of equal height


class Room(threading.local):
    """Memory that convolutions share one after the other: fresh pages take longer than what is done in them."""

    def __init__(self) -> None:
        self.memory = torch.empty(0)

    def divide(self, like: Tensor, *sizes: int) -> list[Tensor]:
        if self.memory.dtype != like.dtype or self.memory.numel() < sum(sizes):
            self.memory = torch.empty(0)  # given back first
            with torch.inference_mode(False):  # so that it can be written to whether the host is in that mode or not
                self.memory = like.new_empty(sum(sizes))
        return list(self.memory[: sum(sizes)].split(sizes))


def transform(kernel: Tensor) -> Tensor:
    """A convolution's kernel (out × in × 3 × 3) at the 36 pairs of points: 36 × in × out."""
    line = torch.tensor(_KERNEL, dtype=torch.float64)
    plane = torch.kron(line, line).to(kernel)
    outgoing, incoming = kernel.shape[:2]
    # Columns before rows, as `convolve` keeps them.
    return (plane @ kernel.permute(3, 2, 1, 0).reshape(9, -1)).view(36, incoming, outgoing)


def convolve(
    x: Tensor,
    kernels: Tensor,
    bias: Tensor | None = None,
    padding: int = 1,
    turned: bool = False,
    room: Room | None = None,
) -> Tensor:
    """conv2d of x, padded with zeros, and the kernels that `transform` gave; or, `turned`, with those turned by half a
    circle and from `out` to `in`, as slopes go back through the layer. In channels_last, without gradient."""
    if turned:
        kernels = kernels.transpose(1, 2)
    source = x.permute(0, 2, 3, 1).contiguous()
    batch, height, width, incoming = source.shape
    outgoing = kernels.shape[2]
    y = source.new_empty(batch, height + 2 * padding - 2, width + 2 * padding - 2, outgoing)
    down, across = cells(y.shape[1]), cells(y.shape[2])
    rows = strip(down, across, max(incoming, outgoing), x.itemsize)

    # Every fourth column lies together, so that a cell's neighbours are long runs of numbers in every case.
    seen_shape = (4 * rows + 2, 4, across + 1, incoming)  # rows that a strip of cells sees,
    lines_shape = (6, rows, 4, across + 1, incoming)  # taken to the points,
    values_shape = (6, 6, rows, across, incoming)  # then their columns,
    products_shape = (6, 6, rows, across, outgoing)  # multiplied,
    outputs_shape = (4, 6, rows, across, outgoing)  # columns of the outputs,
    result_shape = (4, 4, rows, across, outgoing)  # and their rows
    # Lines are no longer needed when outputs come, nor values when the result does.
    seen, one, other, products, spare = (room or Room()).divide(
        source,
        math.prod(seen_shape),
        max(math.prod(lines_shape), math.prod(outputs_shape)),
        max(math.prod(values_shape), math.prod(result_shape)),
        math.prod(products_shape),
        6 * rows * (across + 1) * max(incoming, outgoing),
    )
    seen, products = seen.view(seen_shape), products.view(products_shape)
    lines, values, outputs, result = (
        _shaped(memory, shape)
        for memory, shape in ((one, lines_shape), (other, values_shape), (one, outputs_shape), (other, result_shape))
    )
    for k in range(4):
        _, inside = _columns(k, padding, width)
        seen[:, k, : inside.start] = 0
        seen[:, k, inside.stop :] = 0
    rows_near = [seen[k : k + 4 * rows - 3 : 4] for k in range(6)]
    columns_near = [lines[:, :, k % 4, k // 4 : k // 4 + across] for k in range(6)]
    for picture, whole in zip(source, y, strict=True):
        for top in range(0, down, rows):
            _read(picture, 4 * top - padding, padding, seen)
            _to_points(rows_near, lines, spare, turned)
            _to_points(columns_near, values, spare, turned)
            torch.bmm(values.view(36, -1, incoming), kernels, out=products.view(36, -1, outgoing))
            _from_points(products.unbind(0), outputs, spare, turned)
            _from_points(outputs.unbind(1), result, spare, turned)
            _write(result, bias, whole[4 * top : 4 * (top + rows)], products.flatten())
    return y.permute(0, 3, 1, 2)


def _columns(k: int, padding: int, width: int) -> tuple[slice, slice]:
    """Of the columns k, k + 4, k + 8 … of a padded picture, those that the picture has, and which of them they are."""
    first = (k - padding) % 4
    start = 1 if k < padding else 0
    return slice(first, None, 4), slice(start, start + max(0, -(-(width - first) // 4)))


def _read(picture: Tensor, first: int, padding: int, seen: Tensor) -> None:
    """Rows of the picture from `first` on, and zeros where it has none; those left and right are there already."""
    above, below = max(0, -first), max(0, first + len(seen) - len(picture))
    rows = slice(above, len(seen) - below)
    seen[:above] = 0
    seen[len(seen) - below :] = 0
    for k in range(4):
        given, inside = _columns(k, padding, picture.shape[1])
        seen[rows, k, inside] = picture[first + rows.start : first + rows.stop, given]


def _write(result: Tensor, bias: Tensor | None, y: Tensor, spare: Tensor) -> None:
    """The outputs of a strip of cells, column beside column again; the last cells may reach beyond the picture."""
    _, _, rows, across, channels = result.shape
    cells = result.permute(2, 0, 3, 1, 4)
    fits = y.shape[:2] == (4 * rows, 4 * across)
    into = y.view(cells.shape) if fits else _shaped(spare, cells.shape)
    if bias is None:
        into.copy_(cells)
    else:
        torch.add(cells, bias, out=into)
    if not fits:
        y.copy_(into.view(4 * rows, 4 * across, channels)[: y.shape[0], : y.shape[1]])


def _to_points(d: Sequence[Tensor], out: Tensor, spare: Tensor, turned: bool) -> None:
    """Six neighbours d at the six points. Turned, at those points' inverses."""
    zero, p, q, infinity = (INFINITY, AT_Q, AT_P, ZERO) if turned else (ZERO, AT_P, AT_Q, INFINITY)
    torch.sub(d[4], d[2], alpha=2.5, out=out[zero]).add_(d[0])
    torch.sub(d[5], d[3], alpha=2.5, out=out[infinity]).add_(d[1])
    odd = _shaped(spare, out[zero].shape)
    for points, x in ((p, P), (q, Q)):
        plus, even = out[points]
        torch.sub(d[3], d[1], alpha=1 / x**2, out=odd)
        torch.sub(d[4], d[2], alpha=1 / x**2, out=even)
        _add(even, x, odd, out=plus)
        _add(even, -x, odd, out=even)


def _from_points(m: Sequence[Tensor], y: Tensor, spare: Tensor, turned: bool) -> None:
    """Four outputs from the products m at the six points: their sums weighted with 1, x, x² and x³. Uses m up."""
    zero, p, q, infinity = (INFINITY, AT_Q, AT_P, ZERO) if turned else (ZERO, AT_P, AT_Q, INFINITY)
    (p_plus, p_minus), (q_plus, q_minus) = m[p], m[q]
    p_sum = torch.add(p_plus, p_minus, out=_shaped(spare, p_plus.shape))
    p_difference = torch.sub(p_plus, p_minus, out=p_minus)
    q_sum = torch.add(q_plus, q_minus, out=p_plus)
    q_difference = torch.sub(q_plus, q_minus, out=q_minus)
    torch.sub(m[zero], p_sum, out=y[0]).add_(q_sum, alpha=0.5)
    torch.sub(q_sum, p_sum, alpha=0.5, out=y[2])
    torch.sub(q_difference, p_difference, out=y[1]).mul_(P)
    _add(m[infinity], Q, q_difference.sub_(p_difference, alpha=0.25), out=y[3])


def _add(a: Tensor, factor: float, b: Tensor, out: Tensor) -> None:
    """a + factor·b, where torch would round the factor to bf16, and every picture fade a little."""
    torch.addcmul(a, b, b.new_ones(()), value=factor, out=out)


def _shaped(memory: Tensor, shape: Sequence[int]) -> Tensor:
    return memory[: math.prod(shape)].view(shape)
