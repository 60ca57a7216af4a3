"""The units of activations. Gatys et al. (2016, section 2) scaled the network so that the mean activation of every
convolution is 1, and most recipes' loss weights suppose activations of that size; those of the Caffe networks are far
larger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
