"""Statistics of a picture's features at named taps, or the features themselves, whatever the picture's size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch

from ..errors import NSTError
from ..network.architecture import channels, position_count, stride, tap_shape
from ..network.fast import thread_pool, workspace_bytes
from ..network.tiles import Tile, cut, fit_tile, margin
from ..network.vgg import Network, VGGFeatures
from ..pictures.images import fit_long, shape_of
from ..system.devices import release
from ..system.out_of_memory import is_out_of_memory
from .distances import Statistics
from .moments import positions, statistics
from .nearest import MOST_HYPERCOLUMNS, grid_tap, to_grid
from .sorting import Samples

# Side of what the network sees of a picture at a time.
PIECE = 512
SMALLEST_PIECE = 128  # where memory runs out; smaller ones would be nearly all margin
# Maps that are only looked at are no larger than this.
MAP_SIDE = 512
# Features that are compared by sorting: more of them, evenly spread, would not tell more.
MOST_SAMPLES = 1 << 14


def whole_statistics(
    network: Network, pixels: torch.Tensor, taps: Iterable[str], guides: Mapping[str, torch.Tensor] | None = None
) -> dict[str, Statistics]:
    """A picture's statistics, tile by tile: all of them are sums over positions. With guides T, those within them;
    taps at which nothing is left are omitted."""
    taps = tuple(taps)  # gone through more than once

    def measured(side: int) -> dict[str, Statistics]:
        found: dict[str, Statistics] = {}
        for tap, features, t in _features(network, pixels, taps, guides, side):
            s = statistics(features, t)
            before = found.get(tap, Statistics(torch.zeros_like(s.mean), torch.zeros_like(s.moment), 0))
            found[tap] = Statistics(before.mean + s.n * s.mean, before.moment + s.n * s.moment, before.n + s.n)
        return {tap: Statistics(s.mean / s.n, s.moment / s.n, s.n) for tap, s in found.items() if s.n > 1e-6}

    return in_pieces_that_fit(network, shape_of(pixels), measured)


def whole_samples(
    network: Network, pixels: torch.Tensor, taps: Iterable[str], guides: Mapping[str, torch.Tensor] | None = None
) -> dict[str, Samples]:
    """The features themselves, as many as are worth sorting; each counts T²."""
    taps, shape = tuple(taps), shape_of(pixels)

    def measured(side: int) -> dict[str, list[Samples]]:
        found: dict[str, list[Samples]] = {}
        generator = torch.Generator().manual_seed(0)
        for tap, features, t in _features(network, pixels, taps, guides, side):
            counted = int((guides[tap] > 0).sum()) if guides else position_count(shape, tap)
            weights = None if t is None else t.reshape(-1).square()
            part = _thinned(positions(features), weights, min(1.0, MOST_SAMPLES / max(1, counted)), generator)
            found.setdefault(tap, []).append(part)
        return found

    return {
        tap: Samples(
            torch.cat([s.rows for s in parts]),
            torch.cat([s.weights for s in parts if s.weights is not None]) if guides else None,
        )
        for tap, parts in in_pieces_that_fit(network, shape, measured).items()
    }


def _thinned(rows: torch.Tensor, weights: torch.Tensor | None, share: float, generator: torch.Generator) -> Samples:
    """Piece by piece, so that never more than one is kept whole."""
    if weights is not None:
        rows, weights = rows[weights > 0], weights[weights > 0]
    if share < 1:
        # Drawn, because even steps would fall in with the picture's rows.
        chosen = torch.randperm(len(rows), generator=generator)[: round(len(rows) * share)].to(rows.device)
        rows, weights = rows[chosen], None if weights is None else weights[chosen]
    return Samples(rows.clone(), weights)


def whole_hypercolumns(
    network: Network,
    pixels: torch.Tensor,
    taps: Iterable[str],
    inside: torch.Tensor | None = None,
    most: int = MOST_HYPERCOLUMNS,
) -> dict[str, torch.Tensor]:
    """A picture's hypercolumns, each tap's part of them as rows, tile by tile; of more than `most`, so many drawn from
    everywhere. `inside` (1x1xhxw) says which positions of the grid count."""
    taps = tuple(taps)
    grid = grid_tap(taps)
    if inside is None:
        inside = torch.ones(1, 1, *tap_shape(shape_of(pixels), grid), dtype=torch.bool)
    share = min(1.0, most / max(1, int(inside.sum())))

    def measured(side: int) -> dict[str, list[torch.Tensor]]:
        found: dict[str, list[torch.Tensor]] = {tap: [] for tap in taps}
        generator = torch.Generator().manual_seed(0)
        cut_up = pieces(shape_of(pixels), taps, network.vgg.architecture, network.seamless, side)
        for done, piece in enumerate(cut_up, 1):
            chosen = piece.from_whole(inside, grid).flatten().nonzero().flatten()
            if share < 1:
                chosen = chosen[torch.randperm(len(chosen), generator=generator)[: round(len(chosen) * share)]]
            wider = piece.with_more_margin(max(map(stride, taps)))  # straight lines need a position beyond the edge
            seen = wider.pixels(pixels).to(network.device)
            shape = tap_shape(shape_of(seen), grid)
            for tap, features in network.activations(seen, taps):
                columns = wider.without_margin(to_grid(features, tap, grid, shape), grid)
                found[tap].append(columns.movedim(1, -1).flatten(0, 2)[chosen.to(network.device)])
            network.watch.measured(done, len(cut_up))
        return found

    found = in_pieces_that_fit(network, shape_of(pixels), measured)
    return {tap: torch.cat(rows) for tap, rows in found.items()}


@dataclass(frozen=True)
class Maps:
    """A tap's features reduced to a size to look at, and their energy and largest values before that."""

    values: torch.Tensor  # CxHxW, means of neighbouring positions
    energy: torch.Tensor  # of each, the mean square
    largest: torch.Tensor  # of each, the largest absolute value


