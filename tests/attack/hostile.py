"""Hostile values, pictures to be hostile with, and small sound graphs for `spoilt_graphs`: the same every time."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from nst_engine.video.encode import Encoding, write_clip
from nst_engine.video.source import Part, Shown, Source

ROOT = Path(__file__).resolve().parents[2]
PICTURE, STYLE, FILM, CLIP = "attack.png", "attack.safetensors", "attack.mkv", "attack.webp"
ESCAPE = "nst-escape"  # in every name that tries to leave a folder: no file of that name may appear

Graph = dict[str, dict[str, Any]]


def write_pictures(folder: Path) -> None:
    """PICTURE, with a soft edge of transparency, and pictures of odd shapes and modes named odd-*.png."""
    drawn = np.random.default_rng(0)

    def noise(*shape: int) -> np.ndarray:
        return drawn.integers(0, 256, shape, dtype=np.uint8)

    picture = noise(48, 64, 4)
    picture[..., 3] = np.linspace(0, 255, 64)
    Image.fromarray(picture).save(folder / PICTURE)
    for height, width in ((1, 1), (1, 500), (500, 1), (2, 3), (7, 7), (15, 64), (1, 5000)):
        Image.fromarray(noise(height, width, 3)).save(folder / f"odd-{height}x{width}.png")
    for mode, codes in {"L": noise(40, 40), "LA": noise(40, 40, 2)}.items():
        Image.fromarray(codes).save(folder / f"odd-{mode}.png")
    Image.fromarray(noise(40, 40, 3)).quantize(16).save(folder / "odd-P.png")
    Image.fromarray(noise(40, 40)).convert("1").save(folder / "odd-1.png")
    Image.fromarray(drawn.integers(0, 65536, (40, 40), dtype=np.uint16)).save(folder / "odd-16.png")
    Image.fromarray(np.zeros((40, 40, 4), np.uint8)).save(folder / "odd-transparent.png")


def write_film(folder: Path) -> None:
    """Two frames of noise as a video, FILM, and as an animation, CLIP."""
    frames = torch.rand(2, 1, 3, 48, 64, generator=torch.Generator().manual_seed(2))
    pictures = [Image.fromarray((frame[0] * 255).byte().movedim(0, -1).numpy()) for frame in frames]
    pictures[0].save(folder / CLIP, save_all=True, append_images=pictures[1:], lossless=True)
    shown = [Shown(number, Fraction(number, 10), frame) for number, frame in enumerate(frames)]
    write_clip(folder / FILM, shown, Source(Path(), (48, 64), 8, Fraction(10), 2, ("drawn",)), Part(), Encoding())


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "zero": 0,
    "minus one": -1,
    "a fraction": 0.5,
    "seven": 7,
    "huge": 10**40,
    "huge negative": -(10**40),
    "400 digits": 10**400,
    "1e308": 1e308,
    "NaN": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "empty": "",
    "blank": "   ",
    "a word": "word",
    "a number as text": "7",
    "parent": f"../{ESCAPE}",
    "far parents": f"a/../../../../{ESCAPE}",
    "absolute": f"/tmp/{ESCAPE}",
    "home": f"~/{ESCAPE}",
    "backslashes": f"..\\..\\{ESCAPE}",
    "a drive": f"C:\\{ESCAPE}",
    "dots": "..",
    "a dot": ".",
    "a slash": "x/",
    "a null byte": "nst\0escape",
    "control codes": "\x1b[31mred\r\n\a",
    "a surrogate": "nst\ud800name",
    "100 kB": "x" * 100_000,
    "a device": "CON",
    "no list": [],
    "three numbers": [1, 2, 3],
    "an object": {"a": 1},
    "a list as value": {"__value__": [1, [2]]},
    "nested": nested(150),
    "the vgg": ["vgg", 0],
    "the picture": ["picture", 0],
    "the mask": ["picture", 1],
    "the style": ["style", 0],
    "the film": ["film", 0],
    "nobody": ["nobody", 0],
    "output 99": ["picture", 99],
    "output -1": ["picture", -1],
    "output as text": ["picture", "0"],
    "output 0.5": ["picture", 0.5],
    "output null": ["picture", None],
    "node null": [None, 0],
    "node as object": [{}, 0],
    "itself": ["subject", 0],
}


def node_names() -> list[str]:
    """Those of the pack, as its table has them; read and not imported, because tests are collected before."""
    tree = ast.parse((ROOT / "nodes" / "__init__.py").read_text(encoding="utf-8"))
    (table,) = (n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "_NODES")
    return [ast.unparse(name) for name in table.elts]


SMALL = {
    "steps": 1,
    "size": 48,
    "scales": 1,
    "width": 64,
    "height": 64,
    "frames": 2,
    "maps": 2,
    "filename_prefix": "attack/style",
    "style": STYLE,
    "image": PICTURE,
    "file": FILM,
}
WIRES = {
    "VGG_FEATURES": ["vgg", 0],
    "IMAGE": ["picture", 0],
    "MASK": ["picture", 1],
    "LAYER_WEIGHTS": ["layers", 0],
    "STYLE_GRAMS": ["style", 0],
    "NST_METHOD": ["method", 0],
    "LOSS_HISTORY": ["made", 1],
    "VIDEO": ["film", 0],
}


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def sound_inputs(known: Mapping[str, Any], class_type: str, section: str | None = None) -> dict[str, Any]:
    """Every input of a node, or of one section of them, with a value or a wire that will do."""
    table = known[class_type].INPUT_TYPES()
    inputs = {}
    for at in ("required", "optional") if section is None else (section,):
        for name, (kind, *rest) in table.get(at, {}).items():
            options = rest[0] if rest else {}
            if (kind, name) == ("IMAGE", "frames"):
                inputs[name] = ["clip", 0]
            elif isinstance(kind, str) and kind in WIRES:
                inputs[name] = list(WIRES[kind])
            elif name in SMALL:
                value = SMALL[name]
                inputs[name] = max(value, options.get("min", value)) if isinstance(value, int) else value
            else:
                inputs[name] = options.get("default", kind[0] if isinstance(kind, list) and kind else "")
    return inputs


def sound(known: Mapping[str, Any], class_type: str) -> Graph:
    """A graph around one node, `subject`, of which every output is used and looked at."""

    def small(kind: str, **changed: Any) -> dict[str, Any]:
        return node(kind, **{**sound_inputs(known, kind, "required"), **changed})

    graph = {
        "picture": node("LoadImage", image=PICTURE),
        "vgg": small("LoadVGGFeatures"),
        "layers": small("LayerWeights"),
        "style": small("ComputeStyleGrams"),
        "method": small("NSTMethod"),
        "made": small("NeuralStyleTransfer", steps=1, size=48),
        "clip": node("LoadImage", image=CLIP),
        "film": node("LoadVideo", file=FILM),
        "subject": node(class_type, **sound_inputs(known, class_type)),
    }
    for i, kind in enumerate(known[class_type].RETURN_TYPES):
        wire = ["subject", i]
        graph[f"probe {i}"] = node("AttackProbe", value=wire)
        if kind == "IMAGE":
            graph[f"save {i}"] = node("SaveImage", images=wire, filename_prefix="attack/picture")
        elif kind == "STYLE_GRAMS":
            graph[f"save {i}"] = node("SaveStyleGrams", style_grams=wire, filename_prefix="attack/style")
        elif kind == "LOSS_HISTORY":
            graph[f"plot {i}"] = small("NSTPlotLossHistory", loss_history=wire)
            graph[f"save {i}"] = node("SaveImage", images=[f"plot {i}", 0], filename_prefix="attack/plot")
        elif kind == "VGG_FEATURES":
            graph[f"show {i}"] = small("NSTShowFeatures", vgg=wire)
            graph[f"save {i}"] = node("SaveImage", images=[f"show {i}", 0], filename_prefix="attack/features")
        elif kind == "VIDEO":
            graph[f"save {i}"] = node(
                "SaveVideo", video=wire, filename_prefix="attack/film", format="auto", codec="auto"
            )
        elif kind in ("LAYER_WEIGHTS", "NST_METHOD"):
            given = {"layer_weights" if kind == "LAYER_WEIGHTS" else "method": wire}
            graph[f"use {i}"] = small("NeuralStyleTransfer", steps=1, size=48, **given)
            graph[f"save {i}"] = node("SaveImage", images=[f"use {i}", 0], filename_prefix="attack/used")
    return graph


def for_nst_run(graph: Graph) -> Graph:
    """The same without the probes, which only the tests' ComfyUI has."""
    return {i: n for i, n in graph.items() if not isinstance(n, dict) or n.get("class_type") != "AttackProbe"}


def as_json(graph: Any) -> str:
    """Numbers of any length and NaN as Python writes them; surrogates as escapes."""
    return json.dumps(graph)
