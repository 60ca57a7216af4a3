"""Graphs without ComfyUI: what is refused, what runs, what is written; and the client of a running ComfyUI."""

from __future__ import annotations

import asyncio
import copy
import importlib
import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from aiohttp import web
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def modules(pack):
    return {name: importlib.import_module(f"nst_pack.nodes.headless.{name}") for name in ("graph", "server_client")}


@pytest.fixture(scope="module")
def headless(pack):
    return importlib.import_module("nst_pack.nodes.headless")


@pytest.fixture(scope="module")
def graphs(modules):
    return modules["graph"]


@pytest.fixture(scope="module")
def client(modules):
    return modules["server_client"]


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "in").mkdir()
    gradient = np.linspace(0, 255, 64 * 80 * 3).reshape(64, 80, 3).astype(np.uint8)
    Image.fromarray(gradient).save(tmp_path / "in" / "content.png")
    Image.fromarray(gradient[::-1, ::2].copy()).save(tmp_path / "in" / "style.png")
    return tmp_path / "in", tmp_path / "out"


@pytest.fixture
def run(pack, headless, folders):
    def run(graph, node_classes=None, on_progress=None, **options):
        classes = pack.NODE_CLASS_MAPPINGS if node_classes is None else node_classes
        return headless.run_embedded(graph, classes, headless.Folders(*folders, **options), on_progress)

    return run


@pytest.fixture
def refused(pack, run):
    """The message with which a graph is refused."""

    def refused(graph, **options):
        with pytest.raises(pack.nodes.headless.graph.NSTError) as caught:
            run(graph, **options)
        return str(caught.value)

    return refused


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def copying(image="content.png", prefix="copy"):
    return {
        "1": node("LoadImage", image=image),
        "2": node("SaveImage", images=["1", 0], filename_prefix=prefix),
    }


def stylising(**inputs):
    return {
        "vgg": node("LoadVGGFeatures", weights="vgg19-caffe", pooling="recipe", padding="recipe", precision="fp32"),
        "content": node("LoadImage", image="content.png"),
        "style": node("LoadImage", image="style.png"),
        "grams": node("ComputeStyleGrams", vgg=["vgg", 0], style_image=["style", 0], weight=1.0, size=0),
        "transfer": node(
            "NeuralStyleTransfer",
            **{
                "vgg": ["vgg", 0],
                "content_image": ["content", 0],
                "style_grams": ["grams", 0],
                "recipe": "balanced",
                "steps": 2,
                "preview_every": 1,
                **inputs,
            },
        ),
        "save": node("SaveImage", images=["transfer", 0], filename_prefix="nst/result"),
    }


# --- running ------------------------------------------------------------------------------------------------------


def test_a_picture_is_stylised_and_progress_told(run, folders):
    told = []
    graph = stylising()
    graph["transfer"]["_meta"] = {"title": "My transfer"}
    [path] = run(graph, on_progress=lambda *what: told.append(what))
    assert path == folders[1] / "nst" / "result_00001_.png"
    with Image.open(path) as picture:
        assert picture.size == (80, 64)
        assert json.loads(picture.text["prompt"]) == graph
    steps = [(value, total) for title, value, total, _ in told if title == "My transfer"]
    assert steps == [(0, 0), (1, 2), (2, 2)]
    assert [p.shape for *_, p in told if p is not None] == [(1, 3, 64, 80)] * 2
    assert {title for title, *_ in told} >= {"Load VGG Features", "Compute Style Grams", "SaveImage"}


def test_a_copy_is_exact_and_numbered_on(run, folders):
    first, second = run(copying())[0], run(copying())[0]
    assert (first.name, second.name) == ("copy_00001_.png", "copy_00002_.png")
    with Image.open(first) as copied, Image.open(folders[0] / "content.png") as original:
        assert np.array_equal(np.asarray(copied), np.asarray(original))
    second.rename(second.with_name("copy_00041_.png"))
    assert run(copying())[0].name == "copy_00042_.png"


