"""Workflows in API form without ComfyUI's pages: `graph` reads and checks them, `runner` runs them in this process with
`stand_ins` for the host's nodes and the `folders` they use, `server_client` has a running ComfyUI do it, and
`graph_of_options` writes the workflow that does what `nst stylize` does."""

from .folders import Folders
from .runner import run_embedded
from .stand_ins import CreateVideo, stand_ins

__all__ = ["CreateVideo", "Folders", "run_embedded", "stand_ins"]
