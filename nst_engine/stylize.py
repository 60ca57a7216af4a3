"""From content and style grams to a finished picture: options → plan → run → finish."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from .errors import NSTError, counted, one_or
from .network.architecture import smallest_side
from .network.fast import thread_pool
from .network.precision import name_of
from .network.tiles import grid
from .network.vgg import UNWATCHED, VGGFeatures, Watch
from .objective.controls import LayerWeights
from .objective.footprint import ExtraMemory, footprint
from .objective.layout import USABLE_SHARE
from .objective.octaves import octave_shapes
from .objective.setup import Setup, set_up
from .options import Options
from .pictures.colour import match_colours
from .pictures.images import LARGEST_SIDE, Shape, alpha_of, check_picture, check_size, resize, shape_of
from .recipes import Adam, Recipe, get_recipe
from .run.levels import Level, levels_of, stroke_side, target_shape, usual_steps
from .run.loop import Budget, Run, paint
from .run.picture import Picture, Protect
from .run.progress import OnStep, OnTile, Reporter, Step
from .statistics.distances import BY_POSITION
from .statistics.masks import check_mask, fit_mask
from .styles.grams import StyleGrams
from .system.devices import free_memory


@dataclass
class Result:
    image: torch.Tensor
    histories: list[list[Step]]
    settings: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    painted: torch.Tensor | None = None  # the image before its colours were kept, without alpha

    @property
    def history(self) -> list[Step]:
        return self.histories[0]


def stylize(
    vgg: VGGFeatures,
    content: torch.Tensor | None,
    grams: StyleGrams,
    *,
    on_step: OnStep | None = None,
    on_tile: OnTile | None = None,
    on_measure: Callable[[int, int], object] | None = None,
    on_layer: Callable[[], object] | None = None,
    **choices: Any,
) -> Result:
    """Give every picture of `content` (Nx3xHxW or Nx4xHxW, 0..1) the style of `grams`; with no content, make a picture
    of the style alone. The `choices` are the fields of `Options`.

    None leaves a choice to the recipe. Weights multiply the recipe's own; `strength` goes from 0, the content
    untouched, over 1, what the recipe says, to more. `size` is the long side of the result, 0 the content's own size,
    -1 the recipe's; `shape` (height, width) stands in its place where there is no content. `stroke_size` is the
    size at which styles are measured, as a multiple of the result's long side; it overrides each style's own, and the
    same number looks the same at any size. The edges of a `seamless` result join. `on_step(progress)` may return STOP
    to end early and keep the picture; what it raises ends the run. `keep_colours` is how `match_colours` gives the
    finished picture the content's colours.

    `protect` (HxW, 1xHxW, or one for each picture; 0..1) is where the content stays: its pixels as they are, or
    ("content") by counting `protect_weight` times more. `start_mix` is how much of the content is mixed into the start.
    `temporal` holds one picture, a frame, to those before it (see `stylize_video`).

    `tile` bounds what the network sees at a time, in pixels: None is the whole picture, "auto" the whole if that fits
    into `memory` (bytes; by default what the device has free), else tiles. The result is the same. `on_tile` is told
    whenever a tile is done, `on_measure(done, of)` of every piece of a picture that is measured before the steps of a
    level, and `on_layer()` is called before every layer of the network; what they raise ends the run, too.
    """
    options = Options(**choices)
    with torch.inference_mode(False):
        planned = plan(vgg, content, grams, options, Watch(on_layer, on_measure))
        report = Reporter(planned.run.levels, len(planned.pictures), on_step, on_tile)
        painted, finished = [], []
        for picture in planned.pictures:
            if not report.stopped:
                painted.append(run(planned, picture, report))
                finished.append(finish(painted[-1], picture, planned.shape, options))
                continue
            # Stopped for good: the pictures not begun come back as they were, none is lost.
            assert picture.content is not None
            report.end_picture()
            painted.append(resize(picture.content, planned.shape))
            finished.append(painted[-1])
        image = finished[0] if len(finished) == 1 else torch.cat(finished)
        if planned.alpha is not None:
            image = torch.cat([image, resize(planned.alpha, planned.shape)], 1)
    settings, notes = settings_used(planned, options, report), planned.notes + report.notes
    return Result(image, report.histories, settings, notes, torch.cat(painted))


def _public_signature() -> inspect.Signature:
    """With every option by its name, for help()."""
    arguments = [p for p in inspect.signature(stylize).parameters.values() if p.kind is not p.VAR_KEYWORD]
    options = [p.replace(kind=p.KEYWORD_ONLY) for p in inspect.signature(Options).parameters.values()]
    return inspect.signature(stylize).replace(parameters=[*arguments[:3], *options, *arguments[3:]])


stylize.__signature__ = _public_signature()  # type: ignore[attr-defined]


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be done, and what is to be said of it beforehand."""

    run: Run
    pictures: list[Picture]
    shape: Shape  # of the result
    alpha: torch.Tensor | None
    grams: StyleGrams
    notes: list[str]


