"""The graph that does on a ComfyUI what `nst stylize` does with the same options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...nst_engine.cli.inputs import NAMED_STARTS
from ...nst_engine.recipes import FIVE
from ...nst_engine.styles.saved import SUFFIX
from ..inputs import AS_RECIPE, AUTO_TILE, RECIPE, WHOLE
from ..layer_weights import CUSTOM
from ..method import YES_NO
from .graph import Graph

# Options of nst stylize that are inputs of NeuralStyleTransfer; None is what is left to the recipe.
BY_RECIPE = {
    "steps": "steps",
    "lr": "learning_rate",
    "tv_weight": "tv_weight",
    "scales": "scales",
}
AS_GIVEN = (
    *("recipe", "content_weight", "style_weight", "strength", "start_mix", "size", "seed", "seamless"),
    *("protect_mode", "protect_weight"),
)
METHOD = ("statistic", "shift", "normalise_gradients", "averaging", "tv_kind", "content_measure", "octaves")
MaskFile = Callable[[Any], str]  # the picture file of a mask


def graph_of(args: argparse.Namespace, inputs: Any, picture_file: Callable[[str], str], mask_file: MaskFile) -> Graph:
    """`inputs` are what `args` name, read; the two functions give the names of the files to be sent."""
    graph: Graph = {}

    def add(kind: str, **given: Any) -> str:
        graph[name := str(len(graph) + 1)] = {"class_type": kind, "inputs": given}
        return name

    def mask(pixels: Any) -> list[Any]:
        return [add("LoadImageMask", image=mask_file(pixels), channel="red"), 0]

    network = {name: getattr(args, name) for name in ("pooling", "padding", "precision", "input")}
    vgg = [add("LoadVGGFeatures", weights=Path(args.weights).name, **network), 0]
    layers = _layers(args, add)
    grams: dict[str, Any] = {}
    for i, (file, given) in enumerate(zip(args.styles, inputs.styles, strict=True)):
        weight = args.style_weights[i] if args.style_weights else 1.0
        common = {"weight": weight, "mask_mode": args.mask_mode, **grams}
        if given.region is not None:
            common["region_mask"] = mask(given.region)
        if Path(file).suffix.lower() == SUFFIX:
            style = add("LoadStyleGrams", style=file, **common)
        else:
            if given.mask is not None:
                common["style_mask"] = mask(given.mask)
            picture = [add("LoadImage", image=picture_file(file)), 0]
            measured = {"style_image": picture, "size": args.style_size, "copies": args.style_copies}
            style = add("ComputeStyleGrams", vgg=vgg, **measured, **common, **layers)
        grams = {"style_grams": [style, 0]}
    transfer = {**_transfer(args), **layers, **grams}
    if inputs.protect is not None:
        transfer["protect_mask"] = mask(inputs.protect)
    if args.start is not None and args.start not in NAMED_STARTS:
        transfer |= {"start": "image", "start_image": [add("LoadImage", image=picture_file(args.start)), 0]}
    if any(getattr(args, name) is not None for name in METHOD):
        transfer["method"] = [add("NSTMethod", **_method(args)), 0]
    content = [add("LoadImage", image=picture_file(args.content)), 0]
    transferred = add("NeuralStyleTransfer", vgg=vgg, content_image=content, **transfer, preview_every=0)
    add("PreviewImage", images=[transferred, 0])  # a file of the host's temporary folder
    return graph


def _transfer(args: argparse.Namespace) -> dict[str, Any]:
    method, strength = args.keep_colours
    return {
        **{name: getattr(args, name) for name in AS_GIVEN},
        **{given: _or(getattr(args, name), AS_RECIPE) for name, given in BY_RECIPE.items()},
        "optimizer": _or(args.optimizer, RECIPE),
        "start": _or(args.start, RECIPE),
        "stroke_size": args.stroke_size or 0.0,
        "keep_colours": method,
        "keep_colours_strength": strength,
        "tile": {"auto": AUTO_TILE, None: WHOLE}.get(args.tile, args.tile),
    }


def _method(args: argparse.Namespace) -> dict[str, Any]:
    words = {value: word for word, value in YES_NO.items()}
    return {
        "statistic": _or(args.statistic, RECIPE),
        "shift": args.shift or 0.0,
        "normalise_gradients": words.get(args.normalise_gradients, RECIPE),
        "averaging": _or(args.averaging, AS_RECIPE),
        "tv_kind": _or(args.tv_kind, RECIPE),
        "content_measure": _or(args.content_measure, RECIPE),
        "octaves": _or(args.octaves, AS_RECIPE),
    }


def _layers(args: argparse.Namespace, add: Callable[..., str]) -> dict[str, Any]:
    """Layers that are given stand alone, which are sliders at nothing."""
    style, content = args.style_layers, args.content_layers
    if style is None and content is None:
        return {}
    preset = args.recipe if style is None else CUSTOM
    sliders = dict.fromkeys(FIVE, 0.0)
    node = add("LayerWeights", preset=preset, **sliders, style_layers=style or "", content_layers=content or "")
    return {"layer_weights": [node, 0]}


def _or(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value
