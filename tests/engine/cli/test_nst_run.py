"""`nst run`: what it reads, makes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from nst_calls import nst, refusal, same_pixels
from nst_process import ROOT
from pictures import clouds

from nst_engine.cli import workflows
from nst_engine.pictures.files import read_picture, write_picture


def graph(**inputs: object) -> dict:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": "content.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "copy", **inputs}},
    }


def test_run_prints_where_each_picture_is(folder):
    Path("copy.json").write_text(json.dumps(graph()))
    out, _ = nst("run", "copy.json", "--set", "SaveImage.filename_prefix=a/b", "--set", "1.image=style.png")
    assert out == [str(folder / "output" / "a" / "b_00001_.png")]
    assert torch.equal(read_picture(out[0]).pixels, read_picture("style.png").pixels)


def test_run_stylises_with_the_packs_nodes(folder):
    quickstart = ROOT / "workflows" / "api" / "quickstart.json"
    out, said = nst("run", quickstart, "--set", "NeuralStyleTransfer.steps=2", "--set", "NeuralStyleTransfer.size=64")
    assert ": 1 of 2" in said
    assert max(read_picture(out[0]).pixels.shape[-2:]) == 64


def test_run_reads_elsewhere_only_where_that_is_allowed(folder, capsys):
    Path("in").mkdir()
    for name in ("../content.png", str(folder / "content.png")):
        Path("copy.json").write_text(
            json.dumps(graph() | {"1": {"class_type": "LoadImage", "inputs": {"image": name}}})
        )
        said = refusal(capsys, "run", "copy.json", "--input", "in")
        assert "does not name a file in or below the folder in" in said and "--allow-outside" in said
        out, _ = nst("run", "copy.json", "--input", "in", "--allow-outside")
        assert torch.equal(read_picture(out[0]).pixels, read_picture("content.png").pixels)
    assert "--allow-outside" in " ".join(nst("run", "--help")[0])
    assert "--allow-outside" in (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")


def test_run_goes_through_a_folder(folder, capsys):
    for name in ("photos", "empty"):
        Path(name).mkdir()
    for name in ("b", "a"):
        write_picture(f"photos/{name}.png", clouds(ord(name), 40, 48))
    Path("photos/notes.txt").write_text("no picture")
    every = {"class_type": "LoadImageDataSetFromFolder", "inputs": {"folder": "photos"}}
    Path("copy.json").write_text(json.dumps(graph() | {"1": every}))
    out, _ = nst("run", "copy.json")
    for made, name in zip(out, ("a", "b"), strict=True):
        assert same_pixels(made, f"photos/{name}.png")
    assert "no picture lies in the folder empty" in refusal(capsys, "run", "copy.json", "--set", "1.folder=empty")
    assert "the folder none cannot be read" in refusal(capsys, "run", "copy.json", "--set", "1.folder=none")
    assert "does not name a file" in refusal(capsys, "run", "copy.json", "--set", "1.folder=../photos")


def test_run_refuses_by_name(folder, capsys):
    Path("bad.json").write_text(json.dumps(graph(filename_prefix="../x") | {"3": {"class_type": "KSampler"}}))
    said = refusal(capsys, "run", "bad.json")
    assert (
        "node 3 (KSampler): there is no such node here" in said
        and "does not name a file in or below the folder" in said
    )
    Path("canvas.json").write_text('{"nodes": [], "links": []}')
    assert "UI format" in refusal(capsys, "run", "canvas.json")
    assert "is not a web address" in refusal(capsys, "run", "bad.json", "--server", "ftp://x")
    assert "no input 'y'" in refusal(capsys, "run", "bad.json", "--set", "1.y=2")
    assert not Path("output").exists()


def test_run_from_an_installed_engine_alone_says_what_is_missing(folder, capsys, monkeypatch):
    monkeypatch.setattr(workflows, "__file__", str(folder / "site-packages" / "nst_engine" / "cli" / "workflows.py"))
    assert "Clone its repository" in refusal(capsys, "run", "copy.json")