def test_every_node_runs_once_and_only_when_needed(run, pack):
    calls = []

    class Counted:
        FUNCTION, RETURN_TYPES = "load", ("IMAGE",)

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {}, "optional": {"mark": ("INT", {"default": 7})}, "hidden": {"me": "UNIQUE_ID"}}

        def load(self, me, mark=3):
            calls.append((me, mark, torch.is_inference_mode_enabled()))
            return (torch.zeros(1, 8, 8, 3),)

    graph = {
        "unused": node("Counted"),
        "a": node("Counted"),
        "save 1": node("SaveImage", images=["a", 0], filename_prefix="x"),
        "save 2": node("SaveImage", images=["a", 0], filename_prefix="x"),
    }
    assert len(run(graph, node_classes={"Counted": Counted})) == 2
    assert calls == [("a", 3, True)]  # the default is Python's


def test_masks_are_one_minus_alpha(run, folders, headless):
    codes = np.arange(16 * 16 * 4, dtype=np.uint32).reshape(16, 16, 4).astype(np.uint8)
    Image.fromarray(codes).save(folders[0] / "clear.png")
    nodes = headless.stand_ins(headless.Folders(*folders))
    image, mask = nodes["LoadImage"].load("clear.png")
    assert image.shape == (1, 16, 16, 3)
    assert torch.allclose(mask[0], 1 - torch.from_numpy(codes[..., 3] / 255).float())
    assert torch.equal(nodes["LoadImageMask"].load("clear.png", "alpha")[0], mask)
    assert torch.allclose(
        nodes["LoadImageMask"].load("clear.png", "green")[0][0], torch.from_numpy(codes[..., 1] / 255).float()
    )
    assert nodes["LoadImage"].load("content.png")[1].shape == (1, 64, 64)


def test_pictures_are_turned_upright(run, folders):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    Image.new("RGB", (40, 20), "red").save(folders[0] / "sideways.jpg", exif=exif)
    with Image.open(run(copying("sideways.jpg"))[0]) as picture:
        assert picture.size == (20, 40)


def test_previews_and_results_can_be_read_again(run, folders):
    [shown] = run({"1": node("LoadImage", image="content.png"), "2": node("PreviewImage", images=["1", 0])})
    assert shown.parent == folders[1] / "temp"
    saved = run(copying())[0]
    assert run(copying(f"{shown.name} [temp]")) and run(copying(f"{saved.name} [output]"))
    assert run(copying(str(folders[0] / "style.png")), allow_outside=True)


def test_an_error_names_the_node(refused, folders):
    (folders[0] / "content.png").write_bytes(b"no picture")
    assert "node 1 (LoadImage): " in refused(copying())
    assert not list(folders[1].rglob("*.png"))


# --- refusing -----------------------------------------------------------------------------------------------------


def test_every_problem_is_named_in_one_error(refused):
    graph = stylising(recipe="balancd", steps=-5, content_image=["vgg", 0], seed="many", optimizer=["vgg"])
    del graph["transfer"]["inputs"]["style_grams"]
    graph["grams"]["inputs"] |= {"size": 99999, "style_image": ["nobody", 0], "vgg": ["vgg", 3]}
    message = refused(graph)
    for expected in (
        "node transfer (Neural Style Transfer): recipe: 'balancd' is not one of balanced, classic, persson",
        "node transfer (Neural Style Transfer): steps: -5 is smaller than the least value, -1",
        "content_image: takes IMAGE, but output 0 of node vgg (LoadVGGFeatures) is VGG_FEATURES",
        "seed: 'many' cannot be read as INT",
        "optimizer: ['vgg'] is not a link",
        "style_grams: missing, and it is a required input",
    ):
        assert expected in message
    assert "grams" not in message.replace("style_grams", "")  # nothing that is run links to it any more
    graph["transfer"]["inputs"]["style_grams"] = ["grams", 0]
    message = refused(graph)
    for expected in (
        "node grams (Compute Style Grams): size: 99999 is larger than the largest value, 16384",
        "style_image: linked to node nobody, which the graph does not have",
        "vgg: linked to output 3 of node vgg (LoadVGGFeatures), which has 1",
    ):
        assert expected in message


