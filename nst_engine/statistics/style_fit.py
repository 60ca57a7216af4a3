"""How large a style is measured where nobody says: each way that a recipe's `style_fit` may name."""

from __future__ import annotations

from collections.abc import Callable

from ..pictures.images import Shape, fit_area, fit_long


def _short_side(style: Shape, level: Shape, fraction: float) -> Shape:
    """Short sides alike at the final size, of which this level is a fraction; a style up to a tenth too large, or
    smaller, keeps its own size."""
    final = min(level) / fraction
    factor = final / min(style) if min(style) > 1.1 * final else 1.0
    height, width = (max(1, round(round(side * factor) * fraction)) for side in style)
    return height, width


# From the shape of a style's picture, and that of a level which is such a fraction of the result.
STYLE_FITS: dict[str, Callable[[Shape, Shape, float], Shape]] = {
    "long": lambda style, level, fraction: fit_long(style, max(level)),
    "long-no-larger": lambda style, level, fraction: fit_long(style, min(max(level), max(style))),
    "short-no-larger": _short_side,
    "area": lambda style, level, fraction: fit_area(style, level[0] * level[1]),
    "shape": lambda style, level, fraction: level,  # proportions lost
}
