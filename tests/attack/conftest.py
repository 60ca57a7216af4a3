"""Hostile tests, which `make attack` runs and `make test` leaves out: they need a ComfyUI and about an hour."""

from __future__ import annotations

from pathlib import Path

import hostile
import hostile_files
import pytest
import torch

import nst_engine as nst


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak-prompts", type=int, default=1000, help="how many prompts the soak runs")
    parser.addoption("--soak-out", type=Path, help="a folder for the soak's table and plot")


@pytest.fixture(scope="session")
def more_custom_nodes() -> list[Path]:
    return [Path(__file__).with_name("attack_probes.py")]


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An input folder with the pictures and the style that the hostile graphs start from."""
    folder = tmp_path_factory.mktemp("input")
    hostile.write_pictures(folder)
    hostile.write_film(folder)
    vgg = nst.load_vgg("vgg19-caffe", precision="fp32", device="cpu")
    picture = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    nst.compute_style_grams(vgg, picture, size=48).save(folder / hostile.STYLE)
    return folder


@pytest.fixture(scope="module")
def broken_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that hostile command lines name. They may change it: one for each module."""
    folder = tmp_path_factory.mktemp("files")
    hostile_files.write_files(folder)
    return folder
