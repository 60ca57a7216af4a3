"""`nst batch` in this process, what it reports, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nst_engine.cli import commands as cli

QUICK = ("--steps", 1, "--size", 48, "--precision", "fp32", "--quiet")


def batch(*arguments: object, code: int = 0) -> dict[str, dict[str, Any]]:
    """The report."""
    assert cli.main(["batch", *map(str, (*QUICK, *arguments)), "-o", "out"]) == code
    return report()


def report() -> dict[str, dict[str, Any]]:
    """Its lines by output."""
    lines = [json.loads(line) for line in Path("out/report.jsonl").read_text(encoding="utf-8").splitlines()]
    return {Path(line["output"]).relative_to("out").as_posix(): line for line in lines}


def statuses(report: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: line["status"] for name, line in report.items()}


def files() -> set[str]:
    return {path.relative_to("out").as_posix() for path in Path("out").rglob("*") if path.is_file()}
