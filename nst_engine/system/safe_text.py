"""Texts from files and names, made fit to be shown, and JSON from strangers."""

from __future__ import annotations

import json
from typing import Any

MOST_SHOWN = 200  # characters of one text
DEEPEST = 100  # levels of JSON; what works on it later goes down by recursion, too


def shown(text: object, most: int = MOST_SHOWN) -> str:
    """Without control codes, which command a terminal, and lone surrogates, which none can print; and not too long."""
    start = str(text)[: most + 1]
    clean = "".join(c if c.isprintable() else "\ufffd" for c in start[:most])
    return clean + ("…" if len(start) > most else "")


def parse_json(text: str) -> Any:
    """ValueError for what is no JSON, and for what is nested beyond reason."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _within(outer)]
        if not level:
            return value
    raise ValueError("it is nested too deep")


def _within(outer: dict[str, Any] | list[Any]) -> list[Any]:
    return list(outer.values()) if isinstance(outer, dict) else outer
