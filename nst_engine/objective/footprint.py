"""The memory that a run takes, for each pixel of the picture and for each that is in the network at a time."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from dataclasses import dataclass

import torch

from ..network.architecture import LayerStep, channels, stride
from ..network.fast import workspace_bytes
from ..network.tiles import grid, margin
from ..network.vgg import Network
from ..recipes import LBFGS, Recipe
from ..statistics.distances import BY_POSITION, BY_SAMPLING, BY_SORTING
from ..statistics.hypercolumns import bytes_of_samples
from ..statistics.measure import MOST_SAMPLES
from ..statistics.nearest import MOST_HYPERCOLUMNS, bytes_of_matches
from ..statistics.sorting import SORTED_AT_ONCE
from ..system.devices import kind_of

PICTURE = 12  # bytes a pixel: three channels in fp32
MASK = 4
# Bytes that sorting takes for each number: itself, sorted, its index, and as much again for the style's.
SORTING = 40
# Smaller tiles would be nearly all margin.
SMALLEST_TILE = 128


# Layers of the style, and of the content.
Taps = tuple[Iterable[str], Iterable[str]]


@dataclass(frozen=True)
class ExtraMemory:
    """What a run is asked for that takes memory beside pictures and features: masks, mostly."""

    regions: int = 1  # parts of the picture with a style each
    guided: bool = False  # by masks
    pinned: bool = False  # where the content's pixels stay
    emphasis: bool = False  # where the content counts more
    tv: bool = False
    temporal: bool = False  # held to a warped result
    matched: tuple[int, ...] = ()  # by region, the style's hypercolumns; empty: as many as there can be

    def bytes_per_pixel(self, style_taps: Iterable[str], content_taps: Iterable[str]) -> float:
        guides = self.regions * sum(MASK / stride(tap) ** 2 for tap in style_taps) if self.guided else 0.0
        pinned = 3 * MASK if self.pinned else 0.0  # as given, at the level's size, and the complement
        emphasis = MASK + sum(MASK / stride(tap) ** 2 for tap in content_taps) if self.emphasis else 0.0
        # Neighbours' differences, their squares and their gradient, when the features are gone: so they make the peak
        # only where tiles keep the features small.
        variation = 3 * PICTURE if self.tv else 0.0
        temporal = PICTURE + 3 * MASK + (0.0 if self.tv else 2 * PICTURE) if self.temporal else 0.0
        return guides + pinned + emphasis + variation + temporal


NO_EXTRAS = ExtraMemory()


@dataclass(frozen=True)
class Footprint:
    """Bytes that a run takes: some for each pixel of the picture, and some for each pixel of the part of it, tile and
    margin, that is in the network at a time."""

    network: int
    state: float  # per pixel of the picture: pictures, optimiser, targets
    seen: float  # per pixel in the network: features, gradients
    margin: int
    grid: int
    wraps: bool = False  # a tile's margin continues on the other side of the picture
    most: float = math.inf  # pixels that can be in the network, whatever memory there is

    def total(self, shape: tuple[int, int], tile: int | None = None) -> float:
        h, w = shape
        seen = h * w
        if tile is not None:
            around = 2 * self.margin
            rows, columns = (min(s, tile) + around if self.wraps else min(s, tile + around) for s in shape)
            seen = rows * columns
        return round(self.network + self.state * h * w + self.seen * seen) if seen < self.most else math.inf

    def largest_tile(self, shape: tuple[int, int], budget: float) -> int | None:
        """The largest tile (on the grid) with which the run fits, or none at all."""
        left = budget - self.network - self.state * shape[0] * shape[1]
        if left <= 0:
            return None
        inner = math.isqrt(int(min(left / self.seen, self.most - 1))) - 2 * self.margin
        # In a picture narrower than a tile, tiles can be longer.
        narrow = min(shape) + (2 * self.margin if self.wraps else 0)
        if narrow < inner + 2 * self.margin:
            inner = int(min(left / self.seen, self.most - 1) / narrow) - 2 * self.margin
        tile = inner // self.grid * self.grid
        return tile if tile >= min(SMALLEST_TILE, *shape) else None

    def largest_in_one_pass(self, shape: tuple[int, int], budget: float) -> int:
        """The long side of a picture with these proportions."""
        left = max(0.0, budget - self.network)
        pixels = min(left / (self.state + self.seen), self.most - 1)
        return int(max(shape) * math.sqrt(pixels / (shape[0] * shape[1])))

    def largest_long_side(self, shape: tuple[int, int], budget: float) -> int:
        """Of a picture with these proportions, with the smallest tiles."""
        left = budget - self.network - self.seen * (SMALLEST_TILE + 2 * self.margin) ** 2
        return int(max(shape) * math.sqrt(max(0.0, left) / self.state / (shape[0] * shape[1])))


def footprint(
    network: Network, recipe: Recipe, taps: Taps, keep_content: bool = True, extras: ExtraMemory = NO_EXTRAS
) -> Footprint:
    style_taps, content_taps = (tuple(of) for of in taps)
    all_taps = tuple(dict.fromkeys((*style_taps, *content_taps)))
    optimizer = recipe.optimizer
    # The picture, its gradient, and the content at its size. What the caller gave is in memory already.
    pictures = (4 if recipe.averaging else 3) * PICTURE
    # Of the octaves, together a third of a picture: they and their gradients; and what enlarges these, widened.
    octaves = 3.5 * PICTURE if recipe.octaves > 1 else 0.0
    optimizer_state = 2 * (optimizer.history + 3) * PICTURE if isinstance(optimizer, LBFGS) else 2 * PICTURE
    targets = sum(_feature_bytes(tap, network) for tap in content_taps) if keep_content else 0.0
    alike = recipe.content_measure == "self-similarity" and bool(content_taps)
    targets = 0.0 if alike else targets
    if not all_taps:
        return Footprint(0, pictures + optimizer_state, 0.0, 0, 1)
    weights = sum(network.kernel_bytes(step.layer) for step in network.layer_steps(all_taps) if step.kind == "conv")
    features, gradient, kept = _bytes_of_statistic(network, recipe.statistic, style_taps, extras)
    if alike:
        ahead, spread = bytes_of_samples(content_taps, 0)
        features, gradient = features + ahead, max(gradient, spread)
    crowded = style_taps if extras.regions > 1 else set(style_taps) & set(content_taps)
    return Footprint(
        network=round(weights + workspace_bytes() + features),
        state=pictures + optimizer_state + octaves + targets + kept + extras.bytes_per_pixel(style_taps, content_taps),
        seen=bytes_per_pixel(network, all_taps, crowded) + gradient,
        margin=margin(all_taps, network.vgg.architecture),
        grid=grid(all_taps),
        wraps=network.seamless,
        most=kind_of(network.device).most_numbers / channels("conv1_1"),  # of all layers, the first have the most
    )


def _bytes_of_statistic(
    network: Network, statistic: str, style_taps: tuple[str, ...], extras: ExtraMemory
) -> tuple[float, float, float]:
    """Bytes that a statistic of features takes: fixed, per pixel in the network, per pixel of the picture."""
    if statistic in BY_SORTING:
        return (*_sorting_bytes(network, style_taps, extras), 0.0)
    if statistic in BY_POSITION and style_taps:
        matched = extras.matched or (MOST_HYPERCOLUMNS,) * extras.regions
        return bytes_of_matches(style_taps, network.dtype.itemsize, matched)
    if statistic in BY_SAMPLING and style_taps:
        return (*bytes_of_samples(style_taps, extras.regions), 0.0)
    return 0.0, 0.0, 0.0


def _sorting_bytes(network: Network, style_taps: tuple[str, ...], extras: ExtraMemory) -> tuple[float, float]:
    """Bytes that a statistic that sorts takes: fixed, and per pixel in the network."""
    samples = 2 * MOST_SAMPLES * sum(map(channels, style_taps))  # of the style, and of the content for strength
    # The gradient is computed in fp32, from features in fp32; at least one row is sorted at once.
    widest = max((channels(tap) / stride(tap) ** 2 for tap in style_taps), default=0.0)
    gradient = (4 if network.dtype == torch.float32 else 8) * widest + SORTING
    return SORTED_AT_ONCE * SORTING + 8 * extras.regions * samples, gradient


def _feature_bytes(layer: str, network: Network) -> float:
    """Per pixel of the picture."""
    return channels(layer) * network.dtype.itemsize / stride(layer) ** 2


def bytes_per_pixel(network: Network, taps: Iterable[str], crowded: Container[str] = ()) -> float:
    """The most that a pass holds at a time, forwards and backwards, by the steps that `Network` takes. Crowded taps
    get more than one gradient: from style and content, or from the styles of several regions."""
    steps = network.layer_steps(taps)
    inputs, kept, forward = _forward_bytes(steps, network.dtype.itemsize)
    peak, gradient = forward, 0.0
    for step, x in zip(reversed(steps), reversed(inputs), strict=True):
        if step.tap:
            gradient = step.numbers * network.dtype.itemsize
            peak = max(peak, sum(kept.values()) + (3 if step.layer in crowded else 2) * gradient)
        if step.kind != "relu":
            peak = max(peak, sum(kept.values()) + gradient + (1 + _padded_copies(step)) * x)
            gradient = x
        kept.pop(step.layer, None)
    return peak


def _forward_bytes(steps: Iterable[LayerStep], itemsize: int) -> tuple[list[float], dict[str, float], float]:
    """Per pixel: of every step's input; of what each layer keeps for the way back; and the most held at a time."""
    x, x_is_kept = 3.0 * itemsize, False
    inputs: list[float] = []
    kept: dict[str, float] = {}
    peak = PICTURE + x
    for step in steps:
        inputs.append(x)
        held = sum(kept.values()) + (0 if x_is_kept else x)
        output, argmax = step.numbers * itemsize, step.numbers if step.keeps == "argmax" else 0.0
        in_place = step.kind == "relu" and step.fused
        peak = max(peak, held + _padded_copies(step) * x + (0.0 if in_place else output) + argmax)
        x, x_is_kept = output, step.holds_output
        kept[step.layer] = argmax + (output if x_is_kept else 0.0)
    return inputs, kept, peak


def _padded_copies(step: LayerStep) -> int:
    """Paddings other than zeros copy what they pad."""
    return int(step.kind == "conv" and step.edges != "zeros")
