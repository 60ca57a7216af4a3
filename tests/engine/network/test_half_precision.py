"""Half precision is for speed; the picture survives it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import nst_engine as nst
from nst_engine.pictures.files import read_picture
from nst_engine.pictures.images import resize

EXAMPLES = Path(__file__).parents[3] / "nodes" / "examples"
PAIRS = (
    ("content-landscape", "style-strokes"),
    ("content-still-life", "style-mosaic"),
    ("content-landscape", "style-hatching"),
)


def example(name: str) -> torch.Tensor:
    return resize(read_picture(EXAMPLES / f"{name}.jpg").pixels, (96, 128))


@pytest.mark.parametrize(("content", "style"), PAIRS)
def test_bf16_reaches_the_loss_of_fp32(content, style):
    content, style = example(content), example(style)
    exact, rough = (nst.load_vgg("vgg19-caffe", precision=p, device="cpu") for p in ("fp32", "bf16"))
    grams = nst.compute_style_grams(exact, style)
    judge = nst.objective(exact, content, grams)
    losses = [
        float(judge.value_and_grad(nst.stylize(vgg, content, grams, steps=60).image)[0].total) for vgg in (exact, rough)
    ]
    begun = float(judge.value_and_grad(content)[0].total)
    assert losses[1] <= 1.03 * losses[0]
    assert losses[0] < 0.5 * begun
