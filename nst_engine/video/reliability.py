"""Where optical flow can be relied on (Ruder et al. 2016, section 4; after Sundaram et al. 2010)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .flow import warp

# Of one, on average over so many pixels a side. What compression and a part of a pixel's way do stays below.
UNLIKE, AROUND = 0.06, 5
BESIDE = 1  # pixels


def reliability(flow: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
    """c, 1x1xHxW: 1 where `flow` leads to a place from which `back` leads home, away from the edges of what moves.

    Ours: nor is a pixel relied on beside one that is not. At the edge of what passes flow finds single pixels home by
    chance, and each would stay behind as a speck in its colour."""
    height, width = flow.shape[-2:]
    returned = warp(back, flow, "bilinear")
    home = _squared(flow + returned) < 0.01 * (_squared(flow) + _squared(returned)) + 0.5
    smooth = _variation(flow) <= 0.01 * _squared(flow) + 0.002
    rows = torch.arange(height).view(-1, 1) + flow[:, 1:]
    columns = torch.arange(width) + flow[:, :1]
    inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    away = (~(home & smooth & inside)).to(flow.dtype)
    return 1 - F.max_pool2d(away, 2 * BESIDE + 1, 1, BESIDE)


def alike(frame: torch.Tensor, warped: torch.Tensor) -> torch.Tensor:
    """1 where the flow leads to what looks the same, 1x1xHxW. Ours: flow back and forth may agree on what is wrong, as
    between the stripes of something that passes; and where the light changes, the result has to follow."""
    away = (frame - warped).abs().mean(1, keepdim=True)
    return (F.avg_pool2d(away, AROUND, 1, AROUND // 2, count_include_pad=False) < UNLIKE).to(frame.dtype)


def _squared(flow: torch.Tensor) -> torch.Tensor:
    return flow.square().sum(1, keepdim=True)


def _variation(flow: torch.Tensor) -> torch.Tensor:
    """|∇u|² + |∇v|², by central differences."""
    wide = F.pad(flow, (1, 1, 1, 1), mode="replicate")
    across = (wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2]) / 2
    down = (wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]) / 2
    return _squared(across) + _squared(down)
