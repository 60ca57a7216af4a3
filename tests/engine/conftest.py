from __future__ import annotations

import pytest
import torch
from pictures import clouds

import nst_engine as nst


@pytest.fixture(scope="session")
def vgg() -> nst.VGGFeatures:
    return nst.load_vgg("vgg19-caffe", precision="fp32", device="cpu")


@pytest.fixture(scope="session")
def content() -> torch.Tensor:
    return clouds(1, 70, 90)


@pytest.fixture(scope="session")
def style() -> torch.Tensor:
    return clouds(2, 64, 100)


@pytest.fixture(scope="session")
def grams(vgg: nst.VGGFeatures, style: torch.Tensor) -> nst.StyleGrams:
    return nst.compute_style_grams(vgg, style)
