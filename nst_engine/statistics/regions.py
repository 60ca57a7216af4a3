"""Which part of a picture a style is taken from and which part it goes to: masks, carried down to the layers.

The guided Gram matrix of Gatys et al. 2017 (section 4): at every tap the features F are multiplied by the mask T, so
that the statistics are those within it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F

from ..errors import NSTError, one_or
from ..network.architecture import stride
from ..network.tiles import Tile, receptive_radius
from ..network.vgg import Network
from ..pictures.images import shape_of
from .distances import Statistics, weighted_mean
from .measure import whole_samples
from .sorting import Samples, merged

# How much a neuron at a mask's edge counts: by how much of its position lies within the mask, or only if all of the
# neuron's receptive field does.
MODES = ("simple", "inside")
# Masks drawn by hand or resized overlap a little.
OVERLAP = 0.02


def check_mask(mask: torch.Tensor, name: str, batch: int | None = 1) -> torch.Tensor:
    """A 1x1xHxW (or Nx1xHxW) float32 copy on the CPU of a mask as hosts give it: HxW, NxHxW or Nx1xHxW in 0..1. There
    may be one for all of a batch, or one for each; None: nobody knows yet of how many."""
    fits = isinstance(mask, torch.Tensor) and mask.ndim in (2, 3, 4) and 0 not in mask.shape
    if not fits or (mask.ndim == 4 and mask.shape[1] != 1):
        shape = tuple(mask.shape) if isinstance(mask, torch.Tensor) else type(mask).__name__
        raise NSTError(f"{name}: expected a mask (N×H×W), got {shape}.")
    mask = mask.detach().clone().to("cpu", torch.float32).reshape(-1, 1, *mask.shape[-2:])
    if batch is not None and len(mask) not in (1, batch):
        raise NSTError(f"{name}: a batch of {len(mask)} masks; give {one_or(batch)}.")
    if not torch.isfinite(mask).all() or float(mask.min()) < 0 or float(mask.max()) > 1:
        raise NSTError(f"{name}: a mask is made of numbers from 0 to 1; this one is not.")
    if float(mask.max()) == 0:
        raise NSTError(f"{name}: the mask covers nothing; paint the part that is meant.")
    return mask


def fit_mask(mask: torch.Tensor, shape: tuple[int, int], name: str) -> torch.Tensor:
    """The mask at the height and width of the picture that it is for, whose proportions it must have."""
    (h, w), (height, width) = shape_of(mask), shape
    if abs(h * width - w * height) > max(h, w, height, width) * 2:
        raise NSTError(
            f"{name}: the mask is {w}×{h}, which are not the proportions of {width}×{height}. Paint it on that very "
            "picture, or crop the one as the other was cropped."
        )
    return stretch(mask, shape)


def stretch(mask: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """To the shape that its picture is resized to, whatever the proportions."""
    if shape_of(mask) == shape:
        return mask
    return F.interpolate(mask, size=shape, mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)


def guide(mask: torch.Tensor, tap: str, mode: str, architecture: str) -> torch.Tensor:
    """The mask as a tap sees it, 1x1xhxw."""
    s = stride(tap)
    if mode == "simple":
        return F.avg_pool2d(mask, s)
    if mode != "inside":
        raise NSTError(f"mask_mode: {mode!r} is not one of {', '.join(MODES)}.")
    # The least of all that a position sees. What lies outside of the picture does not count.
    r = receptive_radius((tap,), architecture)
    outside = 1 - mask
    for size, padding in (((2 * r + 1, 1), (r, 0)), ((1, 2 * r + 1), (0, r))):
        outside = F.max_pool2d(outside, size, stride=1, padding=padding)
    return 1 - F.max_pool2d(outside, s)


def complement(masks: Iterable[torch.Tensor], names: Iterable[str]) -> torch.Tensor:
    """What these masks, all of one size, leave uncovered; they may not cover anything twice."""
    cover = torch.stack(tuple(masks)).sum(0)
    over = float(cover.max())
    if over > 1 + OVERLAP:
        share = float((cover > 1 + OVERLAP).float().mean())
        raise NSTError(
            f"region: the masks of {', '.join(names)} overlap on {share:.1%} of the picture, where they come to "
            f"{over:.2g}; together they may come to 1."
        )
    return (1 - cover).clamp(0, 1)


@dataclass(frozen=True)
class Region:
    """What a style's statistics A are at each tap, and where they are to be met: guides T by tap, or none for
    everywhere."""

    targets: Mapping[str, Statistics]
    count: Mapping[str, float]  # Σ T², the number of positions for a whole picture
    guides: Mapping[str, torch.Tensor] = field(default_factory=dict)
    samples: Mapping[str, Samples] = field(default_factory=dict)  # for distances that sort
    gaps: Mapping[str, torch.Tensor] = field(default_factory=dict)  # how far the content's own statistics are from A
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
        return {}, {tap: float((shape[0] // stride(tap)) * (shape[1] // stride(tap))) for tap in taps}
    guides = {tap: guide(mask, tap, mode, architecture) for tap in taps}
    counts = {tap: count for tap, t in guides.items() if (count := float(t.square().sum())) > 1e-6}
    if not counts:
        smaller = "; mode simple would do" if mode == "inside" else ""
        raise NSTError(f"{name}: its region is too small for every layer at {shape[1]}×{shape[0]}{smaller}.")
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
