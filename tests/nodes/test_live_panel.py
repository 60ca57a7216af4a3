"""What is said of a run, and what the panel is sent, without ComfyUI."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import torch
from node_calls import call, transfer


@pytest.fixture(scope="module")
def vgg(pack):
    return pack.nst_engine.load_vgg("vgg19-caffe", precision="fp32")


@pytest.fixture(scope="module")
def content() -> torch.Tensor:
    return torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def grams(pack, vgg):
    style = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return pack.nst_engine.compute_style_grams(vgg, style, size=64)


@pytest.fixture
def position(pack):
    nst = pack.nst_engine
    return lambda **more: nst.Position(
        **{"step": 15, "steps": 300, "level": 1, "levels": 4, "picture": 0, "pictures": 1, "shape": (341, 512), **more}
    )


def test_progress_in_words(pack, position):
    text = pack.nodes.progress_text
    assert text.at(position(), 240) == "Step 15 of 300 · level 2 of 4 · 512×341 · about 4 min left"
    assert text.at(position(levels=1, level=0)) == "Step 15 of 300 · 512×341"
    assert text.at(position(pictures=3)).startswith("Picture 1 of 3 · Step 15 of 300 · ")
    assert "Step 15 of 300 · tile 2 of 9 · level" in text.at(position(tile=2, tiles=9))
    assert text.done(384, 256, 100, 52) == "Done: 384×256, 100 steps, 52 s"
    assert text.where(position()) == "step 15 of 300, level 2 of 4, 512×341"
    assert text.where(position(pictures=3, picture=1)) == "picture 2 of 3, step 15 of 300, level 2 of 4, 512×341"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.01, "0.1 s"), (0.44, "0.4 s"), (52, "52 s"), (240, "4 min"), (3600, "1 h"), (4830, "1 h 20 min")],
)
def test_a_time_as_somebody_would_say_it(pack, seconds, said):
    assert pack.nodes.progress_text.duration(seconds) == said


def test_the_time_that_is_left_follows_the_latest_pace(pack):
    clock = pack.nodes.progress_text.Clock()
    assert clock.left(0.0, 0.0) is None
    for second in range(1, 41):  # slow first: 1 % a second, then 2
        left = clock.left(0.01 * min(second, 20) + 0.02 * max(0, second - 20), float(second))
    assert left == pytest.approx((1 - 0.6) / 0.02, rel=0.05)


def test_levels_count_by_their_pixels(pack, vgg, content, grams):
    nst = pack.nst_engine
    shares, shapes = [], []
    nst.stylize(
        vgg,
        content,
        grams,
        steps=6,
        scales=2,
        on_step=lambda progress: shares.append(progress.share) or shapes.append(progress.shape),
    )
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)
    height, width = content.shape[-2:]
    assert shapes[-1] == (height, width) and shapes[0][0] < height
    assert shares[0] < shares[-1] - shares[-2]  # a small step is less than a large one


@pytest.fixture
def watched(pack, monkeypatch):
    """As if a canvas looked on: what it is sent."""
    host, sent = pack.nodes.host, []
    monkeypatch.setattr(host, "running", lambda: host.Running("prompt", "12:7"))
    monkeypatch.setattr(host, "canvas", lambda: "client")
    monkeypatch.setattr(host, "prompt_server", lambda: SimpleNamespace(send_progress_text=lambda *_: None))
    monkeypatch.setattr(host, "tell_canvas", lambda event, data: sent.append(data))
    return sent


def test_what_is_not_a_number_is_left_out(pack):
    terms = SimpleNamespace(**{name: torch.tensor(float("nan")) for name in pack.nodes.live.TERMS})
    terms.total = torch.tensor(2.0)
    assert pack.nodes.live.points([(3, terms)]) == [[3, 2.0, None, None, None, None]]


def test_many_steps_at_once_are_thinned_and_the_last_is_kept(pack):
    live = pack.nodes.live
    terms = SimpleNamespace(**dict.fromkeys(live.TERMS, torch.tensor(1.0)))
    points = live.points([(step, terms) for step in range(1, 1001)])
    assert len(points) <= live.MOST_POINTS and points[-1][0] == 1000


def test_a_picture_is_sent_with_the_step_that_it_is_of(pack, watched, vgg, content, grams):
    preview = pack.nodes.preview
    with preview.follow(preview.Preview(every=3)) as following:
        following.end(pack.nst_engine.stylize(vgg, content, grams, steps=8, **following.arguments()))
    steps = [message["image_step"] for message in watched if "image" in message]
    assert steps and all(step % 3 == 0 for step in steps)


def test_finish_ends_the_run_and_the_next_one_is_another(pack, watched, vgg, content, grams):
    host, preview = pack.nodes.host, pack.nodes.preview
    before = host.short_runs()
    with preview.follow(preview.Preview()) as following:
        calls = following.arguments()

        def on_step(progress):
            if progress.step == 2:
                assert host.finish("prompt", "12:7")
                assert not host.finish("prompt", "7") and not host.finish("another", "12:7")
            return calls["on_step"](progress)

        result = pack.nst_engine.stylize(vgg, content, grams, steps=50, **{**calls, "on_step": on_step})
        following.end(result)
    assert result.settings["stopped_early"] and len(result.history) == 2
    assert host.short_runs() == before + 1
    assert not host.finish("prompt", "12:7")  # it is over
    assert watched[-1]["state"] == "done"
    assert watched[-1]["text"].startswith("Finished early: step 2 of 50, 96×64, ")


def test_the_panel_costs_next_to_nothing(pack, watched, vgg, content, grams, monkeypatch):
    """At most a fiftieth of a step, the thread that encodes included; measured as time of the processor."""
    live, preview = pack.nodes.live, pack.nodes.preview
    spent = [0.0]

    def timed(function):
        def run(*given, **more):
            began = time.thread_time()
            try:
                return function(*given, **more)
            finally:
                spent[0] += time.thread_time() - began

        return run

    for name in ("add", "show", "tell"):
        monkeypatch.setattr(live.Panel, name, timed(getattr(live.Panel, name)))
    monkeypatch.setattr(live, "encoded", timed(live.encoded))
    began = time.perf_counter()
    with preview.follow(preview.Preview()) as following:
        result = pack.nst_engine.stylize(vgg, content, grams, steps=40, **following.arguments())
        following.end(result)
    whole = time.perf_counter() - began
    assert any("image" in message for message in watched)
    assert spent[0] < whole / 50, f"{spent[0]:.4f} s of {whole:.2f} s"


def test_an_empty_mask_is_said_in_the_beginning_and_at_the_end(pack, watched, vgg, content, grams, monkeypatch):
    said = []
    monkeypatch.setattr(pack.nodes.host, "show_text", lambda text, run=None: said.append(text))
    empty = torch.zeros(1, 64, 96)
    host_picture = content.movedim(1, -1)
    transfer(pack, vgg, host_picture, grams, protect_mask=empty, steps=2)
    for text in (said[0], said[-1], watched[-1]["text"]):
        assert text.endswith(" · protect_mask: the mask is empty, and counts as none")
    assert said[-1].startswith("Done: ")
    said.clear()
    masks = {"style_mask": empty, "region_mask": empty}
    call(pack, "ComputeStyleGrams", vgg=vgg, style_image=host_picture, size=64, **masks)
    assert said[-1].startswith("Done: measured the style, ")
    assert "style_mask: the mask is empty" in said[-1] and "region_mask: the mask is empty" in said[-1]
    said.clear()
    transfer(pack, vgg, host_picture, grams, steps=2)
    assert not any("mask" in text for text in said)
