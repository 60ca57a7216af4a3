"""What a clip gives for each of its frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..run.progress import Step
from .coherence import Past


@dataclass(frozen=True, eq=False)
class Frame:
    """A finished frame."""

    number: int  # from 0
    image: torch.Tensor  # 1x3xHxW, or 1x4xHxW where the source has alpha
    past: Past  # what later frames go on from
    reliable: float  # the share of it that was taken over from earlier ones; 0 where a shot begins
    history: list[Step]
    settings: dict[str, Any]
    notes: list[str]
    seconds: float
