"""Which part of the picture a style goes to, and what it is to look like there.

The guided Gram matrix of Gatys et al. 2017 (section 4): at every tap the features F are multiplied by the mask T, so
that the statistics are those within it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch

from ..errors import TooSmall
from ..network.architecture import position_count
from ..network.tiles import Tile
from ..network.vgg import Network
from .distances import Statistics, weighted_mean
from .masks import guide
from .measure import whole_samples
from .sorting import Samples, merged


@dataclass(frozen=True)
class Region:
    """What a style's statistics A are at each tap, and where they are to be met: guides T by tap, or none for
    everywhere."""

    targets: Mapping[str, Statistics]
    count: Mapping[str, float]  # Σ T², the number of positions for a whole picture
    guides: Mapping[str, torch.Tensor] = field(default_factory=dict)
    samples: Mapping[str, Samples] = field(default_factory=dict)  # for distances that sort
    mask: torch.Tensor | None = None  # 1x1xHxW on the CPU, or None for everywhere
    name: str = "region"

    def guide_column(self, tap: str, tile: Tile | None, like: torch.Tensor) -> torch.Tensor | None:
        """T as a column beside the features' rows, or None where everything counts."""
        if tap not in self.guides:
            return None
        t = self.guides[tap]
        return (t if tile is None else tile.from_whole(t, tap)).reshape(-1, 1).to(like.dtype)


def guides_of(
    mask: torch.Tensor | None,
    taps: Iterable[str],
    mode: str,
    shape: tuple[int, int],
    architecture: str,
    device: torch.device,
    name: str,
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """T by tap, none for no mask, and Σ T². A tap at which nothing is left of the mask is left out."""
    if mask is None:
        return {}, {tap: float(position_count(shape, tap)) for tap in taps}
    guides = {tap: guide(mask, tap, mode, architecture) for tap in taps}
    counts = {tap: count for tap, t in guides.items() if (count := float(t.square().sum())) > 1e-6}
    if not counts:
        smaller = "; mode simple would do" if mode == "inside" else ""
        raise TooSmall(f"{name}: its region is too small for every layer at {shape[1]}×{shape[0]}{smaller}.")
    return {tap: guides[tap].to(device) for tap in counts}, counts


def towards_content(
    region: Region,
    strength: float,
    found: Mapping[str, Statistics],
    measuring: Network,
    content: torch.Tensor,
    sorts: bool,
) -> Region:
    """The same with targets between the statistics found of the content (0) and the style's (1)."""
    targets = {
        tap: weighted_mean([(1 - strength, found[tap].to(measuring.device)), (strength, style)])
        if tap in found
        else style
        for tap, style in region.targets.items()
    }
    samples = dict(region.samples)
    if sorts:
        seen = whole_samples(measuring, content, region.samples, region.guides)
        samples = {
            tap: merged([(1 - strength, seen[tap].to(measuring.device)), (strength, style)])
            for tap, style in region.samples.items()
        }
    return replace(region, targets=targets, samples=samples)
