"""How time and memory grow with the picture: `make bench-scale`.

python -m bench.scale                      512² to 8192², in one pass while that fits and by tiles throughout
python -m bench.scale --sizes 512,1024 --tiles 512
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

import nst_engine as nst
from nst_engine.pictures.files import read_picture, write_picture
from nst_engine.pictures.images import resize
from nst_engine.system.devices import best_device

from .__main__ import EXAMPLES, high_water, machine, table
from .programs import now, pastiche

LIMIT = 8 << 30  # of the race to the largest picture
STATE = 12 + 12 + 24  # bytes a pixel: the picture, its gradient, Adam's moments


@dataclass(frozen=True)
class Measured:
    seconds: float  # a step
    peak: int  # bytes above the start
    targets: int  # bytes of content features that were kept


def square(side: int) -> torch.Tensor:
    return resize(read_picture(EXAMPLES / "content-landscape.jpg").pixels, (side, side))


def style() -> torch.Tensor:
    return read_picture(EXAMPLES / "style-strokes.jpg").pixels


def measure(side: int, tile: int | None, device: str) -> Measured:
    """In this process, which is to do nothing else."""
    vgg = nst.load_vgg("vgg19-caffe", device=device)
    grams = nst.compute_style_grams(vgg, style(), recipe="classic", size=512)
    content = square(side)
    forget_peak(device)
    before = high_water(device)
    tiles: list[float] = []
    steps: list[float] = []
    result = nst.stylize(
        vgg,
        content,
        grams,
        recipe="classic",
        steps=2 if tile is None else 1,
        scales=1,
        tile=tile,
        on_tile=lambda _: tiles.append(now(device)),
        on_step=lambda _: steps.append(now(device)),
    )
    if tile is None:
        seconds = steps[1] - steps[0]
    else:
        # The first tile's beginning is not told; it took as long as the others of its round.
        half = len(tiles) // 2
        there, back = tiles[half - 1] - tiles[0], steps[0] - tiles[half - 1]
        seconds = there * half / max(1, half - 1) + back
    itemsize = 2 if result.settings["precision"] != "fp32" else 4
    return Measured(seconds, high_water(device) - before, 512 // 64 * itemsize * side**2)


def forget_peak(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def pastiche_manages(side: int) -> bool:
    """Whether the PyPI package gets through a step at this size."""
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in (("content", square(side)), ("style", resize(style(), (384, 512)))):
            write_picture(Path(folder) / f"{name}.png", picture)
        try:
            pastiche(Path(folder) / "content.png", Path(folder) / "style.png", side, "cpu").step()
        except (RuntimeError, MemoryError):
            return False
    return True


def limited() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))


def apart(*arguments: str, limit: bool = False) -> str | None:
    """The last line of this program run on its own, or nothing if it failed."""
    command = [sys.executable, "-m", "bench.scale", *arguments, *(["--limited"] if limit else [])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    return done.stdout.splitlines()[-1] if done.returncode == 0 and done.stdout else None


def largest_of_pastiche() -> int:
    """The largest side that it manages within the limit, to 64 pixels."""
    low, high = 512, 4096
    while high - low > 64:
        middle = (low + high) // 2 // 64 * 64
        if apart("--pastiche", str(middle), limit=True) == "true":
            low = middle
        else:
            high = middle
    return low


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--device", default=str(best_device()))
    parser.add_argument("--sizes", default="512,1024,2048,4096,8192")
    parser.add_argument("--tiles", default="512,1024")
    parser.add_argument("--one-pass-up-to", type=int, default=4096)
    parser.add_argument("--no-race", action="store_true", help="leave out what pastiche manages in 8 GB")
    for hidden in ("--measure", "--pastiche"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--limited", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.limited:
        limited()
    if args.pastiche:
        print(json.dumps(pastiche_manages(int(args.pastiche))))
        return
    if args.measure:
        side, tile = args.measure.split(",")
        print(json.dumps(vars(measure(int(side), None if tile == "off" else int(tile), args.device))))
        return
    print(f"{machine(args.device)}\n")
    tiles = ["off", *args.tiles.split(",")]
    rows = []
    for side in map(int, args.sizes.split(",")):
        for tile in tiles:
            if tile == "off" and side > args.one_pass_up_to:
                continue
            last = apart("--device", args.device, "--measure", f"{side},{tile}")
            if last is None:
                rows.append([f"{side}²", tile, "does not fit", "", "", ""])
                continue
            m = Measured(**json.loads(last))
            state = STATE * side**2 + m.targets
            rows.append(
                [
                    f"{side}²",
                    tile,
                    f"{m.seconds:.2f}",
                    f"{m.seconds / side**2 * 1e6:.2f}",
                    f"{m.peak / 2**20:.0f}",
                    f"{(m.peak - 2**30) / state:.2f}" if tile != "off" and m.peak > 2**30 else "",
                ]
            )
            print(rows[-1], file=sys.stderr, flush=True)
    header = ["picture", "tile", "s per step", "µs per pixel", "peak MB", "(peak − 1 GB) / state and targets"]
    print(table(header, rows))
    if not args.no_race and args.device == "cpu":
        theirs = largest_of_pastiche()
        ours = max(int(side) for side in args.sizes.split(","))
        fits = apart("--device", "cpu", "--measure", f"{ours},1024", limit=True) is not None
        print(
            f"In 8 GB pastiche manages {theirs}², the engine {'manages' if fits else 'does not manage'} {ours}²: "
            f"{ours**2 / theirs**2:.1f} times as many pixels."
        )


if __name__ == "__main__":
    main()
