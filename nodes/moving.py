"""What the two nodes for moving pictures share: their settings, and how far they are."""

from __future__ import annotations

import contextlib
import inspect
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from .. import nst_engine as nst
from ..nst_engine.errors import counted
from . import host, inputs, progress_text
from .inputs import AS_RECIPE, given
from .live import Panel
from .method import Method, used_recipe
from .neural_style_transfer import NeuralStyleTransfer
from .preview import AUTO_PREVIEW, Preview, Speaker

ONLY_MOVING = {
    "temporal_weight": (
        "FLOAT",
        {
            "default": 1.0,
            "min": 0.0,
            "max": 100.0,
            "step": 0.1,
            "tooltip": "How calm the film is: more holds strokes firmly to what they are painted on, less lets them "
            "play. 0: every frame by itself.",
        },
    ),
    "frame_steps": (
        "INT",
        {
            "default": AS_RECIPE,
            "min": AS_RECIPE,
            "max": 100000,
            "tooltip": "How long every frame after the first of a shot is painted. -1 (auto): a fifth of the first.",
            "advanced": True,
        },
    ),
    "passes": (
        "INT",
        {
            "default": 1,
            "min": 1,
            "max": 2,
            "tooltip": "2 goes through each shot a second time, backwards, so that what comes into view is painted "
            "from one piece. Takes nearly twice as long.",
            "advanced": True,
        },
    ),
    "find_cuts": (
        "BOOLEAN",
        {"default": True, "tooltip": "Finds where another shot begins, and starts afresh there.", "advanced": True},
    ),
}
# As in Neural Style Transfer. Their order is that of saved workflows: others go last.
SHARED = (
    *("steps", "optimizer", "learning_rate", "content_weight", "style_weight", "tv_weight", "size", "scales", "seed"),
    *("preview_every", "layer_weights", "keep_colours", "keep_colours_strength", "tile", "protect_mask", "strength"),
    *("protect_mode", "protect_weight", "method", "stroke_size"),
)
MASKS = (
    "MASK",
    {"tooltip": "Paint over what is to stay as it is. One mask for all frames, or one for each. Empty: no mask."},
)


def optional() -> dict[str, Any]:
    shared = NeuralStyleTransfer.INPUT_TYPES()["optional"]
    return ONLY_MOVING | {name: shared[name] for name in SHARED} | {"protect_mask": MASKS}


def takes_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function's `**choices` are these inputs, and say so."""
    signature = inspect.signature(function)
    plain = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    settings = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_default(*entry))
        for name, entry in optional().items()
    ]
    function.__signature__ = signature.replace(parameters=[*plain, *settings])  # type: ignore[attr-defined]
    return function


def filled(choices: dict[str, Any]) -> dict[str, Any]:
    """The inputs that a caller of the API has left out, at their defaults."""
    table = optional()
    usual = {name: _default(*entry) for name, entry in table.items()}
    return usual | {name: value for name, value in choices.items() if name in table}


def _default(kind: Any, options: dict[str, Any]) -> Any:
    return options.get("default", kind[0] if isinstance(kind, list) else None)


def engine_choices(vgg: nst.VGGFeatures, recipe: str, chosen: dict[str, Any]) -> dict[str, Any]:
    """The same as arguments of `stylize_video`."""
    plain = ("content_weight", "style_weight", "strength", "size", "seed", "protect_mode", "protect_weight")
    method = chosen["method"] or Method()
    steps = chosen["frame_steps"]
    return {
        **{name: chosen[name] for name in (*plain, "keep_colours", "keep_colours_strength")},
        **{name: given(chosen[name]) for name in ("steps", "optimizer", "learning_rate", "tv_weight", "scales")},
        **vars(method),
        "recipe": recipe,
        "layers": chosen["layer_weights"],
        "stroke_size": chosen["stroke_size"] or None,
        "tile": inputs.tile_of(chosen["tile"]),
        "memory": host.free_memory(vgg.device),
        "coherence": nst.Coherence(
            weight=chosen["temporal_weight"],
            steps=None if steps == AS_RECIPE else steps,
            passes=chosen["passes"],
            cuts=chosen["find_cuts"],
        ),
    }


def memory_needed(vgg: nst.VGGFeatures, shape: tuple[int, int], grams: Any, recipe: str, chosen: dict[str, Any]) -> int:
    used = used_recipe(recipe, chosen["optimizer"], chosen["method"] or Method())
    target = nst.target_shape(shape, chosen["size"], nst.RECIPES[recipe], vgg.device)
    masks = chosen["protect_mask"] is not None or grams.guided
    return nst.memory_needed(vgg, target, used, chosen["layer_weights"], regions=grams.region_count, masks=masks)


@contextlib.contextmanager
def follow(count: int | None, preview_every: int = AUTO_PREVIEW, notes: Sequence[str] = ()) -> Iterator[Follow]:
    """A run over so many frames: it is seen, and can be finished early. Notes are said at the end."""
    run = host.running()
    with host.may_be_finished(run) as asked:
        following = Follow(count, Preview(preview_every), run, asked, notes)
        try:
            with following.speaker.says_how_it_ended():
                yield following
        finally:
            following.close()


class Follow:
    """One run over frames, as the host shows it: the bar moves with every step, the frame in work is shown now and
    then, and a cancel is seen at every layer of the network."""

    def __init__(
        self,
        count: int | None,
        preview: Preview,
        run: host.Running | None,
        asked: threading.Event,
        notes: Sequence[str],
    ) -> None:
        self.count, self.preview, self.run, self.asked, self.notes = count, preview, run, asked, notes
        self.bar: host.ProgressBar | None = None
        self.panel = Panel(run) if run is not None and host.canvas() is not None else None
        self.speaker = Speaker(run)
        self.clock = progress_text.Clock()

    @property
    def finished_early(self) -> bool:
        return self.asked.is_set()

    def arguments(self) -> dict[str, Any]:
        return {"on_step": self.on_step, "on_layer": host.check_cancelled}

    def end(self, frames: int) -> None:
        """Said at the end of a run that ended well."""
        took = progress_text.duration(self.speaker.seconds)
        if not self.finished_early:
            self._end(f"Done: {counted(frames, 'frame')}, {took}")
            return
        host.count_short_run(self.run)
        of = f" of {self.count}" if self.count else ""
        self._end(f"Finished early: {frames}{of} frames, {took}")

    def close(self) -> None:
        if self.panel is not None:
            self.panel.close()

    def on_step(self, progress: nst.Progress) -> object:
        total = max(self.count or 0, progress.picture + 1)
        if self.bar is None or self.bar.total != total:
            self.bar = host.ProgressBar(total)
        picture = self.preview(progress) if self.preview.is_due(progress.step) else None
        if self.panel is not None:
            self.panel.add(progress)
            if picture is not None:
                self.panel.show(progress.step, picture)
        done = progress.picture + progress.step / max(1, progress.steps)
        self.bar.update(done, picture)
        if self.speaker.is_due():
            left = self.clock.left(done / total, time.monotonic()) if self.count else None
            frame = f"Frame {progress.picture + 1}" + (f" of {total}" if self.count else "")
            self._say(frame + progress_text.PART + progress_text.at(replace(progress, pictures=1), left))
        return nst.STOP if self.asked.is_set() else None

    def _end(self, text: str) -> None:
        self._say(progress_text.joined(text, *self.notes), "done")

    def _say(self, text: str, state: str = "running") -> None:
        self.speaker.say(text)
        if self.panel is not None:
            self.panel.tell(text, state)
