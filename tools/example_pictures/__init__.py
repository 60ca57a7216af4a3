"""The pack's example pictures, a module for each. A picture is one function from back to front, however long: its order
is that of the numbers drawn from its generator. Everything is computed from seeded noise and distance functions, so
that the pictures are ours to give away. Colours are floats in 0..1, lengths are pixels of the finished picture.
"""

from .fields import fields
from .hatching import hatching
from .landscape import landscape
from .mosaic import mosaic
from .still_life import still_life
from .strokes import strokes
from .watercolour import watercolour

PICTURES = {
    "content-landscape.jpg": landscape,
    "content-still-life.jpg": still_life,
    "style-strokes.jpg": strokes,
    "style-mosaic.jpg": mosaic,
    "style-hatching.jpg": hatching,
    "style-fields.jpg": fields,
    "style-watercolour.jpg": watercolour,
}
