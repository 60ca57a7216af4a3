"""A thousand small prompts on a real ComfyUI, no two alike: memory, threads and open files stay as they are."""

from __future__ import annotations

import csv
import shutil
import statistics
import time
from pathlib import Path

import psutil
import pytest
from comfyui_found import package_folder
from hostile import PICTURE, STYLE, Graph, node
from live_comfyui import Server
from plot_soak import COLUMNS, draw

from nst_engine.statistics.distances import BY_MOMENTS

SETTLED = 100  # prompts, after which nothing may grow
EVERY = 10
MEMORY, THREADS, FILES = 50.0, 4, 4  # how far apart the beginning and the end may be; memory in MB

RECIPES = ("balanced", "gatys2016", "pytorch-tutorial", "johnson", "udacity", "spst")
LONG = {50: "strotss", 51: "nnst"}  # of every 400 prompts: half a minute each
STATISTICS = ("recipe", "mean-std", "covariance", "histogram", "sliced", "nearest", "remd")
MEASURES = ("recipe", "self-similarity", "laplacian")
COPIES = ("none", "mirrored", "rotated", "rescaled")


@pytest.mark.timeout(3600)
def test_a_thousand_prompts(server: Server, furnished: Path, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    count = pytestconfig.getoption("--soak-prompts")
    folder = pytestconfig.getoption("--soak-out") or tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(furnished, server.base / "input", dirs_exist_ok=True)
    process = psutil.Process(server.process.pid)
    films = package_folder(server.interpreter, "cv2") is not None
    rows = []
    begun = time.monotonic()
    with (folder / "soak.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for i in range(count):
            run_one(server, prompt(i, films))
            if i % EVERY == 0:
                # The host keeps what prompts gave for as long as there is memory; that is not ours.
                server.post("/free", {"unload_models": True, "free_memory": True})
                time.sleep(0.3)
                memory = process.memory_info().rss / 2**20
                rows.append((i, time.monotonic() - begun, memory, process.num_threads(), open_files(process)))
                table.writerow([round(value, 1) for value in rows[-1]])
                file.flush()
    draw(folder / "soak.csv", folder / "soak.png")

    early = [row for row in rows if SETTLED <= row[0] < 2 * SETTLED]
    late = [row for row in rows if row[0] >= count - SETTLED]
    if count < 3 * SETTLED:  # a short trial: its two halves
        early, late = rows[len(rows) // 3 : 2 * len(rows) // 3], rows[2 * len(rows) // 3 :]
    for column, allowed in ((2, MEMORY), (3, THREADS), (4, FILES)):
        was, became = (statistics.median(row[column] for row in part) for part in (early, late))
        assert became - was <= allowed, f"{COLUMNS[column]} grew from {was:.1f} to {became:.1f}; see {folder}"


def open_files(process: psutil.Process) -> int:
    return process.num_handles() if psutil.WINDOWS else process.num_fds()


def run_one(server: Server, graph: Graph) -> None:
    answer = server.post("/prompt", {"prompt": graph})
    assert not answer["node_errors"], answer
    deadline = time.monotonic() + 600
    while not (found := server.get(f"/history/{answer['prompt_id']}")):
        server.check_alive()
        assert time.monotonic() < deadline, server.log_tail()
        time.sleep(0.01)
    status = found[answer["prompt_id"]]["status"]
    assert status["status_str"] == "success", f"{graph}\n{status}"


def prompt(i: int, films: bool) -> Graph:
    """The i-th prompt; sizes, recipes, methods and nodes take turns in rows of different lengths. Films need OpenCV."""
    size = (44, 54, 64)[i % 3]
    graph = {
        "vgg": node(
            "LoadVGGFeatures",
            weights="vgg19-caffe",
            pooling=("recipe", "max", "average")[i // EVERY % 3],
            padding=("recipe", "zeros", "reflect")[i // EVERY // 3 % 3],
            precision="fp32",
        ),
        "picture": node("LoadImage", image=PICTURE),
        "style": node(
            "ComputeStyleGrams",
            vgg=["vgg", 0],
            style_image=["picture", 0],
            weight=1.0,
            size=(44, 52, 60, 68)[i % 4],
            copies=COPIES[i // 4 % len(COPIES)],
        ),
        "made": node(
            "NeuralStyleTransfer",
            vgg=["vgg", 0],
            content_image=["picture", 0],
            style_grams=["style", 0],
            recipe=LONG.get(i % 400, RECIPES[i % len(RECIPES)]),
            size=size,
            scales=1,
            steps=1 + i % 2,
            seed=i,
            start=("content", "noise")[i // 2 % 2],
            optimizer=("recipe", "adam", "lbfgs")[i % 3],
            preview_every=1,
            keep_colours=("none", "lab", "histogram")[i % 3],
        ),
        "show": node("PreviewImage", images=["made", 0]),
    }
    if i % 4 == 1:
        statistic = STATISTICS[i // 4 % len(STATISTICS)]
        graph["method"] = node(
            "NSTMethod",
            statistic=statistic,
            shift=0.0,
            normalise_gradients="recipe",
            averaging=-1.0,
            tv_kind="recipe",
            content_measure=MEASURES[i // 4 % len(MEASURES)],
            octaves=(-1, 1, 2)[i // 12 % 3] if statistic in BY_MOMENTS else -1,
        )
        graph["made"]["inputs"] |= {"method": ["method", 0], "recipe": "balanced"}
    if i % 9 == 3:
        graph["made"]["inputs"]["tile"] = 32
        graph["made"]["inputs"].pop("method", None)
    if i % 5 == 2:
        graph["loaded"] = node("LoadStyleGrams", style=STYLE, weight=1.0 + i / 1000, style_grams=["style", 0])
        graph["row"] = node("NSTInterpolateStyles", from_style=["style", 0], to_style=["loaded", 0], frames=2)
        graph["kept"] = node("SaveStyleGrams", style_grams=["style", 0], filename_prefix="soak/style")
    if i % 6 == 5:
        graph["sheet"] = node(
            "NSTShowFeatures",
            **{"vgg": ["vgg", 0], "image": ["made", 0], "layer": "relu2_1", "maps": 4, "order": "strongest"},
            **{"size": size, "recipe": "balanced"},
        )
        graph["show sheet"] = node("PreviewImage", images=["sheet", 0])
    if films and i % 16 == 4:
        graph |= moving(i)
    return graph


def moving(i: int) -> Graph:
    """Two frames as a batch, and in every second of such prompts as a file, too."""
    painted = {"vgg": ["vgg", 0], "style_grams": ["style", 0], "recipe": "balanced", "size": 48, "steps": 1, "seed": i}
    graph = {
        "clip": node("NSTExampleClip", name="clip-balloon", frames=2),
        "moved": node("NSTVideoTransfer", frames=["clip", 0], passes=1 + i // 16 % 2, preview_every=1, **painted),
        "show moved": node("PreviewImage", images=["moved", 0]),
    }
    if i % 32 == 20:
        graph["video"] = node("CreateVideo", images=["clip", 0], fps=["clip", 1])
        graph["film"] = node("NSTStyliseVideo", video=["video", 0], filename_prefix="soak/film", **painted)
    return graph
