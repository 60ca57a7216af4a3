"""`nst batch --server`, over ComfyUI hosts that run, and one that dies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from batches import start_batch, whole
from live_comfyui import Server, api_graph, find, furnish
from pictures import clouds

from nst_engine.cli import commands as cli
from nst_engine.pictures.files import read_picture, read_settings, write_picture

PICTURES = 8


@pytest.fixture
def second(server, tmp_path_factory):
    base = tmp_path_factory.mktemp("second")
    furnish(base, server.process.args[0])
    started = Server(Path(server.comfyui), server.process.args[0], base)
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.end()


def test_a_host_makes_what_the_command_line_makes(server, folder_of_photos):
    mask = torch.zeros(1, 3, 48, 64)
    mask[..., :32] = 1
    write_picture("left.png", mask)
    alpha = torch.linspace(0, 1, 64).expand(1, 1, 48, 64)
    write_picture("photos/alpha.tif", clouds(11, 48, 64), alpha=alpha, bits=16)
    options = ["--steps", "3", "--precision", "fp32", "--device", "cpu", "--style-layers", "relu1_1=1, relu2_1=2"]
    options += ["--regions", "left.png", "--style-size", "40", "--keep-colours", "lab=0.5", "--shift", "-1", "--quiet"]
    for name in ("0.png", "alpha.tif"):
        there = [word for word in options if word not in ("--device", "cpu")]
        common = ["batch", f"photos/{name}", "--styles", "style.png"]
        assert cli.main([*common, "-o", "there", *there, "--server", server.url]) == 0
        assert cli.main([*common, "-o", "here", *options]) == 0
        result = f"{Path(name).stem}-style.png"
        there_made, here_made = read_picture(f"there/{result}"), read_picture(f"here/{result}")
        # A host gives and takes eight bits, and Adam makes whole steps of the smallest differences.
        assert (there_made.pixels - here_made.pixels).abs().mean() < 1 / 255
        assert (there_made.alpha is None) == (here_made.alpha is None) == (name == "0.png")
    settings = read_settings("there/0-style.png")
    assert settings and settings["device"] == server.url and settings["argv"][0] == "stylize"
    assert (
        cli.main(["batch", "photos/0.png", "--styles", "style.png", "-o", "there", *there, "--server", server.url]) == 0
    )
    line = json.loads(Path("there/report.jsonl").read_text())
    assert line["status"] == "kept"


def test_a_host_that_dies_gives_its_pictures_to_the_others(server, second, folder_of_photos):
    (folder_of_photos / "photos" / "broken.png").write_bytes(b"no picture")
    command = ("photos", "--styles", "style.png", "--steps", 30, "--size", 64)
    process = start_batch(*command, "--server", server.url, second.url)
    assert process.stdout and process.stdout.readline()
    second.process.kill()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 1 and "cannot be reached or broke off" in said and "photos/broken.png" in said
    made = {f"{i}-style.png" for i in range(PICTURES)}
    assert {path.name for path in Path("out").iterdir()} == {*made, "report.jsonl"}
    assert whole(made)


def test_a_picture_that_takes_a_host_too_long_is_given_up(server, folder_of_photos):
    command = ["batch", "photos/0.png", "photos/1.png", "--styles", "style.png", "-o", "out", "--size", "64", "--quiet"]
    limit = ["--time-limit", "2", "--server", server.url]
    assert cli.main([*command, "--steps", "100000", *limit]) == 1
    lines = [json.loads(line) for line in Path("out/report.jsonl").read_text().splitlines()]
    assert [line["error"] for line in lines] == ["--time-limit: it was not done after 2 seconds."] * 2
    assert not server.get("/queue")["queue_running"]


def test_hosts_that_are_not_there_are_said(folder_of_photos, capsys):
    command = ["batch", "photos", "--styles", "style.png", "-o", "out", "--quiet", "--server"]
    assert cli.main([*command, "http://127.0.0.1:1"]) == 1
    said = capsys.readouterr().err
    assert "http://127.0.0.1:1 cannot be reached" in said and "nobody is left" in said
    assert cli.main([*command, "http://127.0.0.1:1", "--ray"]) == 1
    assert "--server and --ray: only one" in capsys.readouterr().err


def test_a_workflow_runs_through_a_folder_by_comfyuis_own_node(server):
    """No node of ours is needed for it."""
    if "LoadImageDataSetFromFolder" not in server.get("/object_info"):
        pytest.skip("this ComfyUI has no node that loads a folder")
    (server.base / "input" / "album").mkdir()
    for i in range(3):
        write_picture(server.base / "input" / "album" / f"{i}.png", clouds(i, 32, 40 + 8 * i))
    graph = api_graph("folder", size=0, steps=1)
    graph[find(graph, "LoadImageDataSetFromFolder")]["inputs"]["folder"] = "album"
    made = server.run(graph).pictures(find(graph, "SaveImage"))
    assert sorted(one.size for one in made) == [(40, 32), (48, 32), (56, 32)]
