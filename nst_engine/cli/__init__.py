"""`nst`, the command line: one command for one picture, for a texture, for a clip and for many pictures (`batch`).
`arguments` has what can be asked, `commands` does it, and `terminal` alone in the engine prints."""

from .commands import main

__all__ = ["main"]