def test_other_nodes_are_refused_by_name(refused):
    message = refused({**copying(), "9": node("KSampler")})
    assert "node 9 (KSampler): there is no such node here" in message
    assert "LoadImageMask" in message and "NeuralStyleTransfer" in message and "PreviewImage" in message


def test_circles_and_graphs_without_an_output_are_refused(refused):
    blend = {"vgg": ["vgg", 0], "style_image": ["style", 0], "weight": 1.0, "size": 0}
    graph = stylising()
    graph["grams"] = node("ComputeStyleGrams", **blend, style_grams=["more", 0])
    graph["more"] = node("ComputeStyleGrams", **blend, style_grams=["grams", 0])
    message = refused(graph)
    assert "in a circle" in message and "grams" in message and "more" in message
    assert "no node gives anything out" in refused({"1": node("LoadImage", image="content.png")})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e9])
def test_numbers_beyond_the_limits_are_refused(refused, value):
    assert "content_weight" in refused(stylising(content_weight=value))


def test_a_value_where_a_link_belongs_is_refused(refused):
    assert "style_grams: takes a link to an output of type STYLE_GRAMS" in refused(stylising(style_grams="mine"))


def test_a_missing_picture_is_refused_before_anything_runs(refused, folders):
    graph = {**copying(), **{"3": node("LoadImage", image="gone.png"), "4": node("PreviewImage", images=["3", 0])}}
    assert "gone.png" in refused(graph)
    assert not folders[1].exists()


@pytest.mark.parametrize("prefix", ["../out-of-here", "/tmp/x", "a/../../x", "a/b/../../../x", "x\0y"])
def test_nothing_is_written_outside_the_output_folder(refused, prefix, folders):
    assert "does not name a file in or below the folder" in refused(copying(prefix=prefix))
    assert not folders[1].exists()


def test_folders_below_and_the_hosts_names_are_fine(run, folders):
    [path] = run(copying(prefix="a/b/%width%x%height%"))
    assert path == folders[1] / "a" / "b" / "80x64_00001_.png"


def test_an_output_folder_that_cannot_be_is_refused(refused, folders):
    folders[1].write_text("a file is in the way")
    assert "output folder" in refused(copying())


def test_unknown_inputs_are_ignored_with_a_warning(run, caplog):
    graph = copying()
    graph["1"]["inputs"]["upload"] = "image"
    with caplog.at_level(logging.WARNING):
        assert run(graph)
    assert "node 1 (LoadImage) has no input upload" in caplog.text


def test_a_nodes_own_check_is_asked_instead_of_the_limits(run, refused):
    class Odd:
        FUNCTION, RETURN_TYPES = "make", ("IMAGE",)

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"side": ("INT", {"min": 1, "max": 4}), "other": ("INT", {"max": 1})}}

        @classmethod
        def VALIDATE_INPUTS(cls, side):
            return side % 2 == 1 or f"{side} is even"

        def make(self, side, other):
            return (torch.zeros(1, side, side, 3),)

    graph = {
        "1": node("Odd", side=9, other=1),
        "2": node("SaveImage", images=["1", 0], filename_prefix="x"),
    }
    assert run(graph, node_classes={"Odd": Odd})
    graph["1"]["inputs"] = {"side": 8, "other": 1}
    assert "side: 8 is even" in refused(graph, node_classes={"Odd": Odd})
    graph["1"]["inputs"] = {"side": 9, "other": 2}
    assert "other: 2 is larger" in refused(graph, node_classes={"Odd": Odd})


