"""Files for hostile command lines: pictures, styles, settings, graphs, films and tables, broken in every way."""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import torch
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file

import nst_engine as nst


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


def write_files(folder: Path) -> None:
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
    for ending in ("png", "safetensors", "json", "pth", "mkv", "csv") if hasattr(os, "mkfifo") else ():
        os.mkfifo(folder / f"fifo.{ending}")
    (folder / "loop.png").symlink_to("loop.png")


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
