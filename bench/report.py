"""Measurements as they come, in two files of one folder: results.json for programs, results.md for people.

Both are written anew with every row, so that whatever ends a run leaves what was measured before.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

Row = dict[str, Any]  # part, name, outcome, and what was measured

IN_WORK = "in work"
MEASURED = "measured"

TITLES = {
    "agreement": "Whether results agree: differences of loss and gradient, relative to what they are compared with",
    "steps": "Seconds per step",
    "large": "One pass and tiles",
    "tests": "Tests",
}

# What a part's table shows, and how it is written.
COLUMNS = {
    "seconds": ("s per step", "{:.4g}"),
    "over_floor": ("over the floor's", "{:.2f}"),
    "per_second": ("steps per s", "{:.3g}"),
    "peak_mb": ("peak MB", "{:.0f}"),
    "loss": ("loss", "{:.2g}"),
    "gradient": ("gradient", "{:.2g}"),
    "pixels": ("pixels", "{:.2g}"),
    "same_bits": ("same bits", "{}"),
    "passed": ("passed", "{}"),
    "failed": ("failed", "{}"),
    "skipped": ("skipped", "{}"),
    "note": ("", "{}"),
}


class Report:
    """Of a folder: what is in it already is kept, so that several processes can write one after the other."""

    def __init__(self, folder: Path, machine: dict[str, str] | None = None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if machine is None:
            written = json.loads((folder / "results.json").read_text(encoding="utf-8"))
            self.machine, self.rows = written["machine"], written["rows"]
        else:
            self.machine, self.rows = machine, []

    def put(self, part: str, name: str, outcome: str, **values: Any) -> None:
        """A row in the place of the one that had this part and name."""
        row = {"part": part, "name": name, "outcome": outcome, **values}
        known = [self.key(r) for r in self.rows]
        if (part, name) in known:
            self.rows[known.index((part, name))] = row
        else:
            self.rows.append(row)
        self.write()

    def outcomes(self, part: str) -> dict[str, str]:
        return {row["name"]: row["outcome"] for row in self.rows if row["part"] == part}

    @staticmethod
    def key(row: Row) -> tuple[str, str]:
        return row["part"], row["name"]

    def write(self) -> None:
        content = json.dumps({"machine": self.machine, "rows": self.rows}, indent=1)
        for name, text in (("results.json", content), ("results.md", self.text())):
            beside = self.folder / f".{name}"
            beside.write_text(text + "\n", encoding="utf-8")
            os.replace(beside, self.folder / name)

    def text(self) -> str:
        lines = [f"# {self.machine.get('device', 'Results')}", ""]
        lines += [f"- {name}: {value}" for name, value in self.machine.items() if name != "device"]
        for part in dict.fromkeys(row["part"] for row in self.rows):
            rows = [row for row in self.rows if row["part"] == part]
            kind, _, size = part.partition(" ")
            rows = over_floor(rows)
            lines += ["", f"## {TITLES.get(kind, kind)}{f' at {size}' if size else ''}", "", table_of(rows)]
        return "\n".join(lines)


def over_floor(rows: list[Row]) -> list[Row]:
    """With how long the engine takes for what the bare network does in a second, at the same precision."""
    floors = {row["name"].replace("floor", "engine", 1): row for row in rows if row["name"].startswith("floor")}
    return [
        {**row, "over_floor": row["seconds"] / floor["seconds"]}
        if "seconds" in row and "seconds" in (floor := floors.get(row["name"], {}))
        else row
        for row in rows
    ]


def table_of(rows: list[Row]) -> str:
    shown = [name for name in COLUMNS if any(name in row for row in rows)]
    if "note" not in shown:
        shown.append("note")
    header = ["", *(COLUMNS[name][0] for name in shown)]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        cells = [COLUMNS[name][1].format(row[name]) if name in row else "" for name in shown[:-1]]
        notes = [row["outcome"]] if row["outcome"] != MEASURED else []
        notes += [row["note"]] if row.get("note") else []
        lines.append("| " + " | ".join([row["name"], *cells, one_line("; ".join(notes))]) + " |")
    return "\n".join(lines)


def one_line(text: str, longest: int = 300) -> str:
    text = " ".join(text.split()).replace("|", "/")
    return text if len(text) <= longest else text[: longest - 1] + "…"
