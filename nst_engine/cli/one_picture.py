"""One picture as a command line asks for it: its network, its styles, the run, the file. `nst stylize` and `nst
texture` make one, `nst batch` many."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..errors import NSTError
from ..layers import check_layers, parse_layers
from ..network.vgg import VGGFeatures
from ..network.weights import load_vgg
from ..objective.controls import LayerWeights
from ..pictures.files import FORMATS
from ..styles.compute import compute_style_grams
from ..styles.grams import StyleGrams
from ..stylize import Result, stylize
from .inputs import Inputs, StyleInput


def layers_of(args: argparse.Namespace) -> LayerWeights:
    return LayerWeights(_layers(args.style_layers, "--style-layers"), _layers(args.content_layers, "--content-layers"))


def _layers(text: str | None, where: str) -> dict[str, float] | None:
    return None if text is None else check_layers(parse_layers(text, where), where)


def network_of(args: argparse.Namespace, on_download: Callable[[int, int], None] | None = None) -> VGGFeatures:
    return load_vgg(
        args.weights,
        pooling=args.pooling,
        padding=args.padding,
        precision=args.precision,
        device=args.device,
        input=args.input,
        folders=args.models,
        on_download=on_download,
    )


def style_weights(args: argparse.Namespace) -> list[float]:
    weights = args.style_weights or [1.0] * len(args.styles)
    if len(weights) != len(args.styles):
        raise NSTError(f"--style-weights: {len(weights)} for {len(args.styles)} styles; give one for each.")
    return weights


def measure_style(
    vgg: VGGFeatures, given: StyleInput, args: argparse.Namespace, on_measure: Callable[..., object] | None = None
) -> StyleGrams:
    if isinstance(given.style, StyleGrams):
        return given.style
    return compute_style_grams(
        vgg,
        given.style.pixels,
        recipe=args.recipe,
        size=0 if args.stroke_size and not args.save_style else args.style_size,
        layers=layers_of(args).style,
        name=given.style.path.name,
        mask=given.mask,
        mask_mode=args.mask_mode,
        copies=args.style_copies,
        on_measure=on_measure,
    )


def blended(inputs: Inputs, args: argparse.Namespace, measure: Callable[[StyleInput], StyleGrams]) -> StyleGrams:
    """All styles with their weights, each where it goes. What `measure` gives is shared, never changed."""
    try:
        grams = [
            measure(given).weighted(weight).within(given.region, args.mask_mode)
            for given, weight in zip(inputs.styles, style_weights(args), strict=True)
        ]
        return sum(grams[1:], grams[0])
    except NSTError as error:
        raise error.called({"size": "--style-size"}) from error


# Options that `stylize` calls by the same name.
SAME_NAMES = (
    *("recipe", "steps", "optimizer", "content_weight", "style_weight", "tv_weight", "tv_kind", "strength"),
    *("statistic", "shift", "normalise_gradients", "averaging", "start_mix", "size", "scales", "stroke_size"),
    *("seed", "protect_mode", "protect_weight", "tile", "content_measure", "octaves"),
)


def choices(args: argparse.Namespace, inputs: Inputs) -> dict[str, Any]:
    """What `stylize` and `stylize_video` are to be told."""
    return {name: getattr(args, name) for name in SAME_NAMES} | {
        "learning_rate": args.lr,
        "layers": layers_of(args),
        "keep_colours": args.keep_colours[0],
        "keep_colours_strength": args.keep_colours[1],
        "start": args.start if inputs.start is None else None,
        "start_image": None if inputs.start is None else inputs.start.pixels,
    }


def make(vgg: VGGFeatures, inputs: Inputs, grams: StyleGrams, args: argparse.Namespace, **watching: Any) -> Result:
    """`watching` is told how the run gets on: on_step, on_tile and their like."""
    content = inputs.content
    pixels = None
    if content is not None:
        pixels = content.pixels if content.alpha is None else torch.cat((content.pixels, content.alpha), 1)
    more: dict[str, Any] = {
        "shape": None if content else (args.height, args.width),
        "seamless": args.seamless,
        "protect": inputs.protect,
    }
    return stylize(vgg, pixels, grams, **choices(args, inputs), **more, **watching)


def writing(out: Path, inputs: Inputs, image: torch.Tensor, args: argparse.Namespace) -> dict[str, Any]:
    """What `write_picture` is to be told: depth and profile are those of the content, or of the first style."""
    model = inputs.model
    return {
        "pixels": image[:, :3],
        "alpha": image[:, 3:] if inputs.content and inputs.content.alpha is not None else None,
        "icc_profile": model.icc_profile if model else None,
        "bits": args.bits or (model.bits if model and FORMATS[out.suffix.lower()] in ("PNG", "TIFF") else 8),
        "quality": args.quality,
    }
