"""Names that must not lead out, and files that are whole or not there, by the rules of this system and of others."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from pathlib import Path

import pytest

import nst_engine as nst
from nst_engine.system import safe_files
from nst_engine.system.safe_files import alternatives, below, numbered, write_new, write_over

# --- names --------------------------------------------------------------------------------------------------------

LEADS_OUT = [
    *("", ".", "./", "/", "//", "..", "../", "../x", "a/..", "a/../x", "a/../../x", "x/", "x/.", "a/b/"),
    *("/x", "/etc/passwd", "//server/share", "/Users/me/x.png", "~", "~/x", "~root/x"),
    *(
        "D:x",
        "D:",
        "d:/x",
        "C:\\",
        "C:\\x",
        "\\x",
        "\\\\server\\share\\x",
        "\\\\?\\C:\\x",
        "..\\x",
        "a\\..\\..\\x",
        "x\\",
    ),
    *("x\0y", "x\ny", "x\x1by", "x\x7fy", "\ud800", "x\udc80.png"),
]
NOT_EVERYWHERE = [
    *("CON", "con", "nul.png", "NUL .tar.gz", "COM1", "lpt9.x", "COM¹", "CONIN$", "a/PRN/x", "AUX/x"),
    *("x.", "x ", "a./x", "a /x", "...", "a|b", "a<b", "a>b", "style:stream", 'a"b', "a?b", "a*b"),
]
TOO_LONG = ["x" * 256, "é" * 128, "a" * 256 + "/x"]
FINE = [
    "x",
    "nst/style",
    "./x",
    "a//b",
    "a\\b",
    "..x",
    "x..y",
    ".x",
    "~x",
    "CONSOLE",
    "COM10",
    "xnul",
    "é 星 🌌.png",
    "x" * 255,
]


@pytest.mark.parametrize("portable", [True, False])
@pytest.mark.parametrize("system", [safe_files.POSIX, safe_files.WINDOWS])
@pytest.mark.parametrize("name", LEADS_OUT)
def test_no_name_leads_out_of_the_folder(tmp_path, monkeypatch, name, system, portable):
    monkeypatch.setattr(safe_files, "HERE", system)
    with pytest.raises(nst.NSTError, match="does not name a file in or below the folder") as caught:
        below(tmp_path, name, portable=portable)
    assert repr(name) in str(caught.value)
    str(caught.value).encode()  # can be printed


@pytest.mark.parametrize("name", NOT_EVERYWHERE)
def test_names_that_some_system_lacks_are_refused_where_files_are_exchanged(tmp_path, monkeypatch, name):
    monkeypatch.setattr(safe_files, "HERE", safe_files.POSIX)
    with pytest.raises(nst.NSTError, match="does not name a file"):
        below(tmp_path, name)
    assert below(tmp_path, name, portable=False) == tmp_path / name
    monkeypatch.setattr(safe_files, "HERE", safe_files.WINDOWS)
    with pytest.raises(nst.NSTError, match="does not name a file"):
        below(tmp_path, name, portable=False)


@pytest.mark.parametrize("portable", [True, False])
@pytest.mark.parametrize("name", TOO_LONG)
def test_names_that_no_system_has_are_refused_everywhere(tmp_path, name, portable):
    with pytest.raises(nst.NSTError, match="256 bytes"):
        below(tmp_path, name, portable=portable)


@pytest.mark.parametrize("name", FINE)
def test_ordinary_names_are_taken(tmp_path, name):
    path = below(tmp_path, name)
    assert path == tmp_path / name.replace("\\", "/")
    assert path.parent in (tmp_path, tmp_path / "nst", tmp_path / "a")


def test_room_is_left_for_what_is_added_to_a_name(tmp_path):
    assert below(tmp_path, "x" * 235, ending="_00001_.safetensors")
    with pytest.raises(nst.NSTError, match="a name of 256 bytes"):
        below(tmp_path, "x" * 237, ending="_00001_.safetensors")


def test_a_path_that_is_too_long_is_refused_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr(safe_files, "HERE", safe_files.WINDOWS)
    deep = tmp_path / ("a" * 120) / ("b" * 120)
    assert below(tmp_path, "x")
    with pytest.raises(nst.NSTError, match=r"it has \d+ characters, and this system takes 259"):
        below(deep, "x" * 20)


def test_links_do_not_lead_out_but_folders_may_be_links(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x").touch()
    try:
        (tmp_path / "in" / "away").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        (tmp_path / "in" / "x").symlink_to(tmp_path / "elsewhere" / "x")
        (tmp_path / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    for name in ("x", "away/x", "away/new"):
        with pytest.raises(nst.NSTError, match="leads out of the folder"):
            below(tmp_path / "in", name)
    assert below(tmp_path / "linked", "x").is_file()


# --- writing ------------------------------------------------------------------------------------------------------


def text(content: str):
    return lambda file: file.write(content.encode())


def test_a_file_is_replaced_whole_and_not_when_writing_fails(tmp_path):
    path = tmp_path / "x"
    write_over(path, text("one"))
    write_over(path, text("two"))
    assert path.read_text() == "two"

    def fails(file):
        file.write(b"half")
        assert path.read_text() == "two"
        raise KeyboardInterrupt

    for write in (write_over, lambda path, fill: write_new([path.with_name("new")], fill)):
        with pytest.raises(KeyboardInterrupt):
            write(path, fails)
    assert os.listdir(tmp_path) == ["x"] and path.read_text() == "two"


def test_a_name_is_taken_when_the_file_is_whole(tmp_path):
    seen = []

    def fill(file):
        seen.extend(os.listdir(tmp_path / "new"))
        file.write(b"x")

    path = write_new(numbered(tmp_path / "new" / "style", ".png"), fill)
    assert path == tmp_path / "new" / "style_00001_.png" and path.read_bytes() == b"x"
    assert [name for name in seen if not name.endswith(".part")] == []
    assert os.listdir(tmp_path / "new") == [path.name]


def test_numbers_go_on_and_case_makes_no_difference(tmp_path):
    for taken in ("Style_00007_.png", "style_00002_.safetensors", "other_00050_.png"):
        (tmp_path / taken).touch()
    assert write_new(numbered(tmp_path / "sTyle", ".png"), text("x")).name == "sTyle_00008_.png"
    names = alternatives(tmp_path / "a.png")
    assert [next(names).name for _ in range(3)] == ["a.png", "a (1).png", "a (2).png"]


def without_links(part, path):
    """As on exFAT: `os.link` is refused there, and the rest of the rule is the real one."""
    link, os.link = os.link, refuse
    try:
        safe_files.POSIX.move_new(part, path)
    finally:
        os.link = link


def refuse(*_):
    raise PermissionError(1, "Operation not permitted")


def ignoring_case(part, path):
    """As on Windows and macOS: a name is taken by any that differs in case only."""
    if path.name.casefold() in (name.casefold() for name in os.listdir(path.parent)):
        raise FileExistsError(17, "File exists", str(path))
    safe_files.POSIX.move_new(part, path)


@pytest.mark.parametrize("move_new", [safe_files.POSIX.move_new, without_links, ignoring_case])
def test_many_writers_at_once_never_share_a_name(tmp_path, monkeypatch, move_new):
    monkeypatch.setattr(safe_files, "HERE", dataclasses.replace(safe_files.POSIX, move_new=move_new))
    lock = threading.Lock() if move_new is not safe_files.POSIX.move_new else threading.Semaphore(8)
    paths = []

    def work(i):
        for _ in range(5):
            names = numbered(tmp_path / "x", ".png")
            first = next(names)  # what the folder is like now; others may be quicker
            with lock:
                paths.append(write_new([first, *(next(names) for _ in range(50))], text(str(i))))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 40 and sorted(os.listdir(tmp_path)) == sorted(path.name for path in paths)
    assert sorted(path.read_text() for path in paths) == sorted(str(i) for i in range(8) for _ in range(5))


def test_nothing_is_overwritten_where_names_ignore_case(tmp_path, monkeypatch):
    monkeypatch.setattr(safe_files, "HERE", dataclasses.replace(safe_files.WINDOWS, move_new=ignoring_case))
    (tmp_path / "Done.PNG").write_text("mine")
    assert write_new(alternatives(tmp_path / "done.png"), text("x")).name == "done (1).png"
    assert (tmp_path / "Done.PNG").read_text() == "mine"


def refusing_open_files(part: Path, path: Path) -> None:
    """As Windows: no file takes the place of one that is open. What is open, Linux tells."""
    handles = [os.path.join("/proc/self/fd", handle) for handle in os.listdir("/proc/self/fd")]
    if str(path) in [os.readlink(handle) for handle in handles if os.path.islink(handle)]:
        raise PermissionError(13, "Access is denied", str(path))
    os.replace(part, path)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system does not tell what is open")
def test_a_file_that_is_open_elsewhere_is_waited_for_and_then_told(tmp_path, monkeypatch):
    system = dataclasses.replace(safe_files.WINDOWS, move=refusing_open_files, waits=(0.05, 0.1, 0.2, 0.4))
    monkeypatch.setattr(safe_files, "HERE", system)
    path = tmp_path / "x"
    path.write_text("old")
    reader = path.open()
    threading.Timer(0.15, reader.close).start()
    write_over(path, text("new"))
    assert path.read_text() == "new"
    with path.open():
        begun = time.monotonic()
        with pytest.raises(OSError, match="another program has this file open"):
            write_over(path, text("newer"))
        assert 0.5 < time.monotonic() - begun < 3
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["x"]


def test_what_killed_runs_left_is_removed_after_a_day(tmp_path):
    old, young, other = (tmp_path / name for name in (f".nst-{'0' * 16}.part", f".nst-{'1' * 16}.part", "my.part"))
    for file in (old, young, other):
        file.touch()
    for file in (old, other):
        os.utime(file, (1, 1))
    write_over(tmp_path / "x", text("x"))
    assert sorted(os.listdir(tmp_path)) == sorted([young.name, other.name, "x"])


def test_a_file_has_the_rights_of_any_other(tmp_path):
    (tmp_path / "any").touch()
    write_over(tmp_path / "x", text("x"))
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "any").stat().st_mode