def whole_maps(network: Network, pixels: torch.Tensor, tap: str) -> Maps:
    """Of a picture, tile by tile, so that its size does not matter."""
    h, w = tap_shape(shape_of(pixels), tap)
    height, width = fit_long((h, w), min(MAP_SIDE, max(h, w)))
    rows, columns = torch.arange(h) * height // h, torch.arange(w) * width // w

    def measured(side: int) -> Maps:
        c = channels(tap)
        sums, energy, largest = torch.zeros(c, height, width), torch.zeros(c), torch.zeros(c)
        cut_up = pieces(shape_of(pixels), (tap,), network.vgg.architecture, network.seamless, side)
        for done, piece in enumerate(cut_up, 1):
            [(_, features)] = network.activations(piece.pixels(pixels).to(network.device), (tap,))
            inner = piece.without_margin(features, tap)[0].float().cpu()
            energy += inner.square().sum((1, 2))
            largest = torch.maximum(largest, inner.abs().amax((1, 2)))
            top, left = (first // stride(tap) for first, _ in piece.inner)
            down, right = rows[top : top + inner.shape[1]], columns[left : left + inner.shape[2]]
            sums.index_add_(1, down, inner.new_zeros(*inner.shape[:2], width).index_add_(2, right, inner))
            network.watch.measured(done, len(cut_up))
        counts = torch.outer(rows.bincount(), columns.bincount())
        return Maps(sums.div_(counts), energy / (h * w), largest)

    return in_pieces_that_fit(network, shape_of(pixels), measured)


def pieces(
    shape: tuple[int, int], taps: Iterable[str], architecture: str, wraps: bool = False, side: int = PIECE
) -> list[Tile]:
    """What a picture of this shape is cut into to be measured."""
    taps = tuple(taps)
    return list(cut(shape, fit_tile(side, taps), taps, architecture, wraps))


def _features(
    network: Network,
    pixels: torch.Tensor,
    taps: Iterable[str],
    guides: Mapping[str, torch.Tensor] | None,
    side: int,
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor | None]]:
    """Tap, features and guide of one piece of the picture after the other."""
    cut_up = pieces(shape_of(pixels), taps, network.vgg.architecture, network.seamless, side)
    for done, piece in enumerate(cut_up, 1):
        for tap, features in network.activations(piece.pixels(pixels).to(network.device), taps):
            t = piece.from_whole(guides[tap], tap).to(network.device) if guides else None
            yield tap, piece.without_margin(features, tap), t
        network.watch.measured(done, len(cut_up))


Measured = TypeVar("Measured")


def in_pieces_that_fit(network: Network, shape: tuple[int, int], measured: Callable[[int], Measured]) -> Measured:
    """What `measured` gives for pieces of this side, which is halved where memory runs out."""
    side = PIECE
    while True:
        try:
            with thread_pool(network.device):
                return measured(side)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside the handler, whose traceback would keep the failed attempt's tensors alive.
        release(network.device)
        if side <= SMALLEST_PIECE:
            raise NSTError(
                f"size: the features of {shape[1]}×{shape[0]} pixels do not fit into the memory of {network.device}, "
                f"not even in pieces of {side}. Fewer programs beside this one would do."
            )
        side //= 2


def memory_to_measure(vgg: VGGFeatures) -> int:
    """Bytes that measuring a style takes at its most, whatever its size: three maps of the first block for a piece and
    its margin, and the network, in fp32."""
    seen = (PIECE + 2 * margin(("relu5_1",), vgg.architecture)) ** 2
    network = Network(vgg, dtype=torch.float32)
    return 4 * 3 * channels("conv1_1") * seen + sum(map(network.kernel_bytes, vgg.convolutions)) + workspace_bytes()
