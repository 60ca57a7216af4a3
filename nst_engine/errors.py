"""The one exception that is meant for the user's eyes."""

from __future__ import annotations

from collections.abc import Mapping


class NSTError(ValueError):
    """Something the user gave cannot be used; the message names it, says what was given and what would do.

    The engine's begin with the names of its arguments: `name: …`, `name, other: …`, or `name of one of several: …`.
    """

    def called(self, names: Mapping[str, str]) -> NSTError:
        """The same where these arguments have other names."""
        lead, colon, text = str(self).partition(": ")
        given, of, whose = lead.partition(" of ")
        if not colon or not any(name in names for name in given.split(", ")):
            return self
        renamed = ", ".join(names.get(name, name) for name in given.split(", "))
        return NSTError(f"{renamed}{of}{whose}{colon}{text}")


class TooSmall(NSTError):
    """Nothing is left to see of a picture, a mask or a region at some size; at a larger one there may be."""


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def one_or(count: int) -> str:
    """How many will do where there may be one for all, or one for each."""
    return f"1 or {count}" if count > 1 else "1"
