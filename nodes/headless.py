"""A graph run in this process, without ComfyUI: the pack's nodes, and stand-ins for the few of the host's they need."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..nst_engine import NSTError
from ..nst_engine.pictures.files import Picture, read_picture
from ..nst_engine.pictures.images import from_host, shape_of, to_host
from ..nst_engine.system.safe_files import below, numbered, write_new
from ..nst_engine.video.encode import Encoding, write_clip
from ..nst_engine.video.source import Part, Shown, Source, open_clip
from . import host
from .graph import Graph, Link, plan, title_of
from .places import fill_in

ENDING = "_00001_.png"
# (title of the node, value, total, picture so far or None); total is 0 when a node begins and has not said more yet.
OnProgress = Callable[[str, float, int, torch.Tensor | None], object]


def run_embedded(
    graph: Graph,
    *,
    node_classes: Mapping[str, Any],
    input_folder: str | Path,
    output_folder: str | Path,
    on_progress: OnProgress | None = None,
    weights_folders: tuple[Path, ...] = (),
    allow_outside: bool = False,
    large: bool = False,
) -> list[Path]:
    """Run what the output nodes need, every node once, and return the files written.

    Files are read from the folders given, and with `allow_outside` from wherever the graph says: for one's own graphs.
    Pictures of more than 134 megapixels are read with `large` only.
    """
    place = Place(Path(input_folder), Path(output_folder).absolute(), allow_outside, large)
    known = {**node_classes, **stand_ins(place)}
    folders = host.stand_alone_folders.set(tuple(weights_folders))
    places = host.stand_alone_places.set((place.input, place.output))
    outside = host.stand_alone_outside.set(allow_outside)
    try:
        planned = plan(graph, known)
        place.prepare()
        results: dict[str, list[list]] = {}
        # As in the host, so that a graph that runs here runs there.
        with torch.inference_mode():
            for node_id in planned.order:
                inputs = {
                    name: results[value.node][value.output] if isinstance(value, Link) else [value]
                    for name, value in planned.inputs[node_id].items()
                }
                outcomes = [_run_node(graph, node_id, known, one, on_progress, place) for one in _one_by_one(inputs)]
                results[node_id] = _merge(outcomes, known[graph[node_id]["class_type"]])
    finally:
        host.stand_alone_folders.reset(folders)
        host.stand_alone_places.reset(places)
        host.stand_alone_outside.reset(outside)
    return place.written


def _one_by_one(inputs: Mapping[str, list]) -> Iterator[dict[str, Any]]:
    """The host's rule for lists: a node runs once for every entry of the longest; shorter ones repeat their last."""
    for i in range(max(map(len, inputs.values()), default=1)):
        yield {name: values[min(i, len(values) - 1)] for name, values in inputs.items()}


def _merge(outcomes: list[tuple], kind: Any) -> list[list]:
    """Every output as a list of what the runs gave; what is a list already is joined end to end."""
    is_list = getattr(kind, "OUTPUT_IS_LIST", (False,) * len(kind.RETURN_TYPES))
    columns = zip(is_list, zip(*outcomes, strict=True), strict=False)
    return [[one for part in given for one in part] if joined else list(given) for joined, given in columns]


def _run_node(
    graph: Graph,
    node_id: str,
    known: Mapping[str, Any],
    inputs: dict[str, Any],
    on_progress: OnProgress | None,
    place: Place,
) -> tuple:
    kind = known[graph[node_id]["class_type"]]
    title = title_of(graph, node_id, known)
    hidden = {"PROMPT": graph, "UNIQUE_ID": node_id}
    inputs |= {name: hidden.get(what) for name, what in kind.INPUT_TYPES().get("hidden", {}).items()}
    node = kind() if isinstance(kind, type) else kind
    listener = None
    if on_progress is not None:
        on_progress(title, 0, 0, None)

        def listener(value: float, total: int, picture: torch.Tensor | None) -> None:
            on_progress(title, value, total, picture)

    told = host.listener.set(listener)
    try:
        outcome = getattr(node, kind.FUNCTION)(**inputs)
    except NSTError as error:
        raise NSTError(f"node {node_id} ({title}): {error}") from error
    finally:
        host.listener.reset(told)
    if not isinstance(outcome, dict):
        return outcome
    named = [file for kind in ("styles", "images") for file in outcome.get("ui", {}).get(kind, ())]
    place.written += [place.output / file["subfolder"] / file["filename"] for file in named]
    return outcome.get("result", ())


