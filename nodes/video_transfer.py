from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from .. import nst_engine as nst
from ..nst_engine.pictures.images import from_host, shape_of, to_host
from ..nst_engine.video.spool import Spool
from . import checks, host, inputs, moving
from .loss_history import LossHistory
from .masks import painted


class NSTVideoTransfer(checks.RunsRecipe):
    TITLE = "NST Video Transfer"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Paints a short clip in the style of a picture, without flicker: strokes stay on what they are painted on, and "
        "what is still stays still. For long videos use NST Stylise Video."
    )
    RETURN_TYPES = ("IMAGE", "LOSS_HISTORY")
    RETURN_NAMES = ("frames", "loss_history")
    OUTPUT_TOOLTIPS = (
        "The painted frames.",
        "How the run went, step by step and frame by frame, for NST Plot Loss History.",
    )
    SEARCH_ALIASES = (
        *(
            "video style transfer",
            "style transfer",
            "animate painting",
            "paint clip",
            "stylize frames",
            "artistic video",
        ),
        *("temporal", "flicker free", "painting", "rotoscope"),
    )
    FUNCTION = "transfer"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "vgg": inputs.VGG,
                "frames": ("IMAGE", {"tooltip": "The frames of the clip, in order, as a batch of pictures."}),
                "style_grams": inputs.STYLE_GRAMS,
                "recipe": inputs.RECIPES,
            },
            "optional": moving.optional(),
        }

    @classmethod
    def IS_CHANGED(cls, **_: Any) -> int:
        """A clip that was finished early is made again."""
        return host.short_runs()

    @moving.takes_settings
    def transfer(
        self, vgg: nst.VGGFeatures, frames: torch.Tensor, style_grams: nst.StyleGrams, recipe: str, **choices: Any
    ) -> tuple[torch.Tensor, LossHistory]:
        chosen = moving.filled(choices)
        clip = from_host(frames)
        notes: list[str] = []
        masks = painted(chosen["protect_mask"], "protect_mask", notes)
        checks.check_style(vgg, style_grams, shape_of(clip), 1)
        if masks is not None and masks.ndim == 3 and len(masks) not in (1, len(clip)):
            raise nst.NSTError(
                f"protect: {len(masks)} masks for {len(clip)} frames; give one for all, or one for each."
            )
        finished: list[nst.video.Frame] = []
        with (
            host.reserve_memory(moving.memory_needed(vgg, shape_of(clip), style_grams, recipe, chosen), vgg.device),
            tempfile.TemporaryDirectory(prefix="nst-") as spool,
            moving.follow(len(clip), chosen["preview_every"], notes) as following,
        ):
            for frame in nst.stylize_video(
                vgg,
                clip.split(1),
                style_grams,
                protect=masks,
                spool=Path(spool),
                **moving.engine_choices(vgg, recipe, chosen),
                **following.arguments(),
            ):
                finished.append(frame)
            if following.finished_early:  # of a shot that was to be gone through twice
                finished += Spool(Path(spool)).waiting(len(finished))
            following.end(len(finished))
        for note in dict.fromkeys(note for frame in finished for note in frame.notes):
            host.log.info("%s", note)
        host.log.info("NST Video Transfer made %d frames and used %s", len(finished), finished[0].settings)
        images = to_host(torch.cat([frame.image for frame in finished])).to(host.resting_device())
        return images, LossHistory([frame.history for frame in finished], finished[0].settings)
