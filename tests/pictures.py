"""Pictures that are made, not drawn at random pixel by pixel."""

from __future__ import annotations

import torch


def clouds(seed: int, height: int, width: int, count: int = 1) -> torch.Tensor:
    """Seeded pictures with structure at several scales: noise would hide what a wrong layer or border does."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.zeros(count, 3, height, width)
    for octave in range(5):
        side = 2 ** (octave + 1)
        coarse = torch.rand(count, 3, side, side, generator=generator) - 0.5
        up = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
        picture += up / (octave + 1)
    return (0.5 + 0.8 * picture).clamp(0, 1)
