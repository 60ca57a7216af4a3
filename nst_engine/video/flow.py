"""Optical flow: where every pixel of one frame lies in another."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from ..errors import NSTError

# flow(a, b), both 1x3xHxW in 0..1: w, 1x2xHxW in pixels (x to the right, y down), so that a(x) looks as b(x + w(x)).
Flow = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

EXTRA = "python -m pip install opencv-python-headless av"


def needed(module: str, what: str) -> Any:
    """An optional package, or the line that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise NSTError(f"{what} needs a package that is not installed here; run: {EXTRA}") from error


def opencv() -> Any:
    return needed("cv2", "Optical flow")


def dis_flow(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Dense inverse search (Kroeger et al. 2016), as OpenCV has it."""
    cv2 = opencv()
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = search.calc(_grey(a), _grey(b), None)
    return torch.from_numpy(flow).movedim(-1, 0)[None]


def _grey(frame: torch.Tensor) -> Any:
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return ((frame * weights).sum(1)[0].clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def warp(picture: torch.Tensor, flow: torch.Tensor, mode: str = "bicubic") -> torch.Tensor:
    """The picture looked up at x + w(x); beyond its edges, its edge goes on."""
    height, width = flow.shape[-2:]
    rows = torch.arange(height, dtype=flow.dtype).view(-1, 1) + flow[:, 1]
    columns = torch.arange(width, dtype=flow.dtype) + flow[:, 0]
    # grid_sample counts from -1 to 1 between the outer edges of the outermost pixels.
    grid = torch.stack(((2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1), -1)
    return F.grid_sample(picture, grid, mode=mode, padding_mode="border", align_corners=False)
