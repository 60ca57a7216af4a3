"""A graph run by a ComfyUI that is up somewhere: sent, followed, its pictures and styles fetched."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import time
import urllib.parse
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...nst_engine import NSTError
from ...nst_engine.system.safe_files import alternatives, below, write_new
from .folders import Folders
from .graph import Graph, check_form, explain, title_of
from .runner import OnProgress

if TYPE_CHECKING:
    import aiohttp

SECONDS_OF_SILENCE = 5.0  # then the server is asked whether the run is still known to it
# Nodes that name a file of the input folder, and the input that names it.
LOADERS = {"LoadImage": "image", "LoadImageMask": "image", "LoadStyleGrams": "style"}
_NOT_JSON = object()
# What comes of an answer that has another form than ComfyUI's, wherever it is read.
ODD_ANSWER = (KeyError, TypeError, AttributeError, IndexError, ValueError, OverflowError, RecursionError)


class ServerGone(NSTError):
    """The run may be as good as any, but who was to do it is not there, or no longer knows of it."""


def run_on_server(
    graph: Graph,
    url: str,
    *,
    output_folder: str | Path,
    input_folder: str | Path = ".",
    on_progress: OnProgress | None = None,
    timeout: float = 30.0,
    allow_outside: bool = False,
) -> list[Path]:
    """Run a graph there and bring its pictures and saved styles to `output_folder`; returns their paths.

    Files that LoadImage or LoadStyleGrams name and `input_folder` holds are uploaded first, with `allow_outside` those
    elsewhere, too: for one's own graphs. `timeout` is how many
    seconds one answer of the server may take; the run itself may take as long as it likes. Ctrl-C ends the run there,
    too.
    """
    base = check_url(url)
    check_form(graph)
    Folders(Path(input_folder), Path(output_folder)).prepare()
    try:
        import aiohttp
    except ImportError:
        raise NSTError(
            "server: talking to ComfyUI needs the package aiohttp; install it with pip install aiohttp."
        ) from None

    async def run() -> list[Path]:
        # A run's silence is no failure, so only connecting and each single read are limited.
        limits = aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout)
        async with aiohttp.ClientSession(timeout=limits) as session:
            client = _Client(session, base, timeout, on_progress)
            sent = await client.upload_files(graph, Path(input_folder), allow_outside)
            return await client.run(sent, Path(output_folder).absolute())

    try:
        return asyncio.run(run())
    except NSTError:
        raise
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
        raise ServerGone(
            f"server: {base} cannot be reached or broke off ({error or type(error).__name__}). "
            "Is ComfyUI running there, and is this the address it shows when it starts?"
        ) from error
    except ODD_ANSWER as error:
        raise NSTError(
            f"server: {base} does not answer as ComfyUI does ({type(error).__name__}: {error}). "
            "Is this the address that ComfyUI shows when it starts?"
        ) from error


def check_url(url: str) -> str:
    """The address without a closing slash."""
    try:
        parts = urllib.parse.urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound:
        raise NSTError(f"server: {url!r} is not a web address; write for instance http://127.0.0.1:8188.")
    return url.split("?")[0].split("#")[0].rstrip("/")


def explain_refusal(answer: Any) -> str:
    """The server's 400 in words: what is wrong, node by node."""
    answer = answer if isinstance(answer, dict) else {}
    error = answer.get("error")
    error = error if isinstance(error, dict) else {"message": str(error or "it gave no reason")}
    by_node = {
        f"node {node_id} ({found.get('class_type', '?')})": [_reason(e) for e in found.get("errors", [])]
        for node_id, found in (answer.get("node_errors") or {}).items()
    }
    # The general error's details only repeat those of the nodes.
    text = explain(by_node) if by_node else f" {error.get('details') or ''}".rstrip()
    if error.get("type") == "missing_node_type" or "does not exist" in error.get("message", ""):
        text += "\nInstall the pack that has this node in that ComfyUI, and restart it."
    return f"server: the graph was refused: {error.get('message', '')}{text}"