def plan(
    vgg: VGGFeatures, content: torch.Tensor | None, grams: StyleGrams, options: Options, watch: Watch = UNWATCHED
) -> Plan:
    """Check everything and plan the run; what cannot be done is refused here."""
    recipe = _with_start(options, content is not None, grams)
    setup = set_up(vgg, recipe, options.layers, content=content is not None, seamless=options.seamless, watch=watch)
    setup = replace(setup, multipliers=options.multipliers, seed=options.seed, temporal=options.temporal)
    given = None if content is None else check_picture(content, "content")
    contents: list[torch.Tensor | None] = [None] if given is None else list(given.split(1))
    content_shape, shape = _shapes(given, options, setup)
    grams.check(content_shape, len(contents))
    if given is None and grams.guided and grams.uncovered(shape) is not None:
        raise NSTError(
            "region: a texture has no content for where no style goes; add a style without a region, for the rest."
        )
    sized: list[str] = []
    if options.stroke_size:
        grams, sized = _with_strokes(grams, options.stroke_size, max(shape))
    setup, levels = _with_levels(setup, options, content_shape, shape)
    starts, notes = _start_images(options, len(contents), shape, setup.recipe.start)
    sizes = _sizes_of_style(setup, levels)
    stand_ins = grams.stand_ins(setup.network, setup.style_layers, sizes, recipe.style_fit)
    notes += [
        *sized,
        *stand_ins,
        *_without_effect(options, recipe, content is not None),
        *grams.mask_edge_notes(recipe.statistic),
    ]
    if options.strength == 0 and given is not None:
        # Whatever the start, what is asked for is the content.
        setup = replace(setup, recipe=replace(setup.recipe, steps=0, start="content"))
        levels = [replace(levels[-1], steps=0)]
    protects = _protects(options, content_shape, len(contents))
    pictures = [
        Picture(one, starts[i % len(starts)], grams.of_picture(i), protects[i % len(protects)])
        for i, one in enumerate(contents)
    ]
    free = free_memory(setup.network.device) if options.memory is None else options.memory
    budget = Budget(options.tile, free, _extra_memory(setup, grams, protects[0], levels[-1].shape))
    planned = Run(setup, levels, budget, options.start_mix)
    planned.layout(len(levels) - 1)
    return Plan(planned, pictures, shape, None if content is None else alpha_of(content), grams, notes)


def run(planned: Plan, picture: Picture, report: Reporter) -> torch.Tensor:
    """The picture as it is painted, in the result's size."""
    network = planned.run.setup.network
    with thread_pool(network.device):
        painted = paint(planned.run, picture, report)
    return resize(painted, planned.shape, network.seamless)


def finish(painted: torch.Tensor, picture: Picture, shape: Shape, options: Options) -> torch.Tensor:
    """With what is to be of the content in it: all (strength 0), or its colours, and the parts where it stays."""
    if picture.content is None:
        return painted
    content, pinned = resize(picture.content, shape), picture.pinned(shape)
    if options.strength == 0:
        return content
    if options.keep_colours != "none":
        painted = match_colours(painted, content, options.keep_colours, options.keep_colours_strength)
    # At a soft edge, between the two.
    return painted if pinned is None else torch.lerp(painted, content, pinned)


