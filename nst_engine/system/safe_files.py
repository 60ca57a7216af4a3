"""Rules of files that hold on every system: which names lie below a folder, and files that appear whole or not at all.

What differs between systems is in `System`, as values; a test can put those of another system into `HERE`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import os
import re
import stat
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from ..errors import NSTError

LONGEST_NAME = 255  # bytes: of ext4, APFS and NTFS the least
SHOWN = 80  # characters of a name in an error
ABANDONED = 24 * 3600.0  # seconds after which the unfinished file of a killed run is removed
Write = Callable[[IO[bytes]], object]

_UNFINISHED = re.compile(r"\.nst-[0-9a-f]{16}\.part(\.\w+)?")  # as `unfinished` names them
_DEVICES = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³]) *(\..*)?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class System:
    windows_names: bool  # names that Windows does not have are refused, even where they are only read
    longest_path: int | None  # characters
    syncs_folders: bool  # a new name is on the disk only when its folder has been synced
    move: Callable[[Path, Path], object]  # over what is there
    move_new: Callable[[Path, Path], object]  # FileExistsError where the name is taken
    waits: tuple[float, ...]  # seconds between attempts to move over a file that another program has open


def _move_new(part: Path, path: Path) -> None:
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # exFAT and some network drives have no hard links; the name is taken a moment before its content
        path.open("xb").close()
        try:
            os.replace(part, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _longest_path() -> int | None:
    """Of Windows, unless its user has switched long paths on."""
    try:
        return None if ctypes.CDLL("ntdll").RtlAreLongPathsEnabled() & 0xFF else 259
    except (OSError, AttributeError):
        return 259


POSIX = System(False, None, True, os.replace, _move_new, ())
WINDOWS = System(True, 259, False, os.replace, os.rename, (0.05, 0.1, 0.2, 0.4, 0.8))  # rename replaces nothing there
HERE = replace(WINDOWS, longest_path=_longest_path()) if os.name == "nt" else POSIX


# --- names --------------------------------------------------------------------------------------------------------


def below(folder: Path, name: str, *, ending: str = "", portable: bool = True) -> Path:
    """The file that a graph or a server calls `name`; raises unless it lies in or below `folder`, by the rules of every
    system. `ending` is what will be added to the name. Not `portable`: a name that this system alone has will do."""
    path = Path(folder, *_parts(name))
    strict = portable or HERE.windows_names
    if why := _leads_out(name) or (strict and _unportable(name, ending)) or why_no_path(Path(f"{path}{ending}")):
        shown = repr(name[:SHOWN]) + "…" * (len(name) > SHOWN)
        raise NSTError(
            f"{shown} does not name a file in or below the folder {folder}: {why}. Give a name such as style, or "
            "nst/style in a folder below."
        )
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise NSTError(f"{name!r} is a link that leads out of the folder {folder}; put the file itself there.")
    return path


def why_no_path(path: Path) -> str:
    """Why this system has no such path, or nothing."""
    if "\0" in str(path):
        return "it has a null character"
    if (size := max((len(os.fsencode(part)) for part in path.parts), default=0)) > LONGEST_NAME:
        return f"its name has {size} bytes, and file systems take {LONGEST_NAME}"
    length = len(os.path.abspath(path))
    if HERE.longest_path is None or length <= HERE.longest_path:
        return ""
    return f"with its folders it has {length} characters, and this system takes {HERE.longest_path}"


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"[\\/]", name) if part not in ("", ".")]


def _leads_out(name: str) -> str:
    """What must never be followed, on any system."""
    parts = re.split(r"[\\/]", name)
    if not _parts(name):
        return "it names no file"
    if ".." in parts or not parts[0] or re.match(r"[A-Za-z]:", name):
        return "it leads out"
    if parts[0] == "~" or (parts[0].startswith("~") and len(parts) > 1):
        return "it leads to a home folder"
    if parts[-1] in ("", "."):
        return "it ends as the name of a folder"
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        return "it has control characters, or halves of characters"
    return ""


def _unportable(name: str, ending: str) -> str:
    """What some system cannot have as a name."""
    parts = _parts(name)
    for part in parts:
        if found := re.search(r'[<>:"|?*]', part):
            return f"{found[0]} cannot be in a name on Windows"
        if _DEVICES.fullmatch(part):
            return f"{part} is a device on Windows"
        if part.endswith((".", " ")):
            return "Windows drops a dot or a space at the end of a name"
    longest = max(len(part.encode()) for part in (*parts[:-1], parts[-1] + ending))
    if longest > LONGEST_NAME:
        return f"a name of {longest} bytes is longer than the {LONGEST_NAME} that file systems take"
    return ""


# --- reading ------------------------------------------------------------------------------------------------------


def open_file(path: Path) -> IO[bytes]:
    """To be read. A pipe or a device, on which a plain `open` may wait for ever, is an OSError, and so is a name that
    no system has."""
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "no name has a null character", str(path))
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "this is no file", str(path))
    return os.fdopen(handle, "rb")


# --- writing ------------------------------------------------------------------------------------------------------


def unfinished(folder: Path, ending: str = "") -> Path:
    """A name for what is still being written; a clip keeps its ending, by which its encoder knows the format."""
    return folder / f".nst-{os.urandom(8).hex()}.part{ending}"


def write_over(path: Path, write: Write) -> None:
    """Let `write` fill a file that then takes the place of `path`: all of it or nothing."""
    with _part(path.parent, write) as part:
        _patiently(HERE.move, part, path)


def write_new(names: Iterable[Path], write: Write) -> Path:
    """The same under the first of `names` that nobody has, all in one folder, which is made if it is not there."""
    free = iter(names)
    path = next(free)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _part(path.parent, write) as part:
        return _moved_new(part, itertools.chain([path], free))


def move_over(part: Path, path: Path) -> None:
    """Give a whole file on the same disk its place."""
    _patiently(HERE.move, part, path)
    _sync(path.parent)


def move_new(part: Path, names: Iterable[Path]) -> Path:
    """Give a whole file the first of `names` that nobody has, all in its own folder."""
    path = _moved_new(part, names)
    part.unlink(missing_ok=True)  # where it got its name by a link, it still has the old one
    _sync(path.parent)
    return path


def _moved_new(part: Path, names: Iterable[Path]) -> Path:
    for path in names:
        with contextlib.suppress(FileExistsError):
            _patiently(HERE.move_new, part, path)
            return path
    raise FileExistsError(errno.EEXIST, "every name is taken", str(part))


def numbered(stem: Path, suffix: str) -> Iterator[Path]:
    """Names as the host gives them, from the first number that nothing there has; case alone makes no difference."""
    pattern = re.compile(re.escape(_folded(stem.name)) + r"_(\d+)")
    files = os.listdir(stem.parent) if stem.parent.is_dir() else []
    taken = [int(match[1]) for file in files if (match := pattern.match(_folded(file)))]
    for number in itertools.count(max(taken, default=0) + 1):
        yield stem.with_name(f"{stem.name}_{number:05}_{suffix}")


def alternatives(path: Path) -> Iterator[Path]:
    """The name itself, and then others with a number."""
    yield path
    for number in itertools.count(1):
        yield path.with_name(f"{path.stem} ({number}){path.suffix}")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())


@contextlib.contextmanager
def _part(folder: Path, write: Write) -> Iterator[Path]:
    """A whole file on the disk, without its name yet."""
    part = unfinished(folder)
    try:
        with part.open("x+b") as file:
            _remove_abandoned(folder, os.fstat(file.fileno()).st_mtime)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        yield part
    finally:
        part.unlink(missing_ok=True)
    _sync(folder)


def _sync(folder: Path) -> None:
    if HERE.syncs_folders:
        with contextlib.suppress(OSError):  # not every file system can
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _remove_abandoned(folder: Path, now: float) -> None:
    """`now` by the clock that dates the folder's files."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _UNFINISHED.fullmatch(entry.name) and now - entry.stat(follow_symlinks=False).st_mtime > ABANDONED:
                os.unlink(entry.path)


def _patiently(move: Callable[[Path, Path], object], part: Path, path: Path) -> None:
    for wait in HERE.waits:
        with contextlib.suppress(PermissionError):
            move(part, path)
            return
        time.sleep(wait)
    try:
        move(part, path)
    except PermissionError as error:
        if not HERE.waits:
            raise
        text = "another program has this file open, or it may not be changed; close it there, or give another name"
        raise PermissionError(error.errno, text, str(path)) from error