# --- stand-ins for the host's own nodes ---------------------------------------------------------------------------


@dataclass
class Place:
    """Where files come from and go to, and which have been written."""

    input: Path
    output: Path
    outside: bool = False  # whether files elsewhere are read, too
    large: bool = False  # whether pictures are read that may be made to fill the memory
    written: list[Path] = field(default_factory=list)

    @property
    def temp(self) -> Path:
        return self.output / "temp"

    def prepare(self) -> None:
        """Raise now what writing would raise after the work."""
        try:
            self.output.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.output).close()
        except OSError as error:
            raise NSTError(f"output folder: {self.output} cannot be written to ({error.strerror}).") from error

    def read(self, name: str) -> Picture:
        return read_picture(self.find(name), large=self.large)

    def find(self, name: str) -> Path:
        """`name` in the input folder, `name [output]` or `name [temp]` as the host writes it."""
        plain, where = re.fullmatch(r"(.*?)(?: \[(input|output|temp)\])?", name, re.DOTALL).groups()
        folder = getattr(self, where or "input")
        if self.outside:
            return folder / os.path.expanduser(plain)
        try:
            return below(folder, plain, portable=False)
        except NSTError as error:
            raise NSTError(f"{error} For a workflow of your own, nst run takes --allow-outside.") from error

    def write(self, images: torch.Tensor, prefix: str, graph: Graph | None, into: Path) -> None:
        """A PNG for every picture of the batch, numbered on from what is there; nothing is ever overwritten."""
        height, width = images.shape[1:3]
        stem = below(into, fill_in(prefix, width, height), ending=ENDING)
        failures = []
        for number, image in enumerate(images):
            name = stem.name.replace("%batch_num%", str(number))
            # The host cuts off where others round; the same graph shall give the same file here and there.
            codes = (image.cpu().float().numpy() * 255.0).clip(0, 255).astype(np.uint8)
            file, failure = _save_somewhere(codes, stem.parent, name, graph)
            self.written.append(file)
            failures += [f"{failure} The finished picture is {file} instead."] if failure else []
        if failures:
            raise NSTError(" ".join(failures))


def _save_somewhere(codes: np.ndarray, folder: Path, name: str, graph: Graph | None) -> tuple[Path, str]:
    """Where the picture is, and why if it is elsewhere: a full disk is not to lose what took hours."""
    try:
        return _save_png(codes, folder, name, graph), ""
    except NSTError as error:
        for other in (Path(tempfile.gettempdir()), Path.home()):
            with contextlib.suppress(NSTError, OSError):
                return _save_png(codes, other, name, graph), str(error)
        raise


def _save_png(codes: np.ndarray, folder: Path, name: str, graph: Graph | None) -> Path:
    from PIL import Image, PngImagePlugin

    notes = PngImagePlugin.PngInfo()
    if graph is not None:
        notes.add_text("prompt", json.dumps(graph))  # where ComfyUI looks when the picture is dropped onto its canvas
    picture = Image.fromarray(codes)
    try:
        return write_new(
            numbered(folder / name, ".png"),
            lambda file: picture.save(file, "PNG", pnginfo=notes, compress_level=4),
        )
    except OSError as error:
        raise NSTError(f"{folder / name}: could not be written ({error.strerror or error}).") from error


def stand_ins(place: Place) -> dict[str, Any]:
    pictures = (LoadImage(place), LoadImageMask(place), SaveImage(place), PreviewImage(place))
    nodes = (*pictures, CreateVideo(place), LoadVideo(place), SaveVideo(place))
    return {type(node).__name__: node for node in nodes}


@dataclass
class _StandIn:
    place: Place


class LoadImage(_StandIn):
    """Like the host's, but for two things: 16-bit files keep their depth, and an animation gives its first frame."""

    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "load"

    def INPUT_TYPES(self) -> dict[str, Any]:
        return {"required": {"image": ("STRING", {})}}

    def VALIDATE_INPUTS(self, image: str) -> bool | str:
        try:
            path = self.place.find(image)
        except NSTError as error:
            return str(error)
        return os.path.isfile(path) or f"there is no picture {path}; put it there, or give another input folder."

    def load(self, image: str) -> tuple[torch.Tensor, torch.Tensor]:
        picture = self.place.read(image)
        # The host's mask of an opaque picture is this small and empty one.
        mask = torch.zeros(1, 64, 64) if picture.alpha is None else 1 - picture.alpha[:, 0]
        return to_host(picture.pixels), mask


