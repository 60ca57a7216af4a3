"""`nst batch`: lists of jobs, what is made of them, and what is left after whatever happens."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import clouds

from nst_engine import NSTError
from nst_engine.cli import commands as cli
from nst_engine.cli import one_picture
from nst_engine.cli.arguments import parser
from nst_engine.cli.batch import worker
from nst_engine.cli.batch.jobs import Job, named, parsed, rows_of, words
from nst_engine.cli.batch.output import working_folder
from nst_engine.cli.batch.tables import read_table
from nst_engine.pictures.files import read_picture, read_settings, write_picture

ROOT = Path(__file__).resolve().parents[3]
QUICK = ("--steps", 1, "--size", 48, "--precision", "fp32", "--quiet")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("photos/below", "styles"):
        (tmp_path / name).mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.jpg", "below/a.png")):
        write_picture(tmp_path / "photos" / name, clouds(i, 48, 64))
    for i, name in enumerate(("one", "two")):
        write_picture(tmp_path / "styles" / f"{name}.png", clouds(10 + i, 48, 48))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def batch(*arguments: object, code: int = 0) -> dict[str, dict[str, Any]]:
    """The report's lines by output."""
    assert cli.main(["batch", *map(str, (*QUICK, *arguments)), "-o", "out"]) == code
    lines = [json.loads(line) for line in Path("out/report.jsonl").read_text(encoding="utf-8").splitlines()]
    return {Path(line["output"]).relative_to("out").as_posix(): line for line in lines}


def statuses(report: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: line["status"] for name, line in report.items()}


def files(name: str = "out") -> set[str]:
    return {path.relative_to(name).as_posix() for path in Path(name).rglob("*") if path.is_file()}


