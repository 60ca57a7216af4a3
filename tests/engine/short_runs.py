"""What is soon computed: a run of a few steps, and the style term of one picture."""

from __future__ import annotations

import torch

import nst_engine as nst


def run(vgg: nst.VGGFeatures, content: torch.Tensor, grams: nst.StyleGrams, **options) -> nst.Result:
    return nst.stylize(vgg, content, grams, **{"steps": 3, **options})


def style_term(vgg: nst.VGGFeatures, content: torch.Tensor, grams: nst.StyleGrams) -> float:
    """Of the content itself."""
    return float(nst.objective(vgg, content, grams).value_and_grad(content)[0].style)
