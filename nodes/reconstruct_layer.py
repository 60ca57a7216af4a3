from __future__ import annotations

from typing import Any

import torch

from .. import nst_engine as nst
from ..nst_engine.pictures.images import fit_long, from_host, shape_of, to_host
from ..nst_engine.visualise import PARTS, reconstruct
from . import checks, host
from .layer_weights import layer_choice
from .loss_history import LossHistory
from .preview import Preview, follow


class NSTReconstructLayer:
    TITLE = "NST Reconstruct Layer"
    CATEGORY = f"{host.CATEGORY}/utilities"
    DESCRIPTION = (
        "Shows what one layer of the network remembers of a picture, by painting it from noise: its content or its "
        "style, and nothing else. The papers explain style transfer with such pictures."
    )
    RETURN_TYPES = ("IMAGE", "LOSS_HISTORY")
    RETURN_NAMES = ("image", "loss_history")
    OUTPUT_TOOLTIPS = (
        "What the layer remembers: one for every picture of the batch.",
        "How the run went, step by step, for NST Plot Loss History.",
    )
    SEARCH_ALIASES = (
        "invert features",
        "feature inversion",
        "layer visualization",
        "style transfer",
        "texture",
    )
    FUNCTION = "reconstruct"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "vgg": ("VGG_FEATURES", {"tooltip": "The network, from Load VGG Features."}),
                "image": ("IMAGE", {"tooltip": "The picture to be remembered. Of a batch, every one is done."}),
                "layer": layer_choice("Which layer. The first remember every detail, the last only the gist."),
                "what": (
                    list(PARTS),
                    {"tooltip": "content: what is where. style: the textures, but not where they are."},
                ),
                "steps": (
                    "INT",
                    {"default": 100, "min": 0, "max": 10000, "tooltip": "How long it paints. 0 shows the noise."},
                ),
                "size": (
                    "INT",
                    {
                        "default": 256,
                        "min": 0,
                        "max": 16384,
                        "tooltip": "Long side of the result, in pixels. 0: as large as the picture.",
                    },
                ),
                "seed": (
                    "INT",
                    {
                        "default": 0,
                        "min": 0,
                        "max": 0xFFFFFFFFFFFFFFFF,
                        "control_after_generate": "fixed",
                        "tooltip": "Which noise it begins from.",
                        "advanced": True,
                    },
                ),
            }
        }

    @classmethod
    def IS_CHANGED(cls, **_: Any) -> int:
        """A picture that was finished early is made again."""
        return host.short_runs()

    @classmethod
    def VALIDATE_INPUTS(cls, layer: str | None = None, size: int | None = None) -> bool | str:
        return checks.refusal_of(cls, layer=layer, size=size) or checks.layer_too_deep(layer, size) or True

    def reconstruct(
        self, vgg: nst.VGGFeatures, image: torch.Tensor, layer: str, what: str, steps: int, size: int, seed: int
    ) -> tuple[torch.Tensor, LossHistory]:
        pictures = from_host(image)
        shape = fit_long(shape_of(pictures), size) if size else shape_of(pictures)
        with host.reserve_memory(nst.memory_needed(vgg, shape), vgg.device), follow(Preview()) as following:
            calls = following.arguments()
            result = reconstruct(vgg, pictures, layer, what, steps=steps, size=size, seed=seed, **calls)
            following.end(result)
        return to_host(result.image).to(host.resting_device()), LossHistory(result.histories, result.settings)