def refusal(capsys, *arguments: object) -> str:
    assert cli.main(["batch", *map(str, arguments), "-o", "out", *map(str, QUICK)]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("nst: ") and "Traceback" not in said.err
    assert not Path("out").exists()
    return said.err


# --- what is made -------------------------------------------------------------------------------------------------


def test_every_content_meets_every_style_and_what_is_broken_stops_nothing(folder, capsys):
    photos = folder / "photos"
    for name in ("broken.png", ".hidden.png"):
        (photos / name).write_bytes(b"no picture")
    (photos / "aa-empty.png").touch()
    (photos / "aa-half.png").write_bytes((photos / "a.png").read_bytes()[:2000])
    report = batch("photos", "--styles", "styles", code=1)
    made = {f"{content}-{style}.png" for content in ("a", "b", "below/a") for style in ("one", "two")}
    assert {name for name, line in report.items() if line["status"] == "made"} == made
    assert files() == {*made, "report.jsonl"}
    broken = report["broken-one.png"]
    assert broken["status"] == "failed" and "no picture of a known kind" in broken["error"]
    assert report["a-one.png"]["loss"] > 0 and report["a-one.png"]["seconds"] > 0
    said = capsys.readouterr()
    assert {Path(line).relative_to("out").as_posix() for line in said.out.split()} == made
    assert len(said.err.splitlines()) == 6 and "photos/broken.png with styles/two.png" in said.err
    assert {"aa-empty-one.png", "aa-half-two.png"} < {name for name, line in report.items() if line["error"]}

    assert cli.main(["stylize", "photos/b.jpg", "styles/two.png", "-o", "alone.png", *map(str, QUICK)]) == 0
    assert torch.equal(read_picture("alone.png").pixels, read_picture("out/b-two.png").pixels)


def test_what_is_there_of_the_same_files_and_options_is_left_alone(folder):
    first = batch("photos", "--styles", "styles/one.png")
    assert set(statuses(first).values()) == {"made"}
    again = batch("photos", "--styles", "styles/one.png", "--device", "cpu")  # where it is made does not matter
    assert set(statuses(again).values()) == {"kept"}
    assert again["a-one.png"]["loss"] == first["a-one.png"]["loss"]
    write_picture("photos/a.png", clouds(7, 48, 64))
    Path("out/b-one.png").write_bytes(Path("out/b-one.png").read_bytes()[:100])
    assert statuses(batch("photos", "--styles", "styles/one.png")) == {
        "a-one.png": "made",
        "b-one.png": "made",
        "below/a-one.png": "kept",
    }
    assert set(statuses(batch("photos", "--styles", "styles/one.png", "--style-weight", 2)).values()) == {"made"}
    write_picture("styles/one.png", clouds(8, 48, 48))
    assert set(statuses(batch("photos", "--styles", "styles/one.png", "--style-weight", 2)).values()) == {"made"}


def test_network_and_styles_are_loaded_once(folder, monkeypatch):
    calls: list[str] = []
    for module, name in ((one_picture, "load_vgg"), (one_picture, "compute_style_grams"), (worker, "read_picture")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, _r=real, _n=name, **k: (calls.append(_n), _r(*a, **k))[1])
    batch("photos", "--styles", "styles")
    assert sorted(calls) == ["compute_style_grams"] * 2 + ["load_vgg"] + ["read_picture"] * 2


def test_the_next_is_read_and_the_last_written_while_one_is_made(folder, monkeypatch):
    began = {name: threading.Event() for name in ("read b", "make b")}
    met: list[bool] = []

    def slowed(name: str, waits: dict[str, str]) -> None:
        real = getattr(worker.Worker, name)

        def step(self, what, *rest):
            here = f"{name} {Path(getattr(what, 'job', what).content).stem}"
            if here in began:
                began[here].set()
            if here in waits:
                met.append(began[waits[here]].wait(60))
            return real(self, what, *rest)

        monkeypatch.setattr(worker.Worker, name, step)

    slowed("read", {})
    slowed("make", {"make a": "read b"})
    slowed("write", {"write a": "make b"})
    batch("photos/a.png", "photos/b.jpg", "--styles", "styles/one.png")
    assert met == [True, True]


def test_a_result_is_made_again_like_any_other(folder):
    batch("photos/a.png", "--styles", "styles", "--combine", "blend", "--style-weights", 3, 1)
    made = Path("out/a-one+two.png")
    settings = read_settings(made)
    assert settings and [style["weight"] for style in settings["styles"]] == [3, 1]
    assert cli.main(["again", str(made), "--from", ".", "-o", "again.png", "--quiet"]) == 0
    assert torch.equal(read_picture("again.png").pixels, read_picture(made).pixels)


def test_statistics_at_ever_new_sizes_do_not_pile_up(folder, monkeypatch):
    monkeypatch.setattr(worker, "STATISTICS", 7)
    for side in range(40, 52, 2):
        write_picture(f"photos/below/{side}.png", clouds(side, side, side))
    kept = []
    trim = worker.Worker._trim
    monkeypatch.setattr(worker.Worker, "_trim", lambda self, g: (trim(self, g), kept.append(len(g.styles[0].memo)))[0])
    batch("photos/below", "--styles", "styles/one.png", "--size", 0)
    assert len(kept) == 7 and max(kept) <= 7


# --- lists --------------------------------------------------------------------------------------------------------


def test_a_table_has_options_for_every_row(folder):
    Path("jobs.csv").write_text(
        "content,style,steps,keep-colours,style-weights,out\n"
        "photos/a.png,styles/one.png,0,,,first.jpg\n"
        'photos/b.jpg,,2,lab=0.5,"1",\n',
        encoding="utf-8",
    )
    report = batch("jobs.csv", "--styles", "styles/two.png")
    assert set(report) == {"first.jpg", "b-two.png"} and set(statuses(report).values()) == {"made"}
    first, second = read_settings("out/first.jpg"), read_settings("out/b-two.png")
    assert first and second and (first["steps"], second["steps"]) == (0, 2)
    assert (second["keep_colours"], second["keep_colours_strength"]) == ("lab", 0.5)

    rows = [
        {"content": "photos/a.png", "style": ["styles/one.png", "styles/two.png"], "style_weights": [1, 2]},
        {"content": "photos/a.png", "style": "styles/one.png", "seamless": True, "out": "below/seamless"},
    ]
    Path("jobs.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert set(batch("jobs.jsonl")) == {"a-one+two.png", "below/seamless.png"}
    settings = read_settings("out/below/seamless.png")
    assert settings and settings["seamless"] is True


def jobs_of(*arguments: object) -> list[Job]:
    args = parser().parse_args(["batch", *map(str, arguments), "-o", "out"])
    return named(rows_of(args, read_table), args.name, Path(args.out))


def test_patterns_pairs_and_names(folder):
    pairs = jobs_of("photos/*.???", "--styles", "styles", "--combine", "pairs", "--name", "{number}-{steps}-{file}.jpg")
    assert [(job.content, job.styles, Path(job.out).name) for job in pairs] == [
        ("photos/a.png", ("styles/one.png",), "1-recipe-a.png.jpg"),
        ("photos/b.jpg", ("styles/two.png",), "2-recipe-b.jpg.jpg"),
    ]
    # What was written below a folder that is searched is not searched.
    Path("photos/done").mkdir()
    write_picture("photos/done/a-one.png", clouds(1, 48, 48))
    args = parser().parse_args(["batch", "photos", "--styles", "styles/one.png", "-o", "photos/done"])
    assert len(rows_of(args, read_table)) == 3
    # A name that an option could be taken for.
    write_picture("-a.png", clouds(1, 48, 48))
    (job,) = jobs_of("*a.png", "--styles", "styles/one.png")
    assert job.content == "./-a.png" and parser().parse_args(job.argv()).content == "./-a.png"


def test_options_come_out_as_they_went_in():
    given = (
        *("--steps=3", "--optimizer=lbfgs", "--lr=0.5", "--shift=-1.0", "--tile=off", "--keep-colours=lab=0.5"),
        *("--seamless", "--no-normalise-gradients", "--style-weights", "1.0", "2.0", "--regions", "-", "a b.png"),
        *("--models=here", "--models=there", "--large", "--bits=16", "--start=-odd.png"),
    )
    assert parsed(words(parsed(given))) == parsed(given)
    assert words(parsed(words(parsed(given)))) == words(parsed(given))
    assert words(parsed(())) == ()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["empty", "--styles", "styles"], "no picture lies in the folder empty"),
        (["photos/*.gif", "--styles", "styles"], "no file goes by the pattern 'photos/*.gif'"),
        (["photos"], "--styles: none is given"),
        (["photos", "--styles", "styles", "--combine", "pairs"], "pairs of 3 contents and 2 styles"),
        (["photos", "--styles", "styles", "--name", "{content}"], "would both be out/a.png"),
        (["photos", "--styles", "styles", "--name", "{contend}"], "{contend} is not known; there are content, style"),
        (["photos", "--styles", "styles", "--name", "{content"], "is no pattern"),
        (["photos", "--styles", "styles", "--name", "../{content}-{style}{folder}"], "it leads out"),
        (["photos", "--styles", "styles", "--steps", "many"], "argument --steps: invalid number value: 'many'"),
        (["none.csv"], "none.csv: the table cannot be read (No such file"),
        (["unknown.csv"], "unknown.csv, row 2: the column 'stepz' is not known; there are content, style"),
        (["value.csv"], "value.csv, row 3: argument --steps: invalid number value: 'x'"),
        (["nostyle.csv"], "nostyle.csv, row 2: no style"),
        (["cells.csv"], "cells.csv, row 2: it has more cells"),
        (["bad.jsonl"], "bad.jsonl, line 2: this is no JSON"),
        (["list.jsonl"], "list.jsonl, line 1: a row is an object"),
        (["out.csv"], "out.csv, row 2: '../a.png' does not name a file"),
        (["rows.csv"], "rows.csv: the table has no rows"),
        (["photos", "--styles", "styles", "--time-limit", "0"], "--time-limit: 0 will not do; give more than 0"),
        (["photos", "--styles", "styles", "--time-limit", "nan"], "--time-limit: nan will not do"),
        (["photos", "--styles", "styles", "--actors", "2"], "--actors: this is for --ray, which is not given"),
        (["photos", "--styles", "styles", "--ray", "--cpus-per-actor", "-1"], "--cpus-per-actor: -1 will not do"),
        (["photos", "--styles", "styles", "--ray", "--gpus-per-actor", "-1"], "--gpus-per-actor: -1 will not do"),
        (["photos", "--styles", "styles", "--ray", "--devices", "cpu"], "--devices and --ray: only one of them"),
    ],
)
def test_lists_that_cannot_be_used_are_refused_before_anything_is_done(folder, capsys, arguments, told):
    Path("empty").mkdir()
    pair = "photos/a.png,styles/one.png"
    for name, text in {
        "unknown.csv": f"content,style,stepz\n{pair},1",
        "value.csv": f"content,style,steps\n{pair},1\n{pair},x",
        "nostyle.csv": "content\nphotos/a.png",
        "cells.csv": f"content,style\n{pair},1",
        "bad.jsonl": '{"content": "photos/a.png", "style": "styles/one.png"}\n{',
        "list.jsonl": "[1]",
        "out.csv": f"content,style,out\n{pair},../a.png",
        "rows.csv": "content,style\n",
    }.items():
        Path(name).write_text(text, encoding="utf-8")
    assert told in refusal(capsys, *arguments)


