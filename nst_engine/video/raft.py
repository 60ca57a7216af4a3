"""Optical flow by RAFT (Teed and Deng 2020), as torchvision has it, for those who have its weights."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
import torch.nn.functional as F

from ..errors import NSTError
from ..system.safe_files import open_file
from .flow import Flow

LEAST, MULTIPLE = 128, 8  # pixels a side that it wants


def raft_flow(weights: Path, device: torch.device) -> Flow:
    """`weights` is a file of torchvision's raft_large or raft_small, such as raft_large_C_T_SKHT_V2-ff5fadd5.pth."""
    try:
        models = importlib.import_module("torchvision.models.optical_flow")
    except ImportError as error:
        raise NSTError("flow: RAFT needs torchvision; run: python -m pip install torchvision") from error
    try:  # weights_only: a file of weights is data, and may never run code
        with open_file(weights) as file:  # torch would wait for what comes out of a pipe
            state = torch.load(file, map_location="cpu", weights_only=True)
        small = len(state["feature_encoder.convnormrelu.0.weight"]) == 32
        model = models.raft_small(weights=None) if small else models.raft_large(weights=None)
        model.load_state_dict(state)
    except Exception as error:
        raise NSTError(
            f"flow: {weights} does not hold weights of torchvision's raft_large or raft_small ({type(error).__name__})."
        ) from error
    model = model.to(device).train(False).requires_grad_(False)

    def flow(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        height, width = a.shape[-2:]
        tall, wide = (max(LEAST, -(-side // MULTIPLE) * MULTIPLE) for side in (height, width))
        pair = [F.pad(2 * x - 1, (0, wide - width, 0, tall - height), "replicate").to(device) for x in (a, b)]
        with torch.no_grad():
            found: torch.Tensor = model(*pair)[-1]
        return found[..., :height, :width].float().cpu()

    return flow
