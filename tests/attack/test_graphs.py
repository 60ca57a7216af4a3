"""Hostile graphs on a real ComfyUI and through `nst run`: each is refused in a sentence, or gives finite pictures."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import urllib.error
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from comfyui_found import package_folder
from comfyui_runs import Refused
from hostile import ESCAPE, Graph, as_json, for_nst_run, node_names, sound
from live_comfyui import PACK, Server, api_graph
from spoilt_graphs import (
    MOVING,
    every_choice,
    every_method_on_unusual_pictures,
    odd_files,
    odd_pictures,
    spoilt_inputs,
    spoilt_workflows,
)

from nst_engine.cli import commands as cli

NODES = node_names()
LIMIT = 60  # seconds that one graph may take
pytestmark = pytest.mark.timeout(1200)  # of hundreds of graphs, on a machine that does other things as well
LONGEST_MESSAGE = 1500
posted: set[str] = set()  # what ComfyUI has had, counted at the end


# --- on a real host -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host(server: Server, furnished: Path) -> Server:
    shutil.copytree(furnished, server.base / "input", dirs_exist_ok=True)
    return server


@pytest.fixture(scope="module")
def known(pack) -> dict:
    return pack.NODE_CLASS_MAPPINGS


def problem_on_host(server: Server, graph: Graph) -> str | None:
    """What is wrong with how ComfyUI ends a graph; None when it ends as it should."""
    mark = server.log_mark()
    try:
        answer = server.post("/prompt", {"prompt": graph})
    except Refused as refused:
        return _wrong_refusal(server, mark, refused)
    except (urllib.error.URLError, OSError) as error:
        server.check_alive()
        return f"no answer: {error}"
    entry = _wait(server, answer["prompt_id"])
    errors = [data for kind, data in entry["status"]["messages"] if kind == "execution_error"]
    return next(filter(None, map(_wrong_error, errors)), None)


def _wrong_refusal(server: Server, mark: int, refused: Refused) -> str | None:
    if refused.status == 500:  # the host's own reading of a graph; only its log says where
        return "the pack broke the host's check" if PACK in server.log(mark) else None
    for found in refused.body.get("node_errors", {}).values():
        for reason in found["errors"]:
            if PACK in str(reason.get("extra_info", {}).get("traceback", "")):
                return f"{reason['type']}: {reason['details'][:300]}"
            if reason["type"] == "custom_validation_failed":
                return wrong_sentence(reason["details"].split(" - ", 1)[-1])
    return None


def _wait(server: Server, prompt_id: str) -> dict:
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        if found := server.get(f"/history/{prompt_id}"):
            return found[prompt_id]
        server.check_alive()
        time.sleep(0.01)
    server.post("/interrupt", {})
    raise TimeoutError(f"not done after {LIMIT} s:\n{server.log_tail()}")


def _wrong_error(error: dict) -> str | None:
    kind, message = error["exception_type"], error["exception_message"].strip()
    if error["node_type"] == "AttackProbe":
        return message
    if error["node_type"] not in NODES:  # the host's own node
        return None
    if kind.rsplit(".", 1)[-1] not in ("NSTError", "TooSmall", "PictureError"):
        return f"{error['node_type']}: {kind}: {message[:300]}"
    return wrong_sentence(message)


def wrong_sentence(text: str) -> str | None:
    if len(text) > LONGEST_MESSAGE:
        return f"a message of {len(text)} characters: {text[:100]}"
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text):
        return f"control codes in a message: {text!r}"
    if re.search(r"' object |NoneType|[a-z]Error\b|positional argument|\bsupported between\b|dtype=torch", text):
        return f"Python's own words: {text}"
    return None if text.rstrip(")").endswith((".", "?")) else f"no sentence: {text}"


def attack_host(server: Server, graphs: Iterable[tuple[str, Graph]]) -> None:
    before, problems, took = watched(server), {}, {}
    for name, graph in graphs:
        posted.add(name)
        begun = time.monotonic()
        try:
            problems[name] = problem_on_host(server, graph)
        except TimeoutError as error:
            problems[name] = str(error)[:2000]
        took[name] = time.monotonic() - begun
    slowest = sorted(took, key=took.__getitem__)[-5:]
    print(f"{len(took)} graphs in {sum(took.values()):.0f} s; the slowest:")
    print(*(f"  {took[name]:.1f} s {name}" for name in slowest), sep="\n")
    assert server.get("/system_stats")
    report(problems, watched(server) - before)


def report(problems: dict[str, str | None], appeared: set[Path]) -> None:
    """Fail with every problem once, and the first of the graphs that have it."""
    alike: dict[str, list[str]] = {}
    for name, problem in problems.items():
        if problem:
            alike.setdefault(problem, []).append(name)
    told = [f"{len(names)} × {text}\n    {names[0]}" for text, names in alike.items()]
    told += [f"appeared: {path}" for path in sorted(appeared)]
    if told:
        pytest.fail("\n".join(told), pytrace=False)


def watched(server: Server) -> set[Path]:
    """Every file around the server but what is meant to be written, and files of the telling name elsewhere."""
    meant = {server.base / name for name in ("output", "temp", "user", "server.log")}
    found = {server.base.parent, *server.base.parent.iterdir()}
    for at, folders, files in os.walk(server.base):
        folders[:] = [f for f in folders if Path(at, f) not in meant and f not in (PACK, "__pycache__")]
        found |= {Path(at, name) for name in (*folders, *files) if Path(at, name) not in meant}
    return found | escaped()


def escaped() -> set[Path]:
    around = {Path.home(), Path("/tmp"), Path("/"), Path.cwd(), *Path.cwd().parents}
    return {path for folder in around if folder.is_dir() for path in folder.glob(f"*{ESCAPE}*")}


def test_the_sound_graphs_run(host: Server, known: dict) -> None:
    assert set(NODES) == set(known)
    lacking = MOVING if package_folder(host.interpreter, "cv2") is None else ()
    for name in (name for name in NODES if name not in lacking):
        answer = host.post("/prompt", {"prompt": sound(known, name)})
        assert not answer["node_errors"]
        assert _wait(host, answer["prompt_id"])["status"]["status_str"] == "success", f"{name}\n{host.log_tail()}"


@pytest.mark.parametrize("name", NODES)
def test_hostile_inputs(host: Server, known: dict, name: str) -> None:
    attack_host(host, spoilt_inputs(known, name))


def test_torn_workflows(host: Server) -> None:
    attack_host(host, spoilt_workflows(small))


def small(name: str) -> Graph:
    return api_graph(name, size=48, steps=1, style_size=48)


def test_odd_pictures(host: Server, known: dict) -> None:
    attack_host(host, odd_pictures(known))


@pytest.mark.parametrize("name", NODES)
def test_every_choice(host: Server, known: dict, name: str) -> None:
    attack_host(host, every_choice(known, name))


def test_every_method_on_unusual_pictures(host: Server, known: dict) -> None:
    attack_host(host, every_method_on_unusual_pictures(known))


def test_odd_files(host: Server, known: dict) -> None:
    attack_host(host, odd_files(known, host.base / "input"))


def test_what_is_no_graph_at_all(host: Server) -> None:
    for body in ({}, [], {"prompt": None}, {"prompt": []}, {"prompt": "x"}, {"prompt": {}}, {"prompt": {"1": 5}}):
        with pytest.raises(Refused):
            host.post("/prompt", body)
    assert host.get("/system_stats")


def test_there_were_enough(host: Server) -> None:
    """After the tests above: run alone, this says nothing."""
    assert not posted or len(posted) >= 300


def test_files_that_only_look_like_styles(host: Server) -> None:
    """Among those that the canvas lists at every page load."""
    output, fifos = host.base / "output", []
    output.mkdir(exist_ok=True)
    (output / "folder.safetensors").mkdir()
    (output / "empty.safetensors").touch()
    (output / "endless.safetensors").write_bytes(b"\xff" * 8 + b'{"__metadata__":{"nst":' + b"[" * 100_000)
    (output / "loop.safetensors").symlink_to("loop.safetensors")
    (output / "nowhere.safetensors").symlink_to("/proc/self/mem")
    if hasattr(os, "mkfifo"):
        fifos = [output / "fifo.safetensors", host.base / "input" / "fifo.safetensors"]
        for fifo in fifos:
            os.mkfifo(fifo)
    try:
        begun = time.monotonic()
        host.get("/object_info/LoadStyleGrams")
        assert time.monotonic() - begun < 10
        names = [f"{path.name} [output]" for path in output.glob("*.safetensors")] + ["fifo.safetensors"]
        base = {"save": {"class_type": "SaveStyleGrams", "inputs": {"style_grams": ["1", 0], "filename_prefix": "x"}}}
        load = ({"class_type": "LoadStyleGrams", "inputs": {"style": name, "weight": 1.0}} for name in names)
        attack_host(host, [(f"load {n['inputs']['style']}", {"1": n, **base}) for n in load])
    finally:
        for fifo in fifos:
            with open(os.open(fifo, os.O_RDWR | os.O_NONBLOCK), "wb"):  # lets go whoever waits for a writer
                fifo.unlink()


# --- through nst run ----------------------------------------------------------------------------------------------


@pytest.fixture
def folders(furnished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to be in, in one of its own, with the inputs beside."""
    work = tmp_path / "around" / "work"
    work.mkdir(parents=True)
    shutil.copytree(furnished, work / "in")
    monkeypatch.chdir(work)
    yield work


