from __future__ import annotations

from dataclasses import dataclass

from .. import nst_engine as nst
from ..nst_engine.objective.octaves import MOST_OCTAVES
from ..nst_engine.objective.total_variation import VARIATIONS
from ..nst_engine.options import Options
from ..nst_engine.recipes import VOCABULARY
from ..nst_engine.statistics.distances import STATISTICS
from . import host
from .inputs import AS_RECIPE, RECIPE, given, number_or_recipe

YES_NO = {"on": True, "off": False}


@dataclass(frozen=True)
class Method:
    """NST_METHOD: what `stylize` is to do otherwise than the recipe; None leaves it to that."""

    statistic: str | None = None
    shift: float | None = None
    normalise_gradients: bool | None = None
    averaging: float | None = None
    tv_kind: str | None = None
    content_measure: str | None = None
    octaves: int | None = None

    def __repr__(self) -> str:
        return f"<NST_METHOD {', '.join(f'{name}={v}' for name, v in vars(self).items() if v is not None)}>"


def used_recipe(recipe: str, optimizer: str, method: Method) -> nst.Recipe:
    """The preset with what is chosen otherwise."""
    return Options(recipe=recipe, optimizer=given(optimizer), **vars(method)).used_recipe


OCTAVES = number_or_recipe(
    "In how many sizes at once style is matched: large shapes and fine marks in one, best for textures and large "
    "strokes. 1: in one size, 3: also in a half and a quarter of it.",
    least=1,
    max=MOST_OCTAVES,
)


class NSTMethod:
    TITLE = "NST Method"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Another way of measuring style and of painting, in place of the preset's: for busier or calmer surfaces, "
        "truer colours, less noise. Connect it to method. Optional."
    )
    RETURN_TYPES = ("NST_METHOD",)
    RETURN_NAMES = ("method",)
    OUTPUT_TOOLTIPS = ("The way of working, for the input method of Neural Style Transfer or NST Synthesize Texture.",)
    SEARCH_ALIASES = (
        "style statistics",
        "gram",
        "covariance",
        "histogram",
        "sliced wasserstein",
        "adain",
        "style transfer",
    )
    FUNCTION = "choose"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "statistic": (
                    [RECIPE, *STATISTICS],
                    {
                        "tooltip": "What counts as style. gram: which textures go together, the classic. mean-std: "
                        "looser and faster. covariance: truer colours and contrasts. histogram: nothing washed out. "
                        "sliced: the most complete. nearest: made of the style's own pieces; best with the preset "
                        "nnst. remd: its colours and shapes, point by point; best with the preset strotss. The last "
                        "four are slow and do not work with saved styles; of them only remd works with tiles."
                    },
                ),
                "shift": (
                    "FLOAT",
                    {
                        "default": 0.0,
                        "min": -100.0,
                        "max": 100.0,
                        "step": 0.1,
                        "tooltip": "Only for gram: shifts what it compares; -1 tells textures apart more sharply. 0: "
                        "no shift.",
                    },
                ),
                "normalise_gradients": (
                    [RECIPE, *YES_NO],
                    {
                        "tooltip": "on: fine marks and large strokes get an equal say, whatever the picture, and parts "
                        "that stayed muddy are finished too. recipe: as the preset says."
                    },
                ),
                "averaging": number_or_recipe(
                    "Calms noise by averaging over the last steps: 0.9 over about ten, 0.98 over fifty, 0 not at all.",
                    "FLOAT",
                    max=0.999,
                    step=0.01,
                ),
                "tv_kind": (
                    [RECIPE, *VARIATIONS],
                    {
                        "tooltip": "How smoothing works. l2: evenly. l1: keeps edges, and flattens what lies between. "
                        "nine: diagonals too. recipe: as the preset says."
                    },
                ),
            },
            "optional": {
                "content_measure": (
                    [RECIPE, *VOCABULARY["content_measure"]],
                    {
                        "tooltip": "How your picture is kept. features: what is in it. laplacian: its edges and "
                        "outlines as well, so that faces, roofs and thin lines come through. self-similarity: what is "
                        "alike in it stays alike. recipe: as the preset says."
                    },
                ),
                "octaves": OCTAVES,
            },
        }

    def choose(
        self,
        statistic: str,
        shift: float,
        normalise_gradients: str,
        averaging: float,
        tv_kind: str,
        content_measure: str = RECIPE,
        octaves: int = AS_RECIPE,
    ) -> tuple[Method]:
        return (
            Method(
                given(statistic),
                shift or None,
                YES_NO.get(normalise_gradients),
                given(averaging),
                given(tv_kind),
                given(content_measure),
                given(octaves),
            ),
        )
