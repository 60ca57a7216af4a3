"""What the host shows of a run while it goes on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from .. import nst_engine as nst
from . import host, progress_text
from .live import Panel

AUTO_PREVIEW = -1
SECONDS_BETWEEN_PREVIEWS = 1.0
SECONDS_BETWEEN_WORDS = 0.5  # and between messages to the panel


def follow_measuring() -> dict[str, Any]:
    """Arguments for what measures: the host's bar moves with every piece of a picture, and a cancel is seen at every
    layer of the network."""
    return {"on_measure": _measured, "on_layer": host.check_cancelled}


def _measured(done: int, of: int) -> None:
    if of > 1:  # one piece is done before anybody has looked
        host.ProgressBar(of).update(done)


@contextlib.contextmanager
def measuring(what: str, notes: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """The same, in words as well; notes are said in the beginning and at the end."""
    speaker = Speaker()
    speaker.say(progress_text.joined(progress_text.measuring(what), *notes))

    def on_measure(done: int, of: int) -> None:
        _measured(done, of)
        speaker.say_now_and_then(lambda: progress_text.measuring(what, done, of))

    with speaker.says_how_it_ended():
        yield {**follow_measuring(), "on_measure": on_measure}
    done = f"Done: measured {what}, {progress_text.duration(speaker.seconds)}"
    leave(progress_text.joined(done, *notes), bool(notes))


def leave(text: str, stays: bool = True) -> None:
    """Last words of a node. Newer front ends take them off when the prompt has ended; in a panel they stay."""
    host.show_text(text)
    run = host.running()
    if stays and run is not None and host.canvas() is not None:
        panel = Panel(run)
        panel.tell(text, "done")
        panel.close()


@contextlib.contextmanager
def follow(preview: Preview, notes: Sequence[str] = ()) -> Iterator[Follow]:
    """A run that takes steps: its progress is seen and said, and it can be finished early. Closed by `Follow.end`.
    Notes are said in the beginning and at the end."""
    run = host.running()
    with host.may_be_finished(run) as asked:
        following = Follow(preview, run, asked, notes)
        try:
            with following.speaker.says_how_it_ended():
                yield following
        finally:
            following.close()


class Speaker:
    """What the node says of itself, at most a few times a second."""

    def __init__(self, run: host.Running | None = None) -> None:
        self.run = run or host.running()
        self.began = self.last = time.monotonic()
        self.text = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def say(self, text: str) -> None:
        self.text, self.last = text, time.monotonic()
        host.show_text(text, self.run)

    def is_due(self) -> bool:
        return time.monotonic() - self.last >= SECONDS_BETWEEN_WORDS

    def say_now_and_then(self, text: Callable[[], str]) -> None:
        if self.is_due():
            self.say(text())

    @contextlib.contextmanager
    def says_how_it_ended(self) -> Iterator[None]:
        """Where it did not end well: else the last step would stand there for good."""
        try:
            yield
        except BaseException as error:
            how = "Cancelled" if host.is_cancel(error) else "Stopped by an error"
            self.say(f"{how} after {progress_text.duration(self.seconds)}")
            raise


class Follow:
    """One run, as the host shows it: bar, preview, words, panel."""

    def __init__(
        self, preview: Preview, run: host.Running | None, asked: threading.Event, notes: Sequence[str]
    ) -> None:
        self.preview, self.run, self.asked, self.notes = preview, run, asked, notes
        self.stopped_at = ""  # in words
        self.speaker = Speaker(run)
        self.clock = progress_text.Clock()
        self.bar: host.ProgressBar | None = None
        self.panel = Panel(run) if run is not None and host.canvas() is not None else None
        self._say(progress_text.joined(progress_text.measuring("the pictures"), *notes))

    def arguments(self) -> dict[str, Any]:
        return {
            "on_step": self.on_step,
            "on_tile": self.on_tile,
            "on_measure": self.on_measure,
            "on_layer": host.check_cancelled,
        }

    def on_step(self, progress: nst.Progress) -> object:
        picture = self.preview(progress) if self.preview.is_due(progress.step) else None
        if self.panel is not None:
            self.panel.add(progress)
            if picture is not None:
                self.panel.show(progress.step, picture)
        self._move(progress, int(progress.done), picture)
        if not self.asked.is_set():
            return None
        self.stopped_at = progress_text.where(progress)
        return nst.STOP

    def on_tile(self, position: nst.Position) -> None:
        self._move(position, position.done)

    def on_measure(self, done: int, of: int) -> None:
        _measured(done, of)
        if self.speaker.is_due():
            self._say(progress_text.measuring("the pictures", done, of))

    def end(self, result: nst.Result) -> None:
        """Said at the end of a run that ended well."""
        used, seconds = result.settings, self.speaker.seconds
        if used["stopped_early"]:
            host.count_short_run(self.run)
        steps = used["steps"] * len(result.histories)  # as many pictures as were begun
        if self.stopped_at and sum(map(len, result.histories)) < steps:
            text = f"Finished early: {self.stopped_at}, {progress_text.duration(seconds)}"
        else:
            text = progress_text.done(used["width"], used["height"], steps, seconds)
        self._say(progress_text.joined(text, *self.notes), "done")

    def close(self) -> None:
        if self.panel is not None:
            self.panel.close()

    def _move(self, position: nst.Position, done: float, picture: torch.Tensor | None = None) -> None:
        self.bar = self.bar or host.ProgressBar(position.steps * position.pictures)
        self.bar.update(done, picture)
        if self.speaker.is_due():
            self._say(progress_text.at(position, self.clock.left(position.share, time.monotonic())))

    def _say(self, text: str, state: str = "running") -> None:
        self.speaker.say(text)
        if self.panel is not None:
            self.panel.tell(text, state)


class Preview:
    """What is shown of a run, and when: every so many steps, or about once a second."""

    def __init__(
        self,
        every: int = AUTO_PREVIEW,
        content: torch.Tensor | None = None,
        keep_colours: str = "none",
        strength: float = 1.0,
    ) -> None:
        self.every = every
        self.content = content
        self.keep_colours = keep_colours
        self.strength = strength
        self.last = float("-inf")

    def __call__(self, progress: nst.Progress) -> torch.Tensor:
        image = progress.preview(host.PREVIEW_SIDE)
        # A picture that is lost already is not to fail here: the engine says better what has happened.
        if self.content is None or self.keep_colours == "none" or not torch.isfinite(image).all():
            return image
        # Small, because colours take a while in a large picture, and previews come often.
        content = host.preview_sized(self.content[[progress.picture]])
        return nst.match_colours(image, content, self.keep_colours, self.strength)

    def is_due(self, step: int) -> bool:
        if self.every != AUTO_PREVIEW:
            return self.every > 0 and step % self.every == 0
        now = time.monotonic()
        if now - self.last < SECONDS_BETWEEN_PREVIEWS:
            return False
        self.last = now
        return True