def attack_nst_run(work: Path, capsys: pytest.CaptureFixture, graphs: Iterable[tuple[str, Graph]]) -> None:
    before, problems = escaped(), {}
    for name, graph in graphs:
        (work / "graph.json").write_text(as_json(for_nst_run(graph)), encoding="utf-8")
        problems[name] = problem_of_nst_run(capsys)
    outside = {p for p in work.parent.rglob("*") if p.relative_to(work.parent).parts[:2] not in _MEANT}
    report(problems, outside | (escaped() - before))


def problem_of_nst_run(capsys: pytest.CaptureFixture) -> str | None:
    try:
        status = cli.main(["run", "graph.json", "--input", "in", "--output", "out", "--quiet"])
    except Exception as error:
        return f"raised {type(error).__name__}: {str(error)[:300]}"
    said = capsys.readouterr().err
    if status not in (0, 1) or (status == 1 and not said.startswith("nst: ")) or "Traceback" in said:
        return f"status {status}: {said[:500]}"
    if status == 1 and (wrong := re.search(r"' object |NoneType|positional argument|dtype=torch", said)):
        return f"Python's own words {wrong[0]!r}: {said[:500]}"
    return None


_MEANT = {("work",), ("work", "in"), ("work", "out"), ("work", "graph.json")}


@pytest.mark.parametrize("name", NODES)
def test_hostile_inputs_through_nst_run(folders: Path, capsys, known: dict, name: str) -> None:
    attack_nst_run(folders, capsys, spoilt_inputs(known, name))


def test_torn_workflows_through_nst_run(folders: Path, capsys) -> None:
    attack_nst_run(folders, capsys, spoilt_workflows(small))


def test_odd_files_through_nst_run(folders: Path, capsys, known: dict) -> None:
    attack_nst_run(folders, capsys, odd_files(known, folders / "in"))


def test_deep_json_through_nst_run(folders: Path, capsys) -> None:
    for text in ("[" * 100_000, '{"a":' * 100_000, "1" * 10_000, "", "\0", '{"1": {"class_type": "\\ud800"}}'):
        (folders / "graph.json").write_text(text, encoding="utf-8")
        assert cli.main(["run", "graph.json"]) == 1
        assert capsys.readouterr().err.startswith("nst: ")
    (folders / "graph.json").write_bytes(b"\xff\xfe\x00{")
    assert cli.main(["run", "graph.json"]) == 1
    assert json.dumps(capsys.readouterr().err)
