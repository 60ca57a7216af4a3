"""The lists of `nst batch`: tables, patterns, names and options; what cannot be used, and what a dry run says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from batch_runs import QUICK, batch, files, statuses
from pictures import clouds

from nst_engine.cli import commands as cli
from nst_engine.cli.arguments import parser
from nst_engine.cli.batch.jobs import Job, named, parsed, rows_of, words
from nst_engine.cli.batch.tables import read_table
from nst_engine.pictures.files import read_picture, read_settings, write_picture


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
