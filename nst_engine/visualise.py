"""Looking inside: what a layer sees of a picture, what is kept of a style, and what either alone can be made into."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .errors import NSTError
from .network.vgg import VGGFeatures, Watch
from .objective.controls import LayerWeights
from .pictures.images import check_picture, check_size, fit_long, resize, shape_of
from .pictures.plot import BACKGROUND, TEXT
from .recipes import RECIPES, Adam, Recipe, get_recipe, network_for
from .run.progress import Position, Progress
from .statistics.measure import Maps, whole_maps
from .styles.compute import compute_style_grams
from .styles.grams import StyleGrams
from .stylize import Result, stylize

ORDERS = ("strongest", "channel")
SCALES = ("log", "sqrt")
PARTS = ("content", "style")

# Little noise, because it stays in what a deep layer does not see. Adam, because L-BFGS, though it goes lower where it
# succeeds, leaped from this start into a grey from which it did not return (the style of relu1_1 and of relu3_1).
ALONE = replace(
    RECIPES["classic"],
    name="one layer",
    content_weight=1.0,
    optimizer=Adam(0.05, (0.9, 0.99), final_lr=0.1),
    start="noise",
    noise=0.05,
)

DECADES = 4  # of the logarithmic scale: what is less than a ten-thousandth of the largest value is as dark as nothing
CELL, GRAM_SIDE, GAP, LINE, LETTERS = 160, 512, 8, 18, 13
FAINT = (140, 144, 152)
# From nothing to the largest value, and from nothing to the least one below it.
WARM = ((10, 10, 16), (84, 28, 118), (190, 54, 84), (246, 146, 44), (255, 244, 190))
COLD = ((10, 10, 16), (18, 54, 116), (30, 120, 170), (90, 195, 210), (214, 250, 250))


def feature_sheet(
    vgg: VGGFeatures,
    picture: torch.Tensor,
    tap: str,
    *,
    count: int = 16,
    order: str = "strongest",
    recipe: str | Recipe = "balanced",
    size: int = 512,
    **watch: Callable[..., object] | None,
) -> torch.Tensor:
    """NxHxWx3: for every picture a layer's maps side by side, each on a scale up to its own largest value.

    `size` is the long side that a larger picture is reduced to first; 0 takes it as it is. To `watch` the measuring,
    give `on_measure(done, of)` and `on_layer()`.
    """
    _check(order, ORDERS, "order")
    if count < 1:
        raise NSTError(f"count: {count} is not a number of maps; give 1 or more.")
    vgg.check_taps((tap,), "tap")
    recipe = get_recipe(recipe)
    with torch.inference_mode(False):
        network = network_for(vgg, recipe, watch=Watch(**watch)).measuring()
        pictures = check_picture(picture, "picture")
        given = shape_of(pictures)
        shape = fit_long(given, size) if 0 < size < max(given) else given
        check_size(shape, (tap,), network.padding, "size", given, largest=max(given))
        pixels = resize(pictures, shape)
        return torch.stack(
            [_contact_sheet(whole_maps(network, one, tap), tap, count, order) for one in pixels.split(1)]
        )


def gram_sheet(
    vgg: VGGFeatures,
    grams: StyleGrams,
    tap: str,
    *,
    order: str = "strongest",
    scale: str = "log",
    recipe: str | Recipe = "balanced",
    **watch: Callable[..., object] | None,
) -> torch.Tensor:
    """1xHxWx3: the second moment of a layer, which is all that is known of a style there."""
    _check(order, ORDERS, "order")
    _check(scale, SCALES, "scale")
    grams.check_network(vgg)
    vgg.check_taps((tap,), "tap")
    recipe = get_recipe(recipe)
    with torch.inference_mode(False):
        # A style as large as the transfer is looked at in the size that others have by default.
        network = network_for(vgg, recipe, watch=Watch(**watch))
        found = grams.blend(network, (tap,), (GRAM_SIDE, GRAM_SIDE))
    moment = found[tap].moment.numpy()
    if order == "strongest":
        ranks = np.argsort(-np.diag(moment), kind="stable")
        moment = moment[np.ix_(ranks, ranks)]
    return _heat_map(moment, f"{tap}: {len(moment)} channels, {_called(order)}", scale)[None]


def reconstruct(
    vgg: VGGFeatures,
    picture: torch.Tensor,
    tap: str,
    part: str,
    *,
    on_step: Callable[[Progress], object] | None = None,
    on_tile: Callable[[Position], object] | None = None,
    **choices: Any,
) -> Result:
    """What noise becomes when one layer alone is matched: its content or its style (Gatys et al. 2016, figure 1), in
    100 steps at 256 pixels. The `choices` are those of `stylize`."""
    _check(part, PARTS, "part")
    pictures = check_picture(picture, "picture")
    layers = LayerWeights(style={tap: 1.0}, content={tap: 1.0})
    results: list[Result] = []

    def told(on: Callable[[Any], object] | None) -> Callable[[Any], object]:
        return lambda position: on and on(replace(position, picture=len(results), pictures=len(pictures)))

    # One by one: a batch would be blended into one style.
    for one in pictures.split(1):
        results.append(
            stylize(
                vgg,
                one,
                compute_style_grams(vgg, one, recipe=ALONE, layers=layers.style, name="image"),
                recipe=ALONE,
                layers=layers,
                content_weight=float(part == "content"),
                style_weight=float(part == "style"),
                tv_weight=1.0,  # what a layer does not see would stay noise
                on_step=told(on_step),
                on_tile=told(on_tile),
                **{"steps": 100, "size": 256, **choices},
            )
        )
        if results[-1].settings["stopped_early"]:
            break
    histories = [history for result in results for history in result.histories]
    notes = list(dict.fromkeys(note for result in results for note in result.notes))
    # The settings are the same for all, but for `stopped_early`, which the last one has.
    return Result(torch.cat([result.image for result in results]), histories, results[-1].settings, notes)


def _check(value: str, known: tuple[str, ...], name: str) -> None:
    if value not in known:
        raise NSTError(f"{name}: {value!r} is not one of {', '.join(known)}.")


def _called(order: str) -> str:
    return {"strongest": "strongest first", "channel": "in the network's order"}[order]


def _coloured(values: NDArray[Any]) -> NDArray[np.uint8]:
    """-1..1 to colours: the brighter the farther from nothing, warm above it and cold below."""
    stops = np.linspace(0, 1, len(WARM))
    ramps = [np.stack([np.interp(abs(values), stops, c) for c in zip(*r, strict=True)], -1) for r in (WARM, COLD)]
    colours: NDArray[np.uint8] = np.where(values[..., None] < 0, ramps[1], ramps[0]).round().astype(np.uint8)
    return colours


def _contact_sheet(maps: Maps, tap: str, count: int, order: str) -> torch.Tensor:
    from PIL import Image, ImageDraw, ImageFont

    energy, total = maps.energy, maps.energy.sum().clamp_min(1e-30)
    channels, height, width = maps.values.shape
    ranked = energy.argsort(descending=True, stable=True).tolist() if order == "strongest" else list(range(channels))
    shown = ranked[:count]
    h, w = fit_long((height, width), CELL)
    columns = math.ceil(math.sqrt(len(shown) * h / w))
    rows = math.ceil(len(shown) / columns)
    title = f"{tap}: {len(shown)} of {channels} maps, {_called(order)}"
    font = ImageFont.load_default(LETTERS)
    needed = max(columns * (w + GAP), math.ceil(font.getlength(title)) + GAP)
    sheet = Image.new("RGB", (GAP + needed, GAP + LINE + rows * (LINE + h + GAP)), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), title, TEXT, font)
    for i, channel in enumerate(shown):
        x, y = GAP + i % columns * (w + GAP), GAP + LINE + i // columns * (LINE + h + GAP)
        cell = Image.fromarray(_coloured(maps.values[channel].numpy() / max(float(maps.largest[channel]), 1e-30)))
        # Positions stay squares where they are few, and are averaged where they are many.
        cell = cell.resize((w, h), Image.Resampling.NEAREST if width < w else Image.Resampling.BOX)
        sheet.paste(cell, (x, y + LINE))
        draw.text((x, y + LINE - 4), f"{channel}", TEXT, font, anchor="ls")
        draw.text((x + w, y + LINE - 4), f"{energy[channel] / total:.2%}", FAINT, font, anchor="rs")
    return _as_tensor(sheet)


def _heat_map(moment: NDArray[Any], title: str, scale: str) -> torch.Tensor:
    from PIL import Image, ImageDraw, ImageFont

    largest = max(float(abs(moment).max()), 1e-30)

    def shade(values: NDArray[Any]) -> NDArray[Any]:
        part = abs(values) / largest
        far = np.sqrt(part) if scale == "sqrt" else 1 + np.log10(np.maximum(part, 10.0**-DECADES)) / DECADES
        signed: NDArray[Any] = np.copysign(far, values)
        return signed

    side = max(1, GRAM_SIDE // len(moment)) * len(moment)
    left, top, bar = GAP, LINE + 2 * GAP, 16
    sheet = Image.new("RGB", (left + side + 2 * GAP + bar + 60, top + side + GAP), BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(LETTERS)
    draw.text((left, GAP), title, TEXT, font)
    sheet.paste(Image.fromarray(_coloured(shade(moment))).resize((side, side), Image.Resampling.NEAREST), (left, top))
    x = left + side + 2 * GAP
    low = -1.0 if moment.min() < 0 else 0.0
    ramp = np.linspace(1, low, side)
    sheet.paste(Image.fromarray(_coloured(np.repeat(ramp[:, None], bar, 1))), (x, top))
    for level in (1.0, 0.75, 0.5, 0.25, 0.0, -0.25, -0.5, -0.75, -1.0):
        if level < low:
            break
        part = level**2 if scale == "sqrt" else 10 ** (DECADES * (abs(level) - 1)) * (level != 0)
        y = top + (1 - level) / (1 - low) * (side - 1)
        value = math.copysign(part, level) * largest
        draw.text((x + bar + 5, y), f"{value:.2g}" if abs(value) < 100 else f"{value:,.0f}", TEXT, font, anchor="lm")
    return _as_tensor(sheet)


def _as_tensor(sheet: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(sheet, dtype=np.float32) / 255)
