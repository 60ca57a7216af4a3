"""Style files that will not do, and folders with many of them: refused by name, looked through once."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import struct
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from some_styles import load, save

OUTSIDE = [
    "../style",
    "a/../../style",
    "a/../style",
    "/tmp/style",
    "\\style",
    "..\\style",
    "a\\..\\..\\style",
    "C:\\style",
    "C:style",
    "\\\\server\\share\\style",
    "st\0yle",
    "st\nyle",
    "style:stream",
    "",
    ".",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_leads_out_of_the_folders(pack, grams, io_folders, name):
    saver, loader = (pack.NODE_CLASS_MAPPINGS[n] for n in ("SaveStyleGrams", "LoadStyleGrams"))
    save(pack, grams, "here")
    for folder in (io_folders[0].parent, io_folders[1]):
        (folder / "style").write_bytes((io_folders[1] / "here_00001_.safetensors").read_bytes())
    before = sorted(io_folders[0].parent.rglob("*"))
    assert "does not name a file in or below the folder" in saver.VALIDATE_INPUTS(name)
    with pytest.raises(pack.nst_engine.NSTError, match="does not name a file"):
        save(pack, grams, name)
    for written in (name, f"{name} [output]", f"{name} [input]"):
        assert "does not name a file" in loader.VALIDATE_INPUTS(written)
        with pytest.raises(pack.nst_engine.NSTError, match="does not name a file"):
            load(pack, written)
    assert sorted(io_folders[0].parent.rglob("*")) == before


def test_no_link_leads_out_of_the_folders(pack, grams, io_folders, tmp_path):
    save(pack, grams)
    (tmp_path / "elsewhere").mkdir()
    file = io_folders[1] / "nst" / "style_00001_.safetensors"
    file.rename(tmp_path / "elsewhere" / "s.safetensors")
    try:
        (io_folders[1] / "away").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        (io_folders[0] / "s.safetensors").symlink_to(tmp_path / "elsewhere" / "s.safetensors")
    except OSError:
        pytest.skip("this system makes no links")
    for name in ("away/s.safetensors [output]", "s.safetensors"):
        with pytest.raises(pack.nst_engine.NSTError, match="leads out of the folder"):
            load(pack, name)
    with pytest.raises(pack.nst_engine.NSTError, match="leads out of the folder"):
        save(pack, grams, "away/style")
    assert len(list((tmp_path / "elsewhere").iterdir())) == 1


def test_folders_that_are_links_themselves_are_fine(pack, grams, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "disk", target_is_directory=True)
    token = pack.nodes.host.stand_alone_input_and_output.set((tmp_path / "linked", tmp_path / "linked"))
    assert load(pack, save(pack, grams))[0].styles
    pack.nodes.host.stand_alone_input_and_output.reset(token)


def test_a_file_that_is_not_there_is_told_before_anything_runs(pack):
    kind = pack.NODE_CLASS_MAPPINGS["LoadStyleGrams"]
    assert "there is no file gone.safetensors" in kind.VALIDATE_INPUTS("nst/gone.safetensors [output]")
    assert "a name of 5000 bytes is longer than the 255" in kind.VALIDATE_INPUTS("x" * 5000)
    assert kind.VALIDATE_INPUTS(None) is True  # linked: the host does not know the name yet
    assert pack.NODE_CLASS_MAPPINGS["SaveStyleGrams"].VALIDATE_INPUTS(None) is True
    assert pack.NODE_CLASS_MAPPINGS["SaveStyleGrams"].VALIDATE_INPUTS([]) is True  # the host says that it is no name


def rewritten(whole: bytes, **changes) -> bytes:
    """A saved style with other metadata."""
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    header["__metadata__"]["nst"] = json.dumps(json.loads(header["__metadata__"]["nst"]) | changes)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + whole[8 + length :]


def test_damaged_newer_and_other_files_are_refused_by_name(pack, grams, io_folders):
    save(pack, grams)
    whole = (io_folders[1] / "nst" / "style_00001_.safetensors").read_bytes()
    styles = json.loads(json.loads(whole[8 : 8 + struct.unpack("<Q", whole[:8])[0]])["__metadata__"]["nst"])["styles"]
    no_style = "file.safetensors is not a saved style, or it is damaged"
    for damaged, says in (
        (whole[: len(whole) // 2], no_style),
        (whole[:-1], no_style),
        (whole[:100], no_style),
        (b"", no_style),
        (b"not a style", no_style),
        (whole[:8] + bytes(200) + whole[208:], no_style),
        (rewritten(whole, styles=[]), no_style),
        (rewritten(whole, styles=[{**styles[0], "size": -3}]), no_style),
        (rewritten(whole, styles=[{**styles[0], "aspect": [0, 4]}]), no_style),
        (rewritten(whole, styles=[{**styles[0], "weight": float("nan")}]), no_style),
        (rewritten(whole, styles=styles * 2), no_style),
        (rewritten(whole, version=99, styles="who knows"), "file.safetensors was saved by a newer version"),
    ):
        (io_folders[0] / "file.safetensors").write_bytes(damaged)
        with pytest.raises(pack.nst_engine.NSTError, match=says):
            load(pack, "file.safetensors")
    (io_folders[0] / "file.safetensors").write_bytes(rewritten(whole))
    assert load(pack, "file.safetensors")


def test_weights_of_a_network_are_no_style(pack, io_folders):
    from safetensors.torch import save_file

    save_file({"features.0.weight": torch.zeros(3)}, str(io_folders[0] / "net.safetensors"), metadata={"format": "pt"})
    with pytest.raises(pack.nst_engine.NSTError, match=r"net\.safetensors is not a saved style.*nothing in it says so"):
        load(pack, "net.safetensors")


def test_the_list_to_choose_from_holds_saved_styles_and_nothing_else(pack, grams, io_folders):
    from safetensors.torch import save_file

    for prefix in ("nst/style", "nst/style", "top", "a/b/c"):
        save(pack, grams, prefix)
    save_file({"weight": torch.zeros(3)}, str(io_folders[1] / "net.safetensors"), metadata={"format": "pt"})
    (io_folders[1] / "half.safetensors").write_bytes(b"")
    Image.new("RGB", (4, 4)).save(io_folders[1] / "picture.png")
    listed = importlib.import_module("nst_pack.nodes.file_names").styles_in(io_folders[1])
    assert listed == [
        "a/b/c_00001_.safetensors",
        "nst/style_00001_.safetensors",
        "nst/style_00002_.safetensors",
        "top_00001_.safetensors",
    ]
    assert importlib.import_module("nst_pack.nodes.file_names").styles_in(io_folders[1] / "none") == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_that_is_called_a_style_is_none_and_nobody_waits_for_it(pack, grams, io_folders):
    """As in a folder that others can write to: opened plainly it would hang the host's list of nodes."""
    save(pack, grams, "style")
    pipe = io_folders[1] / "pipe.safetensors"
    os.mkfifo(pipe)
    listed = []
    looking = threading.Thread(
        target=lambda: listed.append(importlib.import_module("nst_pack.nodes.file_names").styles_in(io_folders[1])),
        daemon=True,
    )
    looking.start()
    looking.join(timeout=20)
    assert listed == [["style_00001_.safetensors"]]
    with pytest.raises(pack.nst_engine.NSTError, match=r"pipe\.safetensors"):
        load(pack, "pipe.safetensors [output]")


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """An output folder as years of use leave it: 100,000 files in 50 folders, and a few of them are styles."""
    folder = tmp_path_factory.mktemp("crowded")
    for i in range(50):
        (folder / f"{i}").mkdir()
        for j in range(2000):
            os.close(os.open(folder / f"{i}" / f"ComfyUI_{j:05}_.png", os.O_CREAT | os.O_WRONLY))
        os.utime(folder / f"{i}", (1, 1))
    return folder


