"""Neural style transfer for ComfyUI. The host imports this file and asks for three names; nothing else happens here."""

# A test runner may import this file on its own, without the package around it that relative imports need.
if __package__:
    from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

    WEB_DIRECTORY = "./nodes/web"

    __all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]
