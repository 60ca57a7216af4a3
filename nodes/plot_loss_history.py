from __future__ import annotations

import torch

from ..nst_engine.pictures.plot import plot
from . import host
from .loss_history import LossHistory


class NSTPlotLossHistory:
    TITLE = "NST Plot Loss History"
    CATEGORY = f"{host.CATEGORY}/utilities"
    DESCRIPTION = (
        "Draws how a run went: how far the picture still was from its aim at every step, in style, content and "
        "smoothness."
    )
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS = ("The plot: one for every picture of the batch.",)
    SEARCH_ALIASES = ("loss curve", "loss graph", "plot loss", "convergence", "style transfer")
    FUNCTION = "draw"

    @classmethod
    def INPUT_TYPES(cls):
        side = {"min": 200, "max": 4096}
        return {
            "required": {
                "loss_history": ("LOSS_HISTORY", {"tooltip": "How the run went, from Neural Style Transfer."}),
                "width": ("INT", {"default": 480, **side, "tooltip": "Width of the plot, in pixels."}),
                "height": ("INT", {"default": 320, **side, "tooltip": "Height of the plot, in pixels."}),
            }
        }

    def draw(self, loss_history: LossHistory, width: int, height: int) -> tuple[torch.Tensor]:
        title = f"{loss_history.settings['recipe']}, {loss_history.settings['precision']}"
        return (torch.cat([plot(history, width, height, title) for history in loss_history.histories]),)
