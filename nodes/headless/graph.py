"""Graphs in API form, {"id": {"class_type": …, "inputs": {…}}}: read from a file, changed, checked as the host does."""

from __future__ import annotations

import graphlib
import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...nst_engine import NSTError
from ...nst_engine.system.safe_files import open_file
from ...nst_engine.system.safe_text import parse_json, shown
from .. import host

Graph = dict[str, dict[str, Any]]
Problems = dict[str, list[str]]  # node id -> what is wrong with it; "" holds what concerns the graph as a whole

MOST_CHOICES_SHOWN = 20


@dataclass(frozen=True)
class Link:
    """Output number `output` of node `node`; in JSON the list [node, output]."""

    node: str
    output: int


@dataclass(frozen=True)
class CheckedGraph:
    """What is to be run: node ids in an order that serves every link, and their inputs, converted and checked."""

    order: list[str]
    inputs: dict[str, dict[str, Any]]


def read_graph(path: str | Path) -> Graph:
    path = Path(path)
    try:
        with open_file(path) as file:
            graph = parse_json(file.read().decode("utf-8"))
        json.dumps(graph, ensure_ascii=False).encode()
    except OSError as error:
        raise NSTError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeEncodeError as error:
        raise NSTError(f"{path}: not a workflow; it has halves of characters (lone surrogates) in it.") from error
    except ValueError as error:
        raise NSTError(f"{path}: not a workflow; it is no JSON text ({error}).") from error
    if isinstance(graph, dict) and isinstance(graph.get("nodes"), list):
        twin = path.parent / "api" / path.name
        instead = f"Give {twin}" if twin.is_file() else "In ComfyUI choose Workflow > Export (API) and give that file"
        raise NSTError(
            f"{path}: this file is for the canvas (UI format), which only ComfyUI's pages can run. {instead}."
        )
    check_form(graph, str(path))
    return graph


def check_form(graph: Any, name: str = "graph") -> None:
    """Raise unless this is a graph in API form, whatever its nodes are."""
    if not isinstance(graph, dict) or not graph:
        raise NSTError(f'{name}: expected a graph in API form, {{"id": {{"class_type": …, "inputs": {{…}}}}}}.')
    for node_id, node in graph.items():
        if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
            raise NSTError(f"{name}: node {shown(node_id)} has no class_type, so this is no graph in API form.")
        if not isinstance(node.get("inputs", {}), dict):
            raise NSTError(f"{name}: node {shown(node_id)}: inputs is not a table of names and values.")


def title_of(graph: Graph, node_id: str, known: Mapping[str, Any] | None = None) -> str:
    """What a person calls the node: the graph's own title for it, or its class's."""
    node = graph[node_id]
    notes = node.get("_meta")
    given = notes.get("title") if isinstance(notes, dict) else None
    return shown(given or getattr((known or {}).get(node["class_type"]), "TITLE", node["class_type"]))


def set_inputs(graph: Graph, assignments: Iterable[str], known: Mapping[str, Any]) -> None:
    """Apply `NODE.INPUT=VALUE` texts; NODE is an id, or a title or class that only one node has; VALUE JSON or text."""
    for text in assignments:
        target, assigned, value = text.partition("=")
        node, _, name = target.rpartition(".")
        if not (assigned and node and name):
            raise NSTError(f"set: {text!r} is not NODE.INPUT=VALUE; write for instance 4.steps=100.")
        node_id = _find(graph, node)
        kind = graph[node_id]["class_type"]
        names = declared(known[kind]) if kind in known else {}
        if names and name not in names:
            raise NSTError(f"set: {kind} (node {node_id}) has no input {name!r}; it has {', '.join(names)}.")
        try:
            parsed = parse_json(value)
        except ValueError:
            parsed = value
        graph[node_id].setdefault("inputs", {})[name] = parsed


def _find(graph: Graph, name: str) -> str:
    if name in graph:
        return name
    found = [i for i in graph if name in (title_of(graph, i), graph[i]["class_type"])]
    if len(found) != 1:
        listed = ", ".join(f"{i} ({title_of(graph, i)})" for i in found or graph)
        raise NSTError(
            f"set: {'several nodes are' if found else 'no node is'} called {name!r}; give an id of: {listed}."
        )
    return found[0]


def declared(kind: Any) -> dict[str, tuple]:
    """The inputs that a node's class names, each with its type first."""
    table = kind.INPUT_TYPES()
    return {**table.get("required", {}), **table.get("optional", {})}


def explain(problems: Problems) -> str:
    return "".join(f"\n  {where + ': ' if where else ''}{text}" for where in problems for text in problems[where])


# --- checking -----------------------------------------------------------------------------------------------------


