"""Styles to save, load and go between, by the nodes without a host."""

from __future__ import annotations

import importlib

import torch

SIZE = 48


def run(pack, node, **inputs):
    kind = pack.NODE_CLASS_MAPPINGS[node]
    with torch.inference_mode():
        return getattr(kind(), kind.FUNCTION)(**inputs)


def measured(pack, vgg, picture, weight=1.0, size=SIZE):
    return run(pack, "ComputeStyleGrams", vgg=vgg, style_image=picture, weight=weight, size=size)[0]


def save(pack, grams, prefix="nst/style", **options) -> str:
    """The name by which the style can be loaded."""
    outcome = run(pack, "SaveStyleGrams", style_grams=grams, filename_prefix=prefix, **options)
    assert outcome["result"] == (grams,)
    return outcome["ui"]["text"][0]


def load(pack, name, weight=1.0, **options):
    return run(pack, "LoadStyleGrams", style=name, weight=weight, **options)


def transfer(pack, vgg, grams, **options) -> torch.Tensor:
    content = torch.rand(1, 40, 48, 3, generator=torch.Generator().manual_seed(0))
    settings = {"recipe": "balanced", "steps": 3, "size": 0, **options}
    return run(pack, "NeuralStyleTransfer", vgg=vgg, content_image=content, style_grams=grams, **settings)[0]


def statistics(grams):
    return [dict(style.memo) for style in grams.styles]


def blended(pack, vgg, grams, tap="relu3_1"):
    recipes = importlib.import_module("nst_pack.nst_engine.recipes")
    network = recipes.network_for(vgg, recipes.RECIPES["balanced"])
    return grams.blend(network, (tap,), (SIZE, SIZE))[tap].moment
