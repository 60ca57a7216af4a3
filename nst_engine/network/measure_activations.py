"""Mean activations of a network for which none were published."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from .conventions import Conventions
from .vgg import Network, VGGFeatures

COUNT, SIDE = 4, 192  # of the pictures


def measure_mean_activations(
    architecture: str,
    convolutions: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
) -> dict[str, float]:
    """Mean activation after each ReLU, over positions, channels and pictures (max-pooling, zero padding)."""
    names = list(convolutions)
    taps = [name.replace("conv", "relu") for name in names]
    vgg = VGGFeatures(architecture, "measured", convolutions, precision="fp32", weights_key="-")
    network = Network(vgg, Conventions(units="own"))
    pictures = synthetic_pictures()
    sums = dict.fromkeys(names, 0.0)
    with torch.no_grad():
        for picture in pictures:
            features = network.features(picture, taps)
            for name, tap in zip(names, taps, strict=True):
                sums[name] += float(features[tap].mean()) / len(pictures)
    return sums


def synthetic_pictures() -> list[torch.Tensor]:
    """Clouds of colour whose spectrum falls as 1/f, as that of photographs does: used where no pictures are at hand."""
    generator = torch.Generator().manual_seed(0)
    frequency = torch.fft.fftfreq(SIDE)[:, None] ** 2 + torch.fft.rfftfreq(SIDE)[None] ** 2
    frequency[0, 0] = 1.0
    pictures = []
    for _ in range(COUNT):
        white = torch.randn(1, 3, SIDE, SIDE, generator=generator)
        clouds = torch.fft.irfft2(torch.fft.rfft2(white) / frequency.sqrt(), s=(SIDE, SIDE))
        grey = clouds.mean(1, keepdim=True)  # photographs' channels move together
        mixed = 0.75 * grey / grey.std() + 0.35 * clouds / clouds.std()
        pictures.append((0.47 + 0.22 * mixed).clamp(0, 1))
    return pictures