def test_no_picture_that_is_read_is_written_over(folder, capsys):
    write_picture("a-one.png", clouds(1, 48, 48))
    options = ["--styles", "styles/one.png", "--quiet"]
    assert cli.main(["batch", "photos/a.png", "a-one.png", *options, "-o", "."]) == 1
    assert "a-one.png is to be read, and would be lost" in capsys.readouterr().err
    assert cli.main(["batch", "photos", *options, "-o", "photos"]) == 1
    assert "photos is also the folder of the results" in capsys.readouterr().err
    assert cli.main(["batch", "photos/a.png", *options, "-o", "out", "--report", "photos/a.png"]) == 1
    assert "--report: photos/a.png is one of the pictures" in capsys.readouterr().err
    assert read_picture("photos/a.png").pixels.shape[-1] == 64


def test_a_dry_run_says_what_would_be_done_and_does_nothing(folder, capsys):
    batch("photos/b.jpg", "--styles", "styles/one.png")
    before = files()
    capsys.readouterr()
    arguments = ["batch", "photos", "none.png", "--styles", "styles/one.png", "-o", "out", *map(str, QUICK)]
    assert cli.main([*arguments, "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "to make: photos/a.png with styles/one.png -> out/a-one.png, 48×36 in 1 step" in said.out
    assert "there already: photos/b.jpg" in said.out and "will fail: none.png" in said.out
    assert "2 pictures to make, 1 there already, 1 will fail" in said.err and "about 0 s" in said.err
    assert files() == before


# --- ends ---------------------------------------------------------------------------------------------------------


def test_fail_fast_and_a_time_limit(folder, capsys):
    (folder / "photos" / "a.png").write_bytes(b"no picture")
    report = batch("photos", "--styles", "styles", "--fail-fast", code=1)
    assert "failed" in statuses(report).values() and len(report) < 6
    report = batch("photos/b.jpg", "--styles", "styles/one.png", "--steps", 100000, "--time-limit", 0.5, code=1)
    assert "--time-limit: it was not done after 0.5 seconds" in report["b-one.png"]["error"]
    assert not Path("out/b-one.png").exists()


def start(*arguments: object, limit: int | None = None) -> subprocess.Popen[str]:
    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if limit is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-m", "nst_engine", "batch", *map(str, arguments), "-o", "out"],
        preexec_fn=prepare,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


posix = pytest.mark.skipif(os.name == "nt", reason="sends signals")


@posix
def test_a_full_disk_ends_all_and_leaves_nothing_half(folder):
    process = start("photos", "--styles", "styles", *QUICK[:-1], limit=3000)  # the report fits, a picture does not
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1 and "the others would fail likewise" in said and "Traceback" not in said
    assert files() == {"report.jsonl"}


# In a world of its own, where anybody may mount: a disk of 24 kB, which then grows.
SMALL_DISK = """
mkdir out && mount -t tmpfs -o size=24k none out || exit 77
"$@"; echo "ended with $?, and left" $(ls -A out)
mount -o remount,size=1m out
"$@"; echo "ended with $?, and left" $(ls -A out)
"""


@pytest.mark.parametrize("way", [(), ("--devices", "cpu,cpu")], ids=["loop", "devices"])
@pytest.mark.skipif(shutil.which("unshare") is None, reason="mounts a small disk, as only Linux lets anybody")
def test_a_disk_that_is_full_ends_all_and_goes_on_when_there_is_room(folder, way):
    alone = ["unshare", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, "sh"]
    command = [sys.executable, "-m", "nst_engine", "batch", "photos", "--styles", "styles", "-o", "out", *QUICK, *way]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*alone, *map(str, command)], env=environment, capture_output=True, text=True, timeout=300)
    if done.returncode in (1, 77):
        pytest.skip(f"no disk may be mounted here: {done.stderr}")
    first, then = (line for line in done.stdout.splitlines() if line.startswith("ended"))
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr
    names = [f"{name}-{style}.png" for name in "ab" for style in ("one", "two")]
    assert first.startswith("ended with 1") and set(first.split()[5:]) < {*names, "below", "report.jsonl"}
    assert then.startswith("ended with 0") and set(then.split()[5:]) == {*names, "below", "report.jsonl"}


