from __future__ import annotations

from typing import Any

import torch

from .. import nst_engine as nst
from ..nst_engine.inside import PARTS, reconstruct
from ..nst_engine.pictures.images import fit_long, from_host, shape_of, to_host
from . import host
from .layer_weights import layer_choice
from .loss_history import LossHistory
from .preview import Preview, follow


class NSTReconstructLayer:
    TITLE = "NST Reconstruct Layer"
    CATEGORY = f"{host.CATEGORY}/utilities"
    DESCRIPTION = (
        "Makes a picture out of noise that one layer of the network takes for the one given: the content or the style "
        "that this layer holds, and nothing else. The papers explain style transfer with such figures."
    )
    RETURN_TYPES = ("IMAGE", "LOSS_HISTORY")
    RETURN_NAMES = ("image", "loss_history")
    OUTPUT_TOOLTIPS = (
        "The reconstruction, one for every picture of the batch.",
        "The loss at every step, for Plot Loss History.",
    )
    FUNCTION = "reconstruct"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "vgg": ("VGG_FEATURES", {"tooltip": "The network, from Load VGG Features."}),
                "image": ("IMAGE", {"tooltip": "The picture to reconstruct from what the layer holds of it."}),
                "layer": layer_choice("The layer that is matched; deeper ones hold less of the exact pixels."),
                "what": (
                    list(PARTS),
                    {"tooltip": "content: what is where. style: which textures there are, but not where."},
                ),
                "steps": (
                    "INT",
                    {"default": 100, "min": 0, "max": 10000, "tooltip": "Evaluations of the loss. 0 shows the noise."},
                ),
                "size": (
                    "INT",
                    {
                        "default": 256,
                        "min": 0,
                        "max": 16384,
                        "tooltip": "Long side of the result in pixels; the picture is looked at in that size. 0: its "
                        "own.",
                    },
                ),
                "seed": (
                    "INT",
                    {
                        "default": 0,
                        "min": 0,
                        "max": 0xFFFFFFFFFFFFFFFF,
                        "control_after_generate": True,
                        "tooltip": "Of the noise that it begins with.",
                    },
                ),
            }
        }

    @classmethod
    def IS_CHANGED(cls, **_: Any) -> int:
        """A picture that was finished early is made again."""
        return host.short_runs()

    def reconstruct(
        self, vgg: nst.VGGFeatures, image: torch.Tensor, layer: str, what: str, steps: int, size: int, seed: int
    ) -> tuple[torch.Tensor, LossHistory]:
        pictures = from_host(image)
        shape = fit_long(shape_of(pictures), size) if size else shape_of(pictures)
        with host.room_for(nst.memory_needed(vgg, shape), vgg.device), follow(Preview()) as following:
            calls = following.arguments()
            result = reconstruct(vgg, pictures, layer, what, steps=steps, size=size, seed=seed, **calls)
            following.end(result)
        return to_host(result.image).to(host.resting_device()), LossHistory(result.histories, result.settings)
