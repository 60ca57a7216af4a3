"""Hostile values, and the graphs that carry them: the same ones every time."""

from __future__ import annotations

import ast
import copy
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
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
EVERY = 3  # of the values, the share that one input meets; all meet inputs of every type
MOVING = ("NSTVideoTransfer", "NSTStyliseVideo")
EVERY_AGAIN = 15  # for what nodes of moving pictures take as Neural Style Transfer does


def node_names() -> list[str]:
    """Those of the pack, as its table has them; read and not imported, because tests are collected before."""
    tree = ast.parse((ROOT / "nodes" / "__init__.py").read_text(encoding="utf-8"))
    (table,) = (n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "_NODES")
    return [ast.unparse(name) for name in table.elts]


# --- small sound graphs -------------------------------------------------------------------------------------------

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


# --- spoilt ones --------------------------------------------------------------------------------------------------


def spoilt_inputs(known: Mapping[str, Any], class_type: str) -> Iterator[tuple[str, Graph]]:
    """One input at a time: a hostile value, none at all; and one that the node does not have."""
    base = sound(known, class_type)
    values = list(VALUES.items())
    shared = known["NeuralStyleTransfer"].INPUT_TYPES()["optional"] if class_type in MOVING else {}
    for number, name in enumerate(base["subject"]["inputs"]):
        every = EVERY_AGAIN if name in shared else EVERY
        for label, value in values[number % every :: every]:
            graph = copy.deepcopy(base)
            graph["subject"]["inputs"][name] = copy.deepcopy(value)
            yield f"{class_type}.{name}: {label}", graph
        if name == "steps" or name in shared:  # without steps it paints at length, which is no fault
            continue
        graph = copy.deepcopy(base)
        del graph["subject"]["inputs"][name]
        yield f"{class_type}.{name}: missing", graph
    if shared:
        graph = copy.deepcopy(base)
        for name in shared.keys() & base["subject"]["inputs"].keys() - SMALL.keys():
            del graph["subject"]["inputs"][name]
        yield f"{class_type}: all that Neural Style Transfer has: missing", graph
    for label, extra in {"extra": "self", "surrogate": "\ud800", "long": "x" * 100_000}.items():
        graph = copy.deepcopy(base)
        graph["subject"]["inputs"][extra] = 1
        yield f"{class_type}: {label} input", graph


def spoilt_workflows(small: Callable[[str], Graph]) -> Iterator[tuple[str, Graph]]:
    """The pack's own workflows, made small, each torn in three of many ways."""
    drawn = random.Random(0)
    tears = list(TEARS.items())
    for number, file in enumerate(sorted((ROOT / "workflows" / "api").glob("*.json"))):
        for k in range(3):
            label, tear = tears[(3 * number + k) % len(tears)]
            graph = small(file.stem)
            tear(graph, drawn)
            yield f"{file.stem}: {label}", graph


def _wire(graph: Graph, drawn: random.Random) -> tuple[str, str]:
    wired = [(i, name) for i, n in graph.items() for name, v in n["inputs"].items() if isinstance(v, list)]
    return drawn.choice(wired)


def _rewire(graph: Graph, drawn: random.Random) -> None:
    node_id, name = _wire(graph, drawn)
    graph[node_id]["inputs"][name] = [drawn.choice(list(graph)), drawn.randrange(3)]


def _unwire(graph: Graph, drawn: random.Random) -> None:
    node_id, name = _wire(graph, drawn)
    del graph[node_id]["inputs"][name]


def _cycle(graph: Graph, drawn: random.Random) -> None:
    node_id, name = _wire(graph, drawn)
    source = graph[node_id]["inputs"][name][0]
    graph[source]["inputs"][drawn.choice(list(graph[source]["inputs"]) or ["name"])] = [node_id, 0]


def _set(graph: Graph, drawn: random.Random, key: str, value: Any) -> None:
    graph[drawn.choice(list(graph))][key] = value


