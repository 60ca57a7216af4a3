"""What can be seen to be wrong with jobs before anything is computed."""

from __future__ import annotations

import argparse
import copy
import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import NSTError
from ...network.weights_location import TORCHVISION, locate
from ...pictures.files import picture_shape
from ...styles.saved import SUFFIX
from ...system.devices import usable_device
from ...video.source import CLIPS
from .. import one_picture
from ..inputs import files_of, paths_of
from .hosts import check_for_hosts
from .jobs import Job, is_clip, parsed
from .worker import in_words


@dataclass(frozen=True)
class Way:
    """Who does the work, as far as that decides what can be done."""

    no_clips: str = ""  # why there can be none
    hosts: bool = False
    here: bool = True  # on this machine
    device: bool = True  # by the one that the options name


def faults_of(jobs: Sequence[Job], way: Way) -> dict[str, str]:
    """Why results cannot be made, by their names."""
    of_picture = functools.lru_cache(4096)(_fault_of_picture)
    of_options = functools.lru_cache(1024)(functools.partial(_fault_of_options, way, of_picture))
    faults = {}
    for job in jobs:
        why = of_options(job.styles, job.options, job.command)
        why = why or _fault_of_file(job.content)
        if is_clip(job.content):
            why = way.no_clips or why
        if why:
            faults[job.out] = why
    return faults


def _fault_of_options(
    way: Way, of_picture: Callable[[str], str], styles: tuple[str, ...], options: tuple[str, ...], command: str
) -> str:
    """Of all but the content."""
    args = copy.copy(parsed(options, command))
    args.content, args.styles = None, list(styles)
    try:
        one_picture.style_weights(args)
        one_picture.layers_of(args)
        paths_of(args)
        _check_machine(way, args)
    except NSTError as error:
        return in_words(error)
    for name, file in files_of(args).items():
        option = name.partition(".")[0]
        if option in ("content", "weights"):
            continue
        if (option, command) == ("protect", "video") and os.path.isdir(file):  # a mask for each frame
            continue
        why = _fault_of_file(file) or ("" if file.lower().endswith((SUFFIX, *CLIPS)) else of_picture(file))
        if why:
            return why if option == "styles" else f"--{option.replace('_', '-')}: {why}"
    return ""


def _check_machine(way: Way, args: argparse.Namespace) -> None:
    if way.hosts:
        check_for_hosts(args)
    if way.here and args.weights not in TORCHVISION:  # which may be downloaded
        locate(args.weights, list(map(Path, args.models)))
    if way.device:
        usable_device(args.device)


def _fault_of_file(file: str) -> str:
    if os.path.isfile(file):
        return ""
    found = "this is a folder" if os.path.isdir(file) else "this is no file" if os.path.exists(file) else "no such file"
    return f"{file}: {found}."


def _fault_of_picture(file: str) -> str:
    """By its beginning."""
    try:
        picture_shape(file)
    except NSTError as error:
        return in_words(error)
    return ""
