"""Measure the engine against the programs it replaces, side by side in one run.

python -m bench                       everything, on the best device there is
python -m bench --sizes 256 --only steps,startup
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

import nst_engine as nst
from nst_engine.network.cpu import winograd
from nst_engine.network.precision import name_of, resolve
from nst_engine.pictures.files import read_picture, write_picture
from nst_engine.pictures.images import resize
from nst_engine.recipes import Adam
from nst_engine.system.devices import best_device

from . import beside, programs

EXAMPLES = Path(__file__).resolve().parent.parent / "nodes" / "examples"
PARTS = ("steps", "memory", "equal-loss", "startup", "beside")


def pictures(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The example landscape and strokes at size × 3/4 size: the same for every program."""
    shape = (size * 3 // 4, size)
    return tuple(  # type: ignore[return-value]
        resize(read_picture(EXAMPLES / f"{name}.jpg").pixels, shape) for name in ("content-landscape", "style-strokes")
    )


def contestants(
    size: int, device: str, precisions: tuple[str, ...] = ("auto", "fp32")
) -> Iterator[tuple[str, Callable[[], programs.Program | programs.Engine]]]:
    """Names, and what makes each program ready to step."""

    @functools.cache
    def given() -> tuple[torch.Tensor, torch.Tensor]:
        content, style = (p.to(device) for p in pictures(size))
        return content, style

    def engine(precision: str, recorded: bool = False) -> programs.Engine:
        vgg = nst.load_vgg("vgg19-caffe", precision=precision, device=device)
        return programs.ours(vgg, *given(), recorded=recorded)

    def floor(precision: str, recorded: bool = False) -> programs.Program:
        return programs.floor(exact(), given()[0], resolve(precision, torch.device(device)), recorded=recorded)

    def exact() -> nst.VGGFeatures:
        return nst.load_vgg("vgg19-caffe", precision="fp32", device=device)

    def installed_pastiche() -> programs.Program:
        folder = Path(tempfile.mkdtemp())
        for name, picture in zip(("content", "style"), given(), strict=True):
            write_picture(folder / f"{name}.png", picture.cpu())
        return programs.pastiche(folder / "content.png", folder / "style.png", size, device)

    names = {p: p if p != "auto" else f"auto ({name_of(resolve(p, torch.device(device)))})" for p in precisions}
    for recorded in (False, True) if device.startswith("cuda") else (False,):
        for kind, make in (("engine", engine), ("floor", floor)):
            for precision, name in names.items():
                yield f"{kind}, {name}{', recorded' * recorded}", functools.partial(make, precision, recorded)
    yield "pastiche", installed_pastiche
    for name, program in programs.SEEDS.items():
        yield name, lambda p=program: p(programs.torchvision_features(exact()), *given())


def seconds_per_step(size: int, device: str, rounds: int) -> dict[str, float]:
    """Medians over interleaved rounds: what slows the machine slows everybody."""
    ready = {name: make() for name, make in contestants(size, device)}
    times: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(rounds + 1):
        for name, program in ready.items():
            times[name].append(program.seconds(device))
    return {name: statistics.median(measured[1:]) for name, measured in times.items()}  # the first warms up


def peak_memory(name: str, size: int, device: str) -> float:
    """MB that the program takes above its start, in a process of its own."""
    command = [sys.executable, "-m", "bench", "--memory-of", name, "--sizes", str(size), "--device", device]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
    return float(json.loads(done.stdout.splitlines()[-1]))


def memory_of(name: str, size: int, device: str) -> float:
    make = dict(contestants(size, device))[name]
    started = high_water(device)
    program = make()
    if isinstance(program, programs.Engine):
        program.run(3 if device == "cpu" else 12, None)  # on a GPU, until steps are recorded
    else:
        for _ in range(3):
            program.step()
    return (high_water(device) - started) / 2**20


def high_water(device: str) -> int:
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def time_to_equal_loss(name: str, device: str, their_steps: int) -> dict[str, float]:
    """How long the program takes to its loss, and how long the engine's fastest setting to the same value of the same
    objective, evaluated in fp32. Both clocks run from the pictures on."""
    content, style = (p.to(device) for p in pictures(256))
    recipe = programs.OBJECTIVES[name]
    make = dict(contestants(256, device))[name]
    began = time.perf_counter()
    program = make()
    assert isinstance(program, programs.Program)
    for _ in range(their_steps):
        said = program.step()
    theirs = time.perf_counter() - began
    exact = nst.load_vgg("vgg19-caffe", precision="fp32", device=device)
    judge = nst.objective(exact, content, nst.compute_style_grams(exact, style, recipe=recipe), recipe=recipe)
    # Some programs count colours that no screen has and no file holds: what is compared is the picture.
    reached = float(judge.value_and_grad(program.picture())[0].total)
    fast = nst.load_vgg("vgg19-caffe", precision="auto", device=device)
    for steps in STEPS_TRIED:
        began = time.perf_counter()
        grams = nst.compute_style_grams(fast, style, recipe=recipe)
        result = nst.stylize(fast, content, grams, recipe=faster(recipe), steps=steps)
        ours = time.perf_counter() - began
        loss = float(judge.value_and_grad(result.image.to(device))[0].total)
        if loss <= reached:
            break
    return {
        "said": said,
        "loss": reached,
        "theirs": theirs,
        "their steps": their_steps,
        "ours": ours,
        "our steps": steps,
        "got": loss,
    }


STEPS_TRIED = tuple(round(10 * 1.2**k) for k in range(28))  # to 1374


def faster(recipe: nst.Recipe) -> nst.Recipe:
    """The setting that reaches a loss soonest, found by the trials in RESULTS.md."""
    return replace(recipe, optimizer=Adam(0.08, (0.8, 0.9), final_lr=0.02), variable="pixels", clamp=True)


def startup() -> dict[str, float]:
    """Seconds of a fresh process: importing, loading the weights, measuring a style at 512 px."""
    code = (
        "import time, json; t = [time.perf_counter()]; tick = lambda: t.append(time.perf_counter())\n"
        "import torch; tick()\n"
        "import nst_engine as nst; tick()\n"
        "vgg = nst.load_vgg('vgg19-caffe'); tick()\n"
        "nst.compute_style_grams(vgg, torch.rand(1, 3, 384, 512), size=512); tick()\n"
        "print(json.dumps([b - a for a, b in zip(t, t[1:])]))"
    )
    runs = [json.loads(subprocess.check_output([sys.executable, "-c", code], text=True)) for _ in range(3)]
    names = ("import torch", "import nst_engine", "weights", "style grams, 512 px")
    return {name: statistics.median(run[i] for run in runs) for i, name in enumerate(names)}


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def machine(device: str) -> str:
    name = torch.cuda.get_device_name() if device.startswith("cuda") else processor()
    return (
        f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {platform.system()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"{loops()}"
    )


def loops() -> str:
    if not winograd.pays(torch.Size((64, 64)), (512, 512), torch.float32, torch.device("cpu")):  # only by loops
        return "no compiled loops"
    return f"loops compiled by llvmlite {importlib.metadata.version('llvmlite')}"


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--device", default=str(best_device()))
    parser.add_argument("--sizes", default="256,512,1024")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--their-steps", type=int, default=500, help="of each document's program, for equal loss")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    sizes = [int(size) for size in args.sizes.split(",")]
    if args.memory_of:
        print(json.dumps(memory_of(args.memory_of, sizes[0], args.device)))
        return
    print(f"{machine(args.device)}\n")
    if "steps" in args.only:
        for size in sizes:
            rounds = max(2, args.rounds * 256 // size) if size > 512 else args.rounds
            seconds = seconds_per_step(size, args.device, rounds)
            auto = next(iter(seconds.values()))
            rows = [[n, f"{s:.3f}", f"{auto / s:.2f}"] for n, s in seconds.items()]
            print(f"Seconds per step at {size}×{size * 3 // 4}, medians of {rounds} interleaved rounds\n")
            print(table(["program", "seconds", "engine auto / it"], rows), flush=True)
    if "memory" in args.only:
        names = [name for name, _ in contestants(64, args.device)]
        rows = [[name, *(f"{peak_memory(name, size, args.device):.0f}" for size in sizes)] for name in names]
        print(table(["peak MB above the start", *map(str, sizes)], rows), flush=True)
    if "equal-loss" in args.only:
        rows = []
        for name in programs.OBJECTIVES:
            r = time_to_equal_loss(name, args.device, min(args.their_steps, programs.THEIR_STEPS.get(name, 10**9)))
            rows.append(
                [
                    name,
                    f"{r['said']:.4g}",
                    f"{r['loss']:.4g}" if r["got"] <= r["loss"] else f"{r['loss']:.4g} (got {r['got']:.4g})",
                    f"{r['theirs']:.1f} s, {r['their steps']} steps",
                    f"{r['ours']:.1f} s, {r['our steps']} steps",
                    f"1/{r['theirs'] / r['ours']:.1f}",
                ]
            )
            print(rows[-1], file=sys.stderr, flush=True)
        print(
            table(
                ["equal loss at 256 px", "loss it reports", "of its picture", "the program", "the engine", "ratio"],
                rows,
            ),
            flush=True,
        )
    if "startup" in args.only:
        print(table(["start-up", "seconds"], [[n, f"{s:.2f}"] for n, s in startup().items()]))
    if "beside" in args.only:
        header, *rows = beside.steps(pictures, args.rounds)
        print(table(header, rows), flush=True)
        if found := beside.quick_start():
            way, seconds = found
            print(table([f"quick start, {way}", "seconds"], [[n, f"{s:.1f}"] for n, s in seconds.items()]))
        else:
            print("The quick start was not measured: no ComfyUI or no browser.")


if __name__ == "__main__":
    main()
