"""What the content picture looks like to the network: the features P that the transfer is held to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from ..network.architecture import stride
from ..network.fast import Arena
from ..network.tiles import Tile
from ..network.vgg import Network
from ..pictures.images import shape_of


class ContentTarget:
    """P at its taps, for the whole picture or for a tile: kept, or made again each time where memory is short."""

    def __init__(
        self,
        network: Network,
        picture: torch.Tensor,
        taps: Iterable[str],
        tiles: Sequence[Tile] | None = None,
        keep: bool = True,
    ) -> None:
        self.network = network
        self.picture = picture
        self.taps = tuple(taps)
        self.kept: dict[str, torch.Tensor] = {}
        self.energy: dict[str, torch.Tensor] = {}  # ‖P‖²
        self.numel: dict[str, int] = {}
        if not self.taps:
            return
        if tiles is None:
            self.kept = network.features(picture.to(network.device), self.taps)
            self.energy = {tap: p.float().square().sum() for tap, p in self.kept.items()}
            self.numel = {tap: p.numel() for tap, p in self.kept.items()}
            return
        for done, tile in enumerate(tiles, 1):
            for tap, p in self._see(tile).items():
                self.energy[tap] = self.energy.get(tap, 0) + p.float().square().sum()
                self.numel[tap] = self.numel.get(tap, 0) + p.numel()
                if keep:
                    self._place(tile, tap, p)
            network.watch.measured(done, len(tiles))

    def at(self, tile: Tile | None, arena: Arena | None = None) -> dict[str, torch.Tensor]:
        if tile is None:
            return self.kept
        if self.kept or not self.taps:
            return {tap: tile.from_whole(p, tap) for tap, p in self.kept.items()}
        return self._see(tile, arena)

    def _see(self, tile: Tile, arena: Arena | None = None) -> dict[str, torch.Tensor]:
        pixels = tile.pixels(self.picture).to(self.network.device)
        features = self.network.activations(pixels, self.taps, arena=arena)
        return {tap: tile.without_margin(p, tap) for tap, p in features}

    def _place(self, tile: Tile, tap: str, p: torch.Tensor) -> None:
        if tap not in self.kept:
            height, width = shape_of(self.picture)
            shape = (1, p.shape[1], height // stride(tap), width // stride(tap))
            self.kept[tap] = torch.empty(shape, dtype=p.dtype, device=p.device, memory_format=torch.channels_last)
        tile.from_whole(self.kept[tap], tap).copy_(p)