def test_the_callers_graph_is_left_alone(run):
    graph = copying()
    graph["2"]["inputs"]["filename_prefix"] = 7  # becomes text on the way
    before = copy.deepcopy(graph)
    assert run(graph)[0].name == "7_00001_.png"
    assert graph == before


# --- files and --set ----------------------------------------------------------------------------------------------


def test_graph_files(graphs, tmp_path):
    def message(content, name="w.json"):
        (tmp_path / name).write_text(content)
        with pytest.raises(graphs.NSTError) as caught:
            graphs.read_graph(tmp_path / name)
        return str(caught.value)

    canvas = json.dumps({"nodes": [{"id": 1, "type": "LoadImage"}], "links": [], "version": 0.4})
    assert "UI format" in message(canvas) and "Export (API)" in message(canvas)
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "w.json").write_text(json.dumps(copying()))
    assert str(tmp_path / "api" / "w.json") in message(canvas)
    assert "no JSON" in message("{") and "no JSON" in message("\ufffd")
    assert "class_type" in message('{"1": {"inputs": {}}}')
    assert "API form" in message("[]") and "API form" in message("{}")
    with pytest.raises(graphs.NSTError, match="cannot be read"):
        graphs.read_graph(tmp_path / "none.json")
    assert graphs.read_graph(tmp_path / "api" / "w.json") == copying()


def test_inputs_are_set_by_id_title_and_class(graphs, pack):
    known = pack.NODE_CLASS_MAPPINGS
    graph = stylising()
    graph["transfer"]["_meta"] = {"title": "v1.5 = mine"}
    graphs.set_inputs(graph, ["transfer.steps=9", "NeuralStyleTransfer.recipe=persson"], known)
    graphs.set_inputs(graph, ["save.filename_prefix=a=b.c", 'grams.vgg=["vgg", 0]'], known)
    assert graph["transfer"]["inputs"]["steps"] == 9
    assert graph["transfer"]["inputs"]["recipe"] == "persson"
    assert graph["save"]["inputs"]["filename_prefix"] == "a=b.c"
    for bad, told in (
        ("transfer.stepz=9", "has no input 'stepz'"),
        ("LoadImage.image=x.png", "several nodes are"),
        ("nobody.x=1", "no node is"),
        ("steps=9", "is not NODE.INPUT=VALUE"),
        ("transfer.steps", "is not NODE.INPUT=VALUE"),
    ):
        with pytest.raises(graphs.NSTError, match=told):
            graphs.set_inputs(graph, [bad], known)


# --- on a server --------------------------------------------------------------------------------------------------


