"""What the panel on the canvas is sent of a run: the loss at every step, and small pictures, a few times a second.

Reading the loss waits for the device, so it is read in one go; pictures are encoded in a thread of their own. Nobody
who has no canvas pays for any of it.
"""

from __future__ import annotations

import base64
import io
import math
import queue
import threading
from typing import Any

import torch

from .. import nst_engine as nst
from . import host

EVENT = "nst.live"
SIDE = 256  # of a picture in the panel
MOST_POINTS = 64  # in one message: more than the panel has pixels for
TERMS = ("total", "content", "style", "tv", "temporal")

Taken = tuple[int, Any]  # a step, and its terms
Shown = tuple[int, torch.Tensor]  # a step, and its picture


class Panel:
    """The panel of one run. `tell` may be called as often as the canvas is to be told something."""

    def __init__(self, run: host.Running) -> None:
        self.run = run
        self.taken: list[Taken] = []
        self.at: dict[str, int] = {}
        self.picture: Shown | None = None
        self.outbox: queue.SimpleQueue[tuple[dict[str, Any], Shown | None] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._deliver, name="nst live panel", daemon=True)
        self.thread.start()

    def add(self, progress: nst.Progress) -> None:
        """A step, to be read when something is sent. Its pixels are let go: the next level wants the memory. What has
        not been sent of the picture before is not sent any more: the curve is that of one picture."""
        if self.at and self.at["picture"] != progress.picture:
            self.taken, self.picture = [], None
        self.taken.append((progress.step, progress.terms))
        self.at = {"step": progress.step, "steps": progress.steps, "picture": progress.picture}

    def show(self, step: int, picture: torch.Tensor) -> None:
        """A preview, to go with what is sent next."""
        self.picture = (step, picture)

    def tell(self, text: str, state: str = "running") -> None:
        taken, self.taken = self.taken, []
        message: dict[str, Any] = {
            "prompt_id": self.run.prompt,
            "node_id": self.run.node,
            "text": text,
            "state": state,
            "points": points(taken),
            **self.at,
        }
        picture, self.picture = self.picture, None
        self.outbox.put((message, picture))

    def close(self) -> None:
        """Everything that was sent has gone out then."""
        self.outbox.put(None)
        self.thread.join(5)

    def _deliver(self) -> None:
        while (sent := self.outbox.get()) is not None:
            message, picture = sent
            if picture is not None:
                message |= {"image_step": picture[0], "image": encoded(picture[1])}
            host.tell_canvas(EVENT, message)


def points(taken: list[Taken]) -> list[list[float | None]]:
    """Step and terms of each; what is not a number is None, for JSON has no word for it."""
    if not taken:
        return []
    every = math.ceil(len(taken) / MOST_POINTS)
    shown = taken[::-1][::every][::-1]  # the last is always among them
    rows = [torch.stack([getattr(terms, name).to(terms.total) for name in TERMS]) for _, terms in shown]
    read = torch.stack(rows).tolist()
    return [
        [step, *(value if math.isfinite(value) else None for value in row)]
        for (step, _), row in zip(shown, read, strict=True)
    ]


def encoded(picture: torch.Tensor) -> str:
    """As an address that a page can show."""
    image = host.as_pil(picture)
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
