"""The only file that meets ComfyUI. Every function also works where there is no ComfyUI."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..nst_engine import NSTError
from ..nst_engine.network.weights_location import BUILT_IN
from ..nst_engine.pictures.images import fit_long, shape_of
from ..nst_engine.system import devices
from ..nst_engine.system.devices import best_device
from ..nst_engine.system.safe_files import Write, below, move_new, numbered, write_new
from .file_names import fill_in, styles_in

log = logging.getLogger("neural-style-transfer")

CATEGORY = "style transfer"

# Only ComfyUI's own process has these; they are looked up rather than imported, because a bare `import nodes` or
# `import comfy` elsewhere could find somebody else's.
_in_comfyui = "folder_paths" in sys.modules and "comfy" in sys.modules
if _in_comfyui:
    import comfy.model_management as model_management
    import comfy.utils
    import folder_paths

# Stand-alone: who is told of progress (value, total, picture or None). `nst run` sets it.
listener: ContextVar[Callable[[float, int, torch.Tensor | None], None] | None] = ContextVar("listener", default=None)
# Stand-alone: where weights files are looked for.
stand_alone_folders: ContextVar[tuple[Path, ...]] = ContextVar("stand_alone_folders", default=())

# Stand-alone: the input and the output folder.
stand_alone_input_and_output: ContextVar[tuple[Path, Path]] = ContextVar(
    "stand_alone_input_and_output", default=(Path("."), Path("output"))
)
# Stand-alone: whether a graph may name styles outside them, too.
stand_alone_outside: ContextVar[bool] = ContextVar("stand_alone_outside", default=False)

PREVIEW_SIDE = 512


def inside_comfyui() -> bool:
    return _in_comfyui


def device() -> torch.device:
    return model_management.get_torch_device() if _in_comfyui else best_device()


def resting_device() -> torch.device:
    """Where pictures wait between nodes."""
    return model_management.intermediate_device() if _in_comfyui else torch.device("cpu")


# --- model folder -------------------------------------------------------------------------------------------------

_WEIGHTS_EXTENSIONS = {".pth", ".pt", ".safetensors"}


def register_model_folder() -> None:
    """models/vgg, beside whatever folders the user's extra_model_paths.yaml gives that name."""
    if _in_comfyui:
        paths, extensions = folder_paths.folder_names_and_paths.get("vgg", ([], set()))
        usual = str(Path(folder_paths.models_dir) / "vgg")
        folders = [*paths, *([] if usual in paths else [usual])]
        folder_paths.folder_names_and_paths["vgg"] = (folders, set(extensions) | _WEIGHTS_EXTENSIONS)


def weights_files() -> list[str]:
    if _in_comfyui:
        return folder_paths.get_filename_list("vgg")
    return sorted(
        str(file.relative_to(folder))
        for folder in weights_folders()
        for file in folder.rglob("*")
        if file.suffix in _WEIGHTS_EXTENSIONS
    )


def weights_folders() -> list[Path]:
    if _in_comfyui:
        return [Path(folder) for folder in folder_paths.get_folder_paths("vgg")]
    return list(stand_alone_folders.get())


def weights_named(name: str) -> str:
    """What the engine loads for a choice. A name that no list of choices has may have come through a link."""
    if name in BUILT_IN:
        return name
    found = (folder / name for folder in weights_folders()) if name in weights_files() else ()
    path = next((path for path in found if path.is_file()), None)
    if path is None:
        raise NSTError(
            f"weights: {name!r} is neither one of {', '.join(BUILT_IN)} nor a file that is listed; put the file into "
            f"{' or '.join(map(str, weights_folders())) or 'a folder that --models names'}."
        )
    return str(path)


# --- saved styles -------------------------------------------------------------------------------------------------


def input_folder() -> Path:
    return Path(folder_paths.get_input_directory()) if _in_comfyui else stand_alone_input_and_output.get()[0]


def output_folder() -> Path:
    return Path(folder_paths.get_output_directory()) if _in_comfyui else stand_alone_input_and_output.get()[1]


def style_files() -> list[str]:
    """What there is to choose from on the canvas. The host's way of writing: plain names are those of inputs."""
    if not _in_comfyui:  # nobody chooses, and the folder may be any: a whole disk, too
        return []
    return [*styles_in(input_folder()), *(f"{name} [output]" for name in styles_in(output_folder()))]


