"""Saved styles and masks on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from nst_calls import grey, made, refusal, stylize
from pictures import clouds

import nst_engine as engine
from nst_engine.cli import commands as cli
from nst_engine.cli.arguments import parser
from nst_engine.cli.inputs import read_inputs
from nst_engine.pictures.files import read_picture, write_picture

# --- saved styles -------------------------------------------------------------------------------------------------


def test_a_saved_style_takes_the_place_of_its_picture(folder, capsys):
    def made(style: str, *options: object) -> torch.Tensor:
        arguments = ["stylize", "content.png", style, *options, "--steps", 2, "--quiet", "-o", "out.png"]
        assert cli.main([*map(str, arguments)]) == 0, capsys.readouterr().err
        return read_picture("out.png").pixels

    from_picture = made("style.png", "--style-size", 48, "--save-style", "kept.safetensors")
    Path("style.png").unlink()
    assert torch.equal(made("kept.safetensors"), from_picture)
    # What was saved then is not saved again.
    stored = Path("kept.safetensors").stat().st_mtime_ns
    Path("out.png").unlink()
    write_picture("style.png", clouds(2, 64, 64))
    made("style.png", "--style-size", 48, "--save-style", "other.safetensors")
    Path("other.safetensors").unlink()
    assert cli.main(["again", "out.png", "--quiet"]) == 0
    assert not Path("other.safetensors").exists() and Path("kept.safetensors").stat().st_mtime_ns == stored

    both = made("kept.safetensors", "other.png", "--style-size", 48, "--style-weights", 1, 0)
    assert torch.equal(both, from_picture)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--save-style", "kept.safetensors"], "give --style-size"),
        (["--save-style", "kept.png", "--style-size", 48], "name a file ending in .safetensors"),
        (["--save-style", "nowhere/kept.safetensors", "--style-size", 48], "in a folder that exists"),
        (["--save-style", "./given.safetensors", "--style-size", 48, "--start", "given.safetensors"], "would be lost"),
    ],
)
def test_a_style_that_cannot_be_saved_is_refused_at_once(folder, capsys, arguments, told):
    Path("given.safetensors").write_bytes(b"")
    before = sorted(folder.iterdir())
    assert told in refusal(capsys, *stylize(*arguments))
    assert sorted(folder.iterdir()) == before


def test_a_style_file_that_is_none_is_refused(folder, capsys):
    Path("given.safetensors").write_bytes(b"nothing")
    said = refusal(capsys, "stylize", "content.png", "given.safetensors", "-o", "out.png")
    assert "given.safetensors is not a saved style" in said


# --- masks --------------------------------------------------------------------------------------------------------


def two_styles(*arguments: object) -> list[object]:
    return ["stylize", "content.png", "style.png", "other.png", "-o", "out.png", "--steps", 2, *arguments]


@pytest.mark.parametrize("mode", ["simple", "inside"])
def test_masks_arrive_at_the_engine_each_in_its_place(folder, mode):
    part = grey("part.png", 64, 64, slice(40))
    right = grey("right.png", 64, 80, slice(40, 80))
    protect = grey("protect.png", 64, 80, slice(8))
    masks = ["--style-masks", "part.png", "-", "--regions", "-", "right.png", "--protect", "protect.png"]
    options = ["--mask-mode", mode, "--style-layers", "relu1_1, relu2_1", "--precision", "fp32", "--device", "cpu"]
    assert cli.main([*map(str, two_styles(*masks, *options, "--quiet"))]) == 0

    vgg = engine.load_vgg("vgg19-caffe", precision="fp32", device="cpu")
    layers = engine.LayerWeights(style={"relu1_1": 1.0, "relu2_1": 1.0})
    shared = {"layers": layers.style, "mask_mode": mode}
    pictures = {name: read_picture(f"{name}.png").pixels for name in ("content", "style", "other")}
    one = engine.compute_style_grams(vgg, pictures["style"], mask=part, **shared)
    both = engine.compute_style_grams(vgg, pictures["other"], region=right, blend_with=one, **shared)
    result = engine.stylize(vgg, pictures["content"], both, steps=2, layers=layers, protect=protect)
    write_picture("expected.png", result.image)
    assert torch.equal(read_picture("out.png").pixels, read_picture("expected.png").pixels)


def test_outside_of_regions_and_where_protected_the_picture_is_the_content(folder, capsys):
    grey("right.png", 64, 80, slice(40, 80))
    grey("protect.png", 64, 80, slice(60, 80))
    change = (made(capsys, "--regions", "right.png") - read_picture("content.png").pixels).abs().mean((0, 1, 2))
    assert change[40:].mean() > 0.01 and change[:40].max() == 0
    change = (made(capsys, "--protect", "protect.png") - read_picture("content.png").pixels).abs().mean((0, 1, 2))
    assert change[:60].mean() > 0.01 and change[60:].max() == 0


def test_a_mask_file_covers_what_is_white_or_else_what_is_opaque(folder):
    def read(name: str) -> torch.Tensor:
        args = parser().parse_args(["stylize", "content.png", "style.png", "-o", "out.png", "--protect", name])
        mask = read_inputs(args).protect
        assert mask is not None
        return mask

    ramp = torch.linspace(0, 1, 80).mul(65535).round().div(65535).expand(1, 1, 64, 80)
    write_picture("grey.png", ramp.expand(1, 3, 64, 80), bits=16)
    assert torch.equal(read("grey.png"), ramp)
    write_picture("opaque.png", ramp.expand(1, 3, 64, 80), alpha=torch.ones_like(ramp), bits=16)
    assert torch.equal(read("opaque.png"), ramp)
    write_picture("cut out.png", 1 - ramp.expand(1, 3, 64, 80), alpha=ramp, bits=16)
    assert torch.equal(read("cut out.png"), ramp)
    colours = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 64, 80)
    write_picture("red.png", colours)
    assert read("red.png").unique().tolist() == pytest.approx([0.299])


def test_again_finds_the_masks_beside_the_result(folder, monkeypatch, capsys):
    (folder / "masks").mkdir()
    grey("masks/part.png", 64, 64, slice(40))
    grey("left.png", 64, 80, slice(40))
    grey("protect.png", 64, 80, slice(20))
    first = made(capsys, "--style-masks", "masks/part.png", "--regions", "left.png", "--protect", "protect.png")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert torch.equal(made_again(capsys), first)
    change = (made_again(capsys, "--protect", "-") - first).abs()
    assert change[..., :20].mean() > 0.01 and change[..., 40:].max() == 0


def made_again(capsys, *changes: object) -> torch.Tensor:
    assert cli.main(["again", "../out.png", *map(str, changes), "--quiet"]) == 0, capsys.readouterr().err
    return read_picture("../out-again.png").pixels


def test_a_saved_style_goes_to_a_region(folder, capsys):
    grey("left.png", 64, 80, slice(40))
    grey("part.png", 64, 64, slice(40))
    layers = ["--style-layers", "relu1_1, relu2_1"]
    keep = ["--style-size", 48, "--save-style", "kept.safetensors", *layers]
    from_picture = made(capsys, "--style-masks", "part.png", "--regions", "left.png", *keep)
    saved = ["stylize", "content.png", "kept.safetensors", "-o", "out.png", "--steps", 2, "--quiet", *layers]
    assert cli.main([*map(str, saved), "--regions", "left.png", "--style-masks", "-"]) == 0
    assert torch.equal(read_picture("out.png").pixels, from_picture)
    capsys.readouterr()
    said = refusal(capsys, *saved, "--style-masks", "part.png")
    assert "--style-masks: kept.safetensors has been measured already; give - for it, or its picture." in said
    said = refusal(capsys, "stylize", "content.png", "kept.safetensors", "-o", "out.png", "--style-copies", "rotated")
    assert "--style-copies: a saved style has been measured already" in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--regions", "left.png", "left.png"], "--regions: 2 for 1 styles; give one for each, - for none"),
        (["--style-masks", "-", "-", "-"], "--style-masks: 3 for 1 styles"),
        (["--style-masks"], "--style-masks: expected at least one argument"),
        (["--protect", "gone.png"], "gone.png: no such file"),
        (["--regions", "gone.png"], "gone.png: no such file"),
        (["--style-masks", "damaged.png"], "damaged.png: "),
        (["--regions", "part.png"], "--regions: part.png: the mask is 64×64, which are not the proportions of 80×64"),
        (["--style-masks", "left.png"], "--style-masks: left.png: the mask is 80×64, which are not the proportions of"),
        (["--protect", "part.png"], "--protect: part.png: the mask is 64×64"),
        (["--protect", "black.png"], "--protect: black.png: the mask covers nothing"),
        (["--regions", "black.png"], "--regions: black.png: the mask covers nothing"),
        (["--mask-mode", "outside"], "--mask-mode: invalid choice: 'outside'"),
        (
            ["--mask-mode", "inside", "--style-masks", "part.png", "--style-layers", "relu5_1"],
            "--style-masks of style.png: it is too small for relu",
        ),
        (["--protect", "left.png", "-o", "./left.png"], "left.png: this is one of the pictures to be read"),
        (["--regions", "left.png", "-o", "./left.png"], "left.png: this is one of the pictures to be read"),
        (["--style-masks", "part.png", "-o", "./part.png"], "part.png: this is one of the pictures to be read"),
    ],
)
def test_a_mask_that_will_not_do_is_refused_by_name(folder, capsys, arguments, told):
    grey("left.png", 64, 80, slice(40))
    grey("part.png", 64, 64, slice(40))
    grey("black.png", 64, 80, slice(0))
    Path("damaged.png").write_bytes(Path("left.png").read_bytes()[:60])
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert told in refusal(capsys, *stylize("--quiet", *arguments))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_regions_that_overlap_are_refused_with_how_much(folder, capsys):
    grey("left.png", 64, 80, slice(40))
    grey("more.png", 64, 80, slice(20, 80))
    said = refusal(capsys, *two_styles("--regions", "left.png", "more.png"))
    assert "regions: the masks of style.png, other.png overlap on 25.0% of the picture" in said
