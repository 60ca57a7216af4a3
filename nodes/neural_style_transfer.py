from __future__ import annotations

from typing import Any

import torch

from .. import nst_engine as nst
from ..nst_engine.objective.controls import STRONGEST
from ..nst_engine.options import KEEP_COLOURS, PROTECT_MODES, STROKES
from ..nst_engine.pictures.images import LARGEST_SIDE, from_host, shape_of, to_host
from ..nst_engine.recipes import STARTS
from ..nst_engine.run.levels import RECIPE_SIZE
from . import checks, host, inputs
from .inputs import AS_RECIPE, AUTO_TILE, RECIPE, advanced, given, multiplier, number_or_recipe, share
from .loss_history import LossHistory
from .masks import painted
from .method import Method, used_recipe
from .preview import AUTO_PREVIEW, Preview, follow


class NeuralStyleTransfer(checks.RunsRecipe):
    TITLE = "Neural Style Transfer"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Paints your picture in the style of another: what is in it stays, brushwork, colours and textures come from "
        "the style. Connect your picture, a style from Compute Style Grams and a network from Load VGG Features, and "
        "press Run; every setting can stay as it is. The node Paint in a Style needs two pictures alone."
    )
    RETURN_TYPES = ("IMAGE", "LOSS_HISTORY")
    RETURN_NAMES = ("image", "loss_history")
    OUTPUT_TOOLTIPS = (
        "The painted picture: one for every picture that came in. Transparency is kept.",
        "How the run went, step by step, for NST Plot Loss History.",
    )
    SEARCH_ALIASES = (
        *("style", "style transfer", "artistic style", "painting", "paint", "painterly", "artistic", "art filter"),
        *("brush strokes", "stylize", "stylise", "van gogh", "starry night", "gatys", "nst", "photo to painting"),
    )
    FUNCTION = "transfer"

    # Longer than a screen: a table, with an entry for every input, as ComfyUI wants them.
    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "vgg": inputs.VGG,
                "content_image": (
                    "IMAGE",
                    {"tooltip": "The picture to paint, a photo for instance. Of a batch, every one is painted."},
                ),
                "style_grams": inputs.STYLE_GRAMS,
                "recipe": inputs.RECIPES,
            },
            "optional": {
                "steps": inputs.STEPS,
                "optimizer": inputs.OPTIMIZER,
                "learning_rate": inputs.LEARNING_RATE,
                "content_weight": advanced(
                    multiplier(
                        "Above 1 keeps more of your picture, below 1 less. It multiplies the preset's own weight."
                    )
                ),
                "style_weight": advanced(
                    multiplier("Above 1 takes more of the style, below 1 less. It multiplies the preset's own weight.")
                ),
                "tv_weight": inputs.TV_WEIGHT,
                "start": advanced(
                    (
                        [RECIPE, *STARTS],
                        {
                            "tooltip": "What is on the canvas at first. content: your picture. image: the start "
                            "picture. style: the style's picture. style-noise: noise in the style's colours. recipe: "
                            "as the preset says."
                        },
                    )
                ),
                "size": number_or_recipe(
                    "Long side of the result, in pixels. Twice the size takes about four times as long. 0: as large as "
                    "your picture.",
                    max=LARGEST_SIDE,
                ),
                "scales": inputs.SCALES,
                "seed": advanced(inputs.SEED),
                "preview_every": inputs.PREVIEW_EVERY,
                "layer_weights": inputs.LAYER_WEIGHTS,
                "start_image": inputs.START_IMAGE,
                "keep_colours": (
                    list(KEEP_COLOURS),
                    {
                        "tooltip": "Keeps your picture's own colours. lab, luminance: exactly, place by place. The "
                        "others: its palette as a whole. none: the style's colours."
                    },
                ),
                "keep_colours_strength": advanced(
                    share("How much of your picture's colours comes back: 0 none, 1 all of them.", 1.0)
                ),
                "tile": inputs.TILE,
                "protect_mask": (
                    "MASK",
                    {
                        "tooltip": "Paint over what is to stay as it is: a face, lettering. A soft edge blends. For a "
                        "batch, one mask for all or one for each. An empty mask is no mask."
                    },
                ),
                "strength": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.0,
                        "max": STRONGEST,
                        "step": 0.05,
                        "tooltip": "How much style: 0 is your picture as it was, 1 the full style, above 1 more and "
                        "more at the expense of your picture.",
                    },
                ),
                "start_mix": advanced(
                    share(
                        "How much of your picture shines through a start from noise, grey or the style. 0: none.", 0.0
                    )
                ),
                "seamless": advanced(
                    (
                        "BOOLEAN",
                        {
                            "default": False,
                            "tooltip": "The edges meet, left to right and top to bottom, so that copies can be laid "
                            "side by side without a seam.",
                        },
                    )
                ),
                "protect_mode": advanced(
                    (
                        list(PROTECT_MODES),
                        {
                            "tooltip": "pixels: under the mask everything stays exactly as it is. content: it is "
                            "painted too, but keeps its shapes, so that a face stays recognisable."
                        },
                    )
                ),
                "protect_weight": advanced(
                    (
                        "FLOAT",
                        {
                            "default": 20.0,
                            "min": 1.0,
                            "max": 1000.0,
                            "step": 1.0,
                            "tooltip": "How firmly shapes under the mask are kept, where the mask keeps content.",
                        },
                    )
                ),
                "method": inputs.METHOD,
                "stroke_size": (
                    "FLOAT",
                    {
                        "default": 0.0,
                        "min": 0.0,
                        "max": STROKES[1],
                        "step": 0.05,
                        "tooltip": "How large the brush strokes are, at any size of the picture: 0.5 fine, 1 as in the "
                        "style picture, 2 broad. 0: by the size in Compute Style Grams.",
                    },
                ),
            },
        }

    @classmethod
    def IS_CHANGED(cls, **_: Any) -> int:
        """A picture that was finished early is made again."""
        return host.short_runs()

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
        notes: list[str] = []
        protect_mask = painted(protect_mask, "protect_mask", notes)
        checks.check_style(vgg, style_grams, shape_of(content), len(content))
        preview = Preview(preview_every, content, keep_colours, keep_colours_strength)
        shape = nst.target_shape(shape_of(content), size, nst.RECIPES[recipe], vgg.device)
        needed = nst.memory_needed(
            vgg,
            shape,
            used_recipe(recipe, optimizer, method),
            layer_weights,
            seamless=seamless,
            regions=style_grams.region_count,
            masks=protect_mask is not None or style_grams.guided,
        )
        with host.reserve_memory(needed, vgg.device), follow(preview, notes) as following:
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
                **following.arguments(),
                protect=protect_mask,
                protect_mode=protect_mode,
                protect_weight=protect_weight,
                keep_colours=keep_colours,
                keep_colours_strength=keep_colours_strength,
                tile=inputs.tile_of(tile),
                memory=host.free_memory(vgg.device),
            )
            following.end(result)
        return told(result)


def told(result: nst.Result) -> tuple[torch.Tensor, LossHistory]:
    """What the host gets, and its log."""
    for note in result.notes:
        host.log.info("%s", note)
    host.log.info("Neural style transfer used %s", result.settings)
    image = to_host(result.image).to(host.resting_device())
    return image, LossHistory(result.histories, result.settings)
