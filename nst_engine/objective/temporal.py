"""The temporal term: a frame of a moving picture looks as the frames before it, where they show the same."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ..pictures.images import resize, shape_of
from ..statistics.masks import stretch

# Of the optimiser's rate, where a result is finished. At the full rate Adam's first steps would shake what is right
# already, and the few that follow would not calm it.
CALM = 0.1


@dataclass(frozen=True, eq=False)
class Temporal:
    """γ/D Σ c·s (x − ω)² over the D = 3·H·W values of a picture (Ruder et al. 2016, equation 6): ω are earlier results
    warped by the optical flow, c in 0..1 is how far the flow is to be relied on. As a mean, it weighs the same at any
    size. s in 0..1 is ours: how near each pixel's painting is to its end, so that what came into view a frame ago is
    held to itself only when it has had as many steps as the rest."""

    target: torch.Tensor  # ω, 1x3xHxW
    reliability: torch.Tensor  # c, 1x1xHxW
    settled: torch.Tensor  # s, 1x1xHxW
    weight: float  # γ

    def at(self, shape: tuple[int, int], device: torch.device) -> Temporal:
        """The same for a level of another size."""
        if shape_of(self.target) == shape and self.target.device == device:
            return self
        target = resize(self.target.cpu(), shape).to(device)
        reliability, settled = (stretch(mask.cpu(), shape).to(device) for mask in (self.reliability, self.settled))
        return replace(self, target=target, reliability=reliability, settled=settled)

    def begin(self, pixels: torch.Tensor) -> torch.Tensor:
        """What a level starts from: the warped result where it is reliable, `pixels` elsewhere."""
        return torch.lerp(pixels, self.target, self.reliability)

    @property
    def hold(self) -> torch.Tensor:
        """c·s"""
        return self.reliability * self.settled

    @property
    def rate_factor(self) -> torch.Tensor:
        """What an optimiser's rate is multiplied by, pixel by pixel."""
        return 1 + (CALM - 1) * self.hold

    def value_and_grad(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        away = x - self.target
        weighted = away * self.hold
        return (
            self.weight * (weighted * away).mean(),
            weighted.mul_(2 * self.weight / away.numel()),
        )
