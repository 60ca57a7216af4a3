"""Graphs, settings and command lines that nobody means: every one ends in a sentence."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image, PngImagePlugin

from nst_engine.cli import commands as cli
from nst_engine.pictures.files import read_settings

ROOT = Path(__file__).resolve().parents[2]
DEEP = 100_000
NOT_UTF8 = os.fsdecode(b"\xff\xfe.png")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for name in ("content.png", "style.png"):
        Image.effect_noise((64, 48), 50).convert("RGB").save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def copying(**changes: object) -> dict:
    load = {"class_type": "LoadImage", "inputs": {"image": "content.png"}}
    save = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "copy"}}
    return {"1": {**load, **changes}, "2": save}


def said(capsys, *arguments: object) -> str:
    """What is said to a command that is refused."""
    assert cli.main([*map(str, arguments)]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("nst: ")
    assert all(line.isprintable() for line in captured.err.split("\n"))
    return captured.err


def refusal(capsys, graph: object) -> str:
    Path("graph.json").write_text(graph if isinstance(graph, str) else json.dumps(graph))
    return said(capsys, "run", "graph.json")


@pytest.mark.parametrize("deep", ["[" * DEEP, '{"a":' * DEEP, "[" * 500 + "]" * 500])
def test_json_nested_beyond_reason(capsys, deep):
    assert "nested too deep" in refusal(capsys, deep)
    Path("graph.json").write_text(json.dumps(copying()))
    assert "does not name a file" in said(capsys, "run", "graph.json", "--set", f"1.image={deep[:1000]}")
    notes = PngImagePlugin.PngInfo()
    notes.add_text("nst", deep)
    Image.new("RGB", (8, 8)).save("settings.png", pnginfo=notes)
    assert read_settings("settings.png") is None
    assert "does not say how it was made" in said(capsys, "again", "settings.png")


@pytest.mark.parametrize(
    "notes", [[1], "title", 5, True, {"title": ["a"]}, {"title": {}}, {"title": "\x1b[2J" + "x" * 5000}]
)
def test_notes_that_are_no_table_are_no_matter(capsys, notes):
    said = refusal(capsys, copying(_meta=notes, inputs={}))
    assert "image: missing, and it is a required input" in said and len(said) < 1000


@pytest.mark.parametrize("name", [None, 5, 0, 1.5, True, False, {}, {"a": 1}])
def test_what_is_no_name_is_no_style(pack, capsys, name):
    style = {"class_type": "LoadStyleGrams", "inputs": {"style": name, "weight": 1.0}}
    save = {"class_type": "SaveImage", "inputs": {"images": ["1", 1], "filename_prefix": "copy"}}
    assert "style" in refusal(capsys, {"1": style, "2": save})
    with pytest.raises(pack.nst_engine.NSTError, match="takes one of its choices by name"):
        pack.NODE_CLASS_MAPPINGS["LoadStyleGrams"]().load(name, 1.0)


@pytest.mark.parametrize(
    "graph",
    [
        copying(inputs={"image": "\ud800.png"}),
        copying(class_type="\udcff"),
        {
            **copying(),
            "\ud800": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "\udfff"}},
        },
    ],
)
def test_halves_of_characters_in_a_graph_are_refused(capsys, graph):
    assert "lone surrogates" in refusal(capsys, graph)


def test_values_of_any_length_are_told_in_short(capsys):
    long = "\x1b]0;title\x07" + "x" * 100_000
    for graph in (copying(class_type=long), copying(inputs={"image": [long, 0]}), copying(inputs={"image": long})):
        assert len(refusal(capsys, graph)) < 5000


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_not_utf8_are_read_and_printed_to_the_byte(folder):
    os.rename("content.png", NOT_UTF8)
    made = "made " + NOT_UTF8
    command = ["stylize", NOT_UTF8, "style.png", "-o", made, "--steps", "0", "--size", "32", "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "PYTHONUTF8": "0"}
    for coding in ("utf-8:strict", "ascii:strict"):
        done = subprocess.run(
            [sys.executable, "-m", "nst_engine", *command],
            capture_output=True,
            env={**environment, "PYTHONIOENCODING": coding},
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout == os.fsencode(made) + b"\n"
    gone = subprocess.run([sys.executable, "-m", "nst_engine", "again", NOT_UTF8], capture_output=True, env=environment)
    assert gone.returncode == 1 and b"does not say how it was made" in gone.stderr


@pytest.mark.parametrize("arguments", [["--models", "x" * 5000], ["--start", "x" * 5000], ["-o", "x" * 5000 + ".png"]])
def test_names_that_no_file_system_has(capsys, arguments):
    assert len(said(capsys, "stylize", "content.png", "style.png", "-o", "out.png", *arguments)) < 5000


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--tv-weight", "1e308"], "--tv-weight: 1e+308 is not a multiplier"),
        (["--style-weight", "1e308"], "--style-weight: 1e+308"),
        (["--device", "meta"], "device: 'meta' cannot be used"),
    ],
)
def test_numbers_and_devices_that_torch_chokes_on(capsys, arguments, told):
    command = [
        "stylize",
        "content.png",
        "style.png",
        "-o",
        "out.png",
        "--size",
        32,
        "--steps",
        1,
        "--precision",
        "fp32",
    ]
    assert told in said(capsys, *command, *arguments)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="nothing tells when torch is being imported")
@pytest.mark.parametrize("ignored", [False, True])
def test_ctrl_c_while_torch_is_imported(ignored):
    def prepare():
        signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)

    process = subprocess.Popen(
        [sys.executable, "-m", "nst_engine", "--version"],
        preexec_fn=prepare,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    maps = Path(f"/proc/{process.pid}/maps")
    while process.poll() is None and "libtorch" not in maps.read_text():
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, told = process.communicate(timeout=60)
    if ignored:  # as a shell does for what it starts in the background
        assert (process.returncode, out, told) == (0, f"nst {cli.__version__}\n", "")
    else:
        assert (process.returncode, out, told) == (130, "", "nst: interrupted\n")


def test_importing_the_engine_leaves_ctrl_c_to_its_host():
    usual = "signal.default_int_handler"  # which a program started in the background does not have
    code = f"import signal; signal.signal(signal.SIGINT, {usual}); import nst_engine; "
    code += f"assert signal.getsignal(signal.SIGINT) is {usual}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


# --- whatever comes -----------------------------------------------------------------------------------------------

NASTY = [
    *[None, True, 0, -1, 1e308, float("inf"), float("nan"), 10**400, 2**63, "", ".", "..", "../x", "\x00", "\x1b[2J"],
    *["x" * 3000, "\ud800", "CON", [], [1], ["1", 0], ["1", True], ["1", 99], [None, 0], [["1", 0], 0], {}, {"a": 1}],
    *[{"__value__": ["1", 0]}, {"__value__": None}, "nan", "1e400", "auto", "johnson", "/etc/passwd", "~", " [output]"],
]


def spots(value: object) -> list[tuple]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *[(key, *rest) for key, inner in entries for rest in spots(inner)]]


def spoiled(graph: dict, draw: random.Random) -> dict:
    for _ in range(draw.randint(1, 3)):
        *way, last = draw.choice([spot for spot in spots(graph) if spot])
        inner = graph
        for key in way:
            inner = inner[key]
        how = draw.random()
        if how < 0.7:
            inner[last] = draw.choice(NASTY)
        elif isinstance(inner, dict):
            value = inner.pop(last)
            if how < 0.85:
                inner[str(draw.choice(NASTY))] = value
    return graph


def small(graph: dict) -> dict:
    sizes = {"steps": 1, "size": 48, "width": 48, "height": 48, "frames": 2}
    for node in graph.values():
        node["inputs"] |= {name: value for name, value in sizes.items() if name in node["inputs"]}
    return graph


def test_spoiled_graphs_end_in_a_picture_or_a_sentence(capfd):
    draw = random.Random(7)
    graphs = [small(json.loads(path.read_text())) for path in sorted((ROOT / "workflows" / "api").glob("*.json"))]
    graphs = [graph for graph in graphs if len(graph) < 9]
    codes = []
    with torch.inference_mode(False):
        for _ in range(150):
            Path("graph.json").write_text(json.dumps(spoiled(json.loads(json.dumps(draw.choice(graphs))), draw)))
            codes.append(cli.main(["run", "graph.json", "--quiet"]))
    assert set(codes) <= {0, 1} and codes.count(1) > 100


OPTIONS = [
    *[
        "--recipe",
        "--steps",
        "--optimizer",
        "--lr",
        "--tv-weight",
        "--statistic",
        "--shift",
        "--start",
        "--style-layers",
    ],
    *["--style-size", "--style-weights", "--save-style", "--style-masks", "--weights", "--device", "--tile", "--seed"],
    *[
        "--bits",
        "--models",
        "--content-weight",
        "--strength",
        "--regions",
        "--protect",
        "--keep-colours",
        "--size",
        "-o",
    ],
]
WORDS = [
    *[
        "0",
        "1",
        "-1",
        "0.5",
        "1e308",
        "inf",
        "nan",
        "9" * 30,
        "",
        "-",
        "=",
        "\udcff",
        "\ud800",
        "\x1b[2J",
        "content.png",
    ],
    *[
        "gone",
        "/",
        "~",
        "..",
        "auto",
        "lab=0.5",
        "lab=",
        "relu1_1=nan",
        "conv9_9",
        "cuda:99",
        "mps",
        "x" * 300,
        "x" * 5000,
    ],
]


def test_random_command_lines_end_in_a_picture_or_a_sentence(capfd):
    draw = random.Random(7)
    stylize = ["stylize", "content.png", "style.png", "-o", "out.png", "--steps", "1", "--size", "32"]
    codes = []
    for _ in range(150):
        words = [word for _ in range(draw.randint(1, 2)) for word in (draw.choice(OPTIONS), draw.choice(WORDS))]
        command = [*stylize, *words]
        if draw.random() < 0.2:
            command[draw.randrange(len(command))] = draw.choice(WORDS)
        with contextlib.suppress(SystemExit):
            codes.append(cli.main([*command, "--quiet"]))
    assert set(codes) <= {0, 1} and codes.count(1) > 100
