"""The package that the registry gives out: what is left of the pack is enough for ComfyUI."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from comfyui_found import ROOT, find_comfyui, find_interpreter
from live_comfyui import PACK, Server, api_graph, find, furnish
from test_nodes_on_host import NODES

# What may speak to a network, a process or the machine, with its reason in docs/for-reviewers.md.
EXPLAINED = {
    "nst_engine/network/download.py",
    "nst_engine/network/cpu/loops.py",
    "nst_engine/run/cuda_graphs.py",
    "nst_engine/system/safe_files.py",
    "nodes/host.py",
}


def packaged() -> list[str]:
    """Files that comfy-cli would pack: those that git tracks, but for what .comfyignore names."""

    def listed(*options: str) -> set[str]:
        command = ["git", "-c", "core.quotePath=off", "ls-files", "-z", *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            pytest.skip("this is no checkout, so git lists no files")
        return set(done.stdout.split("\0")) - {""}

    return sorted(listed() - listed("--cached", "--ignored", "--exclude-from=.comfyignore"))


def unpack(folder: Path) -> None:
    for name in packaged():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def test_the_package_runs_in_an_empty_comfyui(tmp_path: Path) -> None:
    comfyui = find_comfyui()
    if comfyui is None:
        pytest.skip("no ComfyUI")
    unpack(tmp_path / "unpacked")
    furnish(tmp_path / "base", find_interpreter(comfyui), pack=tmp_path / "unpacked")
    server = Server(comfyui, find_interpreter(comfyui), tmp_path / "base")
    try:
        server.wait_until_ready()
        ours = [i for i, shown in server.get("/object_info").items() if shown["python_module"].endswith(PACK)]
        assert sorted(ours) == sorted(NODES)
        assert "Start here" in server.get("/workflow_templates")[PACK]
        assert "Paint in a Style" in [entry["name"] for entry in server.get("/global_subgraphs").values()]
        graph = api_graph("save-style", size=64, steps=2)
        (picture,) = server.run(graph).pictures(find(graph, "SaveImage"))
        assert max(picture.size) == 64
    finally:
        server.end()


def test_what_reaches_beyond_the_pack_is_explained() -> None:
    word = re.compile(
        r"^\s*(import|from) (urllib|http|aiohttp|requests|socket|subprocess|ctypes)\b|os\.(environ|system)\b"
        r"|\b(eval|exec|fetch|WebSocket)\(|\.(connect|bind|send)\(",
        re.MULTILINE,
    )
    found = {
        name
        for name in packaged()
        if name.endswith((".py", ".js")) and word.search((ROOT / name).read_text(encoding="utf-8"))
    }
    page = (ROOT / "docs" / "for-reviewers.md").read_text(encoding="utf-8")
    assert found == EXPLAINED
    assert all(f"`{name}`" in page for name in EXPLAINED)


def test_the_package_has_no_command_line_and_no_tests() -> None:
    names = packaged()
    assert "__init__.py" in names and "nodes/web/docs/NeuralStyleTransfer.md" in names
    assert not [name for name in names if re.match(r"(tests|tools|bench|docs|nst_engine/cli|nodes/headless)/", name)]
    assert sum((ROOT / name).stat().st_size for name in names if (ROOT / name).is_file()) < 8e6
