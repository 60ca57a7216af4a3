"""Moving pictures: what is still stays still, what moves takes its strokes along."""

from __future__ import annotations

import itertools
import statistics
import sys
from pathlib import Path

import pytest
import torch
from pictures import clouds
from scenes import HEIGHT, WIDTH, flow_of_passing, pan, passing, turning

import nst_engine as nst
from nst_engine.objective.temporal import Temporal
from nst_engine.video.coherence import coloured
from nst_engine.video.flow import dis_flow, warp
from nst_engine.video.reliability import alike, reliability

STEPS = 30  # of a first frame


@pytest.fixture(scope="module")
def painting(vgg: nst.VGGFeatures) -> nst.StyleGrams:
    return nst.compute_style_grams(vgg, clouds(2, 64, 100), recipe="balanced")


def constant(dx: float, dy: float) -> torch.Tensor:
    return torch.tensor([dx, dy]).view(1, 2, 1, 1).expand(1, 2, HEIGHT, WIDTH).contiguous()


def inner(x: torch.Tensor, margin: int = 12) -> float:
    return float(x[..., margin:-margin, margin:-margin].abs().mean())


def run(vgg, frames, grams, **choices):
    pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
    choices = {"recipe": "balanced", "size": 0, "steps": STEPS, **choices}
    return list(nst.stylize_video(vgg, frames, grams, **choices))


# --- the term -----------------------------------------------------------------------------------------------------


