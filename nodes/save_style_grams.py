from __future__ import annotations

from typing import Any

from .. import nst_engine as nst
from ..nst_engine.statistics.measure import memory_to_measure
from ..nst_engine.styles.compute import measure
from ..nst_engine.styles.saved import SUFFIX
from . import host
from .preview import follow_measuring

SERVED = "balanced"  # what Compute Style Grams measures for


class SaveStyleGrams:
    TITLE = "Save Style Grams"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Saves a style as a small file in ComfyUI's output folder, to use again or to pass on. The picture itself is "
        "not in it."
    )
    RETURN_TYPES = ("STYLE_GRAMS",)
    RETURN_NAMES = ("style_grams",)
    OUTPUT_TOOLTIPS = ("The same style, to go on with.",)
    SEARCH_ALIASES = ("save style", "export style", "style file", "style transfer", "safetensors", "gram matrix")
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "style_grams": (
                    "STYLE_GRAMS",
                    {
                        "tooltip": "The style, from a Compute Style Grams measured at a size above 0. A blend is "
                        "saved whole."
                    },
                ),
                "filename_prefix": (
                    "STRING",
                    {
                        "default": "nst/style",
                        "tooltip": "Name of the file in the output folder; nst/style puts it into a folder nst "
                        "there. A number is added, so nothing is overwritten. %year%, %month%, %day% are filled in.",
                    },
                ),
            },
            "optional": {
                "thumbnail": (
                    "BOOLEAN",
                    {
                        "default": False,
                        "tooltip": "Also saves a thumbnail of the style picture, 128 pixels large. Off: nothing of the "
                        "picture leaves your hands.",
                    },
                ),
                "vgg": (
                    "VGG_FEATURES",
                    {
                        "tooltip": "The network that measured the style. Needed only to save for another preset than "
                        "balanced."
                    },
                ),
                "recipe": (
                    list(nst.RECIPES),
                    {
                        "tooltip": "The preset that will use the saved style. Any other than balanced needs the "
                        "network connected here.",
                        "advanced": True,
                    },
                ),
            },
            "hidden": {"node_id": "UNIQUE_ID"},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, filename_prefix: str | None) -> bool | str:
        if not isinstance(filename_prefix, str):  # linked, or what the host itself refuses
            return True
        try:
            return bool(host.output_named(filename_prefix, SUFFIX))
        except nst.NSTError as error:
            return str(error)

    def save(
        self,
        style_grams: nst.StyleGrams,
        filename_prefix: str,
        thumbnail: bool = False,
        vgg: nst.VGGFeatures | None = None,
        recipe: str = SERVED,
        node_id: str | None = None,
    ) -> dict[str, Any]:
        host.output_named(filename_prefix, SUFFIX)  # what came by wire has not been looked at yet
        if vgg is None and recipe != SERVED:
            raise nst.NSTError(
                f"recipe: {recipe} needs statistics of its own, which are measured with the network: connect vgg, or "
                f"choose {SERVED}."
            )
        for style in style_grams.styles:
            if not style.size:
                raise nst.NSTError(
                    f"style_grams: {style.name} has size 0, as large as the transfer, and so none to be saved at. Give "
                    "Compute Style Grams a size, 512 for instance."
                )
        if vgg is not None:
            with host.reserve_memory(memory_to_measure(vgg), vgg.device):
                measure(style_grams, vgg, recipe, **follow_measuring())
        content = style_grams.to_bytes(thumbnails=thumbnail)
        path = host.write_output(filename_prefix, SUFFIX, lambda file: file.write(content))
        name, file = host.as_output(path)
        host.show_text(f"Saved as {name}")
        return {"ui": {"text": [name], "styles": [file]}, "result": (style_grams,)}
