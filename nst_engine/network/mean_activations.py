"""The units of activations. Gatys et al. (2016, section 2) scaled the network so that the mean activation of every
convolution is 1, and most recipes' loss weights suppose activations of that size; those of the Caffe networks are far
larger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

# Measured once over fourteen photographs, paintings and textures at 384 px (long side).
CAFFE_VGG19_MEAN_ACTIVATIONS = {
    "conv1_1": 22.53,
    "conv1_2": 100.8,
    "conv2_1": 124.6,
    "conv2_2": 110.9,
    "conv3_1": 127.2,
    "conv3_2": 158.5,
    "conv3_3": 327.5,
    "conv3_4": 484.5,
    "conv4_1": 488.7,
    "conv4_2": 312.1,
    "conv4_3": 163.8,
    "conv4_4": 38.84,
    "conv5_1": 42.14,
    "conv5_2": 17.39,
    "conv5_3": 6.93,
    "conv5_4": 0.94,
}


def measure_mean_activations(
    architecture: str,
    convolutions: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
) -> dict[str, float]:
    """Mean activation after each ReLU, over positions, channels and pictures (max-pooling, zero padding)."""
    from .conventions import Conventions
    from .vgg import Network, VGGFeatures  # which imports this module

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


def synthetic_pictures(count: int = 4, side: int = 192) -> list[torch.Tensor]:
    """Clouds of colour whose spectrum falls as 1/f, as that of photographs does: used where no pictures are at hand."""
    generator = torch.Generator().manual_seed(0)
    frequency = torch.fft.fftfreq(side)[:, None] ** 2 + torch.fft.rfftfreq(side)[None] ** 2
    frequency[0, 0] = 1.0
    pictures = []
    for _ in range(count):
        white = torch.randn(1, 3, side, side, generator=generator)
        clouds = torch.fft.irfft2(torch.fft.rfft2(white) / frequency.sqrt(), s=(side, side))
        grey = clouds.mean(1, keepdim=True)  # photographs' channels move together
        mixed = 0.75 * grey / grey.std() + 0.35 * clouds / clouds.std()
        pictures.append((0.47 + 0.22 * mixed).clamp(0, 1))
    return pictures


def unit_scales(layers: Iterable[str], mean_activations: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Factors for each convolution's kernel and bias that make the mean activation after every ReLU about 1 (Gatys et
    al. 2016, section 2).

    ReLU and pooling let a positive factor through, so dividing a layer by its mean activation and multiplying the next
    one by it changes the units and nothing else.
    """
    layers = tuple(layers)
    means = [mean_activations[layer] for layer in layers]
    return {
        layer: (incoming / mean, 1 / mean) for layer, incoming, mean in zip(layers, [1.0, *means], means, strict=False)
    }
