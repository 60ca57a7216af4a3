"""The list of jobs: which content meets which styles, with which options, and what the result is called."""

from __future__ import annotations

import argparse
import copy
import functools
import glob
import os
import string
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from ...errors import NSTError, counted
from ...pictures.files import FORMATS, PICTURES
from ...styles.saved import SUFFIX
from ...system.safe_files import below
from ...video.encode import ENCODERS
from ...video.source import CLIPS
from ..arguments import parser

TABLES = (".csv", ".jsonl")
FIELDS = ("content", "style", "folder", "file", "number")  # of a pattern of names, beside the options
CLASHES_SHOWN = 5


@dataclass(frozen=True)
class Job:
    """One picture or clip, or a shot of one, to be made. Plain data: it goes to other processes and machines as it
    is."""

    content: str
    styles: tuple[str, ...]
    out: str
    options: tuple[str, ...]  # of its command, as `words` writes them
    shot: int | None = None  # of a clip; None: all of it

    @property
    def command(self) -> str:
        """That makes this result alone."""
        return command_for(self.content)

    def args(self) -> argparse.Namespace:
        """As if it had been given to that command."""
        args = copy.copy(parsed(self.options, self.command))
        args.content, args.styles, args.out = self.content, list(self.styles), self.out
        return args

    def argv(self) -> list[str]:
        return [self.command, self.content, *self.styles, "--out", self.out, *self.options]


@dataclass(frozen=True)
class Row:
    """A content and its styles before the result has a name; `folder` is the one below that of CONTENT."""

    content: str
    styles: tuple[str, ...]
    options: tuple[str, ...] = ()
    folder: str = ""
    out: str | None = None
    where: str = ""  # in which table


# --- options ------------------------------------------------------------------------------------------------------


def is_clip(content: str) -> bool:
    return content.lower().endswith(CLIPS)


def command_for(content: str) -> str:
    return "video" if is_clip(content) else "stylize"


@functools.cache
def _parser() -> argparse.ArgumentParser:
    return parser()


@functools.lru_cache(1024)
def parsed(options: tuple[str, ...], command: str = "stylize") -> argparse.Namespace:
    """Not to be changed: it is shared."""
    return _parser().parse_args([command, "CONTENT", "STYLE", "--out", "OUT", *options])


@functools.cache
def defaults(command: str = "stylize") -> dict[str, Any]:
    """Every option of a command that a job may have, and its default."""
    ours = {"command", "content", "styles", "out", "save_style", "quiet"}
    ours |= {"begin", "end", "every", "fps", "flow", "restart"}
    return {name: value for name, value in vars(parsed((), command)).items() if name not in ours}


def options_for(content: str, args: argparse.Namespace) -> tuple[str, ...]:
    """Those of `args` that are about such a content."""
    if is_clip(content) and args.seamless:
        raise NSTError(f"--seamless: this is for pictures, and not for clips such as {content}.")
    return words(args, command_for(content))


def words(args: argparse.Namespace, command: str = "stylize") -> tuple[str, ...]:
    """The options that are not at their defaults, always in the same order and spelling."""
    written: list[str] = []
    for name, default in defaults(command).items():
        value, option = getattr(args, name), "--" + name.replace("_", "-")
        if value == default:
            continue
        if isinstance(value, bool):
            written.append(option if value else f"--no-{option[2:]}")
        elif name == "models":
            written += [f"{option}={folder}" for folder in value]
        elif isinstance(value, list):
            written += [option, *map(str, value)]
        else:
            written.append(f"{option}={_word(name, value)}")
    return tuple(written)


def _word(name: str, value: Any) -> str:
    if name == "keep_colours":
        return f"{value[0]}={value[1]}"
    return "off" if value is None else str(value)  # of these, --tile alone has None for anything but its default


# --- contents and styles ------------------------------------------------------------------------------------------


def find(
    given: Iterable[str], what: str, endings: Sequence[str], not_below: Path | None = None
) -> list[tuple[str, str]]:
    """Files, and the folder below the one given that each lies in; nothing of `not_below`, where results go."""
    found: list[tuple[str, str]] = []
    for name in given:
        if os.path.isdir(name):
            found += _in_folder(name, what, endings, not_below)
        elif os.path.exists(name) or not glob.has_magic(name):
            found.append((name, ""))  # one that is not there fails on its own
        else:
            matches = [(match, "") for match in sorted(glob.glob(name, recursive=True)) if os.path.isfile(match)]
            if not matches:
                raise NSTError(f"{what}: no file goes by the pattern {name!r}.")
            found += matches
    return found


def _in_folder(folder: str, what: str, endings: Sequence[str], not_below: Path | None) -> Iterator[tuple[str, str]]:
    avoided = None if not_below is None else os.path.realpath(not_below)
    if avoided == os.path.realpath(folder):
        raise NSTError(
            f"{what}: {folder} is also the folder of the results, which would be taken for pictures to work on the "
            "next time. Give another --out; one below it will do."
        )

    def on_error(error: OSError) -> None:
        raise NSTError(f"{what}: the folder {error.filename} cannot be read ({error.strerror}).")

    count = 0
    for parent, below_it, files in os.walk(folder, onerror=on_error):
        below_it[:] = sorted(
            name for name in below_it if name[0] != "." and os.path.realpath(os.path.join(parent, name)) != avoided
        )
        for name in sorted(files):
            if name[0] != "." and name.lower().endswith(tuple(endings)):
                inner = os.path.relpath(parent, folder)
                yield os.path.join(parent, name), "" if inner == "." else PurePath(inner).as_posix()
                count += 1
    if not count:
        raise NSTError(f"{what}: no picture lies in the folder {folder} or below it ({' '.join(endings)}).")


