"""The client of a running ComfyUI, against a small server that answers as ComfyUI does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import threading

import numpy as np
import pytest
from aiohttp import web
from nst_process import on_a_full_disk
from PIL import Image
from some_graphs import copying, node


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


ODD = (None, [], 7, "text", {}, [[]], {"run-1": None}, {"run-1": []}, {"run-1": {"outputs": 7}})
DEEP = "[" * 100_000


@pytest.mark.parametrize("answer", [*ODD, DEEP], ids=lambda answer: json.dumps(answer)[:30])
@pytest.mark.parametrize("where", ["prompt", "upload", "get_history", "get_queue"])
def test_answers_of_every_shape_end_in_a_sentence(comfy, client, folders, monkeypatch, where, answer):
    async def odd(self, request):
        return web.Response(text=answer if answer is DEEP else json.dumps(answer), content_type="application/json")

    monkeypatch.setattr(client, "SECONDS_OF_SILENCE", 0.1)
    monkeypatch.setattr(TinyComfy, where, odd)
    server = TinyComfy(comfy.picture)
    server.silent = where == "get_queue"
    url, end = server.serve()
    try:
        inputs, outputs = folders
        with contextlib.suppress(client.NSTError):  # some do as well as ComfyUI's own
            client.run_on_server(copying(), url, input_folder=inputs, output_folder=outputs, timeout=0.5)
    finally:
        end()


@pytest.mark.parametrize(
    "event",
    [
        *(DEEP, "no JSON", "[]", "7", '{"type": "progress", "data": [1]}', '{"data": "text"}'),
        '{"type": "progress", "data": {"prompt_id": "run-1", "node": ["2"], "value": 1, "max": 2}}',
        '{"type": "progress", "data": {"prompt_id": "run-1", "node": "2", "value": "x", "max": 2}}',
        '{"type": "progress", "data": {"prompt_id": "run-1", "node": "2", "value": Infinity, "max": NaN}}',
    ],
    ids=lambda event: event[:70],
)
def test_events_of_every_shape_end_in_a_sentence(ask, comfy, client, monkeypatch, event):
    real = comfy.tell

    async def tell(kind, **data):
        await comfy.socket.send_str(event)
        await real(kind, **data)

    monkeypatch.setattr(comfy, "tell", tell)
    with contextlib.suppress(client.NSTError):
        ask(on_progress=lambda *_: None)


@pytest.mark.parametrize(
    "images", [7, [7], [None], [{"type": "output"}], [{"filename": 7, "type": "output"}], {"a": 1}]
)
def test_files_of_every_shape_end_in_a_sentence(ask, comfy, client, images):
    comfy.images = images
    with contextlib.suppress(client.NSTError):
        ask()


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
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(inputs / "noise.png")
    graph.write_text(json.dumps(copying("noise.png")))
    done = on_a_full_disk(disk, refuge, "run", graph, "--input", inputs, "--output", disk, "--quiet")
    (saved,) = refuge.glob("copy*.png")
    assert done.returncode == 1
    assert done.stdout.strip() == "", "nothing is left on the full disk"
    assert "No space left" in done.stderr and f"The finished picture is {saved} instead." in done.stderr
    with Image.open(saved) as picture:
        assert np.array_equal(np.asarray(picture), noise)