def settings_used(planned: Plan, options: Options, report: Reporter) -> dict[str, Any]:
    """What was used in the end, as it is written into pictures and logs."""
    setup = planned.run.setup
    network, recipe, levels = setup.network, setup.recipe, planned.run.levels
    protected = options.protect is not None
    return {
        "recipe": recipe.name,
        "steps": recipe.steps,
        "optimizer": "adam" if isinstance(recipe.optimizer, Adam) else "lbfgs",
        "learning_rate": recipe.optimizer.lr,
        "content_weight": options.content_weight,
        "style_weight": options.style_weight,
        "tv_weight": options.tv_weight,
        "tv_kind": recipe.tv_kind,
        "strength": options.strength,
        "statistic": recipe.statistic,
        "shift": recipe.shift,
        "normalise_gradients": recipe.normalise_gradients,
        "averaging": recipe.averaging,
        "content_measure": recipe.content_measure,
        "octaves": recipe.octaves,
        "start": recipe.start,
        "start_mix": options.start_mix,
        "stroke_size": options.stroke_size,
        "seamless": options.seamless,
        "width": planned.shape[1],
        "height": planned.shape[0],
        "levels": [[*level.shape, level.steps] for level in levels],
        "tiles": [report.tiles.get(number) for number in range(len(levels))],
        "seed": setup.seed,
        "keep_colours": options.keep_colours,
        "keep_colours_strength": options.keep_colours_strength,
        "protect_mode": options.protect_mode if protected else None,
        "protect_weight": options.protect_weight if protected and options.protect_mode == "content" else None,
        "layers": {"style": dict(setup.style_layers), "content": dict(setup.content_layers)},
        "styles": [
            {"name": s.name, "weight": s.weight, "size": s.size, "copies": s.copies} for s in planned.grams.styles
        ],
        "network": network.vgg.source,
        "pooling": network.pooling,
        "padding": network.padding,
        "precision": name_of(network.dtype),
        "device": str(network.device),
        "stopped_early": report.stopped,
    }


def _with_start(options: Options, has_content: bool, grams: StyleGrams) -> Recipe:
    """The recipe in use, and in it the start that was asked for or goes without saying."""
    recipe, has_image = options.used_recipe, options.start_image is not None
    if options.start == "image" and not has_image:
        raise NSTError("start: 'image' needs a start image; connect one, or choose content or noise.")
    if options.start == "content" and not has_content:
        raise NSTError("start: 'content' needs a content picture; choose noise, grey or the style.")
    if options.start is not None:
        return recipe
    if has_image:
        return replace(recipe, start="image")
    known = all(s.picture is not None for s in grams.counted)
    if has_content:
        # Without the style's colours the whole content will do.
        return replace(recipe, start="content") if recipe.start == "detail" and not known else recipe
    if recipe.start not in ("content", "detail"):
        return recipe
    return replace(recipe, start="style-noise" if known else "noise")


def _shapes(given: torch.Tensor | None, options: Options, setup: Setup) -> tuple[Shape, Shape]:
    """The content's own and the result's; of a texture, the same."""
    if given is not None:
        if options.shape is not None:
            raise NSTError("shape: a result with a content has its proportions; give its size, the long side.")
        content_shape = shape_of(given)
        return content_shape, target_shape(content_shape, options.size, setup.recipe, setup.network.device)
    for name, is_set in (
        ("keep_colours", options.keep_colours != "none"),
        ("protect", options.protect is not None),
        ("strength", options.strength != 1),
    ):
        if is_set:
            raise NSTError(f"{name}: a picture made of the style alone has no content to keep; leave it out.")
    shape = options.shape
    if shape is None or not all(isinstance(side, int) and 1 <= side <= LARGEST_SIDE for side in shape):
        raise NSTError(f"shape: {shape} is not a size; give height and width in pixels, up to {LARGEST_SIDE}.")
    return shape, shape


def _with_levels(setup: Setup, options: Options, content_shape: Shape, shape: Shape) -> tuple[Setup, list[Level]]:
    """The levels, and with them the number of steps, if that was left to the recipe."""
    least = smallest_side(setup.layers, setup.network.edges)
    recipe = setup.recipe
    if options.steps is None:
        recipe = replace(recipe, steps=usual_steps(shape, recipe, options.scales, least))
    # So that every octave of a seamless picture joins, too.
    step = grid(setup.layers) * 2 ** (recipe.octaves - 1) if options.seamless else 1
    levels = levels_of(shape, recipe, options.scales, step, least)
    named = "size" if options.shape is None else "shape"
    check_size(levels[0].shape, setup.layers, setup.network.edges, named, content_shape, levels[0].fraction)
    return replace(setup, recipe=recipe), levels


def _sizes_of_style(setup: Setup, levels: list[Level]) -> list[tuple[Shape, float]]:
    """The shapes of all pictures whose style is compared, and what fraction each is of the result."""
    found = []
    for level in levels:
        shapes = octave_shapes(level.shape, setup.recipe.octaves, tuple(setup.style_layers), setup.network)
        found += [(shape, level.fraction / 2**number) for number, shape in enumerate(shapes)]
    return found


