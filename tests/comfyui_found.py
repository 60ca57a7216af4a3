"""Where ComfyUI, its Python, its front end and a browser are on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FRONT_END = "1.58.1"  # the newest tried; a host's own may be older
NODES_2_SINCE = (1, 37)  # front ends before have one renderer
# Where tests run: the newest host with the newest front end, and what `--hosts others` adds.
NEWEST = "newest"
OTHERS = ("newest-own-front-end", "oldest")


def find_hosts() -> list[Path]:
    """Every ComfyUI there is, the newest first."""
    if given := os.environ.get("COMFYUI_PATH"):
        folders = [Path(folder).expanduser() for folder in given.split(os.pathsep) if folder]
        for folder in folders:
            if not (folder / "main.py").is_file():
                pytest.fail(f"COMFYUI_PATH names {str(folder)!r}, but there is no main.py in that folder")
    else:
        # A pack that is installed as users install it lies in ComfyUI/custom_nodes/<pack>.
        home = Path.home()
        folders = [home / "comfy" / "ComfyUI", home / "comfy-oldest" / "ComfyUI", ROOT.parent.parent]
        folders = [f for f in folders if (f / "main.py").is_file() and (f / "folder_paths.py").is_file()]
    return sorted(dict.fromkeys(folder.resolve() for folder in folders), key=version_of, reverse=True)


def version_of(comfyui: Path) -> tuple[int, ...]:
    file = comfyui / "comfyui_version.py"
    said = re.search(r'__version__ = "([\d.]+)"', file.read_text(encoding="utf-8")) if file.is_file() else None
    return tuple(map(int, said[1].split("."))) if said else (0,)


def find_comfyui(which: str = NEWEST) -> Path | None:
    hosts = find_hosts()
    if which == "oldest":
        return hosts[-1] if len(hosts) > 1 else None
    return hosts[0] if hosts else None


def find_chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


# With these it needs no screen, and asks nobody for anything.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def newest_front_end() -> Path | None:
    """The folder of FRONT_END, installed once into a folder of its own; None where it is not to be had."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nst-tests"
    folder = cache / f"comfyui-frontend-{FRONT_END}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as part:
            package = f"comfyui-frontend-package=={FRONT_END}"
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", part, package]
            if subprocess.run(command, capture_output=True).returncode:
                return None
            with contextlib.suppress(OSError):  # somebody else was first
                os.rename(part, folder)
            Path(part).mkdir(exist_ok=True)  # for the context, which removes it
    return folder / "comfyui_frontend_package" / "static"


def find_interpreter(comfyui: Path) -> str:
    if given := os.environ.get("COMFYUI_PYTHON"):
        return given
    own = comfyui / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return str(own) if own.exists() else sys.executable


def package_folder(interpreter: str, package: str) -> Path | None:
    """Where an interpreter has a package, which is looked for and not imported."""
    code = f"import importlib.util as u; s = u.find_spec({package!r}); print(s.origin if s else '')"
    found = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, env=environment())
    origin = found.stdout.strip()
    return Path(origin).parent if origin else None


def environment() -> dict[str, str]:
    # The host gets no modules through the variables of whoever runs the tests.
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
