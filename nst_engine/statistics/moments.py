"""First and second moments of a tensor of features: sums over its positions, and the gradient's way back from them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..network.bits import relu_backward
from ..network.exact import AT_ONCE, add_matmul, matmul, transpose_matmul
from ..network.fast import equal_parts, launch, parallel_for, share_of, strips, synchronize
from ..system.devices import kind_of
from .distances import Statistics

A_SHARE = 1 << 24  # products worth a thread's attention
MOST_PRODUCTS = 1 << 20  # partial sums in memory at a time


def positions(features: torch.Tensor) -> torch.Tensor:
    """A 1xCxHxW tensor as N rows of C; no copy, since features lie in memory channel by channel last."""
    return features.movedim(1, -1).flatten(1, 2)[0]


def sums(
    f: torch.Tensor, t: torch.Tensor | None = None, kind: torch.dtype | None = None, means: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Σ T²F (0 unless `means` are wanted) and Σ (TF)(TF)ᵀ over N rows of C, in fp32; or in float64, if that is the
    `kind` of numbers to multiply. Half-precision products are rounded to half precision, so they are computed in parts
    and summed in fp32. Launched: they are there after `synchronize`."""
    n, c = f.shape
    kind = kind or f.dtype
    kind = torch.float32 if kind == torch.float16 else kind  # whose range is too small for squares
    wide = torch.promote_types(kind, torch.float32)
    on_cpu = kind_of(f.device).is_cpu
    shares = n * c**2 // A_SHARE if on_cpu else 1
    parts = equal_parts(n, max(1, min(16, MOST_PRODUCTS // c**2, shares)))
    features = torch.empty(len(parts), c, dtype=wide, device=f.device)
    products = torch.empty(len(parts), c, c, dtype=wide, device=f.device)
    # In float64, all of them would be the most that a step holds beside its features.
    at_once = max(1, AT_ONCE // c if wide == torch.float64 else -(-n // 16) if on_cpu else n)

    def work(k: int) -> None:
        features[k].zero_()
        products[k].zero_()
        for first in range(parts[k].start, parts[k].stop, at_once):
            rows = slice(first, min(first + at_once, parts[k].stop))
            x = f[rows] if t is None else f[rows] * t[rows]
            x = x.to(kind)
            products[k].add_(matmul(x.T, x) if on_cpu else _transpose_matmul(x))  # += would copy the result, too
            if means:
                features[k].add_((x if t is None else x * t[rows]).sum(0, dtype=wide))

    def add_up(_: None) -> None:
        # In a fixed order, so that the bits do not depend on which part was ready first.
        for k in range(1, len(parts)):
            features[0].add_(features[k])
            products[0].add_(products[k])

    launch(work, range(len(parts)), lambda k: parts[k].stop / n, aside=True)
    launch(add_up, [None], aside=True)
    return features[0], products[0]


def _transpose_matmul(x: torch.Tensor) -> torch.Tensor:
    """FᵀF in few operations: a GPU has to launch each."""
    if x.dtype in (torch.float32, torch.float64):
        return transpose_matmul(x)
    # So many that a large GPU has something to do for all of it: with 16, 64 channels of 16 megapixels take 1.4 ms
    # instead of 0.5.
    parts = max(16, 8192 // x.shape[1])
    whole = len(x) // parts * parts
    stacked = x[:whole].view(parts, -1, x.shape[1])
    return torch.bmm(stacked.mT, stacked).sum(0, dtype=torch.float32) + (x[whole:].T @ x[whole:]).float()


def statistics(features: torch.Tensor, t: torch.Tensor | None = None) -> Statistics:
    """Statistics of a 1xCxHxW tensor, in fp32 whatever the features' precision; where `t` is, if that is given."""
    f = positions(features)
    if t is not None:
        t = t.reshape(-1, 1).to(f)
    summed, products = sums(f, t)
    synchronize()
    n = float(len(f)) if t is None else float(t.square().sum())
    whole = max(n, 1e-30)
    return Statistics(summed / whole, products / whole, n)


@dataclass(frozen=True)
class RowGradient:
    """∂L/∂F of a function of F's mean and second moment, for features F as N rows: F·matrix + row."""

    matrix: torch.Tensor
    row: torch.Tensor | None

    def of(self, f: torch.Tensor) -> torch.Tensor:
        if not kind_of(f.device).is_cpu:
            return matmul(f, self.matrix, self.row)
        out = torch.empty_like(f)

        def work(rows: slice) -> None:
            out[rows] = matmul(f[rows], self.matrix, self.row)

        parallel_for(work, self._strips(f))
        return out

    def add_to(self, gradient: torch.Tensor, f: torch.Tensor, whole: bool, through_relu: bool) -> None:
        """Launched: it is there after `synchronize`. Of a tile's inner part, which is not the `whole` that the network
        sees, rows are other shares: then nothing overlaps. `through_relu` takes the sum back through the ReLU that F
        came out of."""

        def work(rows: slice) -> None:
            part, features = gradient[rows], f[rows]
            add_matmul(part, features, self.matrix)
            if self.row is not None:
                part += self.row
            if through_relu:
                relu_backward(part, features, part)

        share = share_of(len(f)) if whole else None
        launch(work, self._strips(f), share, share)

    def _strips(self, f: torch.Tensor) -> list[slice]:
        """Of as many products, whatever the channels."""
        return strips(len(f), self.matrix.numel(), f.device, least=1 << 26)
