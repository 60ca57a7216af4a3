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

import torch
import torch.nn.functional as F

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
BYTES_PER_THREAD = 512  # of one channel, at one point
MOST_BYTES = 16 << 20  # of all channels, at all points
WORKSPACE = 5 * MOST_BYTES  # `convolve` has about four such parts, and copies a strip of rows
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

    def divide(self, like: Tensor, *shapes: tuple[int, ...]) -> list[Tensor]:
        sizes = [math.prod(shape) for shape in shapes]
        if self.memory.dtype != like.dtype or self.memory.numel() < sum(sizes):
            self.memory = torch.empty(0)  # given back first
            with torch.inference_mode(False):  # so that it can be written to whether the host is in that mode or not
                self.memory = like.new_empty(sum(sizes))
        parts = self.memory[: sum(sizes)].split(sizes)
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


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

    lines, values, products, outputs, spare = (room or Room()).divide(
        source,
        (6, rows, 4 * across + 2, incoming),  # before the columns are taken to the points,
        (6, 6, rows, across, incoming),  # after it,
        (6, 6, rows, across, outgoing),  # multiplied,
        (6, rows, across, 4, outgoing),  # and after the columns have been read off
        (4 * 6 * rows * across * max(incoming, outgoing),),  # pairs of the six lines, put aside in between
    )
    lines[:, :, :padding] = 0
    lines[:, :, padding + width :] = 0
    inner = lines[:, :, padding : padding + width]
    column = lines.stride(2)
    columns = lines.as_strided(values.shape, (column, *lines.stride()[:2], 4 * column, 1))

    for picture, result in zip(source, y, strict=True):
        for top in range(0, down, rows):
            read = _rows(picture, 4 * top - padding, 4 * rows + 2)
            row = read.stride(0)
            _to_points(read.as_strided((6, rows, width, incoming), (row, 4 * row, incoming, 1)), inner, spare, turned)
            _to_points(columns, values, spare, turned)
            torch.bmm(values.view(36, -1, incoming), kernels, out=products.view(36, -1, outgoing))
            _from_points(products, outputs.unbind(3), spare, turned)
            into = result[4 * top : 4 * (top + rows)]
            whole = into if len(into) == 4 * rows else into.new_empty(4 * rows, *into.shape[1:])
            lines_out = outputs.flatten(2, 3)[:, :, : y.shape[2]]
            _from_points(lines_out, whole.unflatten(0, (rows, 4)).unbind(1), spare, turned)
            if bias is not None:
                whole += bias
            if whole is not into:
                into.copy_(whole[: len(into)])
    return y.permute(0, 3, 1, 2)


def _rows(picture: Tensor, first: int, count: int) -> Tensor:
    """These rows of the picture, and rows of zeros where it has none."""
    above, below = max(0, -first), max(0, first + count - len(picture))
    inside = picture[max(0, first) : first + count]
    return F.pad(inside, (0, 0, 0, 0, above, below)) if above or below else inside


def _to_points(d: Tensor, out: Tensor, spare: Tensor, turned: bool) -> None:
    """Six neighbours d at the six points; the third and first and the fourth and second go in pairs. Turned, at those
    points' inverses."""
    zero, p, q, infinity = (INFINITY, AT_Q, AT_P, ZERO) if turned else (ZERO, AT_P, AT_Q, INFINITY)
    torch.add(d[4], d[2], alpha=-2.5, out=out[zero]).add_(d[0])
    torch.add(d[5], d[3], alpha=-2.5, out=out[infinity]).add_(d[1])
    (put_aside,) = _pairs(spare, d, 1)
    for points, x in ((p, P), (q, Q)):
        odd, even = torch.sub(d[3:5], d[1:3], alpha=1 / x**2, out=put_aside)
        odd.mul_(x)  # not as an alpha below: bf16 would round the factor, and every picture fade a little
        plus, minus = out[points]
        torch.add(even, odd, out=plus)
        torch.sub(even, odd, out=minus)


def _from_points(m: Tensor, y: tuple[Tensor, ...], spare: Tensor, turned: bool) -> None:
    """Four outputs from the products at the six points: their sums weighted with 1, x, x² and x³."""
    sums, differences = _pairs(spare, m, 2)
    torch.add(m[1:4:2], m[2:5:2], out=sums)
    torch.sub(m[1:4:2], m[2:5:2], out=differences).mul_(P)
    p, q = (1, 0) if turned else (0, 1)
    zero, infinity = (INFINITY, ZERO) if turned else (ZERO, INFINITY)
    torch.sub(m[zero], sums[p], out=y[0]).add_(sums[q], alpha=0.5)
    torch.sub(differences[q], differences[p], out=y[1])
    torch.sub(sums[q], sums[p], alpha=0.5, out=y[2])
    torch.add(m[infinity], differences[q], alpha=2, out=y[3]).sub_(differences[p], alpha=0.5)


def _pairs(spare: Tensor, like: Tensor, count: int) -> tuple[Tensor, ...]:
    """Room for pairs of such lines."""
    shape = (count, 2, *like.shape[1:])
    return spare[: 2 * count * like[0].numel()].view(shape).unbind()
