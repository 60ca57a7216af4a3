"""Sound graphs of `hostile`, each spoilt or made unusual in one place: the same ones every time."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hostile import ROOT, SMALL, STYLE, VALUES, Graph, node, sound

EVERY = 3  # of the values, the share that one input meets; all meet inputs of every type
MOVING = ("NSTVideoTransfer", "NSTStyliseVideo")
EVERY_AGAIN = 15  # for what nodes of moving pictures take as Neural Style Transfer does


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
