"""What `nst batch` makes: every pair once, what is there kept, networks and styles shared; what is broken told."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from batch_runs import QUICK, batch, files, statuses
from pictures import clouds

from nst_engine import NSTError
from nst_engine.cli import commands as cli
from nst_engine.cli import one_picture
from nst_engine.cli.batch import report as report_module
from nst_engine.cli.batch import worker
from nst_engine.cli.batch.jobs import Job
from nst_engine.cli.batch.outcome import KEPT, MADE, Outcome
from nst_engine.cli.batch.report import Console, Report, Tally
from nst_engine.pictures.files import read_picture, read_settings, write_picture


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
    measured, measure = [], one_picture.measure_style
    monkeypatch.setattr(one_picture, "measure_style", lambda *a: measured.append(measure(*a)) or measured[-1])
    batch("photos/below", "--styles", "styles/one.png", "--size", 0)
    (grams,) = measured
    assert 0 < len(grams.styles[0].memo) <= 7


def test_a_worker_tells_errors_in_words():
    assert worker.in_words(NSTError("size: 3 is too small")) == "--size: 3 is too small"
    assert "out of memory" in worker.in_words(MemoryError())


def test_a_report_replaces_no_file_of_another_kind(folder, capsys):
    table = folder / "table.csv"
    table.write_text("content,style\nphotos/a.png,styles/one.png\n", encoding="utf-8")
    asked = table.read_bytes()
    for report in (table, folder / "styles" / "one.png", folder / "deep.jsonl"):
        (folder / "deep.jsonl").write_text("[" * 100_000, encoding="utf-8")
        before = report.read_bytes()
        assert cli.main(["batch", "table.csv", *map(str, QUICK), "-o", "out", "--report", str(report)]) == 1
        assert f"--report: {report} is" in capsys.readouterr().err
        assert report.read_bytes() == before
    batch("table.csv")
    batch("table.csv")  # its own report it does replace
    assert table.read_bytes() == asked


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_nobody_waits_for_who_reads_a_pipe(folder, capsys):
    os.mkfifo("pipe.jsonl")
    assert cli.main(["batch", "photos", "--styles", "styles", "-o", "out", "--report", "pipe.jsonl"]) == 1
    assert "--report: pipe.jsonl is there and is no report" in capsys.readouterr().err


def test_lines_of_two_reports_in_one_file_stay_whole(folder):
    job = Job("photos/a.png", ("styles/one.png",), "out/a.png", ())
    with Report(Path("both.jsonl"), [job]) as one, Report(Path("both.jsonl"), [job]) as other:
        for report in (one, other, one, other):
            report.add(Outcome(job, MADE, 1.0, 0.5))
    lines = [json.loads(line) for line in Path("both.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 4 and all(line["output"] == "out/a.png" for line in lines)


def test_what_is_left_alone_says_nothing_of_the_time_left(folder, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(report_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    jobs = [Job(f"{i}.png", ("style.png",), f"out/{i}.png", ()) for i in range(10)]
    with Report(Path("report.jsonl"), jobs) as report:
        tally = Tally(10, report, Console(id, id, lambda *_: None), began=0.0)
        for job in jobs[:4]:
            now[0] += 1000
            tally.add(Outcome(job, KEPT))
        assert tally.left() == ""
        now[0] += 7
        tally.add(Outcome(jobs[4], MADE, seconds=7.0))
        assert tally.left() == "35 s left"
        now[0] += 3
        tally.add(Outcome(jobs[5], MADE))
        assert tally.left() == "12 s left"  # the first one has waited for all to start


def test_a_report_is_of_the_last_run(folder):
    assert len(batch("photos", "--styles", "styles/one.png")) == 3
    assert list(batch("photos/a.png", "--styles", "styles/two.png")) == ["a-two.png"]
    kept = batch("photos", "--styles", "styles/one.png", "--report", "all.jsonl")
    assert list(kept) == ["a-two.png"]  # what another file is named for stays as it was
    lines = [json.loads(line) for line in Path("all.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["status"] for line in lines] == ["kept"] * 3 and all(line["seconds"] > 0 for line in lines)


def test_a_report_names_files_whose_names_are_no_text(tmp_path):
    job = Job(os.fsdecode(b"\xff.png"), ("style.png",), "out.png", ())
    with Report(tmp_path / "report.jsonl", [job]) as found:
        found.add(Outcome(job, MADE))
    assert json.loads((tmp_path / "report.jsonl").read_text(encoding="utf-8"))["content"] == job.content
