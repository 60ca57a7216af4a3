from __future__ import annotations

import torch

from .. import nst_engine as nst
from ..nst_engine.options import Options
from ..nst_engine.pictures.images import LARGEST_SIDE, from_host
from ..nst_engine.recipes import STARTS
from . import host, inputs
from .inputs import AS_RECIPE, AUTO_TILE, RECIPE, given
from .loss_history import LossHistory
from .method import Method
from .neural_style_transfer import told
from .preview import AUTO_PREVIEW, Preview, follow


class NSTSynthesizeTexture:
    TITLE = "NST Synthesize Texture"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "A picture of any size made of a style alone, with no content: what the style's picture would look like if it "
        "went on for ever. Seamless, it can be laid side by side like tiles."
    )
    RETURN_TYPES = ("IMAGE", "LOSS_HISTORY")
    RETURN_NAMES = ("image", "loss_history")
    OUTPUT_TOOLTIPS = ("The texture.", "The loss at every step, for Plot Loss History.")
    FUNCTION = "synthesize"

    @classmethod
    def INPUT_TYPES(cls):
        side = {"default": 512, "min": 16, "max": LARGEST_SIDE}
        return {
            "required": {
                "vgg": inputs.VGG,
                "style_grams": inputs.STYLE_GRAMS,
                "width": ("INT", {**side, "tooltip": "Of the texture, in pixels."}),
                "height": ("INT", {**side, "tooltip": "Of the texture, in pixels."}),
                "seamless": (
                    "BOOLEAN",
                    {"default": True, "tooltip": "Left meets right and top meets bottom."},
                ),
                "recipe": inputs.RECIPES,
                "seed": inputs.SEED,
            },
            "optional": {
                "steps": inputs.STEPS,
                "optimizer": inputs.OPTIMIZER,
                "learning_rate": inputs.LEARNING_RATE,
                "tv_weight": inputs.TV_WEIGHT,
                "start": (
                    [RECIPE, *(start for start in STARTS if start != "content")],
                    {
                        "tooltip": "What the first step begins from. recipe: noise in the style's colours, or the "
                        "start image if there is one."
                    },
                ),
                "scales": inputs.SCALES,
                "preview_every": inputs.PREVIEW_EVERY,
                "layer_weights": inputs.LAYER_WEIGHTS,
                "start_image": inputs.START_IMAGE,
                "tile": inputs.TILE,
                "method": inputs.METHOD,
            },
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls, learning_rate: float | None = None, tv_weight: float | None = None, scales: int | None = None
    ) -> bool | str:
        return inputs.check_numbers(cls, learning_rate=learning_rate, tv_weight=tv_weight, scales=scales)

    def synthesize(
        self,
        vgg: nst.VGGFeatures,
        style_grams: nst.StyleGrams,
        width: int,
        height: int,
        seamless: bool,
        recipe: str,
        seed: int,
        steps: int = AS_RECIPE,
        optimizer: str = RECIPE,
        learning_rate: float = AS_RECIPE,
        tv_weight: float = AS_RECIPE,
        start: str = RECIPE,
        scales: int = AS_RECIPE,
        preview_every: int = AUTO_PREVIEW,
        layer_weights: nst.LayerWeights | None = None,
        start_image: torch.Tensor | None = None,
        tile: int = AUTO_TILE,
        method: Method | None = None,
    ) -> tuple[torch.Tensor, LossHistory]:
        method = method or Method()
        shape = (height, width)
        used = Options(recipe=recipe, optimizer=given(optimizer), **vars(method)).used_recipe
        needed = nst.memory_needed(
            vgg,
            shape,
            used,
            layer_weights,
            seamless=seamless,
            regions=style_grams.region_count,
            content=False,
            masks=style_grams.guided,
        )
        with host.room_for(needed, vgg.device):
            result = nst.stylize(
                vgg,
                None,
                style_grams,
                shape=shape,
                seamless=seamless,
                recipe=recipe,
                seed=seed,
                steps=given(steps),
                optimizer=given(optimizer),
                learning_rate=given(learning_rate),
                tv_weight=given(tv_weight),
                **vars(method),
                start=given(start),
                start_image=None if start_image is None else from_host(start_image),
                scales=given(scales),
                layers=layer_weights,
                **follow(Preview(preview_every)),
                tile=inputs.tile_of(tile),
                memory=host.free_memory(vgg.device),
            )
        return told(result)
