from __future__ import annotations

import torch

from .. import nst_engine as nst
from ..nst_engine.objective.controls import STRONGEST
from ..nst_engine.options import KEEP_COLOURS, PROTECT_MODES, STROKES, Options
from ..nst_engine.pictures.images import LARGEST_SIDE, from_host, shape_of, to_host
from ..nst_engine.recipes import STARTS
from ..nst_engine.run.levels import RECIPE_SIZE
from . import host, inputs
from .inputs import AS_RECIPE, AUTO_TILE, RECIPE, given, multiplier, number_or_recipe, share
from .loss_history import LossHistory
from .method import Method
from .preview import AUTO_PREVIEW, Preview, follow


class NeuralStyleTransfer:
    TITLE = "Neural Style Transfer"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Gives a picture the style of another by moving its pixels until the network sees the content of the one and "
        "the textures of the other. Every setting can be left to the recipe."
    )
    RETURN_TYPES = ("IMAGE", "LOSS_HISTORY")
    RETURN_NAMES = ("image", "loss_history")
    OUTPUT_TOOLTIPS = (
        "The stylised picture, one for every content picture; transparency is kept.",
        "The loss at every step, for Plot Loss History.",
    )
    FUNCTION = "transfer"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "vgg": inputs.VGG,
                "content_image": (
                    "IMAGE",
                    {"tooltip": "The picture to be stylised. Every picture of a batch is done."},
                ),
                "style_grams": inputs.STYLE_GRAMS,
                "recipe": inputs.RECIPES,
            },
            "optional": {
                "steps": inputs.STEPS,
                "optimizer": inputs.OPTIMIZER,
                "learning_rate": inputs.LEARNING_RATE,
                "content_weight": multiplier(
                    "Multiplies the recipe's content weight: above 1 keeps more of the content."
                ),
                "style_weight": multiplier(
                    "Multiplies the recipe's style weight: above 1 brings in more of the style."
                ),
                "tv_weight": inputs.TV_WEIGHT,
                "start": (
                    [RECIPE, *STARTS],
                    {
                        "tooltip": "What the first step begins from. image: the start image. style: the style picture. "
                        "style-noise: noise in the style's colours. recipe: as the recipe says."
                    },
                ),
                "size": number_or_recipe(
                    "Long side of the result in pixels. 0: the content's own size.", max=LARGEST_SIDE
                ),
                "scales": inputs.SCALES,
                "seed": inputs.SEED,
                "preview_every": inputs.PREVIEW_EVERY,
                "layer_weights": inputs.LAYER_WEIGHTS,
                "start_image": inputs.START_IMAGE,
                "keep_colours": (
                    list(KEEP_COLOURS),
                    {
                        "tooltip": "Gives the finished picture the colours of the content. lab and luminance: place by "
                        "place, light and dark remain the result's. The others: its palette as a whole."
                    },
                ),
                "keep_colours_strength": share("How much of the content's colours: 0 is none, 1 all.", 1.0),
                "tile": inputs.TILE,
                "protect_mask": (
                    "MASK",
                    {"tooltip": "Where the content stays: faces, lettering. A soft edge blends. One for all, or each."},
                ),
                "strength": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.0,
                        "max": STRONGEST,
                        "step": 0.05,
                        "tooltip": "How much style in all: 0 gives the content back, 1 is what the recipe says, more "
                        "lets go of the content.",
                    },
                ),
                "start_mix": share("How much of the content is mixed into the start. 0 is none.", 0.0),
                "seamless": (
                    "BOOLEAN",
                    {
                        "default": False,
                        "tooltip": "Left meets right and top meets bottom, so that the result can be laid side by "
                        "side like tiles.",
                    },
                ),
                "protect_mode": (
                    list(PROTECT_MODES),
                    {
                        "tooltip": "pixels: what the mask covers stays exactly as it is. content: it is stylised, but "
                        "the content counts more there."
                    },
                ),
                "protect_weight": (
                    "FLOAT",
                    {
                        "default": 20.0,
                        "min": 1.0,
                        "max": 1000.0,
                        "step": 1.0,
                        "tooltip": "How many times more, when protect_mode is content.",
                    },
                ),
                "method": inputs.METHOD,
                "stroke_size": (
                    "FLOAT",
                    {
                        "default": 0.0,
                        "min": 0.0,
                        "max": STROKES[1],
                        "step": 0.05,
                        "tooltip": "How large strokes are in the result, whatever its size: 1 is a style as large as "
                        "the result, 2 twice as large, 0.5 half. Anything but 0 stands in place of the size in "
                        "Compute Style Grams.",
                    },
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls, learning_rate: float | None = None, tv_weight: float | None = None, scales: int | None = None
    ) -> bool | str:
        return inputs.check_numbers(cls, learning_rate=learning_rate, tv_weight=tv_weight, scales=scales)

    def transfer(
        self,
        vgg: nst.VGGFeatures,
        content_image: torch.Tensor,
        style_grams: nst.StyleGrams,
        recipe: str,
        steps: int = AS_RECIPE,
        optimizer: str = RECIPE,
        learning_rate: float = AS_RECIPE,
        content_weight: float = 1.0,
        style_weight: float = 1.0,
        tv_weight: float = AS_RECIPE,
        start: str = RECIPE,
        size: int = RECIPE_SIZE,
        scales: int = AS_RECIPE,
        seed: int = 0,
        preview_every: int = AUTO_PREVIEW,
        layer_weights: nst.LayerWeights | None = None,
        start_image: torch.Tensor | None = None,
        keep_colours: str = "none",
        keep_colours_strength: float = 1.0,
        tile: int = AUTO_TILE,
        protect_mask: torch.Tensor | None = None,
        strength: float = 1.0,
        start_mix: float = 0.0,
        seamless: bool = False,
        protect_mode: str = "pixels",
        protect_weight: float = 20.0,
        method: Method | None = None,
        stroke_size: float = 0.0,
    ) -> tuple[torch.Tensor, LossHistory]:
        method = method or Method()
        content = from_host(content_image)
        preview = Preview(preview_every, content, keep_colours, keep_colours_strength)
        shape = nst.target_shape(shape_of(content), size, nst.RECIPES[recipe], vgg.device)
        used = Options(recipe=recipe, optimizer=given(optimizer), **vars(method)).used_recipe
        needed = nst.memory_needed(
            vgg,
            shape,
            used,
            layer_weights,
            seamless=seamless,
            regions=style_grams.region_count,
            masks=protect_mask is not None or style_grams.guided,
        )
        with host.room_for(needed, vgg.device):
            result = nst.stylize(
                vgg,
                content,
                style_grams,
                recipe=recipe,
                steps=given(steps),
                optimizer=given(optimizer),
                learning_rate=given(learning_rate),
                content_weight=content_weight,
                style_weight=style_weight,
                tv_weight=given(tv_weight),
                strength=strength,
                **vars(method),
                start=given(start),
                start_image=None if start_image is None else from_host(start_image),
                start_mix=start_mix,
                size=size,
                stroke_size=stroke_size or None,
                seamless=seamless,
                scales=given(scales),
                seed=seed,
                layers=layer_weights,
                **follow(preview),
                protect=protect_mask,
                protect_mode=protect_mode,
                protect_weight=protect_weight,
                keep_colours=keep_colours,
                keep_colours_strength=keep_colours_strength,
                tile=inputs.tile_of(tile),
                memory=host.free_memory(vgg.device),
            )
        return told(result)


def told(result: nst.Result) -> tuple[torch.Tensor, LossHistory]:
    """What the host gets, and its log."""
    for note in result.notes:
        host.log.info("%s", note)
    host.log.info("Neural style transfer used %s", result.settings)
    image = to_host(result.image).to(host.resting_device())
    return image, LossHistory(result.histories, result.settings)
