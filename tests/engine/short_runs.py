"""What is soon computed: runs of a few steps, and the style term of one picture."""

from __future__ import annotations

import torch

import nst_engine as nst

# Shallow layers alone.
TAPS = {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0}
LAYERS = nst.LayerWeights(style=TAPS, content={"relu3_1": 1.0})


def run(vgg: nst.VGGFeatures, content: torch.Tensor, grams: nst.StyleGrams, **options) -> nst.Result:
    return nst.stylize(vgg, content, grams, **{"steps": 3, **options})


def style_term(vgg: nst.VGGFeatures, content: torch.Tensor, grams: nst.StyleGrams) -> float:
    """Of the content itself."""
    return float(nst.objective(vgg, content, grams).value_and_grad(content)[0].style)


def texture(vgg: nst.VGGFeatures, grams: nst.StyleGrams, h: int, w: int, **options) -> nst.Result:
    return nst.stylize(vgg, None, grams, shape=(h, w), layers=LAYERS, **{"steps": 25, **options})