def _with_strokes(grams: StyleGrams, stroke_size: float, side: int) -> tuple[StyleGrams, list[str]]:
    """The styles set to the size that `stroke_size` gives in a result with this long side, and a note naming the sizes
    replaced, if there are any."""
    size = stroke_side(stroke_size, side)
    others = sorted({style.size for style in grams.styles} - {0, size})
    told = f"stroke size {stroke_size:g}: styles are measured at {size} pixels, in place of"
    return grams.of_size(size), [f"{told} {', '.join(map(str, others))}"] if others else []


def _start_images(
    options: Options, count: int, shape: Shape, start: str
) -> tuple[list[torch.Tensor | None], list[str]]:
    """One for all pictures, or one for each, in the result's size."""
    if options.start_image is None:
        return [None], []
    starts = check_picture(options.start_image, "start_image")
    if len(starts) not in (1, count):
        raise NSTError(
            f"start_image: a batch of {len(starts)} for {counted(count, 'content picture')}; give {one_or(count)}."
        )
    h, w = shape_of(starts)
    notes = []
    if (h, w) != shape:
        starts = resize(starts, shape)
        notes = [f"start image: resized from {w}×{h} to {shape[1]}×{shape[0]}"]
    if start != "image":
        notes = [f"start image: not used, because start is {start!r}"]
    return list(starts.split(1)), notes


def _why_content_counts_nowhere(options: Options, recipe: Recipe, has_content: bool) -> str | None:
    if not has_content:
        return "there is no content picture"
    if not options.content_weight:
        return "content_weight is 0"
    if recipe.content_layers or (options.layers and options.layers.content):
        return None
    return f"the recipe {recipe.name} compares no layers of the content; give some"


def _without_effect(options: Options, recipe: Recipe, has_content: bool) -> list[str]:
    notes = []
    if options.content_measure is not None and (why := _why_content_counts_nowhere(options, recipe, has_content)):
        notes.append(f"content_measure: has no effect, because {why}")
    emphasised = options.protect is not None and options.protect_mode == "content"
    # What matches positions leads each towards the content's own, whatever the content's weight.
    if emphasised and options.content_weight == 0 and recipe.statistic not in BY_POSITION:
        notes.append("protect: has no effect, because content_weight is 0")
    if recipe.shift and recipe.statistic != "gram":
        notes.append(f"shift: has no effect with the statistic {recipe.statistic!r}, only with gram")
    if recipe.mean_std and recipe.statistic != "gram":
        notes.append(
            f"the recipe {recipe.name} measures means and deviations beside Gram matrices; with the statistic "
            f"{recipe.statistic!r} it does not"
        )
    return notes


def _protects(options: Options, shape: Shape, pictures: int) -> list[Protect | None]:
    """One for all pictures, or one for each."""
    if options.protect is None:
        return [None]
    fitted = fit_mask(check_mask(options.protect, "protect", pictures), shape, "protect")
    return [
        Protect(one, None if options.protect_mode == "pixels" else options.protect_weight) for one in fitted.split(1)
    ]


def _extra_memory(setup: Setup, grams: StyleGrams, protect: Protect | None, shape: Shape) -> ExtraMemory:
    emphasis = protect is not None and protect.weight is not None
    return ExtraMemory(
        grams.region_count,
        grams.guided,
        (protect is not None and not emphasis) or grams.may_leave_some,
        emphasis,
        bool(setup.tv_weight),
        setup.temporal is not None,
        grams.hypercolumn_counts(setup.style_layers, shape, setup.recipe.style_fit, setup.recipe.statistic),
    )


def memory_needed(
    vgg: VGGFeatures,
    shape: Shape,
    recipe: str | Recipe = "balanced",
    layers: LayerWeights | None = None,
    *,
    seamless: bool = False,
    regions: int = 1,
    content: bool = True,
    masks: bool = False,
) -> int:
    """Free bytes that a run at this height and width needs for one pass; `masks`: some say where styles go or where the
    content stays."""
    setup = set_up(vgg, get_recipe(recipe), layers, content=content, seamless=seamless)
    extras = ExtraMemory(regions, masks or regions > 1, masks, masks, bool(setup.tv_weight))
    memory = footprint(setup.network, setup.recipe, (setup.style_layers, setup.content_layers), extras=extras)
    return round(memory.total(shape) / USABLE_SHARE)
