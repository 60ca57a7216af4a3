"""The example pictures and their masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "nodes" / "examples"
CONTENTS = ("content-landscape", "content-still-life")


@pytest.fixture
def load(pack):
    return pack.NODE_CLASS_MAPPINGS["NSTExampleImage"]().load


def test_pictures_are_listed_and_masks_are_not(pack):
    names = pack.NODE_CLASS_MAPPINGS["NSTExampleImage"].INPUT_TYPES()["required"]["name"][0]
    assert names == sorted(file.stem for file in FOLDER.glob("*.jpg"))
    others = {file.name for file in FOLDER.iterdir() if file.suffix != ".webp"} - {f"{name}.jpg" for name in names}
    assert others == {f"{name}-mask{ed}.png" for name in CONTENTS for ed in ("", "ed")}


def test_every_picture_has_a_mask_of_its_shape(pack, load):
    for name in pack.NODE_CLASS_MAPPINGS["NSTExampleImage"].INPUT_TYPES()["required"]["name"][0]:
        image, mask = load(name)
        assert image.dtype == mask.dtype == torch.float32
        assert image.ndim == 4 and image.shape[3] == 3
        assert mask.shape == image.shape[:3]
        if name not in CONTENTS:
            assert (mask == 1).all()


@pytest.mark.parametrize("name", CONTENTS)
def test_masks_cover_fully_or_not_at_all_but_for_soft_edges(load, name):
    mask = load(name)[1]
    assert float(mask.min()) == 0 and float(mask.max()) == 1
    between = ((mask > 0) & (mask < 1)).float().mean()
    assert 0.002 < between < 0.05
    assert 0.2 < mask.mean() < 0.5


def test_the_sky_is_above_the_horizon(load):
    sky = load("content-landscape")[1][0]
    assert (sky[:45] == 1).all()  # above the peak
    assert (sky[270:] == 0).all()  # lake and meadow, whatever they mirror
    assert (sky[190, 747:750] == 0).all() and sky[190, 732] == sky[190, 764] == 1  # a fir, and sky on both sides
    # Down any column the sky ends once. Branches of the firs on the right let some of it through.
    assert (sky[1:, :640] <= sky[:-1, :640] + 1 / 255).all()


def test_things_are_covered_and_cloth_and_wall_are_not(load):
    mask = load("content-still-life")[1][0]
    things = {"jug": (145, 160), "handle": (35, 180), "bowl": (350, 330), "pear": (365, 175), "stalk": (374, 130)}
    things |= {"apple": (195, 350), "orange": (70, 340), "plum": (320, 390)}
    for thing, (x, y) in things.items():
        assert mask[y, x] == 1, thing
    for place, (x, y) in {"wall": (300, 80), "within the handle": (62, 160), "cloth": (450, 450)}.items():
        assert mask[y, x] == 0, place
    assert (mask[0] == 0).all() and (mask[-1] == 0).all()


@pytest.mark.parametrize("name", CONTENTS)
def test_a_masks_edge_lies_on_an_edge_of_the_picture(load, name):
    """Moved by a few pixels to any side, it fits worse."""
    image, mask = (part[0].numpy() for part in load(name))
    contrast = np.hypot(*np.gradient(image.mean(-1)))
    edge = np.hypot(*np.gradient(mask))

    def fit(down: int, right: int) -> float:
        return float((np.roll(edge, (down, right), (0, 1)) * contrast).sum())

    assert fit(0, 0) > 1.3 * max(fit(*move) for move in ((4, 0), (-4, 0), (0, 4), (0, -4)))
