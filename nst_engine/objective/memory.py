"""What a run takes, and what the device has: from both follows whether it is done in one pass or by tiles."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace

import psutil
import torch

from ..errors import NSTError
from ..network.cpu.winograd import workspace
from ..network.tiles import grid, margin
from ..network.vgg import Network, channels, deepest_tap, layer_names, stride
from ..recipes import LBFGS, Recipe
from ..statistics.distances import BY_MOMENTS, BY_SORTING
from ..statistics.measure import MOST_SAMPLES
from ..statistics.sorting import SORTED_AT_ONCE
from ..system.limits import left_to_this_process

# Of what is free, the rest being for what nobody foresaw: fragmentation, libraries' workspaces, other programs.
SHARE = 0.8
# A pass whose memory is kept for the next (`Arena`) takes up to so many times what one takes that gives it back: what
# is made beside the block finds no place in it while it is empty. Only where there is plenty.
AMPLE = 1.7
PICTURE = 12  # bytes a pixel: three channels in fp32
MASK = 4
# Bytes that sorting takes for each number: itself, sorted, its place, and as much again for the style's.
SORTING = 40
# Smaller tiles would be nearly all margin.
SMALLEST_TILE = 128
# An L-BFGS that remembers less than this is no longer worth its name.
SHORTEST_HISTORY = 4


@dataclass(frozen=True)
class Asked:
    """What a run is asked for that takes memory beside pictures and features: masks, mostly."""

    regions: int = 1  # parts of the picture in which styles pull
    guided: bool = False  # by masks
    pinned: bool = False  # where the content's pixels stay
    emphasis: bool = False  # where the content counts more
    tv: bool = False
    temporal: bool = False  # held to a warped result

    def bytes_per_pixel(self, style_taps: Iterable[str], content_taps: Iterable[str]) -> float:
        guides = self.regions * sum(MASK / stride(tap) ** 2 for tap in style_taps) if self.guided else 0.0
        pinned = 3 * MASK if self.pinned else 0.0  # as given, at the level's size, and what it leaves
        emphasis = MASK + sum(MASK / stride(tap) ** 2 for tap in content_taps) if self.emphasis else 0.0
        # Neighbours' differences, their squares and their slope, when the features are gone: the most by tiles.
        variation = 3 * PICTURE if self.tv else 0.0
        temporal = PICTURE + 3 * MASK + (0.0 if self.tv else 2 * PICTURE) if self.temporal else 0.0
        return guides + pinned + emphasis + variation + temporal


PLAIN = Asked()


@dataclass(frozen=True)
class Footprint:
    """Bytes that a run takes: some for each pixel of the picture, some for each pixel that the network sees at once."""

    network: int
    state: float  # per pixel of the picture: pictures, optimiser, targets
    seen: float  # per pixel in the network at a time: features, slopes
    margin: int
    grid: int
    wraps: bool = False  # a tile's margin goes on on the other side of the picture
    most: float = math.inf  # pixels that the network can see at a time, whatever memory there is

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
        # A picture narrower than a tile leaves room to be longer.
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
    network: Network,
    recipe: Recipe,
    style_taps: Iterable[str],
    content_taps: Iterable[str],
    keep_content: bool = True,
    asked: Asked = PLAIN,
) -> Footprint:
    style_taps, content_taps = tuple(style_taps), tuple(content_taps)
    taps = tuple(dict.fromkeys((*style_taps, *content_taps)))
    optimizer, sorts = recipe.optimizer, recipe.statistic in BY_SORTING
    # The picture, its gradient, and the content at its size. What the caller gave is in memory already.
    pictures = (4 if recipe.averaging else 3) * PICTURE
    moments = 2 * (optimizer.history + 3) * PICTURE if isinstance(optimizer, LBFGS) else 2 * PICTURE
    targets = sum(_bytes(tap, network) for tap in content_taps) if keep_content else 0.0
    if not taps:
        return Footprint(0, pictures + moments, 0.0, 0, 1)
    names = layer_names(network.vgg.architecture)
    run = names[: names.index(deepest_tap(taps, network.vgg.architecture)) + 1]
    weights = sum(network.kernel_bytes(layer) for layer in run if layer.startswith("conv"))
    sorting, slope = 0.0, 0.0
    if sorts:
        samples = 2 * MOST_SAMPLES * sum(map(channels, style_taps))  # of the style, and of the content for strength
        sorting = SORTED_AT_ONCE * SORTING + 8 * asked.regions * samples
        # The slope of what is sorted is made in fp32, from features in fp32; at the least one row is sorted at once.
        widest = max((channels(tap) / stride(tap) ** 2 for tap in style_taps), default=0.0)
        slope = (4 if network.dtype == torch.float32 else 8) * widest + SORTING
    crowded = style_taps if asked.regions > 1 else set(style_taps) & set(content_taps)
    return Footprint(
        network=round(weights + workspace() + sorting),
        state=pictures + moments + targets + asked.bytes_per_pixel(style_taps, content_taps),
        seen=bytes_per_pixel(network, taps, crowded) + slope,
        margin=margin(taps, network.vgg.architecture),
        grid=grid(taps),
        wraps=network.seamless,
        # Some of torch's kernels for GPUs count a tensor's numbers with 32 bits, and the first layers have the most.
        most=math.inf if network.device.type == "cpu" else 2**31 / channels("conv1_1"),
    )


def _bytes(layer: str, network: Network) -> float:
    """Of a layer's features, per pixel of the picture."""
    return channels(layer) * network.dtype.itemsize / stride(layer) ** 2


