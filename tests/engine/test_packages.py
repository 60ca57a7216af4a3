"""The engine's packages: which may use which, no circle of imports; and no function that is hard to take in."""

from __future__ import annotations

import ast
import re
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
FUNCTIONS = [
    (path.relative_to(ROOT).as_posix(), node)
    for folder in ("nst_engine", "nodes", "tools", "bench")
    for path in sorted((ROOT / folder).rglob("*.py"))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
]
# By file or function, why it is longer or wider.
MAY_BE_LONGER = {
    "INPUT_TYPES": "a table: an entry for every input, as ComfyUI wants them",
    "tools/example_pictures/": "one drawing from its background to its last stroke, never called in parts",
}
MAY_BE_WIDER = {
    "compare": "of tools/graphs.py: what a template says and what it shows, each by its name",
}


def methods_of_nodes() -> set[str]:
    """The functions that ComfyUI calls with a node's inputs."""
    said = r'^    FUNCTION = "(\w+)"'
    return {name for path in (ROOT / "nodes").glob("*.py") for name in re.findall(said, path.read_text("utf-8"), re.M)}


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    return {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}


def test_functions_fit_a_screen():
    long = {
        f"{path}:{node.name}"
        for path, node in FUNCTIONS
        if node.end_lineno - node.body[0].lineno >= LONGEST
        and not any(path.startswith(excepted) or node.name == excepted for excepted in MAY_BE_LONGER)
    }
    assert long == set()


def test_functions_have_few_parameters():
    """Except the public ones and the nodes', whose parameters are what a user may set."""
    excepted = {*nst.__all__, *methods_of_nodes(), *MAY_BE_WIDER}
    wide = {
        f"{path}:{node.name}"
        for path, node in FUNCTIONS
        if node.name not in excepted and len(parameters(node) - {"self", "cls"}) > WIDEST
    }
    assert wide == set()
