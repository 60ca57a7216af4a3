"""The lists of `nst batch`: tables, patterns, names and options; what cannot be used, and what a dry run says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from batch_runs import QUICK, batch, files, statuses
from nst_process import ROOT
from pictures import clouds

from nst_engine.cli import commands as cli
from nst_engine.cli.arguments import parser
from nst_engine.cli.batch import worker
from nst_engine.cli.batch.jobs import Job, named, parsed, rows_of, words
from nst_engine.cli.batch.tables import read_table
from nst_engine.pictures.files import read_picture, read_settings, write_picture
from nst_engine.video.source import CLIPS


def refusal(capsys, *arguments: object) -> str:
    assert cli.main(["batch", *map(str, arguments), "-o", "out", *map(str, QUICK)]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("nst: ") and "Traceback" not in said.err
    assert not Path("out").exists()
    return said.err


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
        (["photos/a.png", "photos", "--styles", "styles"], "photos/a.png with styles/one.png is in the list twice; "),
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
        (["photos", "--styles", "styles", "--devices", "cpu,nosuch"], "--devices: 'nosuch' cannot be used"),
        (["photos", "--styles", "styles", "--device", "nosuch"], "--device: 'nosuch' cannot be used"),
        (["photos", "--styles", "styles", "--server", "notaurl"], "--server: 'notaurl' is not a web address"),
        (
            ["photos", "--styles", "styles", "--bits", "16", "--server", "http://127.0.0.1:1"],
            "--bits: a host sends 8 bits",
        ),
        (["empty", "--styles", "styles", "--server", "http://127.0.0.1:1"], "no picture lies in the folder empty"),
        (["photos", "--styles", "styles", "none.png"], "--styles: none.png: no such file"),
        (["photos", "--styles", "styles", "--protect", "none.png"], "--protect: none.png: no such file"),
        (["photos", "--styles", "styles", "--protect", "rows.csv"], "--protect: rows.csv: no picture of a known kind"),
        (["photos", "--styles", "styles", "--start", "none.png"], "--start: none.png: no such file"),
        (["photos", "--styles", "styles", "--weights", "none.pth"], "--weights: no file 'none.pth'"),
        (["photos", "--styles", "styles", "--regions", "a.png", "b.png"], "--regions: 2 for 1 styles"),
        (["photos", "--styles", "styles", "--style-weights", "1", "2"], "--style-weights: 2 for 1 styles"),
        (["photos", "--styles", "styles", "--style-layers", "relu9_9"], "--style-layers: "),
        (
            ["--styles", "styles", "--ray", "photos/a.png"],
            "'photos/a.png' is no address of a cluster, such as HOST:6379; if it",
        ),
        (["--styles", "styles", "--ray", "photos/*.png"], "write it before --ray, as in nst batch photos/*.png --ray"),
        (["--styles", "styles", "--server", "http://one:1", "photos"], "'photos' is no address of a host"),
        (["twice.csv"], "twice.csv, row 1: the column 'steps' is there twice"),
        (["twice.jsonl"], "twice.jsonl, line 1: the column 'steps' is there twice"),
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
        "twice.csv": f"content,style,steps,steps\n{pair},1,2",
        "twice.jsonl": '{"content": "photos/a.png", "steps": 1, "--steps": 2}',
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
    arguments = [
        "batch",
        "photos",
        "none.png",
        "--styles",
        "styles/one.png",
        "-o",
        "out",
        *map(str, QUICK),
        "--dry-run",
    ]
    assert cli.main(arguments) == 1  # one cannot be made
    said = capsys.readouterr()
    assert "to make: photos/a.png with styles/one.png -> out/a-one.png, 48×36 in 1 step" in said.out
    assert "there already: photos/b.jpg" in said.out and "will fail: none.png" in said.out
    assert "2 pictures to make, 1 there already, 1 will fail" in said.err and "about 0 s" in said.err
    assert files() == before
    assert (
        cli.main([*arguments, "--steps", "0", "--statistic", "sliced"]) == 1
    )  # nothing to be computed, nothing to be tried
    assert "about" not in capsys.readouterr().err
    arguments.remove("none.png")
    assert cli.main([*arguments, "--statistic", "nearest", "--style-layers", "relu1_1", "--optimizer", "lbfgs"]) == 0
    assert "about 0 s" in capsys.readouterr().err


def test_what_a_row_says_counts_and_the_command_is_for_the_others(folder):
    Path("jobs.csv").write_text(
        "content,style,out,steps,style-weights,large,seamless,models\n"
        "photos/a.png,styles/one.png,own,2,3,no,no,there\n"
        "photos/a.png,,,,,,,\n",
        encoding="utf-8",
    )
    options = ("--steps", 5, "--style-weights", 7, "--large", "--seamless", "--models", "here")
    own, usual = jobs_of("jobs.csv", "--styles", "styles/two.png", "--name", "{content}", *options)
    assert (own.styles, own.out, usual.styles, usual.out) == (
        *(("styles/one.png",), "out/own.png"),
        *(("styles/two.png",), "out/a.png"),
    )
    named_here, named_there = own.args(), usual.args()
    assert (named_here.steps, named_there.steps) == (2, 5)
    assert (named_here.style_weights, named_there.style_weights) == ([3.0], [7.0])
    assert (named_here.large, named_there.large) == (False, True)
    assert (named_here.seamless, named_there.seamless) == (False, True)
    assert (named_here.models, named_there.models) == (["there"], ["here"])


def test_what_is_missing_is_said_before_anything_is_computed(folder, capsys, monkeypatch):
    seen: list[str] = []
    make = worker.Worker.make
    monkeypatch.setattr(
        worker.Worker, "make", lambda self, ready: (seen.append(capsys.readouterr().err), make(self, ready))[1]
    )
    Path("jobs.csv").write_text(
        "content,style,protect\n"
        "photos/b.jpg,styles/two.png,\n"
        "photos/a.png,styles/one.png,\n"
        "photos/a.png,styles/two.png,no-mask.png\n"
        "photos/none.png,styles/two.png,\n"
        "photos,styles/two.png,\n",
        encoding="utf-8",
    )
    report = batch("jobs.csv", code=1)
    assert {name: line["error"] for name, line in report.items()} == {
        "a-two.png": "--protect: no-mask.png: no such file.",
        "none-two.png": "photos/none.png: no such file.",
        "photos-two.png": "photos: this is a folder.",
        "b-two.png": None,
        "a-one.png": None,
    }
    assert len(seen) == 2 and len(seen[0].splitlines()) == 3 and "no-mask.png" in seen[0]
    seen.clear()
    report = batch("jobs.csv", "--fail-fast", "--seed", 1, code=1)
    assert not seen and sorted(statuses(report).values()) == ["failed", *["not done"] * 4]


def test_every_kind_of_clip_that_is_read_is_found_in_a_folder(folder):
    for ending in (".TS", ".m2ts", ".3gp", ".avi", ".wmv"):
        Path("photos", f"film{ending[1:]}{ending}").touch()
    jobs = jobs_of("photos", "--styles", "styles/one.png")
    assert sorted(Path(job.out).name for job in jobs if job.command == "video") == [
        *("film3gp-one.mp4", "filmTS-one.mp4", "filmavi-one.mp4", "filmm2ts-one.mp4", "filmwmv-one.mp4"),
    ]
    told = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
    assert all(re.search(rf"[` \n]\{ending}[` \n]", told) for ending in CLIPS)
