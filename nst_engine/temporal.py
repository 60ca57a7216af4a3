"""The temporal term: a frame of a moving picture looks as the frames before it, where they show the same."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from .images import resize, shape_of
from .regions import stretch


@dataclass(frozen=True, eq=False)
class Temporal:
    """γ/D Σ c (x − ω)² over the D = 3·H·W values of a picture (Ruder et al. 2016, equation 6): ω are earlier results
    warped by the optical flow, c in 0..1 is how far the flow is to be relied on. As a mean, it weighs the same at any
    size."""

    target: torch.Tensor  # ω, 1x3xHxW
    reliability: torch.Tensor  # c, 1x1xHxW
    weight: float  # γ

    def at(self, shape: tuple[int, int], device: torch.device) -> Temporal:
        """The same for a level of another size."""
        if shape_of(self.target) == shape and self.target.device == device:
            return self
        target = resize(self.target.cpu(), shape).to(device)
        return replace(self, target=target, reliability=stretch(self.reliability.cpu(), shape).to(device))

    def begin(self, pixels: torch.Tensor) -> torch.Tensor:
        """What a level starts from: the warped result where it is reliable, `pixels` elsewhere."""
        return torch.lerp(pixels, self.target, self.reliability)

    def value_and_grad(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        away = x - self.target
        weighted = away * self.reliability
        return (
            self.weight * (weighted * away).mean(),
            weighted.mul_(2 * self.weight / away.numel()),
        )
