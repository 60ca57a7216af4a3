"""The folders that a graph reads from and writes to, without ComfyUI."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from ...nst_engine import NSTError
from ...nst_engine.pictures.files import Picture, read_picture
from ...nst_engine.system.safe_files import below, numbered, write_new
from ..file_names import fill_in
from .graph import Graph

ENDING = "_00001_.png"


@dataclass
class Folders:
    """Where a graph's files are read and written, and which have been written."""

    input: Path
    output: Path
    weights: tuple[Path, ...] = ()
    allow_outside: bool = False  # read files elsewhere, too: for a graph of one's own
    large: bool = False  # read pictures of more than 134 megapixels, too: a small file can fill the memory with one
    written: list[Path] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.output = self.output.absolute()

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
        match = re.fullmatch(r"(.*?)(?: \[(input|output|temp)\])?", name, re.DOTALL)
        assert match  # the pattern takes any text
        plain, where = match.groups()
        folder = getattr(self, where or "input")
        if self.allow_outside:
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
