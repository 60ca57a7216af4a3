"""A loss history as a picture: total, style, content and total variation over the steps, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

BACKGROUND, GRID, TEXT = (24, 26, 31), (58, 62, 70), (200, 204, 212)
LINES = {"tv": (150, 150, 158), "content": (86, 180, 233), "style": (240, 160, 60), "total": (245, 245, 245)}


class Losses(Protocol):
    """What is drawn of a step."""

    @property
    def total(self) -> float: ...
    @property
    def style(self) -> float: ...
    @property
    def content(self) -> float: ...
    @property
    def tv(self) -> float: ...


def plot(history: Sequence[Losses], width: int, height: int, title: str = "") -> torch.Tensor:
    """1xHxWx3 in 0..1, as the host has its pictures."""
    from PIL import Image, ImageDraw, ImageFont

    finer = 2  # drawn twice as large, then halved: smooth lines without a drawing library
    image = Image.new("RGB", (width * finer, height * finer), BACKGROUND)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(13 * finer)
    left, right, top, bottom = 76 * finer, (width - 18) * finer, 40 * finer, (height - 40) * finer
    curves = {name: [getattr(step, name) for step in history] for name in LINES}
    curves = {name: values for name, values in curves.items() if any(v > 0 for v in values)}
    shown = [v for values in curves.values() for v in values if v > 0 and math.isfinite(v)]
    draw.text((left, 12 * finer), title, TEXT, font)
    if not shown:
        draw.text((left, top), "no steps were taken", TEXT, font)
    else:
        low, high = math.log10(min(shown)), math.log10(max(shown))
        low, high = (low - 0.1, high + 0.1) if high - low < 0.2 else (low, high)

        def at(step: int, value: float) -> tuple[float, float]:
            across = step / max(1, len(history) - 1)
            up = (math.log10(max(value, 10**low)) - low) / (high - low)
            return left + across * (right - left), bottom - up * (bottom - top)

        for value in _ticks(low, high):
            y = at(0, value)[1]
            draw.line((left, y, right, y), GRID, finer)
            draw.text((left - 8 * finer, y), f"{value:.3g}", TEXT, font, anchor="rm")
        for step in _round_steps(len(history)):
            x = at(step, 1)[0]
            draw.line((x, top, x, bottom), GRID, finer)
            draw.text((x, bottom + 8 * finer), str(step), TEXT, font, anchor="mt")
        for name, values in curves.items():
            points = [at(i, v) for i, v in enumerate(values)]
            draw.line(points if len(points) > 1 else points * 2, LINES[name], 2 * finer, joint="curve")
        x = float(right)
        for name in curves:
            draw.text((x, 12 * finer), name, LINES[name], font, anchor="rt")
            x -= draw.textlength(name + "   ", font)
    small = image.resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(small, dtype=np.float32) / 255)[None]


def _ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 times powers of ten; only the powers where there are many."""
    steps = (1, 2, 5) if high - low < 3 else (1,)
    every = max(1, math.ceil((high - low) / 8))
    decades = range(math.floor(low), math.ceil(high) + 1)
    values = [m * 10.0**e for e in decades if e % every == 0 for m in steps]
    return [v for v in values if low <= math.log10(v) <= high]


def _round_steps(count: int) -> list[int]:
    if count < 2:
        return [0]
    raw = (count - 1) / 6
    magnitude = 10 ** math.floor(math.log10(raw)) if raw >= 1 else 1
    stride = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= raw)
    return list(range(0, count, int(stride)))
