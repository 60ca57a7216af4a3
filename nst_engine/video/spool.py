"""Frames that wait in files until their shot has been gone through twice."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from ..errors import NSTError
from ..run.progress import Step
from ..system.safe_files import write_over
from .coherence import Past
from .frame import Frame

TOP = 65535  # pictures wait in 16 bits


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """A disk that is full does not say where."""
    try:
        yield
    except OSError as error:
        raise NSTError(f"{error.filename or folder}: cannot be written ({error.strerror or error}).") from error


@contextlib.contextmanager
def sound(folder: Path) -> Iterator[None]:
    """What was kept is read; a disk that failed, or somebody's hand, may have changed it."""
    try:
        yield
    except (ValueError, TypeError, ZeroDivisionError, LookupError, EOFError, RuntimeError, BadZipFile) as error:
        raise NSTError(
            f"{folder}: what was kept to go on from is damaged; give --restart to start over, or another name."
        ) from error


class Spool:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def keep(
        self, stage: str, frame: Frame, picture: torch.Tensor | None = None, protect: torch.Tensor | None = None
    ) -> None:
        """A frame as a pass has left it, and with the first pass what it was made from."""
        path = self._path(stage, frame.number)
        if path.is_file():
            return
        past = frame.past
        arrays = {"picture": picture, "protect": protect, "image": frame.image}
        arrays |= {"content": past.content, "painted": past.painted, "settled": past.settled}
        told = {"reliable": frame.reliable, "settings": frame.settings, "notes": frame.notes, "seconds": frame.seconds}
        told["history"] = [asdict(step) for step in frame.history]
        codes: dict[str, Any] = {name: _codes(array) for name, array in arrays.items() if array is not None}
        codes["told"] = np.frombuffer(json.dumps(told).encode(), np.uint8)
        with writing(self.folder):
            write_over(path, lambda file: np.savez(file, **codes))

    def frame(self, stage: str, number: int) -> Frame | None:
        path = self._path(stage, number)
        if not path.is_file():
            return None
        with sound(self.folder), np.load(path, allow_pickle=False) as kept:
            image, *past = (_floats(kept[name]) for name in ("image", "content", "painted", "settled"))
            told = json.loads(kept["told"].tobytes())
            told["history"] = [Step(**step) for step in told["history"]]
            return Frame(number=number, image=image, past=Past(*past), **told)

    def waiting(self, first: int) -> Iterator[Frame]:
        """What there is from this number on, each frame as its last pass has left it."""
        while (frame := self.frame("backward", first) or self.frame("forward", first)) is not None:
            yield frame
            first += 1

    def given(self, number: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        with sound(self.folder), np.load(self._path("forward", number), allow_pickle=False) as kept:
            return _floats(kept["picture"]), _floats(kept["protect"]) if "protect" in kept else None

    def drop(self, number: int) -> None:
        for stage in ("forward", "backward"):
            self._path(stage, number).unlink(missing_ok=True)

    def _path(self, stage: str, number: int) -> Path:
        return self.folder / f"{stage}-{number:06}.npz"


def _codes(picture: torch.Tensor) -> Any:
    return (picture.clamp(0, 1) * TOP).round().to(torch.int32).numpy().astype(np.uint16)


def _floats(codes: Any) -> torch.Tensor:
    return torch.from_numpy(codes.astype(np.float32) / TOP)