@posix
def test_ctrl_c_ends_it(folder):
    process = start("photos", "--styles", "styles", "--steps", 100000, "--size", 48)
    assert process.stderr
    for line in process.stderr:
        if "1 of 100000" in line or " of 100000" in line:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "6 not done" in said and "Traceback" not in said
    assert files() == {"report.jsonl"}


def whole(names: set[str]) -> bool:
    """Every picture decodes to its last row."""
    return all(read_picture(Path("out", name)).pixels.isfinite().all() for name in names if name != "report.jsonl")


@posix
def test_killed_at_any_moment_it_goes_on_where_it_was(folder):
    for i in range(12):
        write_picture(f"photos/{i}.png", clouds(i, 40, 40))
    command = ("photos", "--styles", "styles/one.png", "--steps", 2, "--size", 32)
    drawn = random.Random(0)
    seen: dict[str, int] = {}
    for _ in range(3):
        process = start(*command)
        assert process.stdout and process.stdout.readline()  # it has begun; torch alone takes seconds
        time.sleep(drawn.uniform(0, 0.8))
        process.kill()
        process.communicate()
        there = {name: Path("out", name).stat().st_ino for name in files() if not name.startswith(".nst-batch-")}
        pictures = {name: inode for name, inode in there.items() if name.endswith(".png")}
        assert whole(set(pictures)) and seen.items() <= pictures.items()  # none is made a second time
        seen = pictures
    process = start(*command)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert files() == {
        *(f"{i}-one.png" for i in range(12)),
        "a-one.png",
        "b-one.png",
        "below/a-one.png",
        "report.jsonl",
    }
    assert all(Path("out", name).stat().st_ino == inode for name, inode in seen.items())
    assert {path.name for path in Path("out").iterdir() if path.is_dir()} == {"below"}


