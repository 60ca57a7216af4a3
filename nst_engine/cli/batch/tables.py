"""Jobs from a table: CSV, or JSON lines. A row has a content, mostly a style, and any option of `nst stylize`."""

from __future__ import annotations

import argparse
import csv
import json
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ...errors import NSTError
from ...system.safe_files import open_file
from ...system.safe_text import parse_json, shown
from .jobs import Row, command_for, defaults, options_for, parsed, words

COLUMNS = ("content", "style", "styles", "out")
FLAGS = ("seamless", "normalise_gradients", "large", "cuts")
LISTS = ("style_weights", "style_masks", "regions", "models", "look_back")
YES, NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


def read_table(path: Path, args: argparse.Namespace) -> list[Row]:
    """`args` has the options of rows that do not say otherwise."""
    rows = []
    for where, cells in _cells(path):
        given = {_column(name): value for name, value in cells.items() if value not in ("", None)}
        command = command_for(str(given.get("content", "")))
        if unknown := sorted(set(given) - {*COLUMNS, *defaults(command)}):
            known = ", ".join((*COLUMNS, *defaults(command)))
            raise NSTError(f"{where}: the column {shown(unknown[0])!r} is not known; there are {known}.")
        if "content" not in given:
            raise NSTError(f"{where}: no content; a table has a column content with the path of a picture.")
        usual = {name: value for name, value in defaults(command).items() if name in given}  # the row has its own
        common = options_for(str(given["content"]), argparse.Namespace(**{**vars(args), **usual}))
        options_of_row = [
            word for name, value in given.items() if name not in COLUMNS for word in _option(name, value, where)
        ]
        try:
            options = words(parsed((*common, *options_of_row), command), command) if options_of_row else common
        except NSTError as error:
            raise NSTError(f"{where}: {str(error).removesuffix(f'; see nst {command} --help')}") from error
        out = given.get("out")
        rows.append(Row(str(given["content"]), _styles(given, where), options, "", out and str(out), where))
    if not rows:
        raise NSTError(f"{path}: the table has no rows.")
    return rows


def _cells(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row, and where it is."""
    try:
        with open_file(path) as file:
            text = file.read().decode("utf-8-sig")
    except OSError as error:
        raise NSTError(f"{path}: the table cannot be read ({error.strerror or error}).") from error
    except UnicodeDecodeError as error:
        raise NSTError(f"{path}: the table is not in UTF-8 ({error.reason}); save it in that encoding.") from error
    if path.suffix.lower() == ".jsonl":
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield f"{path}, line {number}", _object(line, f"{path}, line {number}")
        return
    try:
        reader = csv.DictReader(text.splitlines(keepends=True), strict=True)
        _check_columns(reader.fieldnames or (), f"{path}, row 1")
        for number, row in enumerate(reader, 2):
            if None in row:
                raise NSTError(f"{path}, row {number}: it has more cells than the table has columns.")
            yield f"{path}, row {number}", row
    except csv.Error as error:
        raise NSTError(f"{path}: this is no CSV ({error}).") from error


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        value = parse_json(line)
    except ValueError as error:
        raise NSTError(f"{where}: this is no JSON ({error}).") from error
    if not isinstance(value, dict):
        raise NSTError(f"{where}: a row is an object such as {json.dumps({'content': 'a.jpg', 'style': 'b.jpg'})}.")
    _check_columns(value, where)
    return value


def _check_columns(names: Iterable[Any], where: str) -> None:
    """A row that says two things says nothing. Columns without a name and cells are what spreadsheets leave."""
    twice = [name for name, count in Counter(map(_column, names)).items() if name and count > 1]
    if twice:
        raise NSTError(f"{where}: the column {shown(twice[0])!r} is there twice.")


def _column(name: Any) -> str:
    return str(name).strip().removeprefix("--").replace("-", "_")


def _styles(given: dict[str, Any], where: str) -> tuple[str, ...]:
    """`style` is one path as it stands; `styles`, and a list, are several to be blended."""
    if "style" in given and "styles" in given:
        raise NSTError(f"{where}: style and styles are both given; one of them will do.")
    one = given.get("style")
    if isinstance(one, list):
        return tuple(map(str, one))
    return (str(one),) if one is not None else tuple(_several(given.get("styles"), where))


def _several(value: Any, where: str) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list):
        return [str(one) for one in value]
    try:
        return shlex.split(str(value))  # as a shell would: a name with spaces stands in quotes
    except ValueError as error:
        raise NSTError(f"{where}: {shown(value)!r} cannot be divided ({error}).") from error


def _option(name: str, value: Any, where: str) -> list[str]:
    """As on the command line."""
    option = name.replace("_", "-")
    if name in FLAGS:
        word = str(value).lower()
        if word not in YES + NO:
            raise NSTError(f"{where}: {name} is yes or no, and not {shown(value)!r}.")
        if name == "large":
            return ["--large"] * (word in YES)
        return [f"--{option}" if word in YES else f"--no-{option}"]
    if name in LISTS:
        return [f"--{option}", *_several(value, where)]
    if isinstance(value, list | dict):
        raise NSTError(f"{where}: {name} takes one value, and was given {shown(value)}.")
    return [f"--{option}={value}"]
