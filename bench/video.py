"""How well moving pictures hold together, and what that costs.

python -m bench.video                        192 pixels, 100 steps for a first frame, 16 frames of a pan, 60 still ones
python -m bench.video --size 512 --steps 200 --frames 8 --still 8
python -m bench.video --memory 1000          nst video over so many small frames: memory at every tenth part
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F

import nst_engine as nst
from nst_engine.pictures.files import read_picture, write_picture
from nst_engine.pictures.images import resize
from nst_engine.video.coherence import anchor
from nst_engine.video.flow import dis_flow, warp

from .__main__ import EXAMPLES, machine, table

PAN = (1.3, 0.4)  # pixels a frame
MARGIN = 8  # pixels at each side that are not looked at: there the pan brings in what was not there
WAYS: dict[str, nst.Coherence | None] = {
    "frame by frame": None,
    "start from the one before": nst.Coherence(weight=0),
    "one pass": nst.Coherence(),
    "two passes": nst.Coherence(passes=2),
}


@dataclass
class Measured:
    images: list[torch.Tensor] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def later(self) -> float:
        return statistics.median(self.seconds[1:])


def pan(count: int, long_side: int) -> list[torch.Tensor]:
    """A camera over the drawn landscape; x in a frame was at x + PAN in the one before."""
    height, width = long_side * 2 // 3, long_side
    wide = resize(read_picture(EXAMPLES / "content-landscape.jpg").pixels, (height * 5 // 4, width * 5 // 4))
    rows, columns = torch.arange(height).view(-1, 1), torch.arange(width)
    frames = []
    for i in range(count):
        y = (2 * (rows + 2 + PAN[1] * i) + 1) / wide.shape[2] - 1
        x = (2 * (columns + 2 + PAN[0] * i) + 1) / wide.shape[3] - 1
        grid = torch.stack((x.expand(height, width), y.expand(height, width)), -1)[None]
        frames.append(F.grid_sample(wide, grid, mode="bicubic", align_corners=False).clamp(0, 1))
    return frames


def run(vgg, grams, frames: list[torch.Tensor], way: nst.Coherence | None, steps: int) -> Measured:
    found = Measured()
    if way is None:
        for frame in frames:
            began = time.perf_counter()
            found.images.append(nst.stylize(vgg, frame, grams, recipe="balanced", steps=steps, size=0).image)
            found.seconds.append(time.perf_counter() - began)
        return found
    choices = {"recipe": "balanced", "steps": steps, "size": 0}
    for made in nst.stylize_video(vgg, frames, grams, coherence=way, **choices):
        found.images.append(made.image)
        found.seconds.append(made.seconds)
    return found


def warped_error(images: list[torch.Tensor]) -> float:
    """Mean |x − ω(x before)| by the known flow, in codes of 255."""
    flow = torch.tensor(PAN).view(1, 2, 1, 1).expand(1, 2, *images[0].shape[2:])
    inner = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    errors = [float((b - warp(a, flow).clamp(0, 1))[inner].abs().mean()) for a, b in itertools.pairwise(images)]
    return 255 * statistics.mean(errors)


def drift(images: list[torch.Tensor]) -> float:
    return 255 * max(abs(float(image.mean() - images[0].mean())) for image in images)


def flow_seconds(frames: list[torch.Tensor]) -> float:
    """Flow and reliability of one frame, with all that it looks back to."""
    past = [nst.video.Past(frames[-1 - n], frames[-1 - n], torch.ones_like(frames[0][:, :1])) for n in (1, 2, 4)]
    times = []
    for _ in range(5):
        began = time.perf_counter()
        anchor(frames[-1], past, nst.Coherence(), dis_flow)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def report(args: argparse.Namespace) -> None:
    vgg = nst.load_vgg("vgg19-caffe", device=args.device)
    grams = nst.compute_style_grams(vgg, read_picture(EXAMPLES / "style-strokes.jpg").pixels, recipe="balanced")
    moving = pan(args.frames, args.size)
    run(vgg, grams, moving[:2], nst.Coherence(), 5)  # what is made once is made now
    source = warped_error(moving)
    rows = []
    for name, way in WAYS.items():
        found = run(vgg, grams, moving, way, args.steps)
        error = warped_error(found.images)
        still = drift(run(vgg, grams, moving[:1] * args.still, way, args.steps).images) if way else 0.0
        times = (found.seconds[0], found.later, found.later / found.seconds[0])
        rows.append([name, *(f"{number:.2f}" for number in (error, error / source, still, *times))])
        if name == "one pass":
            later = found.later
        if args.keep:
            strip(found.images, args.keep / f"{name.replace(' ', '-')}.png")
        print(rows[-1], file=sys.stderr, flush=True)
    heads = ["", "warped error (of 255)", "over the source's", f"brightness drift, {args.still} still frames"]
    print(f"{machine(args.device)}; {args.size} pixels, {args.steps} steps; the source's own error is {source:.2f}\n")
    print(table([*heads, "first frame, s", "later, s", "later over first"], rows))
    flow = flow_seconds(moving)
    print(f"\nflow and reliability of a frame: {flow:.3f} s, {flow / later:.1%} of a later frame of one pass")


def strip(images: list[torch.Tensor], path: Path) -> None:
    """Some frames side by side, and below them one column over time."""
    column = torch.cat([image[..., image.shape[-1] // 2].unsqueeze(-1) for image in images], -1)
    column = column.repeat_interleave(4, -1)
    chosen = torch.cat(images[:: max(1, len(images) // 5)][:5], -1)
    column = F.pad(column, (0, max(0, chosen.shape[-1] - column.shape[-1])))[..., : chosen.shape[-1]]
    write_picture(path, torch.cat((chosen, column), -2))


# --- memory -------------------------------------------------------------------------------------------------------


def memory(count: int) -> None:
    """`nst video` in a process of its own, watched from here."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for number, frame in enumerate(pan(16, 64)):
            write_picture(folder / "in" / f"{number:05}.png", frame)
        for number in range(16, count):  # there and back again
            twin = 15 - abs(15 - number % 30)
            (folder / "in" / f"{number:05}.png").symlink_to(folder / "in" / f"{twin:05}.png")
        words = ["in", str(EXAMPLES / "style-strokes.jpg"), "-o", "out.mp4", "--steps", "2", "--frame-steps", "1"]
        command = [sys.executable, "-m", "nst_engine", "video", *words, "--size", "64", "--quiet"]
        process = subprocess.Popen(command, cwd=folder)
        for done, megabytes in watched(process, folder / "out.mp4.frames" / ".nst" / "frames", max(1, count // 10)):
            print(f"{done} frames: {megabytes:.0f} MB", flush=True)
        if process.wait():
            raise SystemExit("nst video failed")


def watched(process: subprocess.Popen, listed: Path, step: int) -> Iterator[tuple[int, float]]:
    due = step
    while process.poll() is None:
        time.sleep(0.05)
        done = listed.read_bytes().count(b"\n") if listed.is_file() else 0
        if done >= due:
            status = Path(f"/proc/{process.pid}/status").read_text()
            line = next((line for line in status.splitlines() if line.startswith("VmRSS:")), "VmRSS: 0")
            yield done, int(line.split()[1]) / 1024
            due += step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=192, metavar="PIXELS", help="long side")
    parser.add_argument("--steps", type=int, default=100, help="of a first frame")
    parser.add_argument("--frames", type=int, default=16, help="of the pan")
    parser.add_argument("--still", type=int, default=60, help="frames of a scene in which nothing moves")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="put contact sheets there")
    parser.add_argument("--memory", type=int, metavar="FRAMES")
    args = parser.parse_args()
    if args.memory:
        memory(args.memory)
        return
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
    report(args)


if __name__ == "__main__":
    main()