def _reason(error: dict[str, Any]) -> str:
    return ": ".join(filter(None, (str(error.get("message") or ""), str(error.get("details") or ""))))


class _Client:
    """One run on one server."""

    def __init__(
        self, session: aiohttp.ClientSession, base: str, timeout: float, on_progress: OnProgress | None
    ) -> None:
        self.session = session
        self.base = base
        self.timeout = timeout
        self.on_progress = on_progress
        self.id = uuid.uuid4().hex

    async def run(self, graph: Graph, output_folder: Path) -> list[Path]:
        # Listening begins before the graph is sent, so that nothing is missed.
        async with self.session.ws_connect(f"{self.base}/ws?clientId={self.id}", max_msg_size=0) as socket:
            run_id = await self.queue(graph)
            try:
                await self.follow(socket, run_id, graph)
                entry = await self.history(run_id)
            except BaseException:  # Ctrl-C, or what whoever is told of progress raises
                await self.cancel(run_id)
                raise
        check_outcome(entry, graph)
        return await self.fetch(entry, output_folder)

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        async with self.session.request(method, self.base + path, **options) as response:
            text = await response.text()
            try:
                answer = json.loads(text) if text else None
            except (ValueError, RecursionError):
                answer = _NOT_JSON
            if response.status == 400 and path == "/prompt" and answer is not _NOT_JSON:
                raise NSTError(explain_refusal(answer))
            if not response.ok or answer is _NOT_JSON:
                raise NSTError(
                    f"server: {self.base}{path} answered {response.status} {response.reason or ''} where an answer of "
                    f"ComfyUI was expected: {text.strip()[:200] or 'nothing'}"
                )
            return answer

    # --- sending --------------------------------------------------------------------------------------------------

    async def upload_files(self, graph: Graph, folder: Path, allow_outside: bool) -> Graph:
        """A copy of the graph that names the files as the server has them after the upload."""
        graph = copy.deepcopy(graph)
        for node in graph.values():
            slot = LOADERS.get(node["class_type"])
            name = node.get("inputs", {}).get(slot)
            if slot and isinstance(name, str) and (found := _to_upload(folder, name, allow_outside)):
                node["inputs"][slot] = await self.upload(*found)
        return graph

    async def upload(self, file: Path, subfolder: str) -> str:
        """The server keeps one copy of equal files, and finds another name for a different one of the same name."""
        import aiohttp

        form = aiohttp.FormData()
        form.add_field("type", "input")
        form.add_field("subfolder", subfolder)
        form.add_field("image", file.read_bytes(), filename=file.name, content_type="application/octet-stream")
        answer = await self.ask("POST", "/upload/image", data=form)
        return "/".join(filter(None, (answer.get("subfolder"), answer["name"])))

    async def queue(self, graph: Graph) -> str:
        answer = await self.ask("POST", "/prompt", json={"prompt": graph, "client_id": self.id})
        if answer.get("node_errors"):
            # The host would run the other output nodes and say nothing.
            await self.cancel(answer["prompt_id"])
            raise NSTError(explain_refusal({"error": "some output nodes cannot be run.", **answer}))
        return answer["prompt_id"]

    # --- following ------------------------------------------------------------------------------------------------

    async def follow(self, socket: aiohttp.ClientWebSocketResponse[Any], run_id: str, graph: Graph) -> None:
        """Pass progress on until the run is over, whatever its outcome."""
        import aiohttp

        title = ""
        while True:
            try:
                message = await socket.receive(timeout=SECONDS_OF_SILENCE)
            except asyncio.TimeoutError:
                if await self.is_over(run_id):
                    return
                continue
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                break
            if message.type is not aiohttp.WSMsgType.TEXT:  # previews come as binary messages
                continue
            event = json.loads(message.data)
            data = event.get("data") or {}
            if data.get("prompt_id") != run_id:
                continue
            what, node = event.get("type"), data.get("node")
            if what in ("execution_success", "execution_error", "execution_interrupted"):
                return
            if what == "executing" and node is None:
                return
            if what in ("executing", "progress") and self.on_progress:
                title = title_of(graph, node) if node in graph else title
                self.on_progress(title, int(data.get("value", 0)), int(data.get("max", 0)), None)
        while not await self.is_over(run_id):  # the connection is gone, but the run may go on
            await asyncio.sleep(1)

    async def is_over(self, run_id: str) -> bool:
        waiting = await self.ask("GET", "/queue")
        if any(run_id == item[1] for item in (*waiting["queue_running"], *waiting["queue_pending"])):
            return False
        if await self.ask("GET", f"/history/{run_id}"):
            return True
        raise ServerGone("server: ComfyUI no longer knows this run; it was restarted, or somebody cleared its queue.")

    async def history(self, run_id: str) -> dict[str, Any]:
        """What is left of a run; the server writes it a moment after it has said that the run is over."""
        patience = time.monotonic() + self.timeout
        while time.monotonic() < patience:
            if entry := (await self.ask("GET", f"/history/{run_id}")).get(run_id):
                return entry
            await asyncio.sleep(0.1)
        raise NSTError(f"server: the run {run_id} is over, but ComfyUI has kept no record of it.")

    async def cancel(self, run_id: str) -> None:
        """Only this run: interrupting while it waits would hit somebody else's."""
        with contextlib.suppress(Exception):  # the caller is leaving anyway, and has a better reason to give
            waiting = await self.ask("GET", "/queue")
            if any(run_id == item[1] for item in waiting["queue_running"]):
                await self.ask("POST", "/interrupt", json={"prompt_id": run_id})
            else:
                await self.ask("POST", "/queue", json={"delete": [run_id]})

    # --- fetching -------------------------------------------------------------------------------------------------

    async def fetch(self, entry: dict[str, Any], folder: Path) -> list[Path]:
        outputs = entry.get("outputs", {}).values()
        files = [file for output in outputs for kind in ("images", "styles") for file in output.get(kind, ())]
        return [
            await self.fetch_one(file, folder)
            for file in files
            if isinstance(file, dict) and file.get("type") in ("output", "temp")
        ]

    async def fetch_one(self, file: dict[str, str], folder: Path) -> Path:
        # The names come from the server, which is not to choose where on this machine it writes.
        query = {key: str(file.get(key) or "") for key in ("filename", "subfolder", "type")}
        name, subfolder = query["filename"], "temp/" * (file["type"] == "temp") + query["subfolder"]
        below(folder, name, portable=False)
        path = below(folder, f"{subfolder}/{name}" if subfolder else name, portable=False)
        async with self.session.get(f"{self.base}/view", params=query) as response:
            if not response.ok:
                raise NSTError(f"server: {name} could not be fetched ({response.status} {response.reason or ''}).")
            content = await response.read()
        try:
            return write_new(alternatives(path), lambda file: file.write(content))
        except OSError as error:
            raise NSTError(f"{path}: could not be written ({error.strerror}).") from error


def _to_upload(folder: Path, name: str, allow_outside: bool) -> tuple[Path, str] | None:
    """A file that a graph names, and the subfolder that it has on the server. A graph by somebody else is not to pick
    files from anywhere; what it may not have, it may mean on the server."""
    try:
        file = below(folder, name, portable=False)
        subfolder = file.parent.relative_to(folder).as_posix()
    except NSTError:
        if not allow_outside:
            return None
        file, subfolder = folder / os.path.expanduser(name), "."
    return (file, "" if subfolder == "." else subfolder) if os.path.isfile(file) else None


def check_outcome(entry: dict[str, Any], graph: Graph) -> None:
    """Raise what went wrong, as the run's record tells it."""
    status = entry.get("status") or {}
    if status.get("status_str", "success") == "success":
        return
    events = {event[0]: event[1] for event in status.get("messages", ())}
    if "execution_interrupted" in events:
        raise NSTError("server: the run was interrupted there.")
    error = events.get("execution_error", {})
    node_id = str(error.get("node_id", "?"))
    title = title_of(graph, node_id) if node_id in graph else error.get("node_type", "?")
    message = str(error.get("exception_message") or "it gave no reason").strip()
    raise NSTError(f"server: node {node_id} ({title}) failed: {message}")
