"""Flow by RAFT: with weights of no worth, but through the real model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pictures import clouds

import nst_engine as nst
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


def test_what_holds_no_such_weights_is_said(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    for name in ("text.pth", "other.pth", "nowhere.pth"):
        with pytest.raises(nst.NSTError, match=f"flow: .*{name} does not hold weights"):
            raft_flow(tmp_path / name, CPU)
