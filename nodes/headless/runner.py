"""A graph run in this process, without ComfyUI."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch

from ...nst_engine import NSTError
from .. import host
from .folders import Folders
from .graph import Graph, Link, check_graph, title_of
from .stand_ins import stand_ins

# (title of the node, value, total, picture so far or None); total is 0 when a node begins and has not said more yet.
OnProgress = Callable[[str, float, int, torch.Tensor | None], object]


def run_embedded(
    graph: Graph, node_classes: Mapping[str, Any], folders: Folders, on_progress: OnProgress | None = None
) -> list[Path]:
    """Run what the output nodes need, every node once, and return the files written."""
    known = {**node_classes, **stand_ins(folders)}
    with _host_uses(folders):
        checked = check_graph(graph, known)
        folders.prepare()
        results: dict[str, list[list]] = {}
        # As in the host, so that a graph that runs here runs there.
        with torch.inference_mode():
            for node_id in checked.order:
                inputs = {
                    name: results[value.node][value.output] if isinstance(value, Link) else [value]
                    for name, value in checked.inputs[node_id].items()
                }
                outcomes = [_run_node(graph, node_id, known, one, on_progress, folders) for one in _one_by_one(inputs)]
                results[node_id] = _merge(outcomes, known[graph[node_id]["class_type"]])
    return folders.written


@contextlib.contextmanager
def _host_uses(folders: Folders) -> Iterator[None]:
    """Within it, `host` looks for files in these folders."""
    settings: tuple[tuple[ContextVar, Any], ...] = (
        (host.stand_alone_folders, folders.weights),
        (host.stand_alone_input_and_output, (folders.input, folders.output)),
        (host.stand_alone_outside, folders.allow_outside),
    )
    before = [(variable, variable.set(value)) for variable, value in settings]
    try:
        yield
    finally:
        for variable, token in before:
            variable.reset(token)


def _one_by_one(inputs: Mapping[str, list]) -> Iterator[dict[str, Any]]:
    """The host's rule for lists: a node runs once for every entry of the longest; shorter ones repeat their last."""
    for i in range(max(map(len, inputs.values()), default=1)):
        yield {name: values[min(i, len(values) - 1)] for name, values in inputs.items()}


def _merge(outcomes: list[tuple], kind: Any) -> list[list]:
    """Every output as a list of what the runs gave; what is a list already is joined end to end."""
    is_list = getattr(kind, "OUTPUT_IS_LIST", (False,) * len(kind.RETURN_TYPES))
    columns = zip(is_list, zip(*outcomes, strict=True), strict=False)
    return [[one for part in given for one in part] if joined else list(given) for joined, given in columns]


def _run_node(
    graph: Graph,
    node_id: str,
    known: Mapping[str, Any],
    inputs: dict[str, Any],
    on_progress: OnProgress | None,
    folders: Folders,
) -> tuple:
    kind = known[graph[node_id]["class_type"]]
    title = title_of(graph, node_id, known)
    hidden = {"PROMPT": graph, "UNIQUE_ID": node_id}
    inputs |= {name: hidden.get(what) for name, what in kind.INPUT_TYPES().get("hidden", {}).items()}
    node = kind() if isinstance(kind, type) else kind
    listener = None
    if on_progress is not None:
        on_progress(title, 0, 0, None)

        def listener(value: float, total: int, picture: torch.Tensor | None) -> None:
            on_progress(title, value, total, picture)

    told = host.listener.set(listener)
    try:
        outcome = getattr(node, kind.FUNCTION)(**inputs)
    except NSTError as error:
        raise NSTError(f"node {node_id} ({title}): {error}") from error
    finally:
        host.listener.reset(told)
    if not isinstance(outcome, dict):
        return outcome
    named = [file for kind in ("styles", "images") for file in outcome.get("ui", {}).get(kind, ())]
    folders.written += [folders.output / file["subfolder"] / file["filename"] for file in named]
    return outcome.get("result", ())
