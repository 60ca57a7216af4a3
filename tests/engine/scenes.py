"""Short clips whose motion is known, for the tests of moving pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pictures import clouds

HEIGHT, WIDTH = 64, 96


def seen_at(wide: torch.Tensor, x: float, y: float, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> torch.Tensor:
    """What a camera sees of a wide picture when its corner is at (x, y), in pixels and parts of them."""
    height, width = wide.shape[-2:]
    rows = (2 * (torch.arange(shape[0]) + y) + 1) / height - 1
    columns = (2 * (torch.arange(shape[1]) + x) + 1) / width - 1
    grid = torch.stack((columns.expand(*shape), rows[:, None].expand(*shape)), -1)[None]
    return F.grid_sample(wide, grid, mode="bicubic", padding_mode="border", align_corners=False).clamp(0, 1)


def pan(count: int, dx: float = 1.3, dy: float = 0.4, seed: int = 1) -> list[torch.Tensor]:
    """The camera moves by (dx, dy) a frame, so that x in one frame was at x + (dx, dy) in the one before."""
    wide = clouds(seed, 96, 160)
    return [seen_at(wide, 2 + dx * i, 2 + dy * i) for i in range(count)]


def turning(count: int, angle: float = 0.02, zoom: float = 1.015) -> tuple[list[torch.Tensor], torch.Tensor]:
    """The camera turns by so many radians a frame and comes nearer; with the flow from each frame to the one before,
    which is the same for all."""
    wide = clouds(1, 128, 160)
    middle = torch.tensor([WIDTH - 1, HEIGHT - 1]) / 2
    columns, rows = torch.meshgrid(torch.arange(WIDTH), torch.arange(HEIGHT), indexing="xy")
    here = torch.stack((columns, rows), -1) - middle

    def moved(times: int) -> torch.Tensor:
        """Where the positions of the frame so many times later were, about its middle."""
        cos, sin = math.cos(times * angle), math.sin(times * angle)
        return here @ torch.tensor([[cos, sin], [-sin, cos]]) / zoom**times

    half = torch.tensor([wide.shape[-1], wide.shape[-2]]) / 2
    frames = [
        F.grid_sample(wide, (moved(i) / half)[None], mode="bicubic", align_corners=False).clamp(0, 1)
        for i in range(count)
    ]
    return frames, (moved(1) - here).movedim(-1, 0)[None]


STEP = 12  # of the board, which is twice as wide: each place is behind it for two frames


def board_at(number: int) -> slice:
    """The board's columns; it comes into view in the third frame."""
    left = STEP * (number - 3)
    return slice(max(0, left), max(0, left + 2 * STEP))


def passing(count: int) -> list[torch.Tensor]:
    """A still scene, and a board that passes in front of it."""
    scene, board = clouds(1, HEIGHT, WIDTH), clouds(7, HEIGHT, 2 * STEP)
    frames = []
    for i in range(count):
        frame = scene.clone()
        part = frame[..., board_at(i)]
        part.copy_(board[..., board.shape[-1] - part.shape[-1] :] if i < 3 else board[..., : part.shape[-1]])
        frames.append(frame)
    return frames


def flow_of_passing(frames: list[torch.Tensor]) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The flow of that scene, known: the board's is its way, all else stays."""

    def number(frame: torch.Tensor) -> int:
        return next(i for i, known in enumerate(frames) if torch.equal(known, frame))

    def flow(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        i, j = number(a), number(b)
        found = torch.zeros(1, 2, HEIGHT, WIDTH)
        found[:, 0, :, board_at(i)] = float(STEP * (j - i))
        return found

    return flow


def write_clip(path: Path, frames: list[torch.Tensor], **how: Any) -> Path:
    """With a tone of 440 Hz beside it, unless `sound` is none; `times` are in milliseconds."""
    import av
    import numpy as np

    sound, times = how.get("sound", "aac"), how.get("times")
    deep = "10" in how.get("pixels", "yuv420p")
    with av.open(str(path), "w") as container:
        video = container.add_stream(how.get("codec", "libx264"), rate=24)
        video.height, video.width = frames[0].shape[-2:]
        if times:
            video.codec_context.time_base = Fraction(1, 1000)
        video.pix_fmt = how.get("pixels", "yuv420p")
        if "rotation" in how:
            video.set_display_rotation(how["rotation"])
        heard = container.add_stream(sound, rate=48000, layout="mono") if sound else None
        for i, frame in enumerate(frames):
            codes = (frame[0].movedim(0, -1) * (65535 if deep else 255)).round().to(torch.int32).numpy()
            format = "rgb48le" if deep else "rgb24"
            picture = av.VideoFrame.from_ndarray(codes.astype("uint16" if deep else "uint8"), format=format)
            if times:
                picture.time_base, picture.pts = Fraction(1, 1000), times[i]
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if heard is not None:
            tone = 0.3 * np.sin(np.arange(48000 * len(frames) // 24) * 2 * np.pi * 440 / 48000)
            samples = av.AudioFrame.from_ndarray(tone.astype("float32")[None], format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 48000, 0
            for part in av.AudioResampler(heard.codec_context.format, "mono", 48000).resample(samples):
                container.mux(heard.encode(part))
            container.mux(heard.encode(None))
    return path
