"""Jobs that running ComfyUI hosts do: files are read and written here, and sent there and fetched."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch

from ...errors import NSTError, counted
from ...pictures.files import Picture, read_picture, write_picture
from ...pictures.images import resize, shape_of
from ...stylize import Result
from ..inputs import Inputs
from .jobs import Job
from .outcome import FAILED, Outcome
from .pool import Pool
from .worker import Ready, Settings, Stopped, TooLong, Worker, ends_all, in_words

AT_ONCE = 2  # jobs that a host has: while one is sent or fetched, it works on the other
AS_THEY_ARE = (".png", ".jpg", ".jpeg", ".webp")  # pictures that every ComfyUI reads
REFUSED = {"bits": "a host sends 8 bits for each channel", "device": "a host has its own"}


class Graphs(Protocol):
    """The ComfyUI pack around this engine, which knows graphs and how to talk to a host."""

    NSTError: type[Exception]  # the pack has an engine of its own, and so an error class of its own
    ServerGone: type[Exception]

    def check_url(self, url: str) -> str: ...

    def graph_of(
        self,
        args: argparse.Namespace,
        inputs: Inputs,
        picture_file: Callable[[str], str],
        mask_file: Callable[[torch.Tensor], str],
    ) -> dict[str, Any]: ...

    def run_on_server(self, graph: dict[str, Any], url: str, **options: Any) -> list[Path]: ...


class HostLane:
    """One of the jobs that a host has at a time."""

    def __init__(self, url: str, settings: Settings, graphs: Graphs) -> None:
        self.url = url
        self.graphs = graphs
        self.limit = settings.time_limit
        self.worker = Worker(settings)
        self.ended = False

    def work(self, pool: Pool) -> None:
        while not self.ended and (job := pool.take()) is not None:
            try:
                outcome = self._outcome(job)
            except Stopped:
                return
            except self.graphs.ServerGone as error:
                gone = _ours(error)
                pool.give_back([job], str(gone))
                raise gone from error
            except Exception as error:
                said = _ours(error) if isinstance(error, self.graphs.NSTError) else error
                outcome = Outcome(job, FAILED, error=in_words(said), ends_all=ends_all(error), where=self.url)
            pool.add(outcome)

    def end(self) -> None:
        self.ended = True

    def _outcome(self, job: Job) -> Outcome:
        ready = self.worker.read(job)
        if isinstance(ready, Outcome):
            return ready
        picture, seconds = self._run_there(ready)
        return replace(self.worker.write(ready, _result(picture, ready.inputs, self.url), seconds), where=self.url)

    def _run_there(self, ready: Ready) -> tuple[Picture, float]:
        """And how long it took, from when the host began it: while it waited there, the host made another one."""
        folder = Path(self.worker.settings.work, os.urandom(8).hex())
        folder.mkdir()
        began: float | None = None

        def on_progress(*_: object) -> None:
            nonlocal began
            began = began or time.monotonic()
            if self.ended or (self.limit is not None and time.monotonic() - began > self.limit):
                raise Stopped

        files = _Files(folder, ready.inputs)
        graph = self.graphs.graph_of(ready.args, ready.inputs, files.picture, files.mask)
        sent = time.monotonic()
        try:
            paths = self.graphs.run_on_server(
                graph, self.url, output_folder=folder, input_folder=".", on_progress=on_progress, allow_outside=True
            )
        except Stopped:
            if self.ended:
                raise
            raise TooLong(f"--time-limit: it was not done after {self.limit:g} seconds.") from None
        if len(paths) != 1:
            raise NSTError(f"--server: {self.url} gave {counted(len(paths), 'picture')} instead of one.")
        picture = read_picture(paths[0], large=False)
        files.remove()
        paths[0].unlink()
        return picture, round(time.monotonic() - (began or sent), 3)


class _Files:
    """What is sent to a host: files as they are, where any ComfyUI reads them, and copies of the others."""

    def __init__(self, folder: Path, inputs: Inputs) -> None:
        self.folder = folder
        self.copies: list[Path] = []
        given = [inputs.content, inputs.start, *(style.style for style in inputs.styles)]
        self.read = {str(picture.path): picture for picture in given if isinstance(picture, Picture)}

    def picture(self, name: str) -> str:
        picture = self.read[str(Path(name))]
        if picture.bits == 8 and Path(name).suffix.lower() in AS_THEY_ARE:
            return name
        return self._copy(Path(name).stem, picture.pixels)

    def mask(self, pixels: torch.Tensor) -> str:
        return self._copy("mask", pixels.expand(-1, 3, -1, -1))

    def _copy(self, stem: str, pixels: torch.Tensor) -> str:
        path = (self.folder / f"{stem}-{len(self.copies)}.png").absolute()
        write_picture(path, pixels)
        self.copies.append(path)
        return str(path)

    def remove(self) -> None:
        for path in self.copies:
            path.unlink()


def _result(picture: Picture, inputs: Inputs, url: str) -> Result:
    """What the host knows of the run it keeps; the transparency is the content's."""
    image = picture.pixels
    shape = shape_of(image)
    if inputs.content is not None and inputs.content.alpha is not None:
        image = torch.cat([image, resize(inputs.content.alpha, shape)], 1)
    return Result(image, [[]], {"device": url, "width": shape[1], "height": shape[0], "stopped_early": False})


def check_urls(urls: list[str], graphs: Graphs) -> None:
    for url in urls:
        try:
            graphs.check_url(url)
        except graphs.NSTError as error:
            raise _ours(error) from error


def check_for_hosts(args: argparse.Namespace) -> None:
    for name, why in REFUSED.items():
        if getattr(args, name) not in (None, 8, "auto"):
            raise NSTError(f"--{name}: {why}; leave it out with --server.")


def _ours(error: Exception) -> NSTError:
    return NSTError(str(error)).called({"server": "--server"})


def host_lanes(urls: list[str], settings: Settings, graphs: Graphs) -> list[HostLane]:
    return [HostLane(url, settings, graphs) for url in urls for _ in range(AT_ONCE)]