@contextlib.contextmanager
def counted():
    """How many files and folders are opened."""
    calls = []
    watching = True

    def hook(event: str, args: tuple) -> None:
        if watching and event in ("open", "os.scandir", "os.listdir"):
            calls.append((event, str(args[0])))

    sys.addaudithook(hook)
    yield calls
    watching = False


def test_a_crowded_folder_is_looked_through_once(pack, grams, crowded):
    io_folders = importlib.import_module("nst_pack.nodes.file_names")
    for name in ("3/one.safetensors", "7/two.safetensors"):
        grams.save(crowded / name)
        os.utime((crowded / name).parent, (1, 1))
    os.utime(crowded, (1, 1))
    with counted() as calls:
        began = time.perf_counter()
        assert io_folders.styles_in(crowded) == ["3/one.safetensors", "7/two.safetensors"]
        first = time.perf_counter() - began
    assert sum(event == "os.scandir" for event, _ in calls) == 51
    assert {Path(at).suffix for event, at in calls if event == "open"} <= {".safetensors", ""}  # "": by its number
    with counted() as calls:
        began = time.perf_counter()
        assert io_folders.styles_in(crowded) == ["3/one.safetensors", "7/two.safetensors"]
        again = time.perf_counter() - began
    assert calls == []
    assert first < 10 and again < 0.5  # 0.1 and 0.001 s on a quiet machine

    # What comes, changes or goes is seen at once all the same.
    grams.save(crowded / "9" / "three.safetensors")
    (crowded / "3" / "one.safetensors").write_bytes(b"no longer a style")
    assert io_folders.styles_in(crowded) == ["7/two.safetensors", "9/three.safetensors"]
    (crowded / "9" / "three.safetensors").unlink()
    (crowded / "new" / "below").mkdir(parents=True)
    grams.save(crowded / "new" / "below" / "four.safetensors")
    assert io_folders.styles_in(crowded) == ["7/two.safetensors", "new/below/four.safetensors"]


def test_checking_a_chosen_style_looks_at_that_file_alone(pack, grams, crowded):
    kind, host = pack.NODE_CLASS_MAPPINGS["LoadStyleGrams"], pack.nodes.host
    grams.save(crowded / "3" / "chosen.safetensors")
    token = host.stand_alone_input_and_output.set((crowded, crowded))
    try:
        with counted() as calls:
            assert kind.VALIDATE_INPUTS(style="3/chosen.safetensors [output]") is True
            kind.IS_CHANGED(style="3/chosen.safetensors [output]")
        assert calls == []
    finally:
        host.stand_alone_input_and_output.reset(token)


def test_a_file_that_changes_is_loaded_anew(pack, grams, other, io_folders):
    changed = pack.NODE_CLASS_MAPPINGS["LoadStyleGrams"].IS_CHANGED
    name = save(pack, grams)
    first = changed(style=name, weight=1.0)
    assert changed(style=name, weight=2.0) == first
    file = io_folders[1] / "nst" / "style_00001_.safetensors"
    os.utime(file, ns=(1, 1))
    assert changed(style=name) != first
    (grams + other).save(file)
    assert changed(style=name) != first
    assert isinstance(changed(weight=1.0), str)
