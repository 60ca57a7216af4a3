"""A clip that takes a night: every finished frame is on the disk at once, and the same job goes on where it was."""

from __future__ import annotations

import functools
import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import NSTError
from ..pictures.files import read_picture, write_picture
from ..system.locks import LOCK
from ..system.safe_files import open_file, write_over
from .coherence import Past
from .encode import Encoding, write_clip
from .frame import Frame
from .source import Part, Shown, Source
from .spool import Spool, sound, writing

STATE = ".nst"  # the folder, among the frames, of what is needed to go on
RECORD = "job.json"


@dataclass
class Job:
    """Frames in a folder: their pictures, when they are shown, and what the next ones go on from."""

    folder: Path
    names: tuple[str, ...] = ()  # of the pictures, where a source has names
    bits: int = 8

    @property
    def state(self) -> Path:
        return self.folder / STATE

    def check_folder(self) -> None:
        """Raise where the frames cannot lie."""
        for folder in (self.folder, self.state):
            if folder.exists() and not folder.is_dir():
                raise NSTError(f"{folder}: this is no folder, and frames are to lie in it; give another name.")
        if not self.state.is_dir() and self.folder.is_dir() and any(self.folder.iterdir()):
            raise NSTError(f"{self.folder}: this folder has files already, and none says that it is unfinished work.")

    def begin(self, command: dict[str, Any]) -> int:
        """How many frames are there already. `command` is what has to be the same to go on."""
        self.check_folder()
        record = self.state / RECORD
        text = json.dumps(command, sort_keys=True, indent=1).encode()
        if record.is_file() and record.read_bytes() != text:
            if not self.is_empty:
                raise NSTError(
                    f"{self.folder}: here lie the frames of a clip begun with other settings. Give those again to go "
                    "on with it, --restart to start over, or another name."
                )
            clear(self.state)
        if not record.is_file():
            self.state.mkdir(parents=True, exist_ok=True)
            write_over(record, lambda file: file.write(text))
        done = self.times()
        if done:  # without the half of a line that a kill may have left
            lines = "".join(f"{number} {time}\n" for number, time in done)
            write_over(self.state / "frames", lambda file: file.write(lines.encode()))
        return len(done)

    def times(self) -> list[tuple[int, Fraction]]:
        """Number in the source and time of every finished frame. A line counts when its picture and what the next
        frames go on from are on the disk, for it is written last."""
        path = self.state / "frames"
        if not path.is_file():
            return []
        with sound(self.state):
            lines = path.read_text(encoding="ascii").split("\n")[:-1]  # what a kill cut off has no end
            found = [(int(number), Fraction(time)) for number, time in (line.split() for line in lines)]
            if any(one[0] >= other[0] or one[1] >= other[1] for one, other in itertools.pairwise(found)):
                raise ValueError("frames go on in time")  # two runs at once have written it
            return found

    def picture(self, index: int, number: int) -> Path:
        if not self.names:
            return self.folder / f"frame_{index + 1:06}.png"
        with sound(self.state):
            name = Path(self.names[number])
        return self.folder / f"{name.name if name.stem.casefold() in self._several else name.stem}.png"

    @functools.cached_property
    def _several(self) -> set[str]:
        """Names that more than one picture of the source has, but for its ending, or but for case."""
        count = Counter(Path(name).stem.casefold() for name in self.names)
        return {name for name in count if count[name] > 1}

    def keep(self, index: int, shown: Shown, frame: Frame, back: int) -> None:
        """A finished frame, and no more of what the next ones go on from than they look back to."""
        image, past = frame.image, torch.cat((frame.past.painted, frame.past.settled), 1)
        alpha = image[:, 3:] if image.shape[1] == 4 else None
        write_picture(self.picture(index, shown.number), image[:, :3], alpha=alpha, bits=self.bits)
        with writing(self.folder):
            write_over(self._past(index), lambda file: np.save(file, past.numpy()))
            with (self.state / "frames").open("a", encoding="ascii") as file:
                file.write(f"{shown.number} {shown.time}\n")
                file.flush()
                os.fsync(file.fileno())
        self._past(index - back).unlink(missing_ok=True)

    def forget(self, index: int) -> None:
        """Another shot begins at this frame."""
        for path in self.state.glob("past-*.npy"):
            if path != self._past(index):
                path.unlink()

    def past(self, done: int, contents: Sequence[torch.Tensor]) -> list[Past]:
        """What the next frame goes on from; `contents` are those of the last frames, in order."""
        found = []
        for index, content in enumerate(contents, done - len(contents)):
            path = self._past(index)
            if path.is_file():
                with sound(self.state), open_file(path) as file:
                    kept = torch.from_numpy(np.load(file, allow_pickle=False))
                    found.append(Past(content, *kept.split((3, 1), 1)))
            else:
                found.clear()
        return found

    def _past(self, index: int) -> Path:
        return self.state / f"past-{index:06}.npy"

    def finished(self) -> Iterator[Shown]:
        for index, (number, time) in enumerate(self.times()):
            picture = read_picture(self.picture(index, number))
            yield Shown(number, time, picture.pixels, picture.alpha)

    def frames(self, source: Source, part: Part, more: Iterable[Frame]) -> Iterator[Shown]:
        """The finished ones, and after them `more`, each at the time of its place in the source."""
        yield from self.finished()
        frames = iter(more)
        if (frame := next(frames, None)) is None:
            return
        _, rest = skipped(source.frames(part, lambda why: None), len(self.times()), 0)
        for shown, waiting in zip(rest, itertools.chain([frame], frames), strict=False):
            yield replace(shown, pixels=waiting.image[:, :3])

    @property
    def passes(self) -> Path:
        """Where a shot waits until it has been gone through twice."""
        return self.state / "passes"

    def waiting(self) -> Iterator[Frame]:
        """What the shot in work has become so far, when it is to be gone through twice."""
        return Spool(self.passes).waiting(len(self.times()))

    @property
    def is_empty(self) -> bool:
        return not self.times() and next(self.waiting(), None) is None

    def write(self, out: Path, source: Source, part: Part, encoding: Encoding, more: Iterable[Frame] = ()) -> list[str]:
        """What is finished, and what else there is to be seen, as a clip."""
        return write_clip(out, self.frames(source, part, more), source, part, encoding)

    def end(self, keep_frames: bool) -> None:
        """All is done and written: what was kept to go on from goes. The list goes first, and the state last, so that
        of what a kill may leave here a run begins anew."""
        (self.state / "frames").unlink(missing_ok=True)
        if not keep_frames:
            for path in self.folder.glob("*.png"):
                path.unlink(missing_ok=True)
        shutil.rmtree(self.state, ignore_errors=True)
        if not keep_frames:
            shutil.rmtree(self.folder, ignore_errors=True)


def clear(folder: Path) -> None:
    """All that lies in it but the lock of a run."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def skipped(frames: Iterable[Shown], done: int, back: int) -> tuple[list[torch.Tensor], Iterator[Shown]]:
    """The last few of `done` frames, and an iterator over what follows them."""
    rest = iter(frames)
    last: list[torch.Tensor] = []
    for _ in range(done):
        shown = next(rest, None)
        if shown is None:
            break
        last = [*last, shown.pixels][-back:] if back else []
    return last, rest
