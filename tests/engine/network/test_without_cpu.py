"""`network/cpu/` makes the engine fast and nothing else: with the folder gone, it works the same, only slower."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.network import cpu, plain

ENGINE = Path(nst.__file__).parent

TRANSFER = """
import sys, torch
import nst_engine as nst
from nst_engine.network import fast, plain

assert fast.parallel_for is plain.parallel_for
assert not any(name.startswith("nst_engine.network.cpu") for name in sys.modules)
content, style = torch.load("pictures.pt")
vgg = nst.load_vgg("vgg19-caffe", precision="fp32", device="cpu")
torch.save(nst.stylize(vgg, content, nst.compute_style_grams(vgg, style), steps=4).image, "result.pt")
"""


def test_a_transfer_without_the_folder_gives_the_same_picture(vgg, tmp_path):
    shutil.copytree(ENGINE, tmp_path / "nst_engine", ignore=shutil.ignore_patterns("cpu", "__pycache__"))
    assert not (tmp_path / "nst_engine" / "network" / "cpu").exists()
    content, style = clouds(1, 96, 96), clouds(2, 80, 96)
    torch.save((content, style), tmp_path / "pictures.pt")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", TRANSFER], cwd=tmp_path, env=environment, check=True)
    found = torch.load(tmp_path / "result.pt")
    expected = nst.stylize(vgg, content, nst.compute_style_grams(vgg, style), steps=4).image
    # Adam's first step is a sign, so a pixel whose gradient is nearly nothing may go either way: how many do depends on
    # the processor's rounding. A fault goes everywhere, and as far as the steps do.
    assert (found - expected).abs().mean() < 1e-3 * (expected - content).abs().mean()


@pytest.mark.parametrize("name", cpu.__all__)
def test_both_offer_the_same(name):
    fast, slow = (inspect.signature(getattr(module, name)).parameters for module in (cpu, plain))
    assert fast == slow
