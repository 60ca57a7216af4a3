from __future__ import annotations

from typing import Any

from .. import nst_engine as nst
from ..nst_engine.statistics.measure import memory_to_measure
from ..nst_engine.styles.compute import measure
from ..nst_engine.styles.saved import SUFFIX, to_bytes
from . import host
from .preview import follow_measuring

SERVED = "balanced"  # what Compute Style Grams measures for


class SaveStyleGrams:
    TITLE = "Save Style Grams"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Saves a measured style as a .safetensors file of a few megabytes in ComfyUI's output folder: its statistics, "
        "without its picture, to be used again or passed on."
    )
    RETURN_TYPES = ("STYLE_GRAMS",)
    RETURN_NAMES = ("style_grams",)
    OUTPUT_TOOLTIPS = ("The style that was saved, to go on with.",)
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "style_grams": (
                    "STYLE_GRAMS",
                    {"tooltip": "The style, from Compute Style Grams with a size above 0. A blend is saved whole."},
                ),
                "filename_prefix": (
                    "STRING",
                    {
                        "default": "nst/style",
                        "tooltip": "Name of the file in the output folder, with folders below it if you like. A number "
                        "is added, so nothing is overwritten. %year%, %month%, %day% and the like are filled in.",
                    },
                ),
            },
            "optional": {
                "thumbnail": (
                    "BOOLEAN",
                    {
                        "default": False,
                        "tooltip": "Put a copy of the style picture, 128 pixels large, into the file. Without it the "
                        "picture stays with you.",
                    },
                ),
                "vgg": (
                    "VGG_FEATURES",
                    {
                        "tooltip": "With the network that the style was measured with, what the recipe below needs "
                        "is measured before saving. Without it, what has been measured so far is saved."
                    },
                ),
                "recipe": (
                    list(nst.RECIPES),
                    {
                        "tooltip": "The recipe that the saved style is to serve. Compute Style Grams measures for "
                        "balanced; any other needs vgg connected here."
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
            with host.room_for(memory_to_measure(vgg), vgg.device):
                measure(style_grams, vgg, recipe, **follow_measuring())
        content = to_bytes(style_grams, thumbnail)
        path = host.write_output(filename_prefix, SUFFIX, lambda file: file.write(content))
        name, file = host.as_output(path)
        host.show_text(f"Saved as {name}", node_id)
        return {"ui": {"text": [name], "styles": [file]}, "result": (style_grams,)}
