"""What is refused early: by the host in red where widgets alone tell, else before anything is measured.

The host marks every input that VALIDATE_INPUTS names when it has something to say, and leaves their ranges and choices
to it. So it names only those that are judged together.
"""

from __future__ import annotations

from typing import Any

from .. import nst_engine as nst
from ..nst_engine.network.architecture import smallest_side
from ..nst_engine.statistics.masks import complement, stretch
from .inputs import AS_RECIPE, OrAuto

# The default of a wire in VALIDATE_INPUTS: the host passes None for one that is connected, and nothing else.
NOT_WIRED = object()


# --- for VALIDATE_INPUTS: what widgets alone tell ------------------------------------------------------------------


def refusal_of(kind: Any, **values: Any) -> str:
    """The checks that the host leaves to a node's own: the message, or ''.

    A value of None is a linked input. What is no number at all ComfyUI refuses by itself, and asks here nevertheless.
    """
    table = kind.INPUT_TYPES()
    known = {**table["required"], **table.get("optional", {})}
    return next(filter(None, (_refusal(name, value, *known[name]) for name, value in values.items())), "")


def _refusal(name: str, value: Any, kind: Any, options: dict[str, Any]) -> str:
    if isinstance(kind, list):
        return "" if value is None or value in kind else f"{name}: {str(value)[:40]!r} is not one of {', '.join(kind)}."
    least, most = options["min"], options["max"]
    if not isinstance(value, int | float) or least <= value <= most:
        return ""
    lowest, auto = (least.least, f", or {AS_RECIPE} for auto") if isinstance(least, OrAuto) else (least, "")
    return f"{name}: {str(value)[:20]} will not do; give {lowest:g} to {most:g}{auto}."


def too_small(recipe: Any, size: Any) -> str:
    """The message where no picture with this long side has pixels enough for the preset's layers, whatever its
    proportions, or ''."""
    if recipe not in nst.RECIPES or not isinstance(size, int) or size <= 0:
        return ""
    taps = (*nst.RECIPES[recipe].style_layers, *nst.RECIPES[recipe].content_layers)
    if size >= (needed := least_side(taps)):
        return ""
    deepest = max(taps, key=lambda tap: least_side((tap,)))
    return (
        f"size: {size} pixels are too few for {recipe}, which needs {needed} on each side for its layer {deepest}. A "
        "larger size, or other layers from Layer Weights, would do."
    )


def style_too_small(size: Any) -> str:
    """The same of a style, which is measured for the default preset."""
    needed = least_side(tuple(nst.RECIPES["balanced"].style_layers))
    if not isinstance(size, int) or not 0 < size < needed:
        return ""
    return (
        f"size: {size} pixels are too few to measure a style; give at least {needed}, or 0 for as large as the result."
    )


def least_side(layers: tuple[str, ...]) -> int:
    """Pixels on each side that layers need at least; a network that reflects at its borders needs more."""
    return smallest_side(layers, "zeros")


def layer_too_deep(layer: Any, size: Any) -> str:
    """Whether a picture that is made this large has pixels enough for one layer."""
    if layer is None or not isinstance(size, int) or size <= 0 or size >= (needed := least_side((layer,))):
        return ""
    return f"size: {size} pixels are too few for {layer}, which needs {needed} on each side. Choose a larger size."


def refusal_of_run(kind: Any, recipe: Any, size: Any, layer_weights: object) -> str:
    """What the widgets of a node that runs a recipe tell alone."""
    refusal = refusal_of(kind, recipe=recipe, size=size)
    return refusal or (too_small(recipe, size) if layer_weights is NOT_WIRED else "")


class RunsRecipe:
    """Nodes that run a recipe on what they are given, and whose widgets are refused alike."""

    @classmethod
    def VALIDATE_INPUTS(
        cls, recipe: str | None = None, size: int | None = None, layer_weights: object = NOT_WIRED
    ) -> bool | str:
        return refusal_of_run(cls, recipe, size, layer_weights) or True


# --- at the start of a node: what only the wires tell --------------------------------------------------------------


def check_style(vgg: nst.VGGFeatures, grams: nst.StyleGrams, shape: tuple[int, int], pictures: int) -> None:
    """That the style goes with the network and its regions with the pictures, before anything is measured."""
    grams.check_network(vgg)
    grams.check(shape, pictures)
    for number in range(pictures if grams.guided else 0):
        counted = [style for style in grams.of_picture(number).styles if style.weight > 0]
        regions = {id(style.region): style for style in counted if style.region is not None}
        masks: list[Any] = []
        for style in regions.values():
            mask = stretch(style.region, shape)  # type: ignore[arg-type]
            if not any(mask.equal(other) for other in masks):
                masks.append(mask)
        if masks:
            complement(masks, (style.name for style in regions.values()))