def style_file(name: str) -> Path:
    """The file of a name such as `style_files` gives."""
    if not isinstance(name, str):
        raise NSTError(f"{name!r} is not the name of a saved style; write for instance nst/style_00001_.safetensors.")
    inner = name.removesuffix(" [output]")
    folder = output_folder() if inner != name else input_folder()
    inner = inner.removesuffix(" [input]")
    path = folder / os.path.expanduser(inner) if stand_alone_outside.get() else below(folder, inner)
    if not os.path.isfile(path):
        raise NSTError(
            f"there is no file {path.name} in {path.parent}. Save a style with Save Style Grams, or put its file there."
        )
    return path


def output_named(prefix: str, suffix: str) -> Path:
    """What a prefix stands for in the output folder; its files are numbered."""
    return below(output_folder(), fill_in(prefix), ending=f"_00001_{suffix}")


def write_output(prefix: str, suffix: str, write: Write) -> Path:
    """A new file there, under the next number."""
    path = output_named(prefix, suffix)
    try:
        return write_new(numbered(path, suffix), write)
    except OSError as error:
        raise NSTError(f"{path.parent}: no file can be written there ({error.strerror or error}).") from error


def name_output(part: Path, prefix: str, suffix: str) -> Path:
    """The next number for a file that is whole, and lies beside its place."""
    path = output_named(prefix, suffix)
    try:
        return move_new(part, numbered(path, suffix))
    except OSError as error:
        raise NSTError(f"{path.parent}: no file can be written there ({error.strerror or error}).") from error


class VideoFile:
    """Stand-alone: what the host's VIDEO is to the nodes."""

    def __init__(self, path: str) -> None:
        self.path = path

    def get_stream_source(self) -> str:
        return self.path


def video_file(path: Path) -> Any:
    """A clip as the host's nodes take it."""
    if not _in_comfyui:
        return VideoFile(str(path))
    from comfy_api.input_impl import VideoFromFile

    return VideoFromFile(str(path))


def frames_in_memory(video: Any) -> Any:
    """Those of a VIDEO that was made of frames, not of a file: each time it is asked for a file, it encodes them, and
    not to the same bytes."""
    if not _in_comfyui:
        return None
    from comfy_api.input_impl import VideoFromComponents

    return video.get_components().images if isinstance(video, VideoFromComponents) else None


def as_output(path: Path) -> tuple[str, dict[str, str]]:
    """A file of the output folder as `style_file` takes it, and as the host's answers name it."""
    name = path.relative_to(output_folder())
    subfolder = "" if name.parent == Path() else name.parent.as_posix()
    return f"{name.as_posix()} [output]", {"filename": name.name, "subfolder": subfolder, "type": "output"}


# --- what is told of a run ----------------------------------------------------------------------------------------


class Running(NamedTuple):
    """Which run of which node this is; inside a subgraph the node's id is like 12:7."""

    prompt: str
    node: str


def running() -> Running | None:
    """The node that is at work here. Threads of its own do not know: ask before they begin."""
    if not _in_comfyui:
        return None
    from comfy_execution.utils import get_executing_context

    context = get_executing_context()
    return None if context is None else Running(context.prompt_id, str(context.node_id))


def prompt_server() -> Any:
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)


def canvas() -> str | None:
    """The client that has asked for this run, if it is a canvas. A program that reads the host's messages is spared
    what it knows nothing of: it may take every binary one for a picture."""
    server = prompt_server()
    client = getattr(server, "client_id", None)
    if client is None or not hasattr(server, "send_progress_text"):
        return None
    told = getattr(server, "sockets_metadata", {}).get(client, {})
    return client if told.get("feature_flags") else None


def show_text(text: str, run: Running | None = None) -> None:
    """On the node itself and on the subgraphs that it lies in, where there is a canvas."""
    run = run or running()
    client = canvas()
    if run is None or client is None:
        return
    parts = run.node.split(":")
    for depth in range(len(parts), 0, -1):
        prompt_server().send_progress_text(text, ":".join(parts[:depth]), client)


def tell_canvas(event: str, data: dict[str, Any]) -> None:
    """For this pack's own panel; from any thread."""
    client = canvas()
    if client is not None:
        prompt_server().send_sync(event, data, client)


# --- finish now, keep the picture ---------------------------------------------------------------------------------

_finishing: dict[Running, threading.Event] = {}
_short_runs: Counter[str] = Counter()


@contextlib.contextmanager
def may_be_finished(run: Running | None) -> Iterator[threading.Event]:
    """An event that is set when the user wants the picture as it is now."""
    asked = threading.Event()
    if run is not None:
        _finishing[run] = asked
    try:
        yield asked
    finally:
        if run is not None:
            _finishing.pop(run, None)


