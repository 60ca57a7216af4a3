from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .. import nst_engine as nst
from ..nst_engine.images import from_host, shape_of, to_host
from ..nst_engine.levels import RECIPE_SIZE
from ..nst_engine.stylize import KEEP_COLOURS, OPTIMIZERS, STARTS
from . import host

RECIPE = "recipe"
AS_RECIPE = -1
AUTO_PREVIEW = -1
AUTO_TILE = -1
WHOLE = 0
SECONDS_BETWEEN_PREVIEWS = 1.0


@dataclass(frozen=True, repr=False)
class LossHistory:
    """LOSS_HISTORY: a list of steps per picture, and what was used to make them."""

    histories: list[list[nst.Step]]
    settings: dict[str, Any]

    def __repr__(self) -> str:
        last = self.histories[0][-1].total if self.histories and self.histories[0] else float("nan")
        return f"<LOSS_HISTORY {len(self.histories)} picture(s), {self.settings['steps']} steps, last loss {last:.4g}>"


def number_or_recipe(default_text: str, kind: str = "INT", **options: Any) -> tuple[str, dict[str, Any]]:
    return kind, {
        "default": AS_RECIPE,
        "min": AS_RECIPE,
        **options,
        "tooltip": f"{default_text} -1: as the recipe says.",
    }


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
        multiplier = {"default": 1.0, "min": 0.0, "max": 1000.0, "step": 0.05}
        return {
            "required": {
                "vgg": ("VGG_FEATURES", {"tooltip": "The same network that the style was measured with."}),
                "content_image": (
                    "IMAGE",
                    {"tooltip": "The picture to be stylised. Every picture of a batch is done."},
                ),
                "style_grams": ("STYLE_GRAMS", {"tooltip": "The style, from Compute Style Grams."}),
                "recipe": (
                    list(nst.RECIPES),
                    {
                        "tooltip": "balanced: works at any size. The others are published programs and papers: their "
                        "layers, losses, weights, optimiser, steps, start and size. Precision fp32 and style size 0 "
                        "make them exact."
                    },
                ),
            },
            "optional": {
                "steps": number_or_recipe(
                    "Evaluations of the loss in all. 0 gives back the start picture.", max=100000
                ),
                "optimizer": (
                    [RECIPE, *OPTIMIZERS],
                    {"tooltip": "adam is steady, lbfgs takes larger leaps. recipe: as the recipe says."},
                ),
                "learning_rate": number_or_recipe(
                    "How far the optimiser moves at each step.", "FLOAT", max=100.0, step=0.0001, round=False
                ),
                "content_weight": (
                    "FLOAT",
                    {
                        **multiplier,
                        "tooltip": "Multiplies the recipe's content weight: above 1 keeps more of the content.",
                    },
                ),
                "style_weight": (
                    "FLOAT",
                    {
                        **multiplier,
                        "tooltip": "Multiplies the recipe's style weight: above 1 brings in more of the style.",
                    },
                ),
                "tv_weight": number_or_recipe(
                    "Total variation: smooths away noise. 1 is a light smoothing under every recipe, 0 is none.",
                    "FLOAT",
                    max=1000.0,
                    step=0.05,
                ),
                "start": (
                    [RECIPE, *STARTS],
                    {"tooltip": "What the first step begins from; image: the start image. recipe: as the recipe says."},
                ),
                "size": number_or_recipe("Long side of the result in pixels. 0: the content's own size.", max=16384),
                "scales": number_or_recipe(
                    "Coarse-to-fine levels, each √2 larger than the last: more give larger strokes, 1 the finest.",
                    max=12,
                ),
                "seed": (
                    "INT",
                    {
                        "default": 0,
                        "min": 0,
                        "max": 0xFFFFFFFFFFFFFFFF,
                        "control_after_generate": True,
                        "tooltip": "Of the noise start: the same seed begins from the same noise on every device.",
                    },
                ),
                "preview_every": (
                    "INT",
                    {
                        "default": AUTO_PREVIEW,
                        "min": AUTO_PREVIEW,
                        "max": 10000,
                        "tooltip": "Steps between preview pictures. -1: about one a second. 0: none.",
                    },
                ),
                "layer_weights": ("LAYER_WEIGHTS", {"tooltip": "Other layers than the recipe's, from Layer Weights."}),
                "start_image": (
                    "IMAGE",
                    {"tooltip": "The picture to begin from, when start is recipe or image; resized if need be."},
                ),
                "keep_colours": (
                    list(KEEP_COLOURS),
                    {
                        "tooltip": "Gives the finished picture the colours of the content. lab and luminance: place by "
                        "place, light and dark remain the result's. The others: its palette as a whole."
                    },
                ),
                "keep_colours_strength": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.0,
                        "max": 1.0,
                        "step": 0.05,
                        "tooltip": "How much of the content's colours: 0 is none, 1 all.",
                    },
                ),
                "tile": (
                    "INT",
                    {
                        "default": AUTO_TILE,
                        "min": AUTO_TILE,
                        "max": 16384,
                        "tooltip": "How much of the picture the network sees at a time, in pixels: less takes less "
                        "memory and more time, and gives the same picture. -1: all of it if it fits into the memory "
                        "that is free, else tiles as large as fit. 0: all of it.",
                    },
                ),
                "protect_mask": (
                    "MASK",
                    {"tooltip": "Where the content stays exactly as it is: faces, lettering. A soft edge blends."},
                ),
            },
        }

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
    ) -> tuple[torch.Tensor, LossHistory]:
        content = from_host(content_image)
        preview = Preview(preview_every, content, keep_colours, keep_colours_strength)
        on_step, on_tile = follow(preview)
        shape = nst.target_shape(shape_of(content), size, nst.RECIPES[recipe], vgg.device)
        with host.room_for(nst.memory_needed(vgg, shape, recipe, layer_weights), vgg.device):
            result = nst.stylize(
                vgg,
                content,
                style_grams,
                recipe=recipe,
                steps=_given(steps),
                optimizer=None if optimizer == RECIPE else optimizer,
                learning_rate=_given(learning_rate),
                content_weight=content_weight,
                style_weight=style_weight,
                tv_weight=_given(tv_weight),
                start=None if start == RECIPE else start,
                start_image=None if start_image is None else from_host(start_image),
                size=size,
                scales=_given(scales),
                seed=seed,
                layers=layer_weights,
                on_step=on_step,
                protect=protect_mask,
                keep_colours=keep_colours,
                keep_colours_strength=keep_colours_strength,
                tile={AUTO_TILE: "auto", WHOLE: None}.get(tile, tile),
                on_tile=on_tile,
                memory=host.free_memory(vgg.device),
            )
        for note in result.notes:
            host.log.info("%s", note)
        host.log.info("Neural style transfer used %s", result.settings)
        image = to_host(result.image).to(host.resting_device())
        return image, LossHistory(result.histories, result.settings)