@posix
def test_a_run_leaves_the_folder_of_another_that_lives(folder):
    with working_folder(Path("out")) as one:
        with working_folder(Path("out")) as other:
            assert one.is_dir() and other.is_dir()
        assert one.is_dir() and not other.exists()
    assert not list(Path("out").iterdir())


# --- several devices ----------------------------------------------------------------------------------------------


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            command = (stat.parent / "cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            continue
        if parent == pid and b"spawn_main" in command:
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_process_of_a_device_that_dies_loses_nothing(folder):
    for i in range(10):
        write_picture(f"photos/{i}.png", clouds(i, 40, 40))
    process = start("photos", "--styles", "styles/one.png", "--steps", 3, "--size", 32, "--devices", "cpu,cpu")
    assert process.stdout and process.stdout.readline()
    os.kill(random.Random(1).choice(children(process.pid)), signal.SIGKILL)
    _, said = process.communicate(timeout=180)
    assert process.returncode == 0, said
    made = {*(f"{i}-one.png" for i in range(10)), "a-one.png", "b-one.png", "below/a-one.png"}
    assert files() == {*made, "report.jsonl"} and whole(files())
    lines = [json.loads(line) for line in Path("out/report.jsonl").read_text().splitlines()]
    assert sorted(line["output"] for line in lines) == sorted(f"out/{name}" for name in made)


def test_one_device_that_cannot_be_used_leaves_the_work_to_the_others(folder):
    process = start("photos", "--styles", "styles/one.png", *QUICK[:-1], "--devices", "cpu,cuda:99")
    _, said = process.communicate(timeout=180)
    assert process.returncode == 0 and "--devices: 'cuda:99' cannot be used" in said
    assert files() == {"a-one.png", "b-one.png", "below/a-one.png", "report.jsonl"}


def test_fail_fast_ends_all_devices(folder):
    for i in range(20):
        write_picture(f"photos/{i}.png", clouds(i, 40, 40))
    (folder / "photos" / "0.png").write_bytes(b"no picture")  # comes first
    process = start("photos", "--styles", "styles/one.png", *QUICK[:-1], "--devices", "cpu,cpu", "--fail-fast")
    _, said = process.communicate(timeout=180)
    assert process.returncode == 1 and "not done (--fail-fast)" in said and "Traceback" not in said
    assert len(files()) < 20


def test_devices_that_cannot_be_used_are_refused(folder):
    process = start("photos", "--styles", "styles", "--devices", "nonsense")
    _, said = process.communicate(timeout=180)
    assert process.returncode == 1 and "Traceback" not in said
    assert "--devices: 'nonsense' cannot be used" in said and "nobody is left" in said
    assert files() == {"report.jsonl"}


def test_a_worker_tells_errors_in_words():
    assert worker.in_words(NSTError("size: 3 is too small")) == "--size: 3 is too small"
    assert "out of memory" in worker.in_words(MemoryError())