def rows_of(args: argparse.Namespace, read_table: Callable[[Path, argparse.Namespace], list[Row]]) -> list[Row]:
    """What a command line lists, before anything has a name."""
    styles = [_safe(name) for name, _ in find(args.styles, "--styles", (*PICTURES, SUFFIX))]
    if missing := [name for name in styles if not os.path.exists(name)]:
        raise NSTError(f"--styles: {missing[0]}: no such file.")
    rows: list[Row] = []
    contents: list[tuple[str, str]] = []
    for given in args.contents:
        if given.lower().endswith(TABLES):
            for row in read_table(Path(given), args):
                if not row.styles and not styles:
                    raise NSTError(f"{row.where}: no style; give the row one, or --styles for all rows without.")
                each = [row.styles] if row.styles else _combined(styles, args.combine)
                rows += [replace(row, styles=styles_of_row) for styles_of_row in each]
        else:
            contents += find([given], "CONTENT", (*PICTURES, *CLIPS), Path(args.out))
    if contents and not styles:
        raise NSTError("--styles: none is given; name pictures, folders, or styles from --save-style.")
    combined = _combined(styles, args.combine)
    if args.combine == "pairs":
        if len(contents) != len(styles):
            raise NSTError(
                f"--combine: pairs of {counted(len(contents), 'content')} and {counted(len(styles), 'style')} "
                "cannot be made; give as many of the one as of the other."
            )
        pairs = list(zip(contents, combined, strict=True))
    else:  # style by style, so that few have to be kept, however many there are
        pairs = [(content, several) for several in combined for content in contents]
    options = functools.cache(lambda ending: options_for(ending, args))
    return rows + [Row(_safe(name), several, options(Path(name).suffix), folder) for (name, folder), several in pairs]


def _combined(styles: list[str], how: str) -> list[tuple[str, ...]]:
    return [tuple(styles)] if how == "blend" else [(style,) for style in styles]


def _safe(name: str) -> str:
    """A name that no option can be mistaken for."""
    return f"./{name}" if name.startswith("-") else name


# --- names of results ---------------------------------------------------------------------------------------------


def named(rows: Iterable[Row], pattern: str, folder: Path) -> list[Job]:
    """Jobs whose results all have different names, none of which is a file that is read."""
    fields = _fields(pattern)
    jobs = []
    for number, row in enumerate(rows, 1):
        name = _name(row, number, pattern, fields) if row.out is None else row.out
        name = _with_ending(name, row.content)
        try:
            jobs.append(Job(row.content, row.styles, str(below(folder, name, portable=False)), row.options))
        except NSTError as error:
            raise NSTError(f"{row.where or '--name'}: {error}") from error
    _check_clashes(jobs)
    return jobs


def _with_ending(name: str, content: str) -> str:
    """A clip's result is a clip, in the file format of its content, if that can be."""
    ending = PurePath(name).suffix.lower()
    if not is_clip(content):
        return name if ending in FORMATS else f"{name}.png"
    if ending in ENCODERS:
        return name
    if ending in FORMATS:  # a pattern for pictures and clips alike
        name = name[: -len(ending)]
    clip_ending = PurePath(content).suffix.lower()
    return name + (clip_ending if clip_ending in ENCODERS else ".mp4")


def _fields(pattern: str) -> set[str]:
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise NSTError(f"--name: {pattern!r} is no pattern ({error}); a brace itself is written twice.") from error
    fields = {field for _, field, _, _ in parts if field is not None}
    known = [*FIELDS, *defaults()]
    if unknown := sorted(fields - set(known)):
        raise NSTError(f"--name: {{{unknown[0]}}} is not known; there are {', '.join(known)}.")
    return fields


def _name(row: Row, number: int, pattern: str, fields: set[str]) -> str:
    content = Path(row.content)
    values: dict[str, Any] = {
        "content": content.stem,
        "file": content.name,
        "style": "+".join(Path(style).stem for style in row.styles),
        "folder": row.folder,
        "number": number,
    }
    if options := fields - set(FIELDS):
        given = {**defaults(), **vars(parsed(row.options, command_for(row.content)))}
        values |= {name: "recipe" if given[name] is None else given[name] for name in options}
    try:
        return pattern.format(**values).lstrip("/")
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise NSTError(f"--name: {pattern!r} does not go with the values of {row.content} ({error}).") from error


def _check_clashes(jobs: list[Job]) -> None:
    """Of names alone: a million jobs are not a million looks at the disk."""
    taken: dict[str, Job] = {}
    clashes: list[str] = []
    for job in jobs:
        other = taken.setdefault(folded(job.out), job)
        if other is not job:
            twice = f"{_told(job)} is in the list twice"
            clashes.append(twice if job == other else f"{_told(other)} and {_told(job)} would both be {job.out}")
    if clashes:
        more = f", and {len(clashes) - CLASHES_SHOWN} more" if len(clashes) > CLASHES_SHOWN else ""
        raise NSTError(
            f"--name: {'; '.join(clashes[:CLASHES_SHOWN])}{more}. Give a --name that tells them apart, by {{file}}, "
            "{folder}, {number} or an option, or the table a column out."
        )
    read = {folded(name): name for job in jobs for name in (job.content, *job.styles)}
    if lost := sorted(read.keys() & taken.keys()):
        raise NSTError(f"--out: {read[lost[0]]} is to be read, and would be lost; give another folder or --name.")


def _told(job: Job) -> str:
    return f"{job.content} with {' + '.join(job.styles)}"


def folded(name: str) -> str:
    """Alike for names that some file system takes for one."""
    return unicodedata.normalize("NFC", os.path.abspath(name).casefold())
