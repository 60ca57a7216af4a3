"""Stand-ins for the few of ComfyUI's own nodes that the pack's workflows need."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from ...nst_engine import NSTError
from ...nst_engine.pictures.images import from_host, shape_of, to_host
from ...nst_engine.system.safe_files import below, unfinished
from ...nst_engine.video.encode import Encoding, write_clip
from ...nst_engine.video.source import Part, Shown, Source, open_clip
from .. import host
from ..file_names import fill_in
from .folders import ENDING, Folders
from .graph import Graph


def stand_ins(folders: Folders) -> dict[str, Any]:
    pictures = (LoadImage(folders), LoadImageMask(folders), SaveImage(folders), PreviewImage(folders))
    nodes = (
        *pictures,
        LoadImageDataSetFromFolder(folders),
        CreateVideo(folders),
        LoadVideo(folders),
        SaveVideo(folders),
    )
    return {type(node).__name__: node for node in nodes}


@dataclass
class _StandIn:
    folders: Folders

    def _is_there(self, name: str, what: str) -> bool | str:
        try:
            path = self.folders.find(name)
        except NSTError as error:
            return str(error)
        return os.path.isfile(path) or f"there is no {what} {path}; put it there, or give another input folder."


class LoadImage(_StandIn):
    """Like the host's, but for two things: 16-bit files keep their depth, and an animation gives its first frame."""

    RETURN_TYPES: tuple[str, ...] = ("IMAGE", "MASK")
    FUNCTION = "load"

    def INPUT_TYPES(self) -> dict[str, Any]:
        return {"required": {"image": ("STRING", {})}}

    def VALIDATE_INPUTS(self, image: str) -> bool | str:
        return self._is_there(image, "picture")

    def load(self, image: str) -> tuple[torch.Tensor, torch.Tensor]:
        picture = self.folders.read(image)
        # The host's mask of an opaque picture is this small and empty one.
        mask = torch.zeros(1, 64, 64) if picture.alpha is None else 1 - picture.alpha[:, 0]
        return to_host(picture.pixels), mask


class LoadImageMask(LoadImage):
    RETURN_TYPES = ("MASK",)
    CHANNELS = ("red", "green", "blue")

    def INPUT_TYPES(self) -> dict[str, Any]:
        return {"required": {"image": ("STRING", {}), "channel": (["alpha", *self.CHANNELS], {})}}

    def load(self, image: str, channel: str) -> tuple[torch.Tensor]:  # type: ignore[override]
        picture = self.folders.read(image)
        if channel != "alpha":
            return (picture.pixels[:, self.CHANNELS.index(channel)].contiguous(),)
        return (torch.zeros_like(picture.pixels[:, 0]) if picture.alpha is None else 1 - picture.alpha[:, 0],)


class LoadImageDataSetFromFolder(_StandIn):
    """Every picture of a folder, as a list: what is done with it is done for one after the other."""

    RETURN_TYPES = ("IMAGE",)
    OUTPUT_IS_LIST = (True,)
    FUNCTION = "load"
    ENDINGS = (".png", ".jpg", ".jpeg", ".webp")

    def INPUT_TYPES(self) -> dict[str, Any]:
        return {"required": {"folder": ("STRING", {})}}

    def VALIDATE_INPUTS(self, folder: str) -> bool | str:
        try:
            path = self.folders.find(folder)
            return bool(self._pictures(folder)) or f"no picture lies in the folder {path} ({' '.join(self.ENDINGS)})."
        except NSTError as error:
            return str(error)
        except OSError as error:
            return f"the folder {folder} cannot be read ({error.strerror or error})."

    def load(self, folder: str) -> tuple[list[torch.Tensor]]:
        return ([to_host(self.folders.read(name).pixels) for name in self._pictures(folder)],)

    def _pictures(self, folder: str) -> list[str]:
        files = sorted(self.folders.find(folder).iterdir())
        return [f"{folder}/{file.name}" for file in files if file.suffix.lower() in self.ENDINGS]


class SaveImage(_StandIn):
    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True

    def INPUT_TYPES(self) -> dict[str, Any]:
        return {
            "required": {"images": ("IMAGE", {}), "filename_prefix": ("STRING", {"default": "ComfyUI"})},
            "hidden": {"prompt": "PROMPT"},
        }

    def VALIDATE_INPUTS(self, filename_prefix: str) -> bool | str:
        try:
            return bool(below(self.folders.output, fill_in(filename_prefix), ending=ENDING))
        except NSTError as error:
            return str(error)

    def save(self, images: torch.Tensor, filename_prefix: str, prompt: Graph) -> dict[str, Any]:
        self.folders.write(images, filename_prefix, prompt, self.folders.output)
        return {"ui": {}}


class PreviewImage(_StandIn):
    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True

    def INPUT_TYPES(self) -> dict[str, Any]:
        return {"required": {"images": ("IMAGE", {})}, "hidden": {"prompt": "PROMPT"}}

    def save(self, images: torch.Tensor, prompt: Graph) -> dict[str, Any]:
        self.folders.write(images, "preview", prompt, self.folders.temp)
        return {"ui": {}}


class LoadVideo(_StandIn):
    RETURN_TYPES = ("VIDEO",)
    FUNCTION = "load"

    def INPUT_TYPES(self) -> dict[str, Any]:
        return {"required": {"file": ("STRING", {})}}

    def VALIDATE_INPUTS(self, file: str) -> bool | str:
        return self._is_there(file, "clip")

    def load(self, file: str) -> tuple[host.VideoFile]:
        return (host.VideoFile(str(self.folders.find(file))),)


class CreateVideo(_StandIn):
    RETURN_TYPES = ("VIDEO",)
    FUNCTION = "create"

    def INPUT_TYPES(self) -> dict[str, Any]:
        return {"required": {"images": ("IMAGE", {}), "fps": ("FLOAT", {"default": 30.0, "min": 1.0, "max": 120.0})}}

    def create(self, images: torch.Tensor, fps: float) -> tuple[host.VideoFile]:
        path = self.folders.temp / f"clip-{os.urandom(4).hex()}.mkv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rate = Fraction(fps).limit_denominator(1001)
        frames = from_host(images).split(1)
        source = Source(path, shape_of(images[0, :, :, 0]), 8, rate, len(frames), ("images",))
        shown = (Shown(number, number / rate, frame[:, :3]) for number, frame in enumerate(frames))
        write_clip(path, shown, source, Part(), Encoding("ffv1"))
        return (host.VideoFile(str(path)),)


class SaveVideo(_StandIn):
    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True

    def INPUT_TYPES(self) -> dict[str, Any]:
        return {
            "required": {
                "video": ("VIDEO", {}),
                "filename_prefix": ("STRING", {"default": "video/ComfyUI"}),
                "format": ("STRING", {"default": "auto"}),
                "codec": ("STRING", {"default": "auto"}),
            }
        }

    def VALIDATE_INPUTS(self, filename_prefix: str) -> bool | str:
        try:
            return bool(host.output_named(filename_prefix, ".mp4"))
        except NSTError as error:
            return str(error)

    def save(self, video: host.VideoFile, filename_prefix: str, format: str, codec: str) -> dict[str, Any]:
        source = open_clip(Path(video.get_stream_source()))
        path = host.output_named(filename_prefix, ".mp4")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = unfinished(path.parent, ".mp4")
        try:
            write_clip(part, source.frames(Part(), lambda _: None), source, Part(), Encoding())
            self.folders.written.append(host.name_output(part, filename_prefix, ".mp4"))
        finally:
            part.unlink(missing_ok=True)
        return {"ui": {}}