class TinyComfy:
    """Speaks the few addresses that the client uses; `plays` says what becomes of a graph."""

    def __init__(self, picture: bytes) -> None:
        self.picture = picture
        self.refusal: dict | None = None
        self.kind = "images"
        self.images = [{"filename": "done_00001_.png", "subfolder": "nst", "type": "output"}]
        self.status: dict = {"status_str": "success", "completed": True, "messages": []}
        self.silent = self.hangs_up = self.never_ends = False
        self.uploads: list[tuple[str, str]] = []
        self.asked: list[tuple[str, object]] = []
        self.sent: dict = {}
        self.history: dict = {}
        self.running: list = []

    async def ws(self, request):
        self.socket = web.WebSocketResponse()
        await self.socket.prepare(request)
        await self.socket.send_str(json.dumps({"type": "status", "data": {"sid": request.query["clientId"]}}))
        async for _ in self.socket:
            pass
        return self.socket

    async def prompt(self, request):
        body = await request.json()
        if self.refusal is not None:
            return web.json_response(self.refusal, status=400)
        self.sent = body["prompt"]
        self.running = [[0, "run-1", {}, {}, []]]
        self.job = asyncio.create_task(self.work())
        return web.json_response({"prompt_id": "run-1", "number": 0, "node_errors": {}})

    async def tell(self, kind, **data):
        await self.socket.send_str(json.dumps({"type": kind, "data": {"prompt_id": "run-1", **data}}))

    async def work(self):
        await asyncio.sleep(0.05)
        if not self.silent:
            await self.socket.send_bytes(b"\0\0\0\1\0\0\0\1 a preview")
            await self.tell("executing", node="2")
            await self.socket.send_str(
                json.dumps({"type": "progress", "data": {"prompt_id": "another", "node": "2", "value": 77, "max": 99}})
            )
            await self.tell("progress", node="2", value=3, max=5)
        if self.hangs_up:
            await self.socket.close()
        if self.never_ends:
            return
        if not (self.silent or self.hangs_up):
            await self.tell("execution_success")
        await asyncio.sleep(0.3)  # the record comes after the news
        outputs = {"2": {self.kind: self.images}}
        self.running, self.history = [], {"run-1": {"outputs": outputs, "status": self.status}}

    async def upload(self, request):
        form = await request.post()
        self.uploads.append((form["subfolder"], form["image"].filename, form["image"].file.read()))
        return web.json_response({"name": "renamed.png", "subfolder": form["subfolder"], "type": "input"})

    async def view(self, request):
        self.asked.append(("view", dict(request.query)))
        return web.Response(body=self.picture)

    async def get_history(self, request):
        return web.json_response(self.history)

    async def get_queue(self, request):
        return web.json_response({"queue_running": self.running, "queue_pending": []})

    async def command(self, request):
        self.asked.append((request.path, await request.json()))
        return web.Response()

    def serve(self):
        """Run in a thread of its own; returns the address and how to end it."""
        loop = asyncio.new_event_loop()
        app = web.Application()
        app.add_routes(
            [
                web.get("/ws", self.ws),
                web.post("/prompt", self.prompt),
                web.post("/upload/image", self.upload),
                web.get("/view", self.view),
                web.get("/history/{id}", self.get_history),
                web.get("/queue", self.get_queue),
                web.post("/queue", self.command),
                web.post("/interrupt", self.command),
            ]
        )
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        loop.run_until_complete(site.start())
        port = site._server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()

        def end():
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)

        return f"http://127.0.0.1:{port}", end


@pytest.fixture
def comfy(folders):
    server = TinyComfy((folders[0] / "style.png").read_bytes())
    server.url, end = server.serve()
    yield server
    end()


@pytest.fixture
def ask(client, comfy, folders):
    def ask(graph=None, **options):
        inputs, outputs = folders
        table = {"input_folder": inputs, "output_folder": outputs, "timeout": 5.0}
        return client.run_on_server(graph or copying(), comfy.url + "/", **{**table, **options})

    return ask


def test_a_server_runs_the_graph_and_its_pictures_are_fetched(ask, comfy, folders):
    told = []
    comfy.images.append({"filename": "seen.png", "subfolder": "", "type": "temp"})
    comfy.images.append({"filename": "given.png", "subfolder": "", "type": "input"})
    graph = copying()
    graph["2"]["_meta"] = {"title": "Keep"}
    written = ask(graph, on_progress=lambda *what: told.append(what))
    assert written == [folders[1] / "nst" / "done_00001_.png", folders[1] / "temp" / "seen.png"]
    assert written[0].read_bytes() == comfy.picture
    assert told == [("Keep", 0, 0, None), ("Keep", 3, 5, None)]
    assert comfy.uploads == [("", "content.png", (folders[0] / "content.png").read_bytes())]
    assert comfy.sent["1"]["inputs"]["image"] == "renamed.png"
    assert graph["1"]["inputs"]["image"] == "content.png"
    assert ("view", {"filename": "done_00001_.png", "subfolder": "nst", "type": "output"}) in comfy.asked
    assert ask()[0].name == "done_00001_ (1).png"  # nothing is overwritten


