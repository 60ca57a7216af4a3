"""A network, a content and a style, as nodes hand them on."""

from __future__ import annotations

import pytest
import torch
from node_calls import call


@pytest.fixture(scope="module")
def vgg(pack):
    return call(pack, "LoadVGGFeatures", precision="fp32")[0]


@pytest.fixture(scope="module")
def content() -> torch.Tensor:
    with torch.inference_mode():  # what the host hands over is an inference tensor
        return torch.rand(1, 40, 56, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def style() -> torch.Tensor:
    with torch.inference_mode():
        return torch.rand(1, 48, 48, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def grams(pack, vgg, style):
    return call(pack, "ComputeStyleGrams", vgg=vgg, style_image=style, size=48)[0]