class LoadImageMask(LoadImage):
    RETURN_TYPES = ("MASK",)
    CHANNELS = ("red", "green", "blue")

    def INPUT_TYPES(self) -> dict[str, Any]:
        return {"required": {"image": ("STRING", {}), "channel": (["alpha", *self.CHANNELS], {})}}

    def load(self, image: str, channel: str) -> tuple[torch.Tensor]:
        picture = self.place.read(image)
        if channel != "alpha":
            return (picture.pixels[:, self.CHANNELS.index(channel)].contiguous(),)
        return (torch.zeros_like(picture.pixels[:, 0]) if picture.alpha is None else 1 - picture.alpha[:, 0],)


class SaveImage(_StandIn):
    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True

    def INPUT_TYPES(self) -> dict[str, Any]:
        return {
            "required": {"images": ("IMAGE", {}), "filename_prefix": ("STRING", {"default": "ComfyUI"})},
            "hidden": {"prompt": "PROMPT"},
        }

    def VALIDATE_INPUTS(self, filename_prefix: str) -> bool | str:
        try:
            return bool(below(self.place.output, fill_in(filename_prefix), ending=ENDING))
        except NSTError as error:
            return str(error)

    def save(self, images: torch.Tensor, filename_prefix: str, prompt: Graph) -> dict[str, Any]:
        self.place.write(images, filename_prefix, prompt, self.place.output)
        return {"ui": {}}


class PreviewImage(_StandIn):
    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True

    def INPUT_TYPES(self) -> dict[str, Any]:
        return {"required": {"images": ("IMAGE", {})}, "hidden": {"prompt": "PROMPT"}}

    def save(self, images: torch.Tensor, prompt: Graph) -> dict[str, Any]:
        self.place.write(images, "preview", prompt, self.place.temp)
        return {"ui": {}}


class LoadVideo(_StandIn):
    RETURN_TYPES = ("VIDEO",)
    FUNCTION = "load"

    def INPUT_TYPES(self) -> dict[str, Any]:
        return {"required": {"file": ("STRING", {})}}

    def VALIDATE_INPUTS(self, file: str) -> bool | str:
        try:
            path = self.place.find(file)
        except NSTError as error:
            return str(error)
        return os.path.isfile(path) or f"there is no clip {path}; put it there, or give another input folder."

    def load(self, file: str) -> tuple[host.VideoFile]:
        return (host.VideoFile(str(self.place.find(file))),)


class CreateVideo(_StandIn):
    RETURN_TYPES = ("VIDEO",)
    FUNCTION = "create"

    def INPUT_TYPES(self) -> dict[str, Any]:
        return {"required": {"images": ("IMAGE", {}), "fps": ("FLOAT", {"default": 30.0})}}

    def create(self, images: torch.Tensor, fps: float) -> tuple[host.VideoFile]:
        path = self.place.temp / f"clip-{os.urandom(4).hex()}.mkv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rate = Fraction(fps).limit_denominator(1001)
        frames = from_host(images).split(1)
        source = Source(path, shape_of(images[0, :, :, 0]), 8, rate, len(frames), ("images",))
        shown = (Shown(number, number / rate, frame[:, :3]) for number, frame in enumerate(frames))
        write_clip(path, shown, source, Part(), Encoding("ffv1"))
        return (host.VideoFile(str(path)),)


class SaveVideo(_StandIn):
    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True

    def INPUT_TYPES(self) -> dict[str, Any]:
        return {
            "required": {
                "video": ("VIDEO", {}),
                "filename_prefix": ("STRING", {"default": "video/ComfyUI"}),
                "format": ("STRING", {"default": "auto"}),
                "codec": ("STRING", {"default": "auto"}),
            }
        }

    def save(self, video: host.VideoFile, filename_prefix: str, format: str, codec: str) -> dict[str, Any]:
        source = open_clip(Path(video.get_stream_source()))
        path = host.new_output(filename_prefix, ".mp4")
        write_clip(path, source.frames(Part(), lambda _: None), source, Part(), Encoding())
        self.place.written.append(path)
        return {"ui": {}}
