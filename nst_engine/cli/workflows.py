"""`nst run`, and what `nst batch` needs of ComfyUI's graphs: the pack around this engine, where it is a checkout."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from ..errors import NSTError
from .terminal import ProgressDisplay

PACK = "_nst_pack"


def run_workflow(args: argparse.Namespace) -> list[Path]:
    """The files written."""
    pack = _load_pack()
    headless = importlib.import_module(f"{PACK}.nodes.headless")
    graphs = importlib.import_module(f"{PACK}.nodes.headless.graph")
    try:
        graph = graphs.read_graph(args.workflow)
        folders = headless.Folders(
            Path(args.input), Path(args.output), tuple(map(Path, args.models)), args.allow_outside, args.large
        )
        graphs.set_inputs(graph, args.set, {**pack.NODE_CLASS_MAPPINGS, **headless.stand_ins(folders)})
        with ProgressDisplay(args.quiet) as display:

            def on_progress(title: str, value: float, total: int, _: object) -> None:
                if total:
                    display(title, int(value), total)

            written: list[Path]
            if args.server:
                client = importlib.import_module(f"{PACK}.nodes.headless.server_client")
                written = client.run_on_server(
                    graph,
                    args.server,
                    input_folder=args.input,
                    output_folder=args.output,
                    on_progress=on_progress,
                    allow_outside=args.allow_outside,
                )
            else:
                written = headless.run_embedded(graph, pack.NODE_CLASS_MAPPINGS, folders, on_progress)
            return written
    except graphs.NSTError as error:  # the pack has an engine of its own, and so an error class of its own
        raise NSTError(str(error)) from error


def load_graphs() -> Any:
    """What of the pack makes graphs of options and talks to hosts."""
    _load_pack()
    client = importlib.import_module(f"{PACK}.nodes.headless.server_client")
    graph_of = importlib.import_module(f"{PACK}.nodes.headless.graph_of_options").graph_of
    return SimpleNamespace(
        NSTError=client.NSTError,
        ServerGone=client.ServerGone,
        check_url=client.check_url,
        run_on_server=client.run_on_server,
        graph_of=graph_of,
    )


def _load_pack() -> ModuleType:
    """The ComfyUI pack around this engine, imported as ComfyUI does: from its file, under a name of our own."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "nodes" / "headless").is_dir() or not (root / "__init__.py").is_file():
        raise NSTError(
            "run: graphs need the whole pack, of which only the engine is installed here. "
            "Clone its repository and use nst from there (pip install -e, or python -m nst_engine in its folder)."
        )
    if PACK not in sys.modules:
        spec = importlib.util.spec_from_file_location(PACK, root / "__init__.py")
        assert spec and spec.loader
        sys.modules[PACK] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[PACK])
    return sys.modules[PACK]