def check_graph(graph: Graph, known: Mapping[str, Any]) -> CheckedGraph:
    """Check what the output nodes need and put it in order; every problem of every node goes into one error."""
    check_form(graph)
    problems: Problems = {}
    for node_id, node in graph.items():
        if node["class_type"] not in known:
            text = f"there is no such node here. Understood are {', '.join(sorted(known))}; others need ComfyUI itself."
            problems[f"node {shown(node_id)} ({shown(node['class_type'])})"] = [text]
    outputs = [i for i, node in graph.items() if getattr(known.get(node["class_type"]), "OUTPUT_NODE", False)]
    if not outputs:
        problems[""] = ["no node gives anything out; add SaveImage."]
    inputs: dict[str, dict[str, Any]] = {}
    waiting = list(reversed(outputs))
    while waiting:
        node_id = waiting.pop()
        kind = graph[node_id]["class_type"]
        if node_id in inputs or kind not in known:
            continue
        inputs[node_id], found = _check_node(graph, node_id, known)
        if found:
            problems[f"node {shown(node_id)} ({title_of(graph, node_id, known)})"] = found
        waiting += [value.node for value in inputs[node_id].values() if isinstance(value, Link)]
    needs = {i: {v.node for v in given.values() if isinstance(v, Link)} for i, given in inputs.items()}
    try:
        order = list(graphlib.TopologicalSorter(needs).static_order())
    except graphlib.CycleError as error:
        problems[""] = [*problems.get("", []), f"nodes wait for each other in a circle: {' → '.join(error.args[1])}."]
    if problems:
        raise NSTError(f"The graph cannot be run:{explain(problems)}")
    return CheckedGraph(order, inputs)


def _check_node(graph: Graph, node_id: str, known: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    kind = known[graph[node_id]["class_type"]]
    given = graph[node_id].get("inputs", {})
    required, entries = kind.INPUT_TYPES().get("required", {}), declared(kind)
    own_check = getattr(kind, "VALIDATE_INPUTS", None)
    spec = inspect.getfullargspec(own_check) if own_check else None
    inputs: dict[str, Any] = {}
    problems = []
    for name, (kind_of_input, *rest) in entries.items():
        if name not in given:
            if name in required:
                problems.append(f"{name}: missing, and it is a required input.")
            continue
        # The host leaves the values to a node that takes them into its own check.
        checks_itself = spec is not None and (name in spec.args or spec.varkw is not None)
        try:
            if isinstance(given[name], list):
                inputs[name] = _link(given[name], kind_of_input, graph, known)
            else:
                inputs[name] = _value(given[name], kind_of_input, None if checks_itself else (rest or [{}])[0])
        except (ValueError, TypeError, OverflowError) as error:
            problems.append(f"{name}: {error}")
    # What is missing or malformed has been said already. Links have no value yet; the host passes None for them.
    needed = spec.args[1 : len(spec.args) - len(spec.defaults or ())] if spec else ()
    if own_check and spec and all(name in inputs for name in needed):
        seen = {n: None if isinstance(v, Link) else v for n, v in inputs.items() if spec.varkw or n in spec.args}
        if (answer := own_check(**seen)) is not True:
            named = str(answer).partition(":")[0] in seen  # the answer says itself which of them it is about
            problems.append(str(answer) if named else f"{', '.join(seen)}: {answer or 'not accepted'}")
    if unknown := [name for name in given if name not in entries]:
        title = title_of(graph, node_id, known)
        host.log.warning("node %s (%s) has no input %s; ignored, as ComfyUI does", node_id, title, ", ".join(unknown))
    return inputs, problems


def _link(link: list[Any], wanted: Any, graph: Graph, known: Mapping[str, Any]) -> Link:
    if len(link) != 2 or not isinstance(link[1], int):
        raise ValueError(f"{shown(repr(link))} is not a link; one is written [node id, number of the output].")
    node_id, output = str(link[0]), link[1]
    if node_id not in graph:
        raise ValueError(f"linked to node {shown(node_id)}, which the graph does not have.")
    kind = graph[node_id]["class_type"]
    if kind in known:
        types = known[kind].RETURN_TYPES
        if not 0 <= output < len(types):
            raise ValueError(f"linked to output {output} of node {node_id} ({kind}), which has {len(types)}.")
        if not _fits(types[output], wanted):
            raise ValueError(
                f"takes {_shown(wanted)}, but output {output} of node {node_id} ({kind}) is {types[output]}."
            )
    return Link(node_id, output)


def _fits(offered: Any, wanted: Any) -> bool:
    """The host's rule: types are comma-separated alternatives, and one in common is enough; * takes everything."""
    if offered == wanted or "*" in (offered, wanted):
        return True
    if not isinstance(offered, str) or not isinstance(wanted, str):
        return False
    return bool({t.strip() for t in offered.split(",")} & {t.strip() for t in wanted.split(",")})


def _shown(wanted: Any) -> str:
    return wanted if isinstance(wanted, str) else "a choice from a list"


def _value(value: Any, wanted: Any, options: Mapping[str, Any] | None) -> Any:
    """A constant as its input takes it, converted as the host does. Without options only the type is checked."""
    if isinstance(value, dict) and "__value__" in value:  # how a list is written that is not a link
        value = value["__value__"]
    if isinstance(wanted, list):
        if options is not None and value not in wanted:
            more = " …" if len(wanted) > MOST_CHOICES_SHOWN else ""
            choices = ", ".join(map(str, wanted[:MOST_CHOICES_SHOWN]))
            raise ValueError(f"{shown(repr(value))} is not one of {choices}{more}.")
        return value
    if wanted not in _CONVERT:
        raise ValueError(f"takes a link to an output of type {wanted}, not the value {shown(repr(value))}.")
    try:
        value = _CONVERT[wanted](value)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"{shown(repr(value))} cannot be read as {wanted}.") from None
    options = options or {}
    if "min" in options and not value >= options["min"]:
        raise ValueError(f"{value!r} is smaller than the least value, {options['min']}.")
    if "max" in options and not value <= options["max"]:
        raise ValueError(f"{value!r} is larger than the largest value, {options['max']}.")
    return value


_CONVERT = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}