TEARS: dict[str, Callable[[Graph, random.Random], object]] = {
    "a node is gone": lambda graph, drawn: graph.pop(drawn.choice(list(graph))),
    "a wire leads elsewhere": _rewire,
    "a wire is cut": _unwire,
    "a circle": _cycle,
    "a node is null": lambda graph, drawn: graph.update({drawn.choice(list(graph)): None}),
    "a node is a list": lambda graph, drawn: graph.update({drawn.choice(list(graph)): [1, 2]}),
    "a class nobody has": lambda graph, drawn: _set(graph, drawn, "class_type", "NoSuchNode"),
    "a class is null": lambda graph, drawn: _set(graph, drawn, "class_type", None),
    "a class is a list": lambda graph, drawn: _set(graph, drawn, "class_type", ["SaveImage"]),
    "another class of ours": lambda graph, drawn: _set(graph, drawn, "class_type", "SaveStyleGrams"),
    "inputs are null": lambda graph, drawn: _set(graph, drawn, "inputs", None),
    "inputs are a list": lambda graph, drawn: _set(graph, drawn, "inputs", [["1", 0]]),
    "no inputs": lambda graph, drawn: _set(graph, drawn, "inputs", {}),
    "_meta is a text": lambda graph, drawn: _set(graph, drawn, "_meta", "title"),
    "a title is a number": lambda graph, drawn: _set(graph, drawn, "_meta", {"title": 7}),
    "a title of a surrogate": lambda graph, drawn: _set(graph, drawn, "_meta", {"title": "\ud800"}),
    "names of all kinds": lambda graph, drawn: graph.update({"": None, "\ud800": {}, "x" * 10_000: 1}),
}

ODD_IMAGES = [
    ("1,1,1,3", "noise", "float32"),
    ("1,1,500,3", "noise", "float32"),
    ("1,3000,1,3", "noise", "float32"),
    ("1,17,15,3", "noise", "float32"),
    ("1,48,64,1", "noise", "float32"),
    ("1,48,64,2", "noise", "float32"),
    ("1,48,64,4", "noise", "float32"),
    ("1,48,64,5", "noise", "float32"),
    ("2,48,64,3", "noise", "float32"),
    ("48,64,3", "noise", "float32"),
    ("48,64", "noise", "float32"),
    ("1,1,48,64,3", "noise", "float32"),
    ("0,48,64,3", "noise", "float32"),
    ("1,0,64,3", "noise", "float32"),
    ("1,48,64,0", "noise", "float32"),
    ("1,48,64,3", "nan", "float32"),
    ("1,48,64,3", "inf", "float32"),
    ("1,48,64,3", "1e30", "float32"),
    ("1,48,64,3", "-5", "float32"),
    ("1,48,64,3", "0", "float32"),
    ("1,48,64,3", "noise", "float16"),
    ("1,48,64,3", "noise", "float64"),
    ("1,48,64,3", "noise", "uint8"),
    ("1,48,64,3", "noise", "bool"),
]
ODD_MASKS = [
    ("48,64", "noise", "float32"),
    ("1,48,64", "noise", "float32"),
    ("1,1,48,64", "noise", "float32"),
    ("1,48,64,1", "noise", "float32"),
    ("3,48,64", "noise", "float32"),
    ("0,48,64", "noise", "float32"),
    ("1,0,64", "noise", "float32"),
    ("1,1,1", "noise", "float32"),
    ("1,64,48", "noise", "float32"),
    ("1,1,3000", "noise", "float32"),
    ("1,48,64", "0", "float32"),
    ("1,48,64", "nan", "float32"),
    ("1,48,64", "inf", "float32"),
    ("1,48,64", "1e30", "float32"),
    ("1,48,64", "-5", "float32"),
    ("1,48,64", "noise", "float16"),
    ("1,48,64", "noise", "uint8"),
    ("1,48,64", "noise", "bool"),
]


