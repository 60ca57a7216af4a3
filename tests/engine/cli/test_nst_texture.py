"""`nst texture`."""

from __future__ import annotations

import pytest
import torch
from nst_calls import PLAIN, grey, nst, refusal, same_pixels
from pictures import clouds
from PIL import ImageCms

import nst_engine as engine
from nst_engine.cli import commands as cli
from nst_engine.pictures.files import read_picture, read_settings, write_picture


def texture(*arguments: object) -> list[object]:
    return ["texture", "style.png", "-o", "out.png", "--width", 64, "--height", 96, *arguments]


def seam(name: str) -> float:
    """The step from the right side to the left, against steps within."""
    image = read_picture(name).pixels
    within = image.diff(dim=3).abs()[..., 3::4].mean()
    return float((image[..., 0] - image[..., -1]).abs().mean() / within)


def test_a_texture_is_seamless_unless_told_otherwise_and_made_again(folder, monkeypatch):
    out, said = nst(*texture(*PLAIN, "--steps", 30, "--start", "noise", "--style-size", 64, "--seed", 3))
    assert out == ["out.png"] and "texture: 1 of 30 loss " in said
    settings = read_settings("out.png")
    assert settings and "content" not in settings and settings["argv"][:2] == ["texture", "style.png"]
    told = {key: settings[key] for key in ("width", "height", "seamless", "start", "seed", "steps")}
    assert told == {"width": 64, "height": 96, "seamless": True, "start": "noise", "seed": 3, "steps": 30}
    assert read_picture("out.png").pixels.shape == (1, 3, 96, 64)
    assert seam("out.png") < 1.2

    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")  # the style lies beside the result
    assert cli.main(["again", "../out.png", "--quiet"]) == 0
    assert same_pixels("../out.png", "../out-again.png")
    assert cli.main(["again", "../out-again.png", "--no-seamless", "-o", "open.png", "--quiet"]) == 0
    assert seam("open.png") > 1.3


def test_a_texture_takes_several_styles_their_masks_and_a_start(folder):
    part = grey("part.png", 64, 64, slice(40))
    options = ["--style-masks", "part.png", "-", "--style-weights", 3, 1, "--start", "content.png", "--steps", 2]
    assert cli.main([*map(str, ["texture", "style.png", "other.png", *texture(*options, *PLAIN, "--quiet")[2:]])]) == 0
    vgg = engine.load_vgg("vgg19-caffe", precision="fp32", device="cpu")
    layers = engine.LayerWeights({"relu1_1": 1.0, "relu2_1": 1.0})
    style, other, begin = (read_picture(f"{name}.png").pixels for name in ("style", "other", "content"))
    one = engine.compute_style_grams(vgg, style, mask=part, weight=3.0, layers=layers.style)
    both = engine.compute_style_grams(vgg, other, blend_with=one, layers=layers.style)
    options = {"shape": (96, 64), "seamless": True, "steps": 2, "layers": layers, "start_image": begin}
    write_picture("expected.png", engine.stylize(vgg, None, both, **options).image)
    assert same_pixels("out.png", "expected.png")


def test_a_texture_has_its_styles_depth_and_profile(folder):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_picture("style.png", clouds(2, 64, 64), alpha=torch.full((1, 1, 64, 64), 0.5), icc_profile=profile, bits=16)
    assert cli.main([*map(str, texture("--steps", 0, "--style-size", 64, "--save-style", "kept.safetensors"))]) == 0
    made = read_picture("out.png")
    assert made.bits == 16 and made.icc_profile == profile and made.alpha is None
    assert cli.main([*map(str, ["texture", "kept.safetensors", *texture("--steps", 0)[2:]])]) == 0
    made = read_picture("out.png")
    assert made.bits == 8 and made.icc_profile is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--height", 0], "--height: 0 is not between 1 and"),
        (["--width", 2, "--no-seamless"], "too few"),
        (["--start", "content"], "start: 'content' needs a content picture; choose noise, grey or the style"),
        (["--keep-colours", "lab"], "unrecognized arguments: --keep-colours"),
        (["-o", "./style.png"], "is one of the pictures to be read"),
        (["--style-masks", "-", "-"], "--style-masks: 2 for 1 styles"),
    ],
)
def test_a_texture_that_cannot_be_is_refused_by_name(folder, capsys, arguments, told):
    before = sorted(folder.iterdir())
    assert told in refusal(capsys, *texture("--steps", 2, *arguments))
    assert sorted(folder.iterdir()) == before
    assert "required: --width, --height" in refusal(capsys, "texture", "style.png", "-o", "out.png")
