"""The engine's packages: which may use which, and no circle of imports anywhere."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ENGINE = Path(__file__).resolve().parents[2] / "nst_engine"
# From the ground up: each may import what stands before it, and nothing after.
FLOORS = (
    *("errors", "system", "network", "pictures", "statistics", "layers", "recipes", "styles", "objective", "run"),
    *("options", "stylize", "visualise", "video", "__init__", "cli", "__main__"),
)
MODULES = {tuple(path.relative_to(ENGINE).with_suffix("").parts): path for path in sorted(ENGINE.rglob("*.py"))}


def imported(module: tuple[str, ...], anywhere: bool) -> set[tuple[str, ...]]:
    """The engine's modules that this one imports: when it is loaded, or `anywhere` in it."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree) if anywhere else tree.body:
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
    above = [".".join(other) for other in imported(module, anywhere=False) if floor(other) > floor(module)]
    assert above == []


def test_no_module_imports_itself_by_way_of_others():
    below = {module: imported(module, anywhere=False) for module in MODULES}
    while leaves := [module for module, others in below.items() if not others & below.keys()]:
        for module in leaves:
            del below[module]
    assert not below, f"these stand in or on a circle: {sorted(map('.'.join, below))}"


@pytest.mark.parametrize("package", [m for m in MODULES if m[-1] == "__init__"], ids=".".join)
def test_every_package_says_what_it_is_for(package):
    assert ast.get_docstring(ast.parse(MODULES[package].read_text(encoding="utf-8")))
