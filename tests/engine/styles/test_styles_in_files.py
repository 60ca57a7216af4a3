"""Styles in files: saved without their pictures, and read only where they hold together."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file
from short_runs import run, style_term

import nst_engine as nst


def broken_headers():
    entry = {"weight": 1.0, "size": 0, "aspect": [4, 4], "memo": [["k", "relu1_1", [4, 4], 16]]}
    whole = {"version": 1, "vgg_key": "k", "vgg": "v", "styles": [entry]}
    yield []
    yield {**whole, "version": "one"}
    yield {"version": 1}
    for change in (
        {"weight": None},
        {"weight": -1.0},
        {"aspect": 3},
        {"aspect": [0, 4]},
        {"size": -1},
        {"memo": [["k", "relu1_1", [4, 4], 16]] * 2},
        {"memo": [["k", "relu2_1", [4, 4], 16]]},
        {"memo": [["k", "relu9_1", [4, 4], 16]]},
    ):
        yield {**whole, "styles": [{**entry, **change}]}
    yield {**whole, "version": 99}
    yield whole


@pytest.mark.parametrize("header", list(broken_headers()), ids=str)
def test_saved_styles_that_do_not_hold_together(tmp_path, header):
    file = tmp_path / "s.safetensors"
    triangle = 64 * 65 // 2
    sound = {"0.0.mean": torch.zeros(64), "0.0.moment": torch.ones(triangle)}
    wrong = (
        torch.ones(64, 64),
        torch.ones(triangle - 1),
        torch.full((triangle,), torch.nan),
        torch.ones(triangle).half(),
    )
    damaged = [{**sound, "0.0.moment": moment} for moment in wrong] + [{**sound, "0.thumbnail": torch.zeros(2, 2, 3)}]
    whole = header == list(broken_headers())[-1]
    for tensors in damaged if whole else [sound]:
        save_file(tensors, str(file), metadata={"nst": json.dumps(header)})
        with pytest.raises(nst.NSTError, match=r"s\.safetensors (is not a saved style|was saved by a newer version)"):
            nst.StyleGrams.load(file)
    if whole:  # so that it is the damage that was found
        save_file(sound, str(file), metadata={"nst": json.dumps(header)})
        assert torch.equal(nst.StyleGrams.load(file).styles[0].memo["k", "relu1_1", (4, 4)].moment, torch.ones(64, 64))


def test_saving_a_style_twice_over_and_where_it_cannot_be(vgg, content, grams, tmp_path):
    run(vgg, content, grams, steps=1)
    (grams + grams).save(tmp_path / "twice.safetensors")
    assert len(nst.StyleGrams.load(tmp_path / "twice.safetensors").styles) == 2
    with pytest.raises(nst.NSTError, match="cannot be written"):
        grams.save(tmp_path / "no such folder" / "s.safetensors")


def test_styles_are_saved_without_their_pictures(vgg, content, style, tmp_path):
    grams = nst.compute_style_grams(vgg, style, size=90)
    grams.save(tmp_path / "style.safetensors")
    loaded = nst.StyleGrams.load(tmp_path / "style.safetensors")
    assert loaded.styles[0].picture is None
    assert style_term(vgg, content, loaded) == style_term(vgg, content, grams)
    with pytest.raises(nst.NSTError, match=r"lacks relu3_2 at .* it has relu1_1, relu2_1"):
        nst.objective(vgg, content, loaded, layers=nst.LayerWeights(style={"relu3_2": 1.0}))
    whole = (tmp_path / "style.safetensors").read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"not a style"):
        (tmp_path / "broken.safetensors").write_bytes(broken)
        with pytest.raises(nst.NSTError, match="not a saved style"):
            nst.StyleGrams.load(tmp_path / "broken.safetensors")
    with pytest.raises(nst.NSTError, match=r"gone\.safetensors cannot be read \(No such file or directory\)"):
        nst.StyleGrams.load(tmp_path / "gone.safetensors")
