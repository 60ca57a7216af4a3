"""What the host shows of a run while it goes on."""

from __future__ import annotations

import time
from typing import Any

import torch

from .. import nst_engine as nst
from . import host

AUTO_PREVIEW = -1
SECONDS_BETWEEN_PREVIEWS = 1.0


def follow_measuring() -> dict[str, Any]:
    """Arguments for what measures: the host's bar moves with every piece of a picture, and a cancel is seen at every
    layer of the network."""
    return {"on_measure": _measured, "on_layer": host.check_cancelled}


def _measured(done: int, of: int) -> None:
    if of > 1:  # one piece is done before anybody has looked
        host.ProgressBar(of).update(done)


def follow(preview: Preview) -> dict[str, Any]:
    """Arguments for what takes steps: the bar moves also with every step and every tile, and the picture is shown now
    and then."""
    bar: host.ProgressBar | None = None

    def move(position: nst.Position, done: float, picture: torch.Tensor | None = None) -> None:
        nonlocal bar
        bar = bar or host.ProgressBar(position.steps * position.pictures)
        bar.update(done, picture)

    def on_step(progress: nst.Progress) -> None:
        move(progress, int(progress.done), preview(progress) if preview.is_due(progress.step) else None)

    def on_tile(position: nst.Position) -> None:
        move(position, position.done)

    return {"on_step": on_step, "on_tile": on_tile, **follow_measuring()}


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