def _given(value):
    """-1 leaves it to the recipe."""
    return None if value == AS_RECIPE else value


def follow(preview: Preview) -> tuple[Callable[[nst.Progress], None], Callable[[nst.Position], None]]:
    """Move the host's bar at every step and every tile, and show the picture now and then; raise when the user has
    cancelled."""
    bar: host.ProgressBar | None = None

    def move(position: nst.Position, done: float, picture: torch.Tensor | None = None) -> None:
        nonlocal bar
        bar = bar or host.ProgressBar(position.steps * position.pictures)
        bar.update(done, picture)

    def on_step(progress: nst.Progress) -> None:
        move(progress, int(progress.done), preview(progress) if preview.is_due(progress.step) else None)

    def on_tile(position: nst.Position) -> None:
        move(position, position.done)

    return on_step, on_tile


class Preview:
    """What is shown of a run, and when: every so many steps, or about once a second."""

    def __init__(
        self,
        every: int = AUTO_PREVIEW,
        content: torch.Tensor | None = None,
        keep_colours: str = "none",
        strength: float = 1.0,
    ) -> None:
        self.every = every
        self.content = content
        self.keep_colours = keep_colours
        self.strength = strength
        self.last = float("-inf")

    def __call__(self, progress: nst.Progress) -> torch.Tensor:
        image = progress.preview(host.PREVIEW_SIDE)
        # A picture that is lost already is not to fail here: the engine says better what has happened.
        if self.content is None or self.keep_colours == "none" or not torch.isfinite(image).all():
            return image
        # Small, because colours take a while in a large picture, and previews come often.
        content = host.preview_sized(self.content[[progress.picture]])
        return nst.match_colours(image, content, self.keep_colours, self.strength)

    def is_due(self, step: int) -> bool:
        if self.every != AUTO_PREVIEW:
            return self.every > 0 and step % self.every == 0
        now = time.monotonic()
        if now - self.last < SECONDS_BETWEEN_PREVIEWS:
            return False
        self.last = now
        return True
