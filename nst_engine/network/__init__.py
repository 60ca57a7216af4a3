"""VGG-16 and VGG-19: weights files, layers, pooling, number formats, and the features of a picture at named taps.
`vgg` runs the layers forwards and backwards; `tiles` knows how far a layer sees; `cpu` makes it fast on a processor."""
