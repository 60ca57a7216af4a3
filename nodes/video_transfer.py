from __future__ import annotations

from typing import Any

import torch

from .. import nst_engine as nst
from ..nst_engine.pictures.images import from_host, shape_of, to_host
from . import host, inputs, moving
from .loss_history import LossHistory


class NSTVideoTransfer:
    TITLE = "NST Video Transfer"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Gives the frames of a clip the style of a picture, without flicker: strokes stay on what they are painted on, "
        "and what is still stays still. For clips that fit into memory; NST Stylise Video takes any length."
    )
    RETURN_TYPES = ("IMAGE", "LOSS_HISTORY")
    RETURN_NAMES = ("frames", "loss_history")
    OUTPUT_TOOLTIPS = ("The stylised frames.", "The loss at every step of every frame, for Plot Loss History.")
    FUNCTION = "transfer"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "vgg": inputs.VGG,
                "frames": ("IMAGE", {"tooltip": "The clip: a batch of pictures, in order."}),
                "style_grams": inputs.STYLE_GRAMS,
                "recipe": inputs.RECIPES,
            },
            "optional": moving.optional(),
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls, learning_rate: float | None = None, tv_weight: float | None = None, scales: int | None = None
    ) -> bool | str:
        return inputs.check_numbers(cls, learning_rate=learning_rate, tv_weight=tv_weight, scales=scales)

    @moving.takes_settings
    def transfer(
        self, vgg: nst.VGGFeatures, frames: torch.Tensor, style_grams: nst.StyleGrams, recipe: str, **choices: Any
    ) -> tuple[torch.Tensor, LossHistory]:
        chosen = moving.filled(choices)
        clip = from_host(frames)
        masks = chosen["protect_mask"]
        if masks is not None and masks.ndim == 3 and len(masks) not in (1, len(clip)):
            raise nst.NSTError(
                f"protect: {len(masks)} masks for {len(clip)} frames; give one for all, or one for each."
            )
        follow = moving.Follow(len(clip), preview_every=chosen["preview_every"])
        made = []
        with host.room_for(moving.memory_needed(vgg, shape_of(clip), style_grams, recipe, chosen), vgg.device):
            for frame in nst.stylize_video(
                vgg,
                clip.split(1),
                style_grams,
                protect=masks,
                **moving.engine_choices(vgg, recipe, chosen),
                **follow.arguments(),
            ):
                made.append(frame)
        follow.end(len(made))
        for note in dict.fromkeys(note for frame in made for note in frame.notes):
            host.log.info("%s", note)
        host.log.info("NST Video Transfer made %d frames and used %s", len(made), made[0].settings)
        images = to_host(torch.cat([frame.image for frame in made])).to(host.resting_device())
        return images, LossHistory([frame.history for frame in made], made[0].settings)
