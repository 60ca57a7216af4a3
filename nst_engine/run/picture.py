"""What one picture of a call is made from."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..statistics.masks import stretch
from ..styles.grams import StyleGrams


@dataclass(frozen=True)
class Protect:
    """Where the content is to stay: pixel by pixel, or by counting so many times more to the network."""

    mask: torch.Tensor  # 1x1xHxW
    weight: float | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    content: torch.Tensor | None  # 1x3xHxW; None for a texture
    start: torch.Tensor | None
    grams: StyleGrams  # with this picture's regions
    protect: Protect | None = None

    def pinned(self, shape: tuple[int, int]) -> torch.Tensor | None:
        """Where the content's pixels stay: what is protected, and what no style covers. The content term alone would
        not hold them, for Adam follows the smallest gradient."""
        masks = [self.grams.uncovered(shape)]
        if self.protect is not None and self.protect.weight is None:
            masks.append(stretch(self.protect.mask, shape))
        given = [mask for mask in masks if mask is not None]
        return torch.stack(given).amax(0) if given else None

    def emphasis(self, shape: tuple[int, int]) -> torch.Tensor | None:
        """How many times more the content counts at each pixel."""
        if self.protect is None or self.protect.weight is None:
            return None
        return 1 + (self.protect.weight - 1) * stretch(self.protect.mask, shape)
