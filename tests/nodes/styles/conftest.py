"""Two styles, and the folders of a host."""

from __future__ import annotations

import pytest
import torch
from some_styles import measured, run


@pytest.fixture(scope="module")
def vgg(pack):
    return run(pack, "LoadVGGFeatures", weights="vgg19-caffe", pooling="recipe", padding="recipe", precision="fp32")[0]


@pytest.fixture(scope="module")
def styles() -> torch.Tensor:
    return torch.rand(2, 40, 56, 3, generator=torch.Generator().manual_seed(1)) ** torch.tensor([1, 3]).view(2, 1, 1, 1)


@pytest.fixture(scope="module")
def grams(pack, vgg, styles):
    return measured(pack, vgg, styles[:1])


@pytest.fixture(scope="module")
def other(pack, vgg, styles):
    return measured(pack, vgg, styles[1:], weight=2.0)


@pytest.fixture(autouse=True)
def io_folders(pack, tmp_path):
    """The input and the output folder."""
    folders = tmp_path / "in", tmp_path / "out"
    for folder in folders:
        folder.mkdir()
    token = pack.nodes.host.stand_alone_input_and_output.set(folders)
    yield folders
    pack.nodes.host.stand_alone_input_and_output.reset(token)
