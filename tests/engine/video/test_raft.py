"""Flow by RAFT: with weights of no worth, but through the real model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pictures import clouds

import nst_engine as nst
from nst_engine.pictures.images import resize
from nst_engine.video.raft import raft_flow

optical_flow = pytest.importorskip("torchvision.models.optical_flow", reason="torchvision is not installed")
CPU = torch.device("cpu")


def test_it_is_torchvisions_model_in_pixels_of_the_frame(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = optical_flow.raft_small(weights=None).eval()
    torch.save(model.state_dict(), tmp_path / "raft.pth")
    flow = raft_flow(tmp_path / "raft.pth", CPU)
    a, b = clouds(1, 128, 136), clouds(2, 128, 136)
    with torch.no_grad():
        expected = model(2 * a - 1, 2 * b - 1)[-1]
    assert torch.allclose(flow(a, b), expected, atol=1e-4)
    assert flow(a[..., :61, :90], b[..., :61, :90]).shape == (1, 2, 61, 90)


def test_where_memory_is_short_it_looks_at_smaller_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(optical_flow.raft_small(weights=None).state_dict(), tmp_path / "raft.pth")
    flow = raft_flow(tmp_path / "raft.pth", CPU)
    a, b = clouds(1, 256, 320), clouds(2, 256, 320)
    halves = flow(*(resize(x, (128, 160)) for x in (a, b)))
    pairs = (128 * 160 // 64) ** 2
    monkeypatch.setattr("nst_engine.video.raft.free_memory", lambda _: 2 * 12 * pairs)
    found = flow(a, b)
    assert found.shape == (1, 2, 256, 320)
    assert torch.allclose(found, 2 * F.interpolate(halves, size=(256, 320), mode="bilinear"), atol=1e-3)


def test_what_holds_no_such_weights_is_said(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    for name in ("text.pth", "other.pth", "nowhere.pth"):
        with pytest.raises(nst.NSTError, match=f"flow: .*{name} does not hold weights"):
            raft_flow(tmp_path / name, CPU)
