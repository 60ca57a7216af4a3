from __future__ import annotations

from dataclasses import dataclass

from ..nst_engine.objective.losses import VARIATIONS
from ..nst_engine.statistics.distances import STATISTICS
from . import host
from .inputs import RECIPE, check_numbers, given, number_or_recipe

YES_NO = {"on": True, "off": False}


@dataclass(frozen=True)
class Method:
    """NST_METHOD: what `stylize` is to do otherwise than the recipe; None leaves it to that."""

    statistic: str | None = None
    shift: float | None = None
    normalise_gradients: bool | None = None
    averaging: float | None = None
    tv_kind: str | None = None

    def __repr__(self) -> str:
        return f"<NST_METHOD {', '.join(f'{name}={v}' for name, v in vars(self).items() if v is not None)}>"


class NSTMethod:
    TITLE = "NST Method"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "How style is measured and how the transfer goes about it, in place of what the recipe says: other statistics "
        "than the Gram matrix, gradient normalisation, averaging, and the kind of smoothing."
    )
    RETURN_TYPES = ("NST_METHOD",)
    RETURN_NAMES = ("method",)
    OUTPUT_TOOLTIPS = ("For the input method of Neural Style Transfer or NST Synthesize Texture.",)
    FUNCTION = "choose"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "statistic": (
                    [RECIPE, *STATISTICS],
                    {
                        "tooltip": "What of the features is made equal. gram: which occur together. mean-std: how much "
                        "of each, and how varied. covariance: both, as one distance between distributions. histogram: "
                        "all values of each. sliced: the whole distribution, seen from ever new directions. The last "
                        "two sort, take longer, and cannot be done by tiles or with a saved style."
                    },
                ),
                "shift": (
                    "FLOAT",
                    {
                        "default": 0.0,
                        "min": -100.0,
                        "max": 100.0,
                        "step": 0.1,
                        "tooltip": "Added to the activations before their Gram matrix; -1 makes it tell more apart. "
                        "0: none.",
                    },
                ),
                "normalise_gradients": (
                    [RECIPE, *YES_NO],
                    {
                        "tooltip": "Gives every layer's gradient the same size before they are summed, so that none "
                        "drowns the others and weights alone say what counts."
                    },
                ),
                "averaging": number_or_recipe(
                    "The result is a running mean of the last pictures: 0.9 of about ten, 0.98 of fifty, 0 of none. "
                    "Takes noise away.",
                    "FLOAT",
                    max=0.999,
                    step=0.01,
                ),
                "tv_kind": (
                    [RECIPE, *VARIATIONS],
                    {
                        "tooltip": "What tv_weight makes small. l2: squared differences between neighbours, smooths "
                        "evenly. l1: plain differences, leaves edges and flattens what lies between. nine: diagonal "
                        "neighbours, too."
                    },
                ),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, averaging: float | None = None) -> bool | str:
        return check_numbers(cls, averaging=averaging)

    def choose(
        self, statistic: str, shift: float, normalise_gradients: str, averaging: float, tv_kind: str
    ) -> tuple[Method]:
        return (
            Method(
                given(statistic),
                shift or None,
                YES_NO.get(normalise_gradients),
                given(averaging),
                given(tv_kind),
            ),
        )
