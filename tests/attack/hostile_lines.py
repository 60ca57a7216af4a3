"""Hostile command lines over the files of `hostile_files`, the same ones every time, and what an answer must be."""

from __future__ import annotations

import re

import hostile

LIMIT = 20  # seconds for one command line
S = "stylize content.png style.png --out out.png --steps 1 --size 48"  # a sound one, which the others spoil
V = "video attack.mkv style.png --out made.mkv --steps 1 --frame-steps 1 --size 48"
B = "batch content.png --styles style.png --out many --steps 1 --size 48 --style-size 48"
T = "texture style.png --width 48 --height 48 --out out.png --steps 1"

LINES = {
    "commands": [
        *("", "--help", "nonsense", "stylize", "stylize --help", "texture", "again", "run", "recipes", "recipes x"),
        *("--version", "stylize a b", "stylize content.png style.png", "-o", "\ud800", "x" * 100_000),
    ],
    "numbers": [
        *(f"{S} --size {n}" for n in ("-2", "nan", "inf", "1e9", "9" * 5000, "1", "0.5", "１２", "999999999")),
        *(f"{S} --steps {n}" for n in ("-1", "9" * 30, "", "x")),
        *(f"{S} --lr {n}" for n in ("nan", "inf", "-1", "0", "1e300", "1e-300", "9" * 400)),
        *(f"{S} --style-weight {n}" for n in ("nan", "inf", "-1", "0", "1e308")),
        *(f"{S} --content-weight {n}" for n in ("nan", "-inf", "1e308")),
        *(f"{S} --tv-weight {n}" for n in ("nan", "-1", "1e308")),
        *(f"{S} --strength {n}" for n in ("nan", "-0.1", "1e9")),
        *(f"{S} --averaging {n}" for n in ("nan", "1", "-0.5", "1e9")),
        *(f"{S} --shift {n}" for n in ("nan", "1e38", "-1e300")),
        *(f"{S} --start-mix {n}" for n in ("nan", "2", "-1")),
        *(f"{S} --protect-weight {n}" for n in ("nan", "0", "-1", "1e300")),
        *(f"{S} --scales {n}" for n in ("0", "99", "9" * 30)),
        *(f"{S} --seed {n}" for n in ("-1", str(2**64), "x")),
        *(f"{S} --tile {n}" for n in ("0", "-1", "1", "x", "9" * 40)),
        *(f"{S} --quality {n}" for n in ("0", "101", "x")),
        *(f"{S} --bits {n}" for n in ("7", "16", "x")),
        *(f"{S} --style-weights {n}" for n in ("nan", "0", "1 2", "-1")),
        *(f"{S} --style-size {n}" for n in ("1", "-1", "9" * 30)),
        *(f"{S} --keep-colours {n}" for n in ("lab=nan", "lab=1e9", "x", "lab=", "=1", "lab=-1")),
        *(f"{T} --width {n}" for n in ("0", "-1", "nan", "9" * 20, "1")),
    ],
    "names": [
        *(f"{S} --style-layers {n}" for n in ("relu9_9", "=", "relu1_1=nan", "relu1_1=1,relu1_1=1", "x" * 9999, "\0")),
        *(f"{S} --device {n}" for n in ("x", "cuda:99", "meta", "cpu:5", "\ud800", "xla")),
        *(f"{S} --weights {n}" for n in (
            "no.pth", "bad.pth", "small.pth", "folder", "fifo.pth", "text.png", "sound.safetensors",
        )),
        *(f"{S} --start {n}" for n in ("no.png", "folder", "fifo.png", "text.png", "odd-1x5000.png")),
        *(f"{S} --recipe {n}" for n in ("x", "__class__", "")),
    ],
    "pictures": [
        *(f"stylize {n} style.png --out out.png --steps 1 --size 48" for n in (
            "no.png", "folder", "fifo.png", "loop.png", "empty.png", "text.png", "flat.png", "vast.png", "wide.png",
            "bomb.png", "bomb-16.png", "notes-bomb.png", "frames.gif", "profile.png", "graph\0.png", "\udcff.png",
            "/dev/zero", "/dev/null", "/proc/self/mem", "sound.safetensors", "http://127.0.0.1:9/x.png", "~/x.png", "-",
            "content.png/x",
            *(f"cut-{p}-{n}" for p in (10, 50, 95) for n in ("content.png", "whole.jpg", "whole.webp", "whole.tif")),
            *(f"bent-{n}" for n in ("content.png", "whole.jpg", "whole.webp", "whole.tif")),
            *(f"odd-{n}.png" for n in ("1x1", "1x500", "500x1", "2x3", "7x7", "15x64", "1x5000", "transparent")),
        )),
    ],
    "styles": [
        *(f"stylize content.png {n}.safetensors --out out.png --steps 1 --size 48" for n in (
            "no-json", "deep", "list", "null", "empty-memo", "many", "no-styles", "styles-null", "styles-text",
            "version-text", "version-huge", "version-nan", "no-version", "weight-nan", "weight-huge", "weight-zero",
            "size-huge", "aspect-huge", "aspect-long", "aspect-thin", "memo-odd", "memo-huge", "memo-layer", "vgg-long",
            "endless", "long-head", "offsets", "empty", "random", "cut", "nan", "fifo", "sound", "nowhere",
        )),
    ],
    "masks": [
        *(f"{S} --protect {n}" for n in ("no.png", "fifo.png", "odd-1x1.png", "odd-1.png", "text.png")),
        *(f"{S} --regions {n}" for n in ("no.png", "- -", "odd-transparent.png", "folder")),
        *(f"{S} --style-masks {n}" for n in ("no.png", "odd-transparent.png", "odd-500x1.png", "bomb.png")),
    ],
    "again and run": [
        *(f"again again-{n}.png" for n in (
            "deep", "null", "argv-null", "argv-numbers", "argv-run", "argv-other", "argv-out", "argv-save",
            "argv-secret", "argv-many", "argv-huge", "argv-surrogate",
        )),
        *("again no.png", "again content.png", "again fifo.png", "again folder", "again notes-bomb.png"),
        *(f"run {n}.json --quiet" for n in (
            "sound", "outside", "home", "fifo", "reads-fifo", "bomb", "escape", "itself", "deep", "digits", "latin",
            "no",
        )),
        *("run folder", "run style.png", "run sound.json --output content.png", "run sound.json --output closed"),
        *(f"run sound.json --set {n}" for n in (
            "x", "=", "1.image", "1.image=", "9.x=1", "1.x=1", "1.image=[[", "\ud800.x=1",
        )),
        *(f"run sound.json --server {n}" for n in (
            "x", "http://", "http://127.0.0.1:9", "file:///etc/passwd", "http://[", "\ud800",
        )),
    ],
    "video": [
        *(f"video {n} style.png --out made.mkv --steps 1 --frame-steps 1 --size 48" for n in (
            "no.mkv", "folder", "fifo.mkv", "empty.mkv", "list.mkv", "list.m3u8", "cut-10.mkv", "cut-50.mkv",
            "cut-95.mkv", "bent.mkv", "text.png", "content.png", "torn", "mixed", "/dev/zero", "/proc/self/mem",
            "http://127.0.0.1:9/x.mkv", "concat:attack.mkv", "\udcff.mkv", "x\0.mkv", "attack.webp",
        )),
        *(f"video attack.mkv style.png --steps 0 --frame-steps 0 --out {n}" for n in (
            "made.xyz", "no/such/made.mkv", "attack.mkv", "fifo.mkv", "/dev/null", "closed/made.mkv", "folder.mkv/",
            "taken.mkv", "content.png", "x" * 300 + ".mkv", "\udcff.mkv", "torn",
        )),
        *(f"{V} --codec {n}" for n in ("x", "h264", "pcm_s16le", "gif", "\ud800", "x" * 9999)),
        *(f"{V} {n}" for n in (
            "--fps 0", "--fps 1/0", "--fps 1e9", "--from 9:9:9", "--from x", "--to 0", "--every 0", "--every 9999999",
            "--look-back 0", "--look-back 3 2", "--temporal-weight nan", "--temporal-weight 1e300", "--frame-steps -1",
            "--crf 99", "--flow bad.pth", "--flow fifo.pth", "--protect torn", "--protect fifo.mkv",
        )),
    ],
    "batch": [
        *(f"batch {n}.jsonl --out many --steps 1 --size 48 --style-size 48" for n in (
            "escape", "absolute", "home", "windows", "itself", "null-byte", "surrogate", "over", "reads", "lists",
            "object", "quotes", "columns", "saves", "size", "word", "dashes", "weights", "deep", "no",
        )),
        *(f"batch {n}.csv --out many --steps 1" for n in ("wide", "cell", "latin", "empty", "fifo")),
        *(f"{B} --name {n}" for n in (
            f"../{hostile.ESCAPE}", f"/tmp/{hostile.ESCAPE}", f"..\\{hostile.ESCAPE}", "{", "{0}", "{}", "..", "",
            "{content.__class__}", "{content!r}", "{number:{number.__class__}}", "{number:{x}}", "\ud800", "a\0b",
            "x" * 300, "{steps:>99999999999}",
        )),
        *(f"{B} {n}" for n in (
            "--time-limit nan", "--time-limit -1", "--devices x", "--devices cuda:99", "--server x", "--actors 2",
            "--server http://127.0.0.1:9", "--report folder", "--report /dev/full", "--combine x", "--quiet --dry-run",
        )),
        *("batch fifo.png --styles style.png --out many --steps 1", "batch no-* --styles style.png --out many"),
        *("batch . --styles style.png --out .", "batch folder --styles style.png --out many"),
        *(f"batch {n}.mkv --styles style.png --out many --steps 1 --size 48" for n in ("cut-50", "list", "fifo")),
        # With all that makes them small: some of these names can be written to by root.
        *(B.replace("--out many", f"--out {n}") for n in ("content.png", "closed/x", "/dev/null", "x\0")),
    ],
    "outputs": [
        # Last: they may take the place of a fifo.
        *(f"stylize content.png style.png --steps 0 --out {n}" for n in (
            "no/such/out.png", "out.xyz", "out", "", ".", "folder", "folder.png/", "closed/out.png", "/dev/null",
            "/dev/full", "/proc/x.png", "content.png", "fifo.png", "x" * 300 + ".png", "out\0.png", "\udcff.png",
            "loop.png",
        )),
        *(f"{S} --style-size 48 --save-style {n}" for n in (
            "no/such.safetensors", "x.png", "folder", "closed/x.safetensors", "/dev/null", "x" * 300 + ".safetensors",
            "fifo.safetensors", "style.png",
        )),
    ],
}  # fmt: skip


def words(line: str) -> list[str]:
    return line.split(" ") if line else []


def problem_with(status: int, said: str) -> str | None:
    """None when a command that ended like this answered as it should."""
    if status not in (0, 1, 2, 130):
        return f"status {status}"
    if "Traceback" in said:
        return f"a traceback: {said[-300:]}"
    if len(said) > 6000:
        return f"said {len(said)} characters: {said[:100]!r}"
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", said):
        return f"control codes: {said[:200]!r}"
    lines = said.splitlines()
    if status and not any(line.startswith("nst: ") for line in lines):
        return f"status {status} without a word of nst: {said[:200]!r}"
    if status and re.search(r"' object |NoneType|positional argument|\[Errno", said):
        return f"Python's own words: {said[:300]!r}"
    return None
