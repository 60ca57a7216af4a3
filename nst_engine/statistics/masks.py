"""Masks as hosts give them, at the size of their picture, and as a layer sees them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F

from ..errors import NSTError, one_or
from ..network.architecture import stride
from ..network.tiles import receptive_radius
from ..pictures.images import shape_of

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
