from __future__ import annotations

from typing import Any

import torch

from .. import nst_engine as nst
from ..nst_engine.pictures.images import LARGEST_SIDE, from_host
from ..nst_engine.recipes import STARTS
from . import checks, host, inputs
from .inputs import AS_RECIPE, AUTO_TILE, RECIPE, given
from .loss_history import LossHistory
from .method import Method, used_recipe
from .neural_style_transfer import told
from .preview import AUTO_PREVIEW, Preview, follow


class NSTSynthesizeTexture:
    TITLE = "NST Synthesize Texture"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Makes a texture of any size from a style alone, as if the style's picture went on for ever. Seamless, copies "
        "of it can be laid side by side: for backgrounds, materials, fabric."
    )
    RETURN_TYPES = ("IMAGE", "LOSS_HISTORY")
    RETURN_NAMES = ("image", "loss_history")
    OUTPUT_TOOLTIPS = ("The texture.", "How the run went, step by step, for NST Plot Loss History.")
    SEARCH_ALIASES = (
        *("texture", "seamless texture", "texture synthesis", "tileable", "pattern", "material", "fabric", "wallpaper"),
        *("background", "style", "artistic", "painting"),
    )
    FUNCTION = "synthesize"

    @classmethod
    def INPUT_TYPES(cls):
        side = {"default": 512, "min": 16, "max": LARGEST_SIDE}
        return {
            "required": {
                "vgg": inputs.VGG,
                "style_grams": inputs.STYLE_GRAMS,
                "width": ("INT", {**side, "tooltip": "Width of the texture, in pixels."}),
                "height": ("INT", {**side, "tooltip": "Height of the texture, in pixels."}),
                "seamless": (
                    "BOOLEAN",
                    {
                        "default": True,
                        "tooltip": "The edges meet, so that copies can be laid side by side without a seam.",
                    },
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
                        "tooltip": "What is on the canvas at first. recipe: noise in the style's colours, or the start "
                        "picture if there is one.",
                        "advanced": True,
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
    def IS_CHANGED(cls, **_: Any) -> int:
        """A picture that was finished early is made again."""
        return host.short_runs()

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
        checks.check_style(vgg, style_grams, shape, 1)
        needed = nst.memory_needed(
            vgg,
            shape,
            used_recipe(recipe, optimizer, method),
            layer_weights,
            seamless=seamless,
            regions=style_grams.region_count,
            content=False,
            masks=style_grams.guided,
        )
        with host.reserve_memory(needed, vgg.device), follow(Preview(preview_every)) as following:
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
                **following.arguments(),
                tile=inputs.tile_of(tile),
                memory=host.free_memory(vgg.device),
            )
            following.end(result)
        return told(result)
