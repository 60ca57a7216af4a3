"""What a stranger's graph, or a server, can do with files: read and write below the folders that are meant for it, and
leave no half of a file behind, whenever it is killed."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from aiohttp import web
from PIL import Image
from some_graphs import copying, node

ROOT = Path(__file__).resolve().parents[3]
EVIL = [
    "",
    ".",
    "./",
    "a/..",
    "x/",
    "..",
    "../x",
    "/x",
    "~",
    "~/x",
    "D:x",
    "C:\\x",
    "\\\\server\\share",
    "..\\x",
    "x\0y",
]
EVIL_NEW = [*EVIL, "CON", "nul.png", "a|b", "x.", "x ", "x" * 250, "\ud800"]


@pytest.fixture
def folders(tmp_path):
    for name in ("in", "out", "secret"):
        (tmp_path / name).mkdir()
    picture = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    for path in ("in/content.png", "secret/x.png", "x.png"):
        Image.fromarray(picture).save(tmp_path / path)
    return tmp_path / "in", tmp_path / "out"


def taking(kind):
    """A node that takes any output of a type, at the end of a graph."""

    class Taking:
        FUNCTION, RETURN_TYPES, OUTPUT_NODE = "take", (), True

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"given": (kind, {})}}

        def take(self, given):
            return ()

    return Taking


def everything(folder):
    return sorted(path for path in folder.rglob("*"))


# --- run here -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", EVIL_NEW)
def test_no_prefix_leads_out_of_the_output_folder(refused, folders, tmp_path, prefix):
    before = everything(tmp_path)
    assert "filename_prefix: " in (said := refused(copying(prefix=prefix)))
    assert repr(prefix[:80])[:-1] in said and "does not name a file in or below the folder" in said
    assert everything(tmp_path) == before


@pytest.mark.parametrize("prefix", EVIL_NEW)
def test_nor_is_a_film_made_before_its_name_is_looked_at(refused, folders, prefix):
    (folders[0] / "film.mp4").touch()
    saved = node("SaveVideo", video=["1", 0], filename_prefix=prefix, format="auto", codec="auto")
    said = refused({"1": node("LoadVideo", file="film.mp4"), "2": saved})
    assert said.startswith("The graph cannot be run") and "filename_prefix: " in said


@pytest.mark.parametrize("rate", [0, -24, "nan", "inf", 10**400, 1e300])
def test_frames_a_second_are_those_that_the_host_takes(refused, rate):
    frames = {"1": node("LoadImage", image="content.png"), "2": node("CreateVideo", images=["1", 0], fps=rate)}
    saved = node("SaveVideo", video=["2", 0], filename_prefix="film", format="auto", codec="auto")
    assert "fps: " in refused({**frames, "3": saved})


def test_what_a_prefix_stands_for_is_looked_at_too(refused, folders, tmp_path):
    (folders[1] / "away").symlink_to(tmp_path / "secret", target_is_directory=True)
    assert "leads out of the folder" in refused(copying(prefix="away/x"))
    assert os.listdir(tmp_path / "secret") == ["x.png"]


@pytest.mark.parametrize("kind", ["LoadImage", "LoadImageMask"])
@pytest.mark.parametrize(
    "name", [*EVIL, "../secret/x.png", "../x.png", "{}/secret/x.png", "~/x.png", "../in/content.png"]
)
def test_no_picture_is_read_from_outside(refused, folders, tmp_path, kind, name, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    name = name.format(tmp_path)
    for written in (name, f"{name} [input]", f"{name} [output]", f"{name} [temp]"):
        loader = node(kind, image=written, **({"channel": "red"} if kind == "LoadImageMask" else {}))
        said = refused({"1": loader, "2": node("Take", given=["1", 0])}, node_classes={"Take": taking("IMAGE,MASK")})
        assert "image" in said and "does not name a file in or below the folder" in said
        assert "--allow-outside" in said


def test_no_link_leads_a_picture_out(refused, folders, tmp_path):
    (folders[0] / "link.png").symlink_to(tmp_path / "secret" / "x.png")
    assert "leads out of the folder" in refused(copying("link.png"))


def test_for_graphs_of_ones_own_pictures_may_lie_anywhere(run, folders, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("../x.png", str(tmp_path / "secret" / "x.png"), "~/x.png", "content.png", "copy_00001_.png [output]"):
        assert run(copying(name), allow_outside=True)


def test_names_of_this_system_can_be_read(run, folders):
    """A picture that a person has is read under whatever name it has; only what is written obeys every system."""
    if os.name == "nt":
        pytest.skip("these names cannot be there")
    for name in ("What?.png", "12:30.png", "a|b.png", "~sketch.png"):
        (folders[0] / name).write_bytes((folders[0] / "content.png").read_bytes())
        assert run(copying(name))


def test_styles_obey_the_same_rule(pack, run, refused, folders, tmp_path):
    vgg = node("LoadVGGFeatures", weights="vgg19-caffe", pooling="recipe", padding="recipe", precision="fp32")
    grams = node("ComputeStyleGrams", vgg=["vgg", 0], style_image=["1", 0], weight=1.0, size=32)
    keep = node("SaveStyleGrams", style_grams=["grams", 0], filename_prefix="kept")
    [saved] = run({"vgg": vgg, "1": node("LoadImage", image="content.png"), "grams": grams, "keep": keep})
    saved.rename(tmp_path / "secret" / "kept.safetensors")

    def loading(style):
        kept = node("LoadStyleGrams", style=style, weight=1.0)
        return {"load": kept, "keep": node("SaveStyleGrams", style_grams=["load", 0], filename_prefix="again")}

    for name in ("../secret/kept.safetensors", str(tmp_path / "secret" / "kept.safetensors")):
        assert "does not name a file" in refused(loading(name))
        assert run(loading(name), allow_outside=True)


def test_weights_are_read_from_their_folders_alone(pack, run, refused, tmp_path, monkeypatch):
    """Also where a link brings the name, which nobody checks against the list of choices."""

    class Names:
        FUNCTION, RETURN_TYPES = "name", ("*",)

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"name": ("STRING", {})}}

        def name(self, name):
            return (name,)

    (tmp_path / "models").mkdir()
    state = {"0.weight": torch.rand(64, 3, 3, 3), "0.bias": torch.rand(64)}
    for name in ("secret/mine.pth", "models/mine.pth"):
        torch.save(state, tmp_path / name)
    monkeypatch.chdir(tmp_path / "secret")

    def graph(name):
        vgg = node("LoadVGGFeatures", weights=["name", 0], pooling="recipe", padding="recipe", precision="fp32")
        return {"name": node("Names", name=name), "vgg": vgg, "end": node("Take", given=["vgg", 0])}

    known = {**pack.NODE_CLASS_MAPPINGS, "Names": Names, "Take": taking("VGG_FEATURES")}
    options = {"node_classes": known, "weights": (tmp_path / "models",)}
    for name in ("../secret/mine.pth", str(tmp_path / "secret" / "mine.pth"), "./mine.pth"):
        assert "weights: " in (said := refused(graph(name), **options)) and repr(name) in said
        changed = pack.NODE_CLASS_MAPPINGS["LoadVGGFeatures"].IS_CHANGED
        assert changed(name) == "absent"
    assert run(graph("mine.pth"), **options) == []


# --- run on a server ----------------------------------------------------------------------------------------------


class Server:
    """Answers any graph with `files` as its pictures; keeps what was uploaded."""

    def __init__(self, picture: bytes) -> None:
        self.picture, self.files, self.uploads = picture, [], []

    async def ws(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(json.dumps({"type": "execution_success", "data": {"prompt_id": "p"}}))
        async for _ in socket:
            pass
        return socket

    async def prompt(self, request):
        return web.json_response({"prompt_id": "p", "node_errors": {}})

    async def upload(self, request):
        form = await request.post()
        self.uploads.append(f"{form['subfolder']}/{form['image'].filename}")
        return web.json_response({"name": "renamed.png", "subfolder": "", "type": "input"})

    async def view(self, _):
        return web.Response(body=self.picture)

    async def history(self, _):
        status = {"status_str": "success"}
        return web.json_response({"p": {"outputs": {"2": {"images": self.files}}, "status": status}})

    async def start(self):
        app = web.Application()
        app.add_routes([web.get("/ws", self.ws), web.get("/view", self.view), web.get("/history/p", self.history)])
        app.add_routes([web.post("/prompt", self.prompt), web.post("/upload/image", self.upload)])
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"


@pytest.fixture
def server(folders):
    import asyncio

    loop, server = asyncio.new_event_loop(), Server((folders[0] / "content.png").read_bytes())
    loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield server
    asyncio.run_coroutine_threadsafe(server.runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.fixture
def ask(pack, server, folders):
    client = importlib.import_module("nst_pack.nodes.headless.server_client")

    def ask(graph, **options):
        inputs, outputs = folders
        return client.run_on_server(graph, server.url, input_folder=inputs, output_folder=outputs, **options)

    return ask


@pytest.mark.parametrize("kind", ["output", "temp"])
@pytest.mark.parametrize("name", [name for name in EVIL if "\ud800" not in name])
def test_no_name_from_a_server_leads_out_of_the_output_folder(pack, ask, server, folders, tmp_path, name, kind):
    for file, subfolder in ((name, ""), (name, "a"), (name, "..")):
        server.files = [{"filename": file, "subfolder": subfolder, "type": kind}]
        before = everything(tmp_path)
        with pytest.raises(pack.nst_engine.NSTError, match=r"does not name a file"):
            ask(copying())
        assert everything(tmp_path) == before


@pytest.mark.parametrize("subfolder", ["..", "a/../..", "/etc", "..\\..", "D:", "C:\\x", "~"])
def test_no_folder_from_a_server_does(pack, ask, server, tmp_path, subfolder):
    server.files = [{"filename": "x.png", "subfolder": subfolder, "type": "output"}]
    before = everything(tmp_path)
    with pytest.raises(pack.nst_engine.NSTError, match=r"does not name a file"):
        ask(copying())
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["/Users/me/x.png", "D:x.png", "C:\\x.png", "\\x.png", "\\\\server\\x.png", "..\\x.png"]
)
def test_what_leads_out_on_windows_is_not_uploaded_from_any_system(ask, server, folders, name):
    if os.name != "nt":  # here these are names of files; there they would lead to somebody's own
        (folders[0] / name.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (folders[0] / name.lstrip("/")).write_bytes(b"secret")
    ask(copying(name))
    assert server.uploads == []


def test_links_are_not_followed_out_for_an_upload(ask, server, folders, tmp_path):
    (folders[0] / "link.png").symlink_to(tmp_path / "x.png")
    ask(copying("link.png"))
    assert server.uploads == []
    ask(copying("link.png"), allow_outside=True)
    ask(copying(str(tmp_path / "secret" / "x.png")), allow_outside=True)
    assert server.uploads == ["/link.png", "/x.png"]


# --- killed while writing -----------------------------------------------------------------------------------------

# One program that forks writers and ends them at ever later moments: a fresh one for each would take seconds to start.
WRITERS = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)  # so that a fork needs no threads of its parent
from conftest import ROOT, load_package
pack = load_package("nst_pack", ROOT)
from nst_pack.nst_engine import cli
from nst_pack.nst_engine.pictures.files import write_picture
from pathlib import Path

how, ending, rounds = sys.argv[2], getattr(signal, sys.argv[3]), int(sys.argv[4])
pixels = torch.rand(1, 3, 700, 700, generator=torch.Generator().manual_seed(0))
if how == "style":
    nodes = pack.NODE_CLASS_MAPPINGS
    vgg = nodes["LoadVGGFeatures"]().load("vgg19-caffe", "recipe", "recipe", "fp32")[0]
    grams = pack.nst_engine.compute_style_grams(vgg, pixels[..., :32, :32], size=32)
    pack.nodes.host.stand_alone_input_and_output.set((Path("in"), Path("out")))

def write():
    if how == "run":
        return cli.main(["run", "copy.json", "--input", "in", "--output", "out", "--quiet"]) == 0
    if how == "style":
        return bool(nodes["SaveStyleGrams"]().save(grams, "kept"))
    write_picture("out/x.png", pixels, settings={"a": 1})
    return True

for i in range(rounds):
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        try:
            while write():
                pass
        finally:
            os._exit(0)
    # On a busy machine, nothing may have been written by now.
    until = time.monotonic() + 60
    while i == rounds - 1 and time.monotonic() < until and {x.suffix for x in Path("out").glob("*.*")} <= {".part"}:
        time.sleep(0.05)
    time.sleep(float(sys.argv[5]) * (0.2 + i / rounds))
    os.kill(child, ending)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("how_ended", ["SIGKILL", "SIGINT"])
@pytest.mark.parametrize(("how", "seconds"), [("run", 0.4), ("style", 0.15), ("stylize", 0.3)])
def test_whatever_is_killed_leaves_no_half_of_a_file(pack, folders, tmp_path, how, seconds, how_ended):
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), np.uint8)
    Image.fromarray(noise).save(folders[0] / "content.png", compress_level=0)
    (tmp_path / "copy.json").write_text(json.dumps(copying()))
    arguments = [str(ROOT / "tests"), how, how_ended, "8", str(seconds)]
    done = subprocess.run(
        [sys.executable, "-c", WRITERS, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert done.returncode == 0, done.stderr
    files = [path for path in folders[1].iterdir() if path.name != "temp"]
    whole = [path for path in files if not path.name.endswith(".part")]
    assert whole
    for path in whole:
        if how == "style":
            pack.nst_engine.StyleGrams.load(path)
        else:
            with Image.open(path) as picture:
                picture.load()
    if how_ended == "SIGINT":
        assert whole == files