def held(x: torch.Tensor, weight: float) -> Temporal:
    mask = torch.zeros_like(x[:, :1])
    mask[..., : x.shape[-1] // 2] = 1
    return Temporal(x + 0.1, mask, torch.full_like(mask, 0.5), weight)


@pytest.mark.parametrize("side", [16, 64])
def test_the_term_weighs_the_same_at_any_size(side: int) -> None:
    x = clouds(3, side, side)
    value, _ = held(x, 200.0).value_and_grad(x)
    assert float(value) == pytest.approx(200 * 0.5 * 0.5 * 0.01, rel=1e-4)


def test_the_gradient_is_that_of_the_value() -> None:
    x, away = clouds(3, 20, 24), 1e-3 * clouds(4, 20, 24)
    term = held(x, 200.0)
    after, before = (float(term.value_and_grad(x + sign * away)[0]) for sign in (1, -1))
    _, gradient = term.value_and_grad(x)
    assert after - before == pytest.approx(float(2 * (gradient * away).sum()), rel=1e-3)


def test_it_is_one_term_of_the_loss_at_every_level_and_by_tiles(
    vgg: nst.VGGFeatures, painting: nst.StyleGrams, plain_convolutions: None
) -> None:
    content = clouds(1, HEIGHT, WIDTH)
    term = Temporal(clouds(5, HEIGHT, WIDTH), *(torch.full((1, 1, HEIGHT, WIDTH), 0.5),) * 2, 200.0)
    made = [
        nst.stylize(vgg, content, painting, recipe="balanced", size=0, steps=4, scales=2, tile=tile, temporal=term)
        for tile in (None, 32)
    ]
    for step in made[0].history:
        assert step.total == pytest.approx(step.content + step.style + step.tv + step.temporal, rel=1e-5)
        assert step.temporal > 0
    assert {step.level for step in made[0].history} == {0, 1}
    assert (made[0].image - made[1].image).abs().mean() < 2e-3


# --- flow ---------------------------------------------------------------------------------------------------------


def test_flow_is_found() -> None:
    pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
    before, after = pan(2, 2.6, 0.8)
    away = dis_flow(after, before) - constant(2.6, 0.8)
    assert away[..., 12:-12, 12:-12].abs().median() < 0.2


def test_warping_by_the_flow_gives_the_frame() -> None:
    before, after = pan(2)
    assert inner(after - warp(before, constant(1.3, 0.4))) < 0.2 * inner(after - before)


def test_what_leaves_the_frame_or_does_not_lead_home_is_not_relied_on() -> None:
    there = constant(5.0, 0.0)
    back = constant(-5.0, 0.0)
    back[..., 20:40, 30:50] = 3.0
    c = reliability(there, back)
    assert c[..., :, -5:].sum() == 0  # what it looks for there lies beyond the frame
    assert c[..., 22:38, 27:43].sum() == 0
    assert c[..., 45:, :80].mean() == 1


def test_one_pixel_that_leads_home_by_chance_is_not_relied_on() -> None:
    there, back = constant(5.0, 0.0), constant(-5.0, 0.0)
    back[..., 20:40, 30:50] = 3.0
    back[..., 30, 40] = -5.0
    assert reliability(there, back)[..., 22:38, 27:43].sum() == 0


def test_the_edge_of_what_moves_is_not_relied_on() -> None:
    there = constant(0.0, 0.0)
    there[..., 40:] += 1.0
    c = reliability(there, -there)
    assert c[..., 39:41].sum() == 0
    assert c[..., :38].mean() == 1


def test_what_looks_otherwise_is_not_relied_on() -> None:
    before, after = pan(2)
    warped = warp(before, constant(1.3, 0.4))
    assert alike(after, warped)[..., 8:-8, 8:-8].mean() == 1
    changed = after.clone()
    changed[..., 20:40, 30:50] += 0.1  # a light goes on
    assert alike(changed, warped)[..., 24:36, 34:46].sum() == 0


def test_a_missing_package_is_named_with_the_line_that_installs_it(
    vgg: nst.VGGFeatures, painting: nst.StyleGrams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    made = nst.stylize_video(vgg, pan(2), painting, recipe="balanced", steps=1, size=0)
    with pytest.raises(nst.NSTError, match="pip install opencv-python-headless"):
        next(made)  # before the first frame, which takes longest


# --- the bars -----------------------------------------------------------------------------------------------------


def test_a_still_scene_stays_still(vgg: nst.VGGFeatures, painting: nst.StyleGrams) -> None:
    made = [frame.image for frame in run(vgg, pan(1) * 6, painting)]
    changes = [float((b - a).abs().mean()) for a, b in itertools.pairwise(made[1:])]
    assert max(changes) <= 1 / 255
    assert abs(float(made[-1].mean() - made[0].mean())) <= 1 / 255


def test_the_brightness_of_a_still_scene_does_not_drift(vgg: nst.VGGFeatures, painting: nst.StyleGrams) -> None:
    still = pan(1)[0][..., :24, :36]
    made = [frame.image for frame in run(vgg, [still] * 60, painting, steps=100)]
    assert max(abs(float(image.mean() - made[0].mean())) for image in made) <= 1 / 255


def test_strokes_go_with_what_moves(vgg: nst.VGGFeatures, painting: nst.StyleGrams) -> None:
    frames = pan(5)
    made = [frame.image for frame in run(vgg, frames, painting)]
    alone = [nst.stylize(vgg, f, painting, recipe="balanced", steps=STEPS, size=0).image for f in frames[:3]]
    moved = constant(1.3, 0.4)

    def errors(pictures: list[torch.Tensor]) -> float:
        return max(inner(b - warp(a, moved)) for a, b in itertools.pairwise(pictures))

    assert errors(made) <= errors(alone) / 4
    assert errors(made) <= 1.5 * errors(frames) + 1 / 255


def test_strokes_turn_and_grow_with_what_turns_and_grows(vgg: nst.VGGFeatures, painting: nst.StyleGrams) -> None:
    frames, known = turning(4)
    assert inner(frames[1] - warp(frames[0], known)) < 0.2 * inner(frames[1] - frames[0])
    made = [frame.image for frame in run(vgg, frames, painting)]
    alone = [nst.stylize(vgg, f, painting, recipe="balanced", steps=STEPS, size=0).image for f in frames[:2]]

    def error(pictures: list[torch.Tensor]) -> float:
        """The mean over pairs, as the bench has it."""
        return statistics.mean(inner(b - warp(a, known)) for a, b in itertools.pairwise(pictures))

    assert error(made) <= error(alone) / 4


def test_what_was_hidden_comes_back_as_it_was(vgg: nst.VGGFeatures, painting: nst.StyleGrams) -> None:
    frames = passing(7)
    known = nst.Coherence(flow=flow_of_passing(frames))
    made = [frame.image for frame in run(vgg, frames, painting, coherence=known)]
    # Columns 12 to 23 are behind the board in frames 3 and 4.
    earlier, later = (made[i][..., 12:24].flatten() for i in (2, 6))
    assert float(torch.corrcoef(torch.stack((earlier, later)))[0, 1]) >= 0.9


def test_what_comes_into_view_gets_the_steps_of_a_picture(vgg: nst.VGGFeatures, painting: nst.StyleGrams) -> None:
    frames = run(vgg, pan(4, 4.0, 0.0), painting)
    settled = [frame.past.settled[0, 0, HEIGHT // 2] for frame in frames]
    assert settled[0].min() == 1  # a whole picture's
    new = [float(row[-2]) for row in settled[1:]]
    assert new == pytest.approx([0.2] * 3)
    assert float(settled[3][-7]) == pytest.approx(0.4, abs=0.05)
    assert float(settled[3][WIDTH // 2]) == 1


def test_what_comes_into_view_starts_in_the_colours_that_the_rest_has_got() -> None:
    before, after = pan(2, 4.0, 0.0)
    colours = torch.tensor([[0.3, 0.2, 0.1], [0.0, 0.4, 0.2], [0.1, 0.0, 0.5]])

    def painted(frame: torch.Tensor) -> torch.Tensor:
        return torch.einsum("ij,njhw->nihw", colours, frame) + 0.1

    past = nst.video.Past(before, painted(before), torch.ones_like(before[:, :1]))
    assert torch.allclose(coloured(after, past), painted(after), atol=1e-5)
    grey = torch.full_like(after, 0.5)  # of which no function can be found
    assert torch.allclose(coloured(grey, nst.video.Past(grey, grey - 0.2, past.settled)), grey - 0.2, atol=1e-5)


# --- shots, passes, going on --------------------------------------------------------------------------------------


def test_a_shot_begins_on_its_own(vgg: nst.VGGFeatures, painting: nst.StyleGrams) -> None:
    frames = [*pan(2), *pan(2, seed=8)]
    made = run(vgg, frames, painting)
    assert [frame.reliable > 0 for frame in made] == [False, True, False, True]
    assert [len(frame.history) for frame in made] == [STEPS, STEPS // 5, STEPS, STEPS // 5]
    alone = nst.stylize(vgg, frames[2], painting, recipe="balanced", steps=STEPS, size=0)
    assert torch.equal(made[2].image, alone.image)
    whole = run(vgg, frames[:3], painting, coherence=nst.Coherence(cuts=False))
    assert len(whole[2].history) == STEPS // 5


def test_it_goes_on_from_what_another_run_left(vgg: nst.VGGFeatures, painting: nst.StyleGrams) -> None:
    frames = pan(4)
    whole = run(vgg, frames, painting, steps=10)
    rest = run(vgg, frames[2:], painting, steps=10, past=[frame.past for frame in whole[:2]], first=2)
    assert [frame.number for frame in rest] == [2, 3]
    assert all(torch.equal(a.image, b.image) for a, b in zip(whole[2:], rest, strict=True))


def test_no_frame_is_asked_for_before_the_one_before_it_is_given(
    vgg: nst.VGGFeatures, painting: nst.StyleGrams
) -> None:
    asked = []

    def frames():
        for number, frame in enumerate(pan(3)):
            asked.append(number)
            yield frame

    pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
    for frame in nst.stylize_video(vgg, frames(), painting, recipe="balanced", steps=2, size=0):
        assert asked[-1] == frame.number


def test_stop_gives_no_frame_that_is_not_finished(vgg: nst.VGGFeatures, painting: nst.StyleGrams) -> None:
    def on_step(progress: nst.Progress) -> object:
        return nst.STOP if (progress.picture, progress.step) == (1, 2) else None

    assert [frame.number for frame in run(vgg, pan(3), painting, on_step=on_step)] == [0]


def test_a_second_pass_holds_each_frame_to_the_one_after_it(vgg: nst.VGGFeatures, painting: nst.StyleGrams) -> None:
    frames = pan(4, 4.0, 0.0)
    made = run(vgg, frames, painting, coherence=nst.Coherence(passes=2))
    assert [frame.number for frame in made] == list(range(4))
    assert [frame.reliable > 0 for frame in made] == [False, True, True, True]
    # What came into view in the last frame has been there from the first on that it can be seen in.
    for earlier, later in itertools.pairwise(made):
        assert inner(later.image - warp(earlier.image, constant(4.0, 0.0))) <= 1.5 / 255
    assert all(float(frame.past.settled.min()) >= float(made[-1].past.settled.min()) for frame in made)


def test_two_passes_go_on_from_their_files(vgg: nst.VGGFeatures, painting: nst.StyleGrams, tmp_path: Path) -> None:
    two = nst.Coherence(passes=2)
    whole = run(vgg, pan(3), painting, coherence=two, steps=10)
    calls = 0

    def on_step(_: nst.Progress) -> object:
        nonlocal calls
        calls += 1
        return nst.STOP if calls == 15 else None  # in the second pass

    assert run(vgg, pan(3), painting, coherence=two, steps=10, spool=tmp_path, on_step=on_step) == []
    rest = run(vgg, pan(3), painting, coherence=two, steps=10, spool=tmp_path)
    assert all((a.image - b.image).abs().max() < 1e-3 for a, b in zip(whole, rest, strict=True))
    assert list(tmp_path.iterdir()) == []


# --- what else a picture can have ---------------------------------------------------------------------------------


def test_a_mask_for_each_frame(vgg: nst.VGGFeatures, painting: nst.StyleGrams) -> None:
    frames = pan(3)
    masks = torch.zeros(3, HEIGHT, WIDTH)
    masks[0, :, :30] = 1
    masks[2, :20] = 1  # and none in frame 1
    made = run(vgg, frames, painting, steps=5, protect=masks)
    assert torch.equal(made[0].image[..., :30], frames[0][..., :30])
    assert torch.equal(made[2].image[..., :20, :], frames[2][..., :20, :])
    assert not torch.equal(made[1].image[..., :20, :], frames[1][..., :20, :])


def test_masks_that_are_too_few_are_counted(vgg: nst.VGGFeatures, painting: nst.StyleGrams) -> None:
    with pytest.raises(nst.NSTError, match="protect: 2 masks, and the clip has more frames"):
        run(vgg, pan(3), painting, steps=1, protect=torch.ones(2, HEIGHT, WIDTH))


def test_colours_are_kept_in_what_is_shown_and_not_in_what_is_carried_on(
    vgg: nst.VGGFeatures, painting: nst.StyleGrams
) -> None:
    plain = run(vgg, pan(2), painting, steps=5)
    kept = run(vgg, pan(2), painting, steps=5, keep_colours="lab")
    assert torch.equal(plain[1].past.painted, kept[1].past.painted)
    assert torch.equal(kept[1].image, nst.match_colours(plain[1].image, pan(2)[1], "lab"))


def test_regions_alpha_and_a_size(vgg: nst.VGGFeatures) -> None:
    top = torch.zeros(HEIGHT, WIDTH)
    top[:32] = 1
    grams = nst.compute_style_grams(vgg, clouds(2, 64, 100), recipe="balanced", region=top)
    grams = nst.compute_style_grams(vgg, clouds(9, 64, 100), recipe="balanced", blend_with=grams)
    frames = [torch.cat((frame, torch.full_like(frame[:, :1], 0.5)), 1) for frame in pan(2)]
    made = run(vgg, frames, grams, steps=5, size=72)
    assert made[1].image.shape == (1, 4, 48, 72)
    assert made[1].reliable > 0.8
    assert made[1].image[:, 3].mean() == pytest.approx(0.5, abs=1e-3)


def test_bfloat16(painting: nst.StyleGrams) -> None:
    low = nst.load_vgg("vgg19-caffe", precision="bf16", device="cpu")
    made = run(low, pan(1) * 3, painting)
    assert float((made[2].image - made[1].image).abs().mean()) <= 1 / 255


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"weight": -1.0}, "temporal_weight"),
        ({"passes": 3}, "passes"),
        ({"back": (2, 1)}, "back"),
        ({"steps": -1}, "frame_steps"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict, says: str) -> None:
    with pytest.raises(nst.NSTError, match=says):
        nst.Coherence(**wrong)


def test_frames_of_several_sizes_are_refused_in_a_sentence(vgg, painting) -> None:
    frames = [clouds(1, 32, 32), clouds(2, 32, 40)]
    with pytest.raises(nst.NSTError, match="frame 2 is 40×32, and those before it 32×32"):
        run(vgg, frames, painting, steps=1)
