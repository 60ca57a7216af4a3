"""What the text of an option is read as."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
from collections.abc import Callable
from fractions import Fraction

from ...options import STROKES, check_keep_colours


def whole(low: int, high: int = 2**63) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not between {low} and {high}")
        return value

    return number


def colours(text: str) -> tuple[str, float]:
    method, _, strength = text.partition("=")
    try:
        value = float(strength or 1)
        check_keep_colours(method, value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from error
    return method, value


def strokes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if value != 0 and not STROKES[0] <= value <= STROKES[1]:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or between {STROKES[0]:g} and {STROKES[1]:g}")
    return value


def fraction(text: str) -> Fraction:
    """With an exponent a few characters would be a number that fills the memory."""
    if "e" in text.lower():
        raise ValueError(f"{text!r} has an exponent")
    return Fraction(text)


def time(text: str) -> Fraction:
    """75, 1:15 or 0:01:15.5."""
    total = Fraction(0)
    try:
        for part in text.split(":"):
            total = total * 60 + fraction(part)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; give seconds, or such as 1:15") from None
    if total < 0:
        raise argparse.ArgumentTypeError(f"{text} lies before the beginning")
    return total


def rate(text: str) -> Fraction:
    with contextlib.suppress(ValueError, ZeroDivisionError):
        if 0 < (rate := fraction(text)) <= 1000:
            return rate
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames a second; give such as 24 or 30000/1001")


def tile(text: str) -> int | str | None:
    if text in ("auto", "off"):
        return None if text == "off" else text
    try:
        return whole(1)(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not auto, off or a number of pixels") from None


def cluster(text: str) -> str:
    """The word after --ray is taken for an address, and may be meant for something else."""
    if os.path.exists(text) or not (text in ("", "auto", "local") or re.search(r"://|:\d+$", text)):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no address of a cluster, such as HOST:6379; if it is a CONTENT, write it before --ray, as in "
            f"nst batch {text} --ray"
        )
    return text


def host(text: str) -> str:
    """All words after --server are taken for addresses, and may be meant for something else."""
    if os.path.exists(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no address of a host, such as http://127.0.0.1:8188; if it is a CONTENT, write it before "
            f"--server, as in nst batch {text} --server http://127.0.0.1:8188"
        )
    return text
