"""The engine's packages: which may use which, no circle of imports; and no function that is hard to take in."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import nst_engine as nst

ENGINE = Path(__file__).resolve().parents[2] / "nst_engine"
# From the ground up: each may import what stands before it, and nothing after.
FLOORS = (
    *("errors", "system", "network", "pictures", "statistics", "layers", "recipes", "styles", "objective", "run"),
    *("options", "stylize", "visualise", "video", "__init__", "cli", "__main__"),
)
MODULES = {tuple(path.relative_to(ENGINE).with_suffix("").parts): path for path in sorted(ENGINE.rglob("*.py"))}


def imported(module: tuple[str, ...]) -> set[tuple[str, ...]]:
    """The engine's modules that this one imports, when it is loaded or later."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*module[: len(module) - node.level], *(node.module.split(".") if node.module else ()))
            for name in node.names:
                inner = (*base, name.name)
                found.add(next(m for m in (inner, (*inner, "__init__"), base, (*base, "__init__")) if m in MODULES))
    return found


def floor(module: tuple[str, ...]) -> int:
    return FLOORS.index(module[0])


@pytest.mark.parametrize("module", MODULES, ids=".".join)
def test_imports_point_down(module):
    above = [".".join(other) for other in imported(module) if floor(other) > floor(module)]
    assert above == []


def test_no_module_imports_itself_by_way_of_others():
    below = {module: imported(module) for module in MODULES}
    while leaves := [module for module, others in below.items() if not others & below.keys()]:
        for module in leaves:
            del below[module]
    assert not below, f"these stand in or on a circle: {sorted(map('.'.join, below))}"


@pytest.mark.parametrize("package", [m for m in MODULES if m[-1] == "__init__"], ids=".".join)
def test_every_package_says_what_it_is_for(package):
    assert ast.get_docstring(ast.parse(MODULES[package].read_text(encoding="utf-8")))


# Where a kind of device is asked for by its name, because only a library of its own can say more; everywhere else a
# property of `system/devices.py` is asked for.
BY_NAME = ("system/devices", "network/precision", "network/exact", "network/cpu/", "network/weights_format")
BY_NAME += ("run/cuda_graphs", "run/loop")


@pytest.mark.parametrize("module", MODULES, ids=".".join)
def test_devices_are_asked_for_by_property(module):
    if not "/".join(module).startswith(BY_NAME):
        assert "device.type" not in MODULES[module].read_text(encoding="utf-8")


# --- functions that fit a screen --------------------------------------------------------------------------------------

ROOT = ENGINE.parent
LONGEST = 60  # lines of a body
WIDEST = 7  # parameters
# Why, a comment right above each says.
LONG, WIDE = "# Longer than a screen: ", "# Many parameters: "
MAY_BE_LONGER = {
    "nodes/neural_style_transfer.py:NeuralStyleTransfer.INPUT_TYPES",
    *(f"tools/example_pictures/{name}.py:{name}" for name in ("fields", "hatching", "landscape", "mosaic")),
    *(f"tools/example_pictures/{name}.py:{name}" for name in ("still_life", "strokes", "watercolour")),
}
MAY_BE_WIDER = {"tools/graphs.py:compare"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(node: ast.AST, within: str = "") -> Iterator[tuple[str, Function]]:
    """All functions in a module, by their qualified names."""
    for inner in ast.iter_child_nodes(node):
        name = f"{within}{inner.name}" if isinstance(inner, Function | ast.ClassDef) else ""
        if isinstance(inner, Function):
            yield name, inner
        yield from functions(inner, f"{name}." if name else within)


SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for folder in ("nst_engine", "nodes", "tools", "bench")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
FUNCTIONS = {f"{path}:{name}": node for path, source in SOURCES.items() for name, node in functions(ast.parse(source))}


def methods_of_nodes() -> set[str]:
    """The functions that ComfyUI calls with a node's inputs."""
    return {
        f"{path}:{node.name}.{line.value.value}"
        for path, source in SOURCES.items()
        for node in ast.walk(ast.parse(source))
        if path.startswith("nodes/") and isinstance(node, ast.ClassDef)
        for line in node.body
        if isinstance(line, ast.Assign) and getattr(line.targets[0], "id", "") == "FUNCTION"
    }


def public() -> set[str]:
    """The engine's public functions."""
    found = (getattr(nst, name) for name in nst.__all__)
    named = {(f.__module__.replace(".", "/"), f.__qualname__) for f in found if inspect.isfunction(f)}
    return {f"{module}.py:{name}" for module, name in named}


def parameters(node: Function) -> set[str]:
    return {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}


def says_why(name: str, word: str) -> bool:
    node = FUNCTIONS[name]
    first = min(line.lineno for line in (node, *node.decorator_list))
    return SOURCES[name.partition(":")[0]].splitlines()[first - 2].strip().startswith(word)


def test_functions_fit_a_screen():
    long = {name for name, node in FUNCTIONS.items() if node.end_lineno - node.body[0].lineno >= LONGEST}
    assert long == MAY_BE_LONGER
    assert [name for name in MAY_BE_LONGER if not says_why(name, LONG)] == []


def test_functions_have_few_parameters():
    """Except the public ones and the nodes', whose parameters are what a user may set."""
    wide = {name for name, node in FUNCTIONS.items() if len(parameters(node) - {"self", "cls"}) > WIDEST}
    assert wide - public() - methods_of_nodes() == MAY_BE_WIDER
    assert [name for name in MAY_BE_WIDER if not says_why(name, WIDE)] == []