def test_only_pictures_from_below_the_input_folder_are_uploaded(ask, comfy, folders):
    (folders[0] / "sub").mkdir()
    (folders[0] / "content.png").rename(folders[0] / "sub" / "content.png")
    ask(copying("sub/content.png"))
    assert comfy.uploads[0][:2] == ("sub", "content.png")
    assert comfy.sent["1"]["inputs"]["image"] == "sub/renamed.png"
    for outside in ("there.png", "../in/style.png", str(folders[0] / "style.png")):
        ask(copying(outside))
        assert comfy.sent["1"]["inputs"]["image"] == outside
    assert len(comfy.uploads) == 1


def test_styles_are_uploaded_and_fetched_as_pictures_are(ask, comfy, folders):
    (folders[0] / "kept.safetensors").write_bytes(b"a style")
    comfy.images = [{"filename": "style_00001_.safetensors", "subfolder": "nst", "type": "output"}]
    comfy.kind = "styles"
    graph = {**copying(), "3": node("LoadStyleGrams", style="kept.safetensors", weight=1.0)}
    written = ask(graph)
    assert written == [folders[1] / "nst" / "style_00001_.safetensors"]
    assert ("", "kept.safetensors", b"a style") in comfy.uploads
    assert comfy.sent["3"]["inputs"] == {"style": "renamed.png", "weight": 1.0}
    # What is meant to lie on the server stays as it is.
    graph["3"]["inputs"]["style"] = "nst/kept.safetensors [output]"
    ask(graph)
    assert comfy.sent["3"]["inputs"]["style"] == "nst/kept.safetensors [output]"


@pytest.mark.parametrize("how", ["silent", "hangs_up"])
def test_a_run_is_followed_without_news(ask, comfy, client, how, monkeypatch):
    monkeypatch.setattr(client, "SECONDS_OF_SILENCE", 0.2)
    setattr(comfy, how, True)
    assert len(ask()) == 1


def test_silence_longer_than_the_timeout_is_no_failure(ask, comfy, client, monkeypatch):
    monkeypatch.setattr(client, "SECONDS_OF_SILENCE", 2.0)
    comfy.silent = True
    assert len(ask(timeout=0.5)) == 1


def test_a_server_that_forgot_the_run_is_an_error(ask, comfy, client, pack, monkeypatch):
    monkeypatch.setattr(client, "SECONDS_OF_SILENCE", 0.2)
    comfy.never_ends = comfy.silent = True
    threading.Timer(0.5, lambda: comfy.running.clear()).start()
    with pytest.raises(client.NSTError, match="no longer knows this run"):
        ask()


@pytest.mark.parametrize("name", ["../../evil.png", "/etc/evil.png", "..\\evil.png"])
def test_a_server_cannot_write_elsewhere(ask, comfy, client, name):
    comfy.images = [{"filename": name, "subfolder": "", "type": "output"}]
    with pytest.raises(client.NSTError, match="does not name a file in or below the folder"):
        ask()


@pytest.mark.parametrize("subfolder", ["..", "../..", "a/../..", "/etc", "..\\.."])
def test_a_server_cannot_choose_a_folder_elsewhere(ask, comfy, client, subfolder):
    comfy.images = [{"filename": "evil.png", "subfolder": subfolder, "type": "output"}]
    with pytest.raises(client.NSTError, match="does not name a file in or below the folder"):
        ask()


def test_what_the_server_refuses_is_told_by_node(ask, comfy, client):
    comfy.refusal = {
        "error": {
            "type": "prompt_outputs_failed_validation",
            "message": "Prompt outputs failed validation",
            "details": "x",
        },
        "node_errors": {
            "4": {
                "class_type": "NeuralStyleTransfer",
                "dependent_outputs": ["6"],
                "errors": [
                    {"message": "Value not in list", "details": "recipe: 'x' not in ['balanced']"},
                    {"message": "Required input is missing", "details": "vgg"},
                ],
            }
        },
    }
    with pytest.raises(client.NSTError) as caught:
        ask()
    assert "node 4 (NeuralStyleTransfer): Value not in list: recipe: 'x' not in ['balanced']\n" in str(caught.value)
    assert "node 4 (NeuralStyleTransfer): Required input is missing: vgg" in str(caught.value)


