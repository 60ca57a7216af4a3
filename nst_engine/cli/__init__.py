"""`nst`, the command line: one command for one picture, for a texture, for a clip and for many pictures (`batch`).
Alone here things are printed. `arguments` has what can be asked, `commands` does it."""

from .commands import main

__all__ = ["main"]
