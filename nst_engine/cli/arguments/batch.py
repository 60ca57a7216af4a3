"""The options of `nst batch`."""

from __future__ import annotations

import argparse

from .groups import recipe_option
from .picture import stylize_options
from .types import cluster, host, whole
from .video import codec_options, coherence_options

COMBINATIONS = ("every", "pairs", "blend")
DEFAULT_NAME = "{folder}/{content}-{style}"


def batch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes every CONTENT in every STYLE to FOLDER, with the network and the styles kept loaded. What is there "
        "already, made of the same files with the same options, is left alone: after an interruption, give the same "
        "command again. CONTENT stands before the options, some of which take all words that follow."
    )
    parser.add_argument(
        "contents",
        metavar="CONTENT",
        nargs="+",
        help="a picture or a clip, a folder (with those below it), a pattern such as 'photos/*.jpg', or a table (.csv, "
        ".jsonl) with the columns content, style, out, and any option of nst stylize or nst video",
    )
    add = parser.add_argument
    add("--styles", metavar="STYLE", nargs="+", default=[], help="pictures, folders, patterns, saved styles")
    add("-o", "--out", metavar="FOLDER", required=True, help="is made if it is not there")
    recipe_option(parser)
    _list_group(parser)
    _work_group(parser)
    stylize_options(parser, saves_style=False)
    group = parser.add_argument_group(
        "of CONTENTs that are clips, a shot at a time",
        "As for nst video, which alone has --from, --to, --every, --fps, --flow, --restart, and 10 --bits.",
    )
    coherence_options(group)
    codec_options(group)


def _list_group(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("the list of pictures").add_argument
    add(
        "--combine",
        choices=COMBINATIONS,
        default="every",
        help="every CONTENT with every STYLE; pairs: the first with the first, and so on; blend: all STYLEs in one",
    )
    add(
        "--name",
        default=DEFAULT_NAME,
        metavar="PATTERN",
        help="of the pictures in FOLDER, ending in .png if not in another format's; {content} and {style} are names "
        "without endings, {file} is CONTENT's with it, {folder} the one below that of CONTENT, {number} counts, and "
        "options go by their names, such as {steps}; default: %(default)s",
    )
    add(
        "--dry-run",
        action="store_true",
        help="only say what would be done, and about how long it would take; exit status 1 if something will fail",
    )
    add(
        "--report",
        metavar="FILE",
        help="JSON lines, one for each picture of the list; every run writes it anew; default: report.jsonl in FOLDER",
    )


def _work_group(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("how the work is done").add_argument
    add("--fail-fast", action="store_true", help="end at the first picture that fails; otherwise the others go on")
    add("--time-limit", type=float, metavar="SECONDS", help="for one picture, which then fails")
    add("--devices", metavar="LIST", help="several devices of this machine, a process each, such as cuda:0,cuda:1")
    add(
        "--server",
        metavar="URL",
        type=host,
        nargs="+",
        help="running ComfyUI hosts with this pack, such as http://127.0.0.1:8188, which share out the pictures",
    )
    add = parser.add_argument_group("on a cluster (Ray)").add_argument
    add(
        "--ray",
        type=cluster,
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="of a running cluster; without: workers on this machine. CONTENT stands before it",
    )
    add("--actors", type=whole(1), metavar="N", help="default: as many as there are GPUs, or cores for")
    add("--gpus-per-actor", type=float, metavar="X", help="default: 1 where the cluster has any")
    add("--cpus-per-actor", type=float, metavar="X", help="default: 1 beside a GPU, otherwise up to 4")
    add("--return-pictures", action="store_true", help="for workers that see CONTENTs and STYLEs, but not FOLDER")
