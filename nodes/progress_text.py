"""How far a run is, in words."""

from __future__ import annotations

from .. import nst_engine as nst

PART = " · "


def joined(*parts: str) -> str:
    return PART.join(filter(None, parts))


def at(position: nst.Position, seconds_left: float | None = None) -> str:
    """Step 15 of 300 · level 2 of 4 · 512×341 · about 4 min left."""
    left = "" if seconds_left is None or seconds_left < 1 else f"about {duration(seconds_left)} left"
    return joined(*_parts(position), left)


def where(position: nst.Position) -> str:
    """step 170 of 280, level 3 of 5, 256×170"""
    return ", ".join(_parts(position)).lower()


def _parts(position: nst.Position) -> list[str]:
    height, width = position.shape
    parts = [
        f"Picture {position.picture + 1} of {position.pictures}" if position.pictures > 1 else "",
        f"Step {position.step} of {position.steps}",
        f"tile {position.tile} of {position.tiles}" if position.tile else "",
        f"level {position.level + 1} of {position.levels}" if position.levels > 1 else "",
        f"{width}×{height}",
    ]
    return list(filter(None, parts))


def measuring(what: str, done: int = 0, of: int = 1) -> str:
    return f"Measuring {what}" + (f"{PART}{done} of {of}" if of > 1 else "")


def done(width: int, height: int, steps: int, seconds: float) -> str:
    """Done: 384×256, 100 steps, 52 s."""
    return f"Done: {width}×{height}, {steps} step{'s' * (steps != 1)}, {duration(seconds)}"


def duration(seconds: float) -> str:
    """As somebody would say it: 0.4 s, 52 s, 4 min, 1 h 20 min."""
    if seconds < 1:
        return f"{max(seconds, 0.1):.1f} s"
    if seconds < 90:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


class Clock:
    """How long a run will still take, at the pace of its last seconds: first steps are slow, and levels differ."""

    WINDOW = 10.0  # seconds
    LEAST = 1.0

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []

    def left(self, share: float, now: float) -> float | None:
        """Seconds, once there is something to go by; `share` is how much of the work is done."""
        self.marks.append((now, share))
        while len(self.marks) > 2 and now - self.marks[1][0] > self.WINDOW:
            self.marks.pop(0)
        began, before = self.marks[0]
        if now - began < self.LEAST or share <= before:
            return None
        return (1 - share) * (now - began) / (share - before)