def finish(prompt: object, node: object) -> bool:
    """Ask a run to end with its next step; whether there is such a run."""
    asked = _finishing.get(Running(str(prompt), str(node)))
    if asked is None:
        return False
    asked.set()
    return True


def count_short_run(run: Running | None) -> None:
    """The host keeps what a node has made under what `short_runs` said before, and will not find it there again."""
    if run is not None:
        _short_runs[run.node] += 1


def short_runs() -> int:
    """For IS_CHANGED: how often this node was finished early."""
    run = running()
    return 0 if run is None else _short_runs[run.node]


def offer_finish() -> None:
    """POST /nst/finish {"prompt_id", "node_id"}. JSON alone is taken: another site's page cannot send that without
    asking first, and the host grants it nothing. Nor does it know the prompt's id."""
    routes = getattr(prompt_server(), "routes", None)
    if routes is None:
        return
    from aiohttp import web

    @routes.post("/nst/finish")
    async def finish_now(request: web.Request) -> web.Response:
        if request.content_type != "application/json" or _from_elsewhere(request.headers):
            return web.json_response({"error": "only this server's own page may ask, in JSON"}, status=403)
        try:
            asked = await request.json()
            prompt, node = asked["prompt_id"], asked["node_id"]
        except (ValueError, LookupError, TypeError, RecursionError):  # LookupError: also of an alphabet nobody knows
            return web.json_response({"error": "give prompt_id and node_id"}, status=400)
        found = finish(prompt, node)
        return web.json_response({"finishing": found}, status=200 if found else 404)


def _from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that another page asks; programs say nothing."""
    return headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")


# --- progress, preview, cancel ------------------------------------------------------------------------------------


def check_cancelled() -> None:
    """Raises when the user has cancelled."""
    if _in_comfyui:
        model_management.throw_exception_if_processing_interrupted()


def is_cancel(error: BaseException) -> bool:
    return _in_comfyui and isinstance(error, model_management.InterruptProcessingException)


class ProgressBar:
    """One bar for one node's run. `update` raises when the user has cancelled."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.bar = comfy.utils.ProgressBar(total) if _in_comfyui else None

    def update(self, value: float, picture: torch.Tensor | None = None) -> None:
        check_cancelled()
        if self.bar is not None:
            preview = None if picture is None else ("JPEG", as_pil(picture), PREVIEW_SIDE)
            self.bar.update_absolute(value, self.total, preview)
        elif (told := listener.get()) is not None:
            told(value, self.total, picture)


def preview_sized(pictures: torch.Tensor) -> torch.Tensor:
    shape = shape_of(pictures)
    if max(shape) <= PREVIEW_SIDE:
        return pictures
    return torch.nn.functional.interpolate(pictures, size=fit_long(shape, PREVIEW_SIDE), mode="area")


def as_pil(picture: torch.Tensor) -> Any:
    """A 1x3xHxW picture in 0..1, made small enough for a preview before it leaves."""
    from PIL import Image

    codes = (preview_sized(picture)[0].clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(codes.movedim(0, -1).cpu().numpy())


# --- memory -------------------------------------------------------------------------------------------------------


def free_memory(on: torch.device) -> int:
    """Bytes that a run may take."""
    if not _in_comfyui:
        return devices.free_memory(on)
    free = int(model_management.get_free_memory(on))
    # The host asks the machine, and knows nothing of the limits of a container or of ulimit.
    return min(free, devices.free_memory(on)) if devices.kind_of(on).is_cpu else free


@contextlib.contextmanager
def reserve_memory(needed: int, on: torch.device) -> Iterator[None]:
    """Ask the host to make room for a run's memory, and give back what the run leaves behind."""
    if _in_comfyui:
        model_management.free_memory(needed, on)
    try:
        yield
    finally:
        if _in_comfyui:
            model_management.soft_empty_cache()


# --- the host's table of nodes ------------------------------------------------------------------------------------


def warn_of_taken_ids(ids: Iterable[str]) -> None:
    """One warning when another pack has registered one of our node ids: the host keeps whichever loads last."""
    if not _in_comfyui:
        return
    known = getattr(sys.modules.get("nodes"), "NODE_CLASS_MAPPINGS", {})
    for taken in (i for i in ids if i in known):
        other = getattr(known[taken], "RELATIVE_PYTHON_MODULE", known[taken].__module__)
        log.warning(
            "The node id %s is used by two packs: %s and neural-style-transfer. Workflows get whichever loaded last "
            "(now: neural-style-transfer); disable one of the two if that is not what you want.",
            taken,
            other,
        )


register_model_folder()
offer_finish()
