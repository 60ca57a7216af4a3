"""Hostile command lines with hostile files: `nst` answers in a sentence, soon, and within memory."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file

import nst_engine as nst
from nst_engine.cli import commands as cli

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 20  # seconds for one command line
MOST_MEMORY = 1200 << 20  # bytes that one command line may take beyond what the process has

S = "stylize content.png style.png --out out.png --steps 1 --size 48"  # a sound one, which the others spoil
V = "video attack.mkv style.png --out made.mkv --steps 1 --frame-steps 1 --size 48"
B = "batch content.png --styles style.png --out many --steps 1 --size 48 --style-size 48"
T = "texture style.png --width 48 --height 48 --out out.png --steps 1"


def png(width: int, height: int, rows: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG of any size said in its head, whatever its rows are."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    packed = zlib.compress(rows, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def style_file(path: Path, header: Any, **tensors: torch.Tensor) -> None:
    save_file(
        tensors or {"x": torch.zeros(1)}, path, {"nst": header if isinstance(header, str) else json.dumps(header)}
    )


STYLE = {"weight": 1.0, "size": 64, "aspect": [64, 64], "memo": []}


def header(**changed: Any) -> dict[str, Any]:
    return {"version": 1, "vgg_key": "k", "vgg": "v", "styles": [STYLE], **changed}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    hostile.write_pictures(folder)
    hostile.write_film(folder)
    drawn = np.random.default_rng(0)
    content = Image.fromarray(drawn.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    for name in ("content.png", "style.png", "whole.jpg", "whole.webp", "whole.tif", "whole.gif", "whole.bmp"):
        content.save(folder / name)
    _broken_pictures(folder)
    _broken_styles(folder)
    _broken_settings(folder, content)
    _graphs(folder)
    _broken_films(folder)
    _tables(folder)
    (folder / "folder").mkdir()
    (folder / "closed").mkdir(mode=0o500)
    for fifo in (
        ("fifo.png", "fifo.safetensors", "fifo.json", "fifo.pth", "fifo.mkv", "fifo.csv")
        if hasattr(os, "mkfifo")
        else ()
    ):
        os.mkfifo(folder / fifo)
    (folder / "loop.png").symlink_to("loop.png")
    return folder


def _broken_pictures(folder: Path) -> None:
    for name in ("content.png", "whole.jpg", "whole.webp", "whole.tif"):
        data = (folder / name).read_bytes()
        for percent in (10, 50, 95):
            (folder / f"cut-{percent}-{name}").write_bytes(data[: len(data) * percent // 100])
        middle = len(data) // 2
        (folder / f"bent-{name}").write_bytes(data[:middle] + bytes(40) + data[middle + 40 :])
    row = bytes(1 + 9000 * 3)
    (folder / "bomb.png").write_bytes(png(9000, 9000, row * 9000))
    (folder / "bomb-16.png").write_bytes(png(6000, 6000, bytes(1 + 6000 * 8) * 6000, depth=16, colour=6))
    (folder / "vast.png").write_bytes(png(2**31 - 1, 2**31 - 1, b"\0" * 100))
    (folder / "wide.png").write_bytes(png(10**6, 1, bytes(1 + 3 * 10**6)))
    (folder / "flat.png").write_bytes(png(0, 0, b""))
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("no picture")
    notes = PngImagePlugin.PngInfo()
    notes.add_text("nst", "x" * 30_000_000, zip=True)
    Image.new("RGB", (48, 48)).save(folder / "notes-bomb.png", pnginfo=notes)
    frames = [Image.new("RGB", (48, 48), (i, 0, 0)) for i in range(200)]
    frames[0].save(folder / "frames.gif", save_all=True, append_images=frames[1:])
    Image.new("RGB", (48, 48)).save(folder / "profile.png", icc_profile=os.urandom(3000))


def _broken_styles(folder: Path) -> None:
    for name, text in {
        "no-json": "{",
        "deep": "[" * 100_000,
        "list": [],
        "null": None,
        "empty-memo": header(),
        "many": header(styles=[STYLE] * 4000),
        "no-styles": header(styles=[]),
        "styles-null": header(styles=None),
        "styles-text": header(styles="abc"),
        "version-text": header(version="one"),
        "version-huge": header(version=10**300),
        "version-nan": header(version=float("nan")),
        "no-version": {"styles": [STYLE]},
        "weight-nan": header(styles=[{**STYLE, "weight": float("nan")}]),
        "weight-huge": header(styles=[{**STYLE, "weight": 10**400}]),
        "weight-zero": header(styles=[{**STYLE, "weight": 0}]),
        "size-huge": header(styles=[{**STYLE, "size": 10**40}]),
        "aspect-huge": header(styles=[{**STYLE, "aspect": [10**400, 1]}]),
        "aspect-long": header(styles=[{**STYLE, "aspect": [1] * 10_000}]),
        "aspect-thin": header(styles=[{**STYLE, "aspect": [1, 10**9]}]),
        "memo-odd": header(styles=[{**STYLE, "memo": [[["k"], "relu1_1", [1, 2], 3]]}]),
        "memo-huge": header(styles=[{**STYLE, "memo": [["k", "relu1_1", [10**30, 10**30], 10**400]]}]),
        "memo-layer": header(styles=[{**STYLE, "memo": [["k", "relu9_9\x1b[31m" + "x" * 5000, [4, 4], 16]]}]),
        "vgg-long": header(vgg="\x1b[31m" * 2000, styles=[]),
    }.items():
        style_file(folder / f"{name}.safetensors", text)
    (folder / "endless.safetensors").write_bytes(b"\xff" * 7 + b"\x7f" + b"{")
    (folder / "long-head.safetensors").write_bytes(struct.pack("<Q", 90_000_000) + b" " * 1000)
    (folder / "offsets.safetensors").write_bytes(
        (lambda h: struct.pack("<Q", len(h)) + h)(
            b'{"__metadata__":{"nst":"{}"},"x":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,399999999996]}}'
        )
    )
    (folder / "empty.safetensors").touch()
    (folder / "random.safetensors").write_bytes(os.urandom(5000))
    vgg = nst.load_vgg("vgg19-caffe", precision="fp32", device="cpu")
    sound = nst.compute_style_grams(vgg, torch.rand(1, 3, 48, 64), size=48)
    sound.save(folder / "sound.safetensors")
    data = (folder / "sound.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(data[: len(data) // 2])
    (folder / "nan.safetensors").write_bytes(data[:-4000] + struct.pack("<f", float("nan")) * 1000)
    (folder / "bad.pth").write_bytes(b"\x80\x04cos\nsystem\n(S'touch nst-escape'\ntR.")
    torch.save({"features.0.weight": torch.zeros(1)}, folder / "small.pth")


def _broken_settings(folder: Path, picture: Image.Image) -> None:
    argv = ["stylize", "content.png", "style.png", "--out", "x.png", "--steps", "1"]
    for name, text in {
        "deep": "[" * 100_000,
        "null": "null",
        "argv-null": json.dumps({"argv": None}),
        "argv-numbers": json.dumps({"argv": ["stylize", 1, 2]}),
        "argv-run": json.dumps({"argv": ["run", "graph.json"]}),
        "argv-other": json.dumps({"argv": ["stylize", "--help"]}),
        "argv-out": json.dumps({"argv": [*argv, "--out", f"/tmp/{hostile.ESCAPE}.png"]}),
        "argv-save": json.dumps({"argv": [*argv, "--save-style", f"/tmp/{hostile.ESCAPE}.safetensors"]}),
        "argv-secret": json.dumps({"argv": ["stylize", "/etc/hostname", "/etc/passwd", "--out", "x.png"]}),
        "argv-many": json.dumps({"argv": ["stylize", "content.png", *["style.png"] * 5000, "--out", "x.png"]}),
        "argv-huge": json.dumps({"argv": [*argv, "--size", "16384", "--steps", "100000"]}),
        "argv-surrogate": json.dumps({"argv": ["stylize", "\ud800", "style.png", "--out", "x.png"]}),
    }.items():
        notes = PngImagePlugin.PngInfo()
        notes.add_text("nst", text)
        picture.save(folder / f"again-{name}.png", pnginfo=notes)


def _graphs(folder: Path) -> None:
    save = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}
    load = {"class_type": "LoadImage", "inputs": {"image": "content.png"}}
    for name, graph in {
        "sound": {"1": load, "2": save},
        "outside": {"1": {**load, "inputs": {"image": "/etc/passwd"}}, "2": save},
        "home": {"1": {**load, "inputs": {"image": "~/x.png"}}, "2": save},
        "reads-fifo": {"1": {**load, "inputs": {"image": "fifo.png"}}, "2": save},
        "bomb": {"1": {**load, "inputs": {"image": "vast.png"}}, "2": save},
        "escape": {"1": load, "2": {**save, "inputs": {**save["inputs"], "filename_prefix": "../nst-escape"}}},
        "itself": {"1": load, "2": {**save, "inputs": {**save["inputs"], "filename_prefix": "a/.."}}},
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(graph), encoding="utf-8")
    (folder / "deep.json").write_text('{"a":' * 100_000)
    (folder / "digits.json").write_text('{"1": {"class_type": "SaveImage", "inputs": {"x": ' + "9" * 10_000 + "}}}")
    (folder / "latin.json").write_bytes(b'{"\xe9": 1}')


def _broken_films(folder: Path) -> None:
    data = (folder / hostile.FILM).read_bytes()
    for percent in (10, 50, 95):
        (folder / f"cut-{percent}.mkv").write_bytes(data[: len(data) * percent // 100])
    (folder / "bent.mkv").write_bytes(data[:600] + bytes(60) + data[660:])
    (folder / "empty.mkv").touch()
    (folder / "list.mkv").write_text(f"ffconcat version 1.0\nfile {hostile.FILM}\n")
    (folder / "list.m3u8").write_text(f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\n{hostile.FILM}\n#EXT-X-ENDLIST\n")
    for name in ("torn", "mixed"):
        (folder / name).mkdir()
        Image.effect_noise((64, 48), 90).convert("RGB").save(folder / name / "frame1.png")
    (folder / "torn" / "frame2.png").write_bytes((folder / "torn" / "frame1.png").read_bytes()[:200])
    Image.effect_noise((40, 40), 90).convert("RGB").save(folder / "mixed" / "frame2.png")
    (folder / "taken.mkv.frames").mkdir()
    (folder / "taken.mkv.frames" / "mine.txt").write_text("mine")


def _tables(folder: Path) -> None:
    for name, rows in {
        "escape": [{"out": f"../{hostile.ESCAPE}.png"}],
        "absolute": [{"out": f"/tmp/{hostile.ESCAPE}.png"}],
        "home": [{"out": f"~/{hostile.ESCAPE}.png"}],
        "windows": [{"out": f"..\\..\\{hostile.ESCAPE}.png"}],
        "itself": [{"out": "a/.."}],
        "null-byte": [{"out": "a\0b.png"}],
        "surrogate": [{"out": "\ud800.png"}],
        "over": [{"out": "one.png"}, {"out": "ONE.png"}],
        "reads": [{"content": "/etc/passwd"}],
        "lists": [{"content": ["a", "b"]}],
        "object": [{"style": {"a": 1}}],
        "quotes": [{"style": None, "styles": "'"}],
        "columns": [{"__class__": 1}],
        "saves": [{"save_style": f"/tmp/{hostile.ESCAPE}.safetensors"}],
        "size": [{"size": 10**40}],
        "word": [{"size": "--out=x.png"}],
        "dashes": [{"content": "--help"}],
        "weights": [{"weights": "bad.pth"}],
    }.items():
        lines = [json.dumps({"content": "content.png", "style": "style.png", **row}) for row in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    (folder / "deep.jsonl").write_text("[" * 100_000)
    (folder / "wide.csv").write_text("content," * 20_000 + "\n" + "content.png," * 20_000)
    (folder / "cell.csv").write_text("content,style\ncontent.png," + "x" * 200_000)
    (folder / "latin.csv").write_bytes(b"content,style\n\xe9.png,style.png")
    (folder / "empty.csv").touch()


LINES = {
    "commands": [
        *("", "--help", "nonsense", "stylize", "stylize --help", "texture", "again", "run", "recipes", "recipes x"),
        *("--version", "stylize a b", "stylize content.png style.png", "-o", "\ud800", "x" * 100_000),
    ],
    "numbers": [
        *(f"{S} --size {n}" for n in ("-2", "nan", "inf", "1e9", "9" * 5000, "1", "0.5", "１２", "999999999")),
        *(f"{S} --steps {n}" for n in ("-1", "9" * 30, "", "x")),
        *(f"{S} --lr {n}" for n in ("nan", "inf", "-1", "0", "1e300", "1e-300", "9" * 400)),
        *(f"{S} --style-weight {n}" for n in ("nan", "inf", "-1", "0", "1e308")),
        *(f"{S} --content-weight {n}" for n in ("nan", "-inf", "1e308")),
        *(f"{S} --tv-weight {n}" for n in ("nan", "-1", "1e308")),
        *(f"{S} --strength {n}" for n in ("nan", "-0.1", "1e9")),
        *(f"{S} --averaging {n}" for n in ("nan", "1", "-0.5", "1e9")),
        *(f"{S} --shift {n}" for n in ("nan", "1e38", "-1e300")),
        *(f"{S} --start-mix {n}" for n in ("nan", "2", "-1")),
        *(f"{S} --protect-weight {n}" for n in ("nan", "0", "-1", "1e300")),
        *(f"{S} --scales {n}" for n in ("0", "99", "9" * 30)),
        *(f"{S} --seed {n}" for n in ("-1", str(2**64), "x")),
        *(f"{S} --tile {n}" for n in ("0", "-1", "1", "x", "9" * 40)),
        *(f"{S} --quality {n}" for n in ("0", "101", "x")),
        *(f"{S} --bits {n}" for n in ("7", "16", "x")),
        *(f"{S} --style-weights {n}" for n in ("nan", "0", "1 2", "-1")),
        *(f"{S} --style-size {n}" for n in ("1", "-1", "9" * 30)),
        *(f"{S} --keep-colours {n}" for n in ("lab=nan", "lab=1e9", "x", "lab=", "=1", "lab=-1")),
        *(f"{T} --width {n}" for n in ("0", "-1", "nan", "9" * 20, "1")),
    ],
    "names": [
        *(f"{S} --style-layers {n}" for n in ("relu9_9", "=", "relu1_1=nan", "relu1_1=1,relu1_1=1", "x" * 9999, "\0")),
        *(f"{S} --device {n}" for n in ("x", "cuda:99", "meta", "cpu:5", "\ud800", "xla")),
        *(f"{S} --weights {n}" for n in (
            "no.pth", "bad.pth", "small.pth", "folder", "fifo.pth", "text.png", "sound.safetensors",
        )),
        *(f"{S} --start {n}" for n in ("no.png", "folder", "fifo.png", "text.png", "odd-1x5000.png")),
        *(f"{S} --recipe {n}" for n in ("x", "__class__", "")),
    ],
    "pictures": [
        *(f"stylize {n} style.png --out out.png --steps 1 --size 48" for n in (
            "no.png", "folder", "fifo.png", "loop.png", "empty.png", "text.png", "flat.png", "vast.png", "wide.png",
            "bomb.png", "bomb-16.png", "notes-bomb.png", "frames.gif", "profile.png", "graph\0.png", "\udcff.png",
            "/dev/zero", "/dev/null", "/proc/self/mem", "sound.safetensors", "http://127.0.0.1:9/x.png", "~/x.png", "-",
            "content.png/x",
            *(f"cut-{p}-{n}" for p in (10, 50, 95) for n in ("content.png", "whole.jpg", "whole.webp", "whole.tif")),
            *(f"bent-{n}" for n in ("content.png", "whole.jpg", "whole.webp", "whole.tif")),
            *(f"odd-{n}.png" for n in ("1x1", "1x500", "500x1", "2x3", "7x7", "15x64", "1x5000", "transparent")),
        )),
    ],
    "styles": [
        *(f"stylize content.png {n}.safetensors --out out.png --steps 1 --size 48" for n in (
            "no-json", "deep", "list", "null", "empty-memo", "many", "no-styles", "styles-null", "styles-text",
            "version-text", "version-huge", "version-nan", "no-version", "weight-nan", "weight-huge", "weight-zero",
            "size-huge", "aspect-huge", "aspect-long", "aspect-thin", "memo-odd", "memo-huge", "memo-layer", "vgg-long",
            "endless", "long-head", "offsets", "empty", "random", "cut", "nan", "fifo", "sound", "nowhere",
        )),
    ],
    "masks": [
        *(f"{S} --protect {n}" for n in ("no.png", "fifo.png", "odd-1x1.png", "odd-1.png", "text.png")),
        *(f"{S} --regions {n}" for n in ("no.png", "- -", "odd-transparent.png", "folder")),
        *(f"{S} --style-masks {n}" for n in ("no.png", "odd-transparent.png", "odd-500x1.png", "bomb.png")),
    ],
    "again and run": [
        *(f"again again-{n}.png" for n in (
            "deep", "null", "argv-null", "argv-numbers", "argv-run", "argv-other", "argv-out", "argv-save",
            "argv-secret", "argv-many", "argv-huge", "argv-surrogate",
        )),
        *("again no.png", "again content.png", "again fifo.png", "again folder", "again notes-bomb.png"),
        *(f"run {n}.json --quiet" for n in (
            "sound", "outside", "home", "fifo", "reads-fifo", "bomb", "escape", "itself", "deep", "digits", "latin",
            "no",
        )),
        *("run folder", "run style.png", "run sound.json --output content.png", "run sound.json --output closed"),
        *(f"run sound.json --set {n}" for n in (
            "x", "=", "1.image", "1.image=", "9.x=1", "1.x=1", "1.image=[[", "\ud800.x=1",
        )),
        *(f"run sound.json --server {n}" for n in (
            "x", "http://", "http://127.0.0.1:9", "file:///etc/passwd", "http://[", "\ud800",
        )),
    ],
    "video": [
        *(f"video {n} style.png --out made.mkv --steps 1 --frame-steps 1 --size 48" for n in (
            "no.mkv", "folder", "fifo.mkv", "empty.mkv", "list.mkv", "list.m3u8", "cut-10.mkv", "cut-50.mkv",
            "cut-95.mkv", "bent.mkv", "text.png", "content.png", "torn", "mixed", "/dev/zero", "/proc/self/mem",
            "http://127.0.0.1:9/x.mkv", "concat:attack.mkv", "\udcff.mkv", "x\0.mkv", "attack.webp",
        )),
        *(f"video attack.mkv style.png --steps 0 --frame-steps 0 --out {n}" for n in (
            "made.xyz", "no/such/made.mkv", "attack.mkv", "fifo.mkv", "/dev/null", "closed/made.mkv", "folder.mkv/",
            "taken.mkv", "content.png", "x" * 300 + ".mkv", "\udcff.mkv", "torn",
        )),
        *(f"{V} --codec {n}" for n in ("x", "h264", "pcm_s16le", "gif", "\ud800", "x" * 9999)),
        *(f"{V} {n}" for n in (
            "--fps 0", "--fps 1/0", "--fps 1e9", "--from 9:9:9", "--from x", "--to 0", "--every 0", "--every 9999999",
            "--look-back 0", "--look-back 3 2", "--temporal-weight nan", "--temporal-weight 1e300", "--frame-steps -1",
            "--crf 99", "--flow bad.pth", "--flow fifo.pth", "--protect torn", "--protect fifo.mkv",
        )),
    ],
    "batch": [
        *(f"batch {n}.jsonl --out many --steps 1 --size 48 --style-size 48" for n in (
            "escape", "absolute", "home", "windows", "itself", "null-byte", "surrogate", "over", "reads", "lists",
            "object", "quotes", "columns", "saves", "size", "word", "dashes", "weights", "deep", "no",
        )),
        *(f"batch {n}.csv --out many --steps 1" for n in ("wide", "cell", "latin", "empty", "fifo")),
        *(f"{B} --name {n}" for n in (
            f"../{hostile.ESCAPE}", f"/tmp/{hostile.ESCAPE}", f"..\\{hostile.ESCAPE}", "{", "{0}", "{}", "..", "",
            "{content.__class__}", "{content!r}", "{number:{number.__class__}}", "{number:{x}}", "\ud800", "a\0b",
            "x" * 300, "{steps:>99999999999}",
        )),
        *(f"{B} {n}" for n in (
            "--time-limit nan", "--time-limit -1", "--devices x", "--devices cuda:99", "--server x", "--actors 2",
            "--server http://127.0.0.1:9", "--report folder", "--report /dev/full", "--combine x", "--quiet --dry-run",
        )),
        *("batch fifo.png --styles style.png --out many --steps 1", "batch no-* --styles style.png --out many"),
        *("batch . --styles style.png --out .", "batch folder --styles style.png --out many"),
        *(f"batch {n}.mkv --styles style.png --out many --steps 1 --size 48" for n in ("cut-50", "list", "fifo")),
        *(f"batch content.png --styles style.png --out {n}" for n in ("content.png", "closed/x", "/dev/null", "x\0")),
    ],
    "outputs": [
        # Last: they may take the place of a fifo.
        *(f"stylize content.png style.png --steps 0 --out {n}" for n in (
            "no/such/out.png", "out.xyz", "out", "", ".", "folder", "folder.png/", "closed/out.png", "/dev/null",
            "/dev/full", "/proc/x.png", "content.png", "fifo.png", "x" * 300 + ".png", "out\0.png", "\udcff.png",
            "loop.png",
        )),
        *(f"{S} --style-size 48 --save-style {n}" for n in (
            "no/such.safetensors", "x.png", "folder", "closed/x.safetensors", "/dev/null", "x" * 300 + ".safetensors",
            "fifo.safetensors", "style.png",
        )),
    ],
}  # fmt: skip


@pytest.fixture
def work(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    monkeypatch.setattr("builtins.input", lambda *_: "")  # who is asked says nothing
    return made


def words(line: str) -> list[str]:
    return line.split(" ") if line else []


class OutOfTime(BaseException):
    pass


def problem_of(argv: list[str], capfd: pytest.CaptureFixture) -> str | None:
    """What is wrong with the answer to a command line; None when it is as it should be."""

    def on_alarm(*_: object) -> None:
        raise OutOfTime

    _forget_peak()
    before = _memory("VmRSS")
    usual = signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(LIMIT)
    try:
        status: Any = cli.main(argv)
    except SystemExit as left:  # argparse's, for --help
        status = left.code or 0
    except OutOfTime:
        return f"took more than {LIMIT} s"
    except Exception as error:
        return f"raised {type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, usual)
    said = capfd.readouterr().err
    peak = _memory("VmHWM") - before
    if peak > MOST_MEMORY:
        return f"took {peak >> 20} MB"
    return problem_with(status, said)


def problem_with(status: int, said: str) -> str | None:
    if status not in (0, 1, 2, 130):
        return f"status {status}"
    if "Traceback" in said:
        return f"a traceback: {said[-300:]}"
    if len(said) > 6000:
        return f"said {len(said)} characters: {said[:100]!r}"
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", said):
        return f"control codes: {said[:200]!r}"
    lines = said.splitlines()
    if status and not any(line.startswith("nst: ") for line in lines):
        return f"status {status} without a word of nst: {said[:200]!r}"
    if status and re.search(r"' object |NoneType|positional argument|\[Errno", said):
        return f"Python's own words: {said[:300]!r}"
    return None


def _forget_peak() -> None:
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def _memory(which: str) -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    return next(int(line.split()[1]) << 10 for line in status.read_text().splitlines() if line.startswith(which))


def test_there_are_enough() -> None:
    assert len({line for lines in LINES.values() for line in lines}) >= 100


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="ends what takes too long by an alarm")
@pytest.mark.parametrize("group", LINES)
def test_each_is_answered_in_a_sentence_soon_and_within_memory(work: Path, capfd, group: str) -> None:
    kept = {f.name: f.read_bytes() for f in work.iterdir() if f.is_file() and f.name != "out.png"}
    around = set(work.parent.iterdir()) | set(Path("/tmp").glob(f"*{hostile.ESCAPE}*"))
    problems = []
    for line in LINES[group]:
        begun = time.monotonic()
        if problem := problem_of(words(line), capfd):
            problems.append(f"nst {line[:120]!a}  ({time.monotonic() - begun:.1f} s)\n    {problem}")
    changed = [name for name, data in kept.items() if not (work / name).exists() or (work / name).read_bytes() != data]
    appeared = (set(work.parent.iterdir()) | set(Path("/tmp").glob(f"*{hostile.ESCAPE}*"))) - around
    problems += [f"changed: {name}" for name in changed] + [f"appeared: {path}" for path in appeared]
    if problems:
        pytest.fail(f"{len(problems)} problems:\n" + "\n".join(problems), pytrace=False)


# --- as real processes --------------------------------------------------------------------------------------------

PROCESSES = [
    "",
    "nonsense",
    f"{S} --size nan",
    "stylize fifo.png style.png --out out.png",
    "stylize bomb.png style.png --out out.png --steps 1 --size 48",
    "stylize content.png many.safetensors --out out.png --steps 1 --size 48",
    "stylize content.png deep.safetensors --out out.png --steps 1 --size 48",
    "stylize content.png fifo.safetensors --out out.png --steps 1 --size 48",
    "again again-deep.png",
    "again again-argv-huge.png",
    "again again-argv-secret.png",
    "run deep.json",
    "run fifo.json",
    "run reads-fifo.json",
    "run escape.json",
    "run outside.json",
]


def start(argv: list[Any], folder: Path, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "nst_engine", *argv],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


@pytest.mark.parametrize("line", PROCESSES)
def test_as_a_process_of_its_own(made: Path, line: str) -> None:
    process = start(words(line), made)
    try:
        _, said = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        pytest.fail(f"took more than {LIMIT} s")
    assert problem_with(process.returncode, said.decode("utf-8", "replace")) is None


@pytest.mark.skipif(os.name == "nt", reason="names there are text")
def test_a_name_that_is_no_text(made: Path) -> None:
    for argv in ([b"stylize", b"\xff\xfe.png", b"style.png", b"-o", b"out.png"], [b"run", b"\xff.json"]):
        process = start(argv, made)
        _, said = process.communicate(timeout=LIMIT)
        assert process.returncode == 1 and said.startswith(b"nst: ") and b"Traceback" not in said


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_an_output_that_takes_nothing(made: Path) -> None:
    with open("/dev/full", "wb") as full:
        process = start(["recipes"], made, stdout=full)
        _, said = process.communicate(timeout=LIMIT)
    assert process.returncode != 0 and b"Traceback" not in said
    reader, writer = os.pipe()
    os.close(reader)
    process = start(["recipes"], made, stdout=writer)
    os.close(writer)
    _, said = process.communicate(timeout=LIMIT)
    assert b"Traceback" not in said


@pytest.mark.skipif(sys.platform != "linux", reason="a limit on a process's memory")
def test_a_process_without_memory_says_so(made: Path) -> None:
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))

    argv = words("stylize content.png style.png --out out.png --steps 1 --size 9000 --tile off")
    process = start(argv, made, preexec_fn=limit)
    try:
        _, said = process.communicate(timeout=3 * LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        pytest.fail("took too long")
    assert process.returncode in (0, 1) and b"Traceback" not in said, said.decode()