def test_refusals_of_every_shape_are_readable(client):
    text = client.explain_refusal(
        {
            "error": {"message": "Cannot execute because node X does not exist.", "details": "Node ID '#9'"},
            "node_errors": {},
        }
    )
    assert "node X does not exist. Node ID '#9'" in text and "Install the pack" in text
    for odd in (None, [], {}, {"error": "no prompt"}, {"error": None, "node_errors": None}, "text"):
        assert client.explain_refusal(odd).startswith("server: the graph was refused: ")


def test_a_failure_on_the_server_is_told(ask, comfy, client):
    comfy.status = {
        "status_str": "error",
        "messages": [
            ["execution_start", {}],
            ["execution_error", {"node_id": "2", "node_type": "SaveImage", "exception_message": "size: too small\n"}],
        ],
    }
    with pytest.raises(client.NSTError, match=r"node 2 \(SaveImage\) failed: size: too small$"):
        ask()
    comfy.status["messages"][1] = ["execution_interrupted", {"node_id": "2"}]
    with pytest.raises(client.NSTError, match="was interrupted there"):
        ask()


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8188", "ftp://x/", "file:///etc/passwd", "http://", "http://x:abc", "", "http://x:99999"]
)
def test_other_addresses_are_refused(client, tmp_path, url):
    with pytest.raises(client.NSTError, match="is not a web address"):
        client.run_on_server(copying(), url, output_folder=tmp_path)


def test_a_server_that_is_not_there_or_no_comfyui_is_told(client, comfy, tmp_path):
    with pytest.raises(client.NSTError, match="cannot be reached"):
        client.run_on_server(copying(), "http://127.0.0.1:9", output_folder=tmp_path, input_folder=tmp_path)
    with pytest.raises(client.NSTError, match="cannot be reached or broke off"):
        client.run_on_server(copying(), comfy.url + "/elsewhere", output_folder=tmp_path, input_folder=tmp_path)


def test_cancelling_ends_the_run_there(client, comfy, folders):
    import aiohttp

    comfy.never_ends = True

    async def cancelled():
        async with aiohttp.ClientSession() as session:
            run = client._Client(session, comfy.url, 5.0, None).run(copying(), folders[1])
            task = asyncio.create_task(run)
            while not comfy.running:
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancelled())
    assert ("/interrupt", {"prompt_id": "run-1"}) in comfy.asked


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a small disk of its own to fill")
def test_a_full_disk_loses_no_finished_picture(folders, tmp_path):
    inputs, _ = folders
    disk, refuge, graph = tmp_path / "disk", tmp_path / "refuge", tmp_path / "graph.json"
    disk.mkdir()
    refuge.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(inputs / "noise.png")
    graph.write_text(json.dumps(copying("noise.png")))
    command = [sys.executable, "-m", "nst_engine", "run", graph, "--input", inputs, "--output", disk, "--quiet"]
    line = " ".join(shlex.quote(str(word)) for word in command)
    mounted = f"mount -t tmpfs -o size=8k none {disk} && {line}; code=$?; ls -A {disk}; exit $code"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mounted],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(refuge)},
    )
    if "unshare failed" in done.stderr or "mount:" in done.stderr:
        pytest.skip("this system lets nobody mount a disk")
    (saved,) = refuge.glob("copy*.png")
    assert done.returncode == 1
    assert done.stdout.strip() == "", "nothing is left on the full disk"
    assert "No space left" in done.stderr and f"The finished picture is {saved} instead." in done.stderr
    with Image.open(saved) as picture:
        assert np.array_equal(np.asarray(picture), noise)