def odd_pictures(known: Mapping[str, Any]) -> Iterator[tuple[str, Graph]]:
    """Pictures and masks of shapes and numbers that only another pack's node could make."""
    for class_type in known:
        base = sound(known, class_type)
        table = known[class_type].INPUT_TYPES()
        for name, (kind, *_) in {**table.get("required", {}), **table.get("optional", {})}.items():
            for shape, fill, dtype in {"IMAGE": ODD_IMAGES, "MASK": ODD_MASKS}.get(str(kind), []):
                graph = copy.deepcopy(base)
                graph["odd"] = node("AttackMake", shape=shape, fill=fill, dtype=dtype)
                graph["subject"]["inputs"][name] = ["odd", 0 if kind == "IMAGE" else 1]
                yield f"{class_type}.{name}: {dtype} {shape} of {fill}", graph


NOT_CHOSEN = ("weights", "image", "style")  # downloads, and files
# Of a film half a minute and more, on a busy machine; the other nodes meet them.
LONG = (("recipe", "strotss"), ("recipe", "nnst"))
# Of a style or a content: a thread, smaller than any patch, one colour. Of a mask: all, and a handful of pixels.
UNUSUAL = (("1,1,500,3", "noise"), ("1,7,7,3", "noise"), ("1,48,64,3", "0"))
UNUSUAL_MASKS = (("1,48,64", "noise"), ("1,48,64", "few"))


def every_choice(known: Mapping[str, Any], class_type: str) -> Iterator[tuple[str, Graph]]:
    """Every word that an input offers, the others at their defaults."""
    left_out = LONG if class_type in MOVING else ()
    for section in known[class_type].INPUT_TYPES().values():
        for name, (kind, *_) in section.items():
            for choice in kind if isinstance(kind, list) and name not in NOT_CHOSEN else ():
                if (name, choice) in left_out:
                    continue
                graph = sound(known, class_type)
                graph["subject"]["inputs"][name] = choice
                yield f"{class_type}.{name}: {choice}", graph


def every_method_on_unusual_pictures(known: Mapping[str, Any]) -> Iterator[tuple[str, Graph]]:
    """Every statistic and content measure with pictures and masks of which little is left, and with a saved style."""
    table = {k: v for section in known["NSTMethod"].INPUT_TYPES().values() for k, v in section.items()}
    for setting in ("statistic", "content_measure"):
        for choice in table[setting][0]:
            base = sound(known, "NSTMethod")
            base["subject"]["inputs"] |= {setting: choice}
            base["made"]["inputs"]["method"] = ["subject", 0]
            base["save"] = node("SaveImage", images=["made", 0], filename_prefix="attack/method")
            places = [("picture of the style", "style", "style_image", 0, UNUSUAL)]
            places.append(("content", "made", "content_image", 0, UNUSUAL))
            places.append(("mask of the style", "style", "style_mask", 1, UNUSUAL_MASKS))
            places.append(("region", "style", "region_mask", 1, UNUSUAL_MASKS))
            for what, at, name, output, kinds in places:
                for shape, fill in kinds:
                    graph = copy.deepcopy(base)
                    graph["odd"] = node("AttackMake", shape=shape, fill=fill, dtype="float32")
                    graph[at]["inputs"][name] = ["odd", output]
                    yield f"{setting} {choice}: {what} {shape} of {fill}", graph
            graph = copy.deepcopy(base)
            graph["made"]["inputs"]["style_grams"] = ["loaded", 0]
            graph["loaded"] = node("LoadStyleGrams", style=STYLE, weight=1.0)
            yield f"{setting} {choice}: a saved style", graph


def odd_files(known: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, Graph]]:
    """Picture files of odd shapes and modes, as pictures and as masks."""
    for file in sorted(folder.glob("odd-*.png")):
        for class_type in ("ComputeStyleGrams", "NeuralStyleTransfer", "NSTMatchColours", "NSTReconstructLayer"):
            graph = sound(known, class_type)
            graph["odd"] = node("LoadImage", image=file.name)
            wires = {"IMAGE": ["odd", 0], "MASK": ["odd", 1]}
            for section in known[class_type].INPUT_TYPES().values():
                for name, (kind, *_) in section.items():
                    if kind in ("IMAGE", "MASK"):
                        graph["subject"]["inputs"][name] = wires[kind]
            yield f"{class_type}: {file.name}", graph


def as_json(graph: Any) -> str:
    """Numbers of any length and NaN as Python writes them; surrogates as escapes."""
    return json.dumps(graph)
