"""Optical flow by RAFT (Teed and Deng 2020), as torchvision has it, for those who have its weights."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
import torch.nn.functional as F

from ..errors import NSTError
from ..pictures.images import Shape, fit_area, resize
from ..system.devices import free_memory
from ..system.safe_files import open_file
from .flow import Flow

LEAST, MULTIPLE = 128, 8  # pixels a side that it wants
# It keeps how alike any two positions of its grid are, 8 pixels apart, in fp32: twice while it makes them, and then in
# four sizes. So its memory grows with the square of a frame's pixels. Measured: 9 bytes, 1.3 GB at 1024×768.
BYTES_OF_A_PAIR = 12


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
        shape = (int(a.shape[-2]), int(a.shape[-1]))
        height, width = that_fits(shape, free_memory(device) // 2)
        tall, wide = (max(LEAST, -(-side // MULTIPLE) * MULTIPLE) for side in (height, width))
        seen = [2 * resize(x.cpu(), (height, width)) - 1 for x in (a, b)]
        pair = [F.pad(x, (0, wide - width, 0, tall - height), "replicate").to(device) for x in seen]
        with torch.no_grad():
            found: torch.Tensor = model(*pair)[-1]
        found = found[..., :height, :width].float().cpu()
        if shape == (height, width):
            return found
        pixels = torch.tensor([shape[1] / width, shape[0] / height]).view(1, 2, 1, 1)
        return F.interpolate(found, size=shape, mode="bilinear", align_corners=False) * pixels

    return flow


def that_fits(shape: Shape, budget: int) -> Shape:
    """The frame's size, or a smaller one in which the flow takes no more than so many bytes."""
    most = MULTIPLE**2 * max(1.0, (budget / BYTES_OF_A_PAIR) ** 0.5)
    return shape if shape[0] * shape[1] <= most else fit_area(shape, most)
