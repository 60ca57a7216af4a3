from __future__ import annotations

import pytest
import torch
from pictures import clouds
from short_runs import TAPS

import nst_engine as nst
from nst_engine.network.cpu import winograd


@pytest.fixture(scope="session")
def vgg() -> nst.VGGFeatures:
    return nst.load_vgg("vgg19-caffe", precision="fp32", device="cpu")


@pytest.fixture
def plain_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own, whose rounding does not depend on where in the picture a tile begins."""
    monkeypatch.setattr(winograd, "pays", lambda *_: False)


@pytest.fixture(scope="session")
def content() -> torch.Tensor:
    return clouds(1, 70, 90)


@pytest.fixture(scope="session")
def style() -> torch.Tensor:
    return clouds(2, 64, 100)


@pytest.fixture(scope="session")
def grams(vgg: nst.VGGFeatures, style: torch.Tensor) -> nst.StyleGrams:
    return nst.compute_style_grams(vgg, style)


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory):
    """Weights whose deep layers are loud enough to weigh in a sum of raw Gram matrices."""
    from compared_runs import Weights  # with torchvision, which few tests need
    from seed_programs import torchvision_like_state_dict

    return Weights(tmp_path_factory.mktemp("weights") / "loud.pth", torchvision_like_state_dict(1.6))


@pytest.fixture(scope="module")
def small(vgg: nst.VGGFeatures) -> nst.StyleGrams:
    """A style of few layers, measured once at one size."""
    return nst.compute_style_grams(vgg, clouds(2, 48, 64), layers=TAPS, size=64)
