"""The pack in a running ComfyUI, as its users have it: nothing here imports the pack."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from comfyui_found import ROOT, find_comfyui, find_interpreter
from comfyui_runs import Graph
from host_calls import bar_of, film_graph, skip_without_flow
from live_comfyui import EXTRA_WEIGHTS, PACK, WORKFLOWS, Server, api_graph, find
from PIL import Image

MEGABYTE = 1 << 20

# --- loading ------------------------------------------------------------------------------------------------------


@pytest.mark.every_host
def test_the_pack_loads_without_a_complaint(server: Server) -> None:
    start = server.log().split("Starting server")[0]
    assert f"IMPORT FAILED: {PACK}" not in start
    times = re.findall(rf"^ *([\d.]+) seconds: .*{PACK}$", start, re.MULTILINE)
    assert len(times) == 1, start
    # torch is loaded already; what the pack adds has to go unnoticed. 0.1 s on a quiet machine.
    assert float(times[0]) < 3
    # Between "Trying to load" and the table of times lies what the pack itself says while it is imported.
    said = re.search(rf"^Trying to load custom node .*{PACK}\n(.*?)^Import times", start, re.MULTILINE | re.DOTALL)
    assert said is not None and said[1].strip() == ""
    # Nor does anything later in the start name the pack, but for the name of its folder of templates.
    naming = [line for line in start.split("Import times")[1].splitlines() if PACK in line or "nst_engine" in line]
    assert [line for line in naming if "seconds:" not in line and "workflow folder" not in line] == []


# --- running ------------------------------------------------------------------------------------------------------


def start_pictures(server: Server, graph: Graph) -> list[np.ndarray]:
    """The same graph without a step: what its transfers start from, at their size, in the order of the results."""
    unmoved = {i: {**node, "inputs": dict(node["inputs"])} for i, node in graph.items()}
    for node in unmoved.values():
        if node["class_type"] == "NeuralStyleTransfer":
            node["inputs"]["steps"] = 0
    # The plot of no steps is not what this is about.
    unmoved = {i: n for i, n in unmoved.items() if n["class_type"] not in ("NSTPlotLossHistory", "PreviewImage")}
    run = server.run(unmoved)
    return [np.asarray(picture) for i in all_of(unmoved, "SaveImage") for picture in run.pictures(i)]


def all_of(graph: Graph, class_type: str) -> list[str]:
    return [i for i, node in graph.items() if node["class_type"] == class_type]


def own_size(graph: Graph) -> tuple[int, int]:
    """Width and height of the example that is the content."""
    content, _ = graph[all_of(graph, "NeuralStyleTransfer")[0]]["inputs"]["content_image"]
    with Image.open(ROOT / "nodes" / "examples" / f"{graph[content]['inputs']['name']}.jpg") as picture:
        return picture.size


@pytest.mark.every_host
@pytest.mark.parametrize("name", sorted({file.stem for file in (WORKFLOWS / "api").glob("*.json")} - {"folder"}))
def test_a_workflow_runs_to_its_end(server: Server, name: str) -> None:
    if name == "video":
        skip_without_flow()
    graph = api_graph(name)
    mark = server.log_mark()
    run = server.run(graph)
    if name == "video":
        (film,) = run.outputs[find(graph, "SaveVideo")]["images"]
        assert film["filename"].endswith(".mp4") and len(server.get("/view", **film)) > 1000
    saves = all_of(graph, "SaveImage")
    pictures = [picture for i in saves for picture in run.pictures(i)]
    assert len(pictures) == {"style-row": 4}.get(name, len(saves))
    for picture in pictures:
        assert picture.mode == "RGB"
        assert np.asarray(picture).std() > 5  # something is to be seen
    if all_of(graph, "NeuralStyleTransfer"):
        width, height = own_size(graph)
        for picture, start in zip(pictures, start_pictures(server, graph), strict=True):
            assert picture.size == (round(96 * width / max(width, height)), round(96 * height / max(width, height)))
            assert (np.asarray(picture).astype(int) != start).mean() > 0.05
    for plot in (plot for i in all_of(graph, "PreviewImage") for plot in run.pictures(i)):
        assert plot.size == (480, 320)
    # A NaN on its way to a file shows up as a warning here.
    assert not re.search("Traceback|Warning", said := server.log(mark)), said


@pytest.mark.every_host
def test_example_pictures_lie_where_load_image_lists_them(server: Server) -> None:
    examples = ROOT / "nodes" / "examples"
    listed = server.get("/object_info/LoadImage")["LoadImage"]["input"]["required"]["image"][0]
    assert {f"nst-{file.name}" for file in examples.glob("*.jpg")} <= set(listed)
    graph = {
        "load": {"class_type": "LoadImage", "inputs": {"image": "nst-content-landscape-masked.png"}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["load", 0], "filename_prefix": "nst/example"}},
        "mask": {"class_type": "MaskToImage", "inputs": {"mask": ["load", 1]}},
        "save mask": {"class_type": "SaveImage", "inputs": {"images": ["mask", 0], "filename_prefix": "nst/mask"}},
    }
    run = server.run(graph)
    for node, name, mode in (
        ("save", "content-landscape.jpg", "RGB"),
        ("save mask", "content-landscape-mask.png", "L"),
    ):
        (shown,) = run.pictures(node)
        with Image.open(examples / name) as picture:  # the other one is smaller
            expected = np.asarray(picture.convert(mode).convert("RGB").resize(shown.size, Image.LANCZOS)).astype(int)
        assert np.abs(np.asarray(shown.convert("RGB")) - expected).mean() < 3


def test_a_video_is_stylised_as_a_stream_and_passed_on(server: Server) -> None:
    skip_without_flow()
    graph = film_graph(steps=2)
    run = server.run(graph)
    outputs = [run.outputs[find(graph, kind)]["images"] for kind in ("NSTStyliseVideo", "SaveVideo")]
    for (film,) in outputs:
        assert len(server.get("/view", **film)) > 1000
    assert [*(server.base / "output" / "nst").glob("*.frames")] == []


def test_a_cancelled_video_leaves_a_film_and_goes_on(server: Server) -> None:
    skip_without_flow()
    graph = film_graph(steps=20, frame_steps=200, seed=3)
    mark = server.log_mark()
    run = server.start(graph)
    run.wait("progress", 25)  # beyond the first frame
    server.post("/interrupt", {})
    assert run.finish().ending == "execution_interrupted"
    said = re.search(r"(\d+) frames? so far are in (\S+);", server.log(mark))
    assert said and (server.base / "output" / "nst").joinpath(os.path.basename(said[2])).is_file()
    kept = {path.name for path in (server.base / "output" / "nst").glob("film-*.frames/frame_*.png")}
    assert len(kept) == int(said[1]) >= 1
    server.run(graph)
    assert [*(server.base / "output" / "nst").glob("*.frames"), *(server.base / "output" / "nst").glob("*unf*")] == []


def test_a_batch_comes_out_whole(server: Server) -> None:
    graph = api_graph("quickstart", steps=2)
    transfer = graph[find(graph, "NeuralStyleTransfer")]
    graph["second"] = {"class_type": "NSTExampleImage", "inputs": {"name": "content-still-life"}}
    both = {"image1": transfer["inputs"]["content_image"], "image2": ["second", 0]}
    graph["both"] = {"class_type": "ImageBatch", "inputs": both}
    transfer["inputs"]["content_image"] = ["both", 0]
    run = server.run(graph)
    first, second = run.pictures(find(graph, "SaveImage"))
    assert first.size == second.size and np.any(np.asarray(first) != np.asarray(second))
    assert len(run.pictures(find(graph, "PreviewImage"))) == 2
    assert bar_of(run, graph)[-1].data["value"] == 4  # the bar runs on over both


def test_transparency_is_kept(server: Server) -> None:
    ramp = np.tile(np.linspace(0, 255, 96).round().astype(np.uint8), (72, 1))
    colours = np.random.default_rng(0).integers(0, 256, (72, 96, 3), np.uint8)
    name = server.upload("transparent.png", Image.fromarray(np.dstack([colours, ramp])))
    graph = api_graph("quickstart", size=0)
    graph["load"] = {"class_type": "LoadImage", "inputs": {"image": name}}
    # The host's loader splits the alpha off; this node puts it back.
    graph["rgba"] = {"class_type": "JoinImageWithAlpha", "inputs": {"image": ["load", 0], "alpha": ["load", 1]}}
    graph[find(graph, "NeuralStyleTransfer")]["inputs"]["content_image"] = ["rgba", 0]
    graph[find(graph, "ComputeStyleGrams")]["inputs"]["style_image"] = ["rgba", 0]
    (picture,) = server.run(graph).pictures(find(graph, "SaveImage"))
    assert picture.mode == "RGBA"
    assert np.abs(np.asarray(picture)[..., 3].astype(int) - ramp).max() <= 1


# --- memory -------------------------------------------------------------------------------------------------------

FREE_MEMORY = """
import importlib.util, resource, sys
import psutil
import comfy.options
comfy.options.enable_args_parsing()
sys.argv[1:] = ["--cpu", "--disable-api-nodes"]
import folder_paths, torch, comfy.model_management, comfy.utils
spec = importlib.util.spec_from_file_location("pack", ROOT + "/__init__.py", submodule_search_locations=[ROOT])
pack = sys.modules["pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
import pack.nodes.host as host
limit = psutil.Process().memory_info().vms + LEFT
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
cpu = torch.device("cpu")
print("free", host.free_memory(cpu), comfy.model_management.get_free_memory(cpu))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no ulimit")
def test_a_limit_of_the_process_counts_in_the_host(server: Server) -> None:
    left = 2**28
    code = f"ROOT, LEFT = {str(ROOT)!r}, {left}\n{FREE_MEMORY}"
    comfyui = find_comfyui()
    assert comfyui is not None
    done = subprocess.run([find_interpreter(comfyui), "-c", code], cwd=comfyui, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours, hosts = map(int, done.stdout.split("free ")[1].split())
    assert ours <= left < hosts


# --- what is not done twice, and what is given back ---------------------------------------------------------------


def measured(log: str) -> list[str]:
    """The engine's own word for each passage of a style through the network."""
    return re.findall(r"^measured .* at \d+×\d+: .*$", log, re.MULTILINE)


def test_another_content_weight_measures_no_style_again(server: Server) -> None:
    # Size 0 leaves the measuring to the transfer: the memo in the wire object has to outlive the run, too.
    graph = api_graph("quickstart", size=104, style_size=0)
    grams, transfer = find(graph, "ComputeStyleGrams"), graph[find(graph, "NeuralStyleTransfer")]
    mark = server.log_mark()
    server.run(graph)
    assert len(measured(server.log(mark))) == 1

    transfer["inputs"]["content_weight"] = 2.5
    mark = server.log_mark()
    again = server.run(graph)
    assert grams in again.cached and find(graph, "LoadVGGFeatures") in again.cached
    assert find(graph, "NeuralStyleTransfer") not in again.cached
    assert measured(server.log(mark)) == []

    # The count is not blind: a recipe with other layers has to measure them.
    transfer["inputs"]["recipe"] = "pytorch-tutorial"
    mark = server.log_mark()
    assert grams in server.run(graph).cached
    assert len(measured(server.log(mark))) == 1


def test_memory_is_given_back(server: Server) -> None:
    graph = api_graph("quickstart", size=192, steps=1)
    inputs = graph[find(graph, "NeuralStyleTransfer")]["inputs"]

    def run(seed: int) -> int:
        inputs["seed"] = seed
        server.run(graph)
        return server.resident_memory()

    settled = max(run(seed) for seed in range(2))  # the allocator and torch's thread pools have what they want
    later = [run(seed) for seed in range(2, 6)][-1]
    # A network is 80 MB, a run's activations 25: four runs that each kept one of them would show.
    assert later - settled < 50 * MEGABYTE

    server.post("/free", {"unload_models": True, "free_memory": True})

    # The host forgets when its worker next wakes, which the first run after may still precede.
    def forgotten() -> bool:
        return server.run(api_graph("quickstart")).cached == set()

    server.wait_for(forgotten, "the server to forget what it had kept")
    # Once more a network, where the allocator has not yet handed back the first: never two.
    assert server.resident_memory() - settled < 130 * MEGABYTE


# --- model folders ------------------------------------------------------------------------------------------------


def test_weights_in_the_users_own_folders_are_listed_and_used(server: Server) -> None:
    def listed() -> list[str]:
        return server.get("/object_info/LoadVGGFeatures")["LoadVGGFeatures"]["input"]["required"]["weights"][0]

    assert EXTRA_WEIGHTS in listed()  # its folder is named in extra_model_paths.yaml
    file = server.base / "elsewhere" / "networks" / EXTRA_WEIGHTS
    shutil.copy(file, server.base / "models" / "vgg" / "arrived-later.safetensors")
    assert "arrived-later.safetensors" in listed()

    graph = api_graph("quickstart")
    vgg = find(graph, "LoadVGGFeatures")
    graph[vgg]["inputs"]["weights"] = EXTRA_WEIGHTS
    sliders = {f"relu{i}_1": float(i < 3) for i in range(1, 6)}  # the file goes no deeper
    graph["layers"] = {
        "class_type": "LayerWeights",
        "inputs": {"preset": "custom", **sliders, "style_layers": "", "content_layers": "relu1_2"},
    }
    for user in ("ComputeStyleGrams", "NeuralStyleTransfer"):
        graph[find(graph, user)]["inputs"]["layer_weights"] = ["layers", 0]
    server.run(graph)
    graph[find(graph, "NeuralStyleTransfer")]["inputs"]["seed"] = 1
    assert vgg in server.run(graph).cached
    # A file that has changed on disk is read anew, though its name is the same.
    file.write_bytes(file.read_bytes())
    assert vgg not in server.run(graph).cached


# --- from the command line ----------------------------------------------------------------------------------------


def test_the_command_line_runs_a_graph_on_the_server(server: Server, tmp_path) -> None:
    help = subprocess.run([sys.executable, "-m", "nst_engine", "run", "--help"], capture_output=True, text=True)
    if help.returncode or "--server" not in help.stdout:
        pytest.skip("this checkout's nst has no `run --server`")
    command = [sys.executable, "-m", "nst_engine", "run", str(WORKFLOWS / "api" / "quickstart.json")]
    command += ["--server", server.url, "--output", str(tmp_path)]
    for setting in ("NeuralStyleTransfer.size=80", "NeuralStyleTransfer.steps=2", "ComputeStyleGrams.size=96"):
        command += ["--set", setting]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    pictures = [file for file in tmp_path.rglob("*.png") if Image.open(file).size[0] == 80]
    assert len(pictures) == 1, (list(tmp_path.rglob("*")), done.stdout)
    assert str(pictures[0]) in done.stdout
