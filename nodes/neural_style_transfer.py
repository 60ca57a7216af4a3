from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .. import nst_engine as nst
from ..nst_engine.images import from_host, shape_of, to_host
from ..nst_engine.stylize import OPTIMIZERS, RECIPE_SIZE, STARTS
from . import host

RECIPE = "recipe"
AS_RECIPE = -1
AUTO_PREVIEW = -1
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
                    "Coarse-to-fine levels, each √2 larger than the one before: more give larger strokes.", max=12
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
    ) -> tuple[torch.Tensor, LossHistory]:
        content = from_host(content_image)
        shape = nst.target_shape(shape_of(content), size, nst.RECIPES[recipe], vgg.device)
        with host.room_for(nst.memory_needed(vgg, shape), vgg.device):
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
                on_step=follow(preview_every),
            )
        for note in result.notes:
            host.log.info("%s", note)
        host.log.info("Neural style transfer used %s", result.settings)
        image = to_host(result.image).to(host.resting_device())
        return image, LossHistory(result.histories, result.settings)


def _given(value):
    """-1 leaves it to the recipe."""
    return None if value == AS_RECIPE else value


def follow(preview_every: int = AUTO_PREVIEW) -> Callable[[nst.Progress], None]:
    """Moves the host's bar at every step and shows the picture now and then; raises when the user has cancelled."""
    preview = _PreviewClock(preview_every)
    bar: host.ProgressBar | None = None

    def on_step(progress: nst.Progress) -> None:
        nonlocal bar
        bar = bar or host.ProgressBar(progress.steps * progress.pictures)
        done = progress.picture * progress.steps + progress.step
        bar.update(done, progress.image if preview.is_due(progress.step) else None)

    return on_step


class _PreviewClock:
    """When a preview is due: every so many steps, or about once a second."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.last = float("-inf")

    def is_due(self, step: int) -> bool:
        if self.every != AUTO_PREVIEW:
            return self.every > 0 and step % self.every == 0
        now = time.monotonic()
        if now - self.last < SECONDS_BETWEEN_PREVIEWS:
            return False
        self.last = now
        return True