def bytes_per_pixel(network: Network, taps: Iterable[str], crowded: Container[str] = ()) -> float:
    """The most that a pass there and back holds at a time, found by walking the layers as `Network` does. Crowded taps
    are pulled from several sides: by style and content, or by the styles of several regions."""
    taps = set(taps)
    deepest = deepest_tap(taps, network.vgg.architecture)
    names = layer_names(network.vgg.architecture)
    names = names[: names.index(deepest) + 1]
    one_byte = 1 / network.dtype.itemsize
    fused = network.pooling == "max"

    def copies(layer: str) -> float:
        """Paddings other than zeros copy what they pad."""
        return float(layer.startswith("conv") and network.edges_at(layer) != "zeros")

    kept: dict[str, float] = {}  # on the tape or at a tap
    x, x_is_kept = 3.0 * network.dtype.itemsize, False
    peak = PICTURE + x
    inputs = {}
    for layer, following in zip(names, (*names[1:], ""), strict=True):
        inputs[layer] = x
        held = sum(kept.values()) + (0 if x_is_kept else x)
        out = _bytes(layer, network)
        if layer.startswith("conv"):
            peak = max(peak, held + copies(layer) * x + out)
            x, x_is_kept = out, layer in taps
        elif layer.startswith("relu"):
            if layer.replace("relu", "conv") in taps:
                peak = max(peak, held + out)
            x, x_is_kept = out, layer in taps or not (fused and following.startswith("pool"))
        else:
            if fused:
                kept[layer + " places"] = out * one_byte
            peak = max(peak, held + out * (1 + one_byte))
            x, x_is_kept = out, layer in taps or network.pooling == "l2"
        if x_is_kept:
            kept[layer] = x
    slope = 0.0
    for layer in reversed(names):
        out = _bytes(layer, network)
        if layer in taps:
            slope = out
            peak = max(peak, sum(kept.values()) + (3 if layer in crowded else 2) * slope)
        if layer.startswith("relu"):
            kept.pop(layer, None)
            continue
        peak = max(peak, sum(kept.values()) + slope + (1 + copies(layer)) * inputs[layer])
        kept.pop(layer, None)
        kept.pop(layer + " places", None)
        slope = inputs[layer]
    return peak


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had: from the driver, or from the operating system and whatever limits it sets."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        # A Mac's GPU shares the memory of all programs. Before torch 2.5 nothing tells how much of it the GPU may take.
        left = [psutil.virtual_memory().available]
        if hasattr(torch.mps, "recommended_max_memory"):
            left.append(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
        return int(max(0, min(left)))
    if device.type == "xpu":
        if not hasattr(torch.xpu, "mem_get_info"):  # before torch 2.6
            return torch.xpu.get_device_properties(device).total_memory
        free, _ = torch.xpu.mem_get_info(device)
        return free + torch.xpu.memory_reserved(device) - torch.xpu.memory_allocated(device)
    return int(max(0, min([psutil.virtual_memory().available, *left_to_this_process()])))


@dataclass(frozen=True)
class Layout:
    """How a picture is worked on: in one pass (`tile` is None) or by tiles, the content's features kept or made anew
    at every step, how much L-BFGS remembers, and whether there is memory enough to keep it from pass to pass."""

    tile: int | None = None
    keep_content: bool = True
    history: int = 0
    ample: bool = False

    def smaller(self, shape: tuple[int, int], around: int) -> Layout | None:
        """With half the tile, or with the content's features made anew, whichever takes less time with a margin so
        wide; or none if there is nothing left to save."""
        tile = self.tile or max(shape)
        choices = []
        if tile > SMALLEST_TILE:
            choices.append(replace(self, tile=max(SMALLEST_TILE, tile // 2), ample=False))
        if self.tile is not None and self.keep_content:
            choices.append(replace(self, keep_content=False, ample=False))
        return min(choices, key=lambda c: _time(c, around), default=None)


def lay_out(
    network: Network,
    recipe: Recipe,
    style_taps: Iterable[str],
    content_taps: Iterable[str],
    shape: tuple[int, int],
    tile: int | str | None,
    free: int,
    asked: Asked = PLAIN,
) -> Layout:
    """One pass where it fits into what is free; else the tiles and the treatment of the content that take the least
    time. L-BFGS's memory comes first, being the largest, but takes no more than half."""
    budget = SHARE * free
    history = 0
    if isinstance(recipe.optimizer, LBFGS):
        history = int(budget / 2 / (2 * PICTURE * shape[0] * shape[1]))
        history = max(SHORTEST_HISTORY, min(recipe.optimizer.history, history))
        recipe = replace(recipe, optimizer=replace(recipe.optimizer, history=history))
    sorts = recipe.statistic in BY_SORTING
    keeping, making = (footprint(network, recipe, style_taps, content_taps, keep, asked) for keep in (True, False))
    if isinstance(tile, str) and tile != "auto":
        raise NSTError(f"tile: {tile!r} is not a tile size; give pixels, 'auto', or None for one pass.")
    if sorts and isinstance(tile, int):
        raise NSTError(
            f"tile: the statistic {recipe.statistic!r} sorts the whole picture's features, which tiles cannot do. "
            f"Leave tile at its default, or choose a statistic that is a sum: {', '.join(BY_MOMENTS)}."
        )

    def laid_out(tile: int | None, keep: bool) -> Layout:
        taken = keeping if keep else making
        return Layout(tile, keep, history, AMPLE * taken.total(shape, tile) <= budget)

    if tile is None:
        return laid_out(None, True)
    if isinstance(tile, int):
        return laid_out(tile, keeping.total(shape, tile) <= budget)
    if keeping.total(shape) <= budget:
        return laid_out(None, True)
    if sorts:
        taken = keeping.total(shape) / 2**30
        said = (
            f"take {taken:.1f} GB; {budget / 2**30:.1f} GB are free" if taken < math.inf else "are too many for a GPU"
        )
        raise NSTError(
            f"size: the statistic {recipe.statistic!r} sorts the whole picture's features, which tiles cannot do, and "
            f"{shape[1]}×{shape[0]} pixels in one pass {said}. A long side of "
            f"{keeping.largest_in_one_pass(shape, budget)} would do, or a statistic that is a sum: "
            f"{', '.join(BY_MOMENTS)}."
        )
    choices = [
        laid_out(largest, kept)
        for kept, taken in ((True, keeping), (False, making))
        if (largest := taken.largest_tile(shape, budget)) is not None
    ]
    if not choices:
        raise NSTError(
            f"size: {shape[1]}×{shape[0]} pixels take {making.total(shape, SMALLEST_TILE) / 2**30:.1f} GB even by "
            f"tiles, and {budget / 2**30:.1f} GB are free. A long side of "
            f"{making.largest_long_side(shape, budget)} would do."
        )
    return min(choices, key=lambda c: _time(c, keeping.margin))


def _time(layout: Layout, around: int) -> float:
    """Of a step by tiles, relative to one pass: the way there once more for the statistics, and once more for targets
    that are not kept."""
    assert layout.tile is not None
    forward = 0.37  # of a step, the rest being the way back
    return (1 + forward * (1 if layout.keep_content else 2)) * ((layout.tile + 2 * around) / layout.tile) ** 2
