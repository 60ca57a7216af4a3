"""The loss of a picture and its gradient, in one pass through the network or tile by tile:
L(x) = α·content + β·style + γ·total variation; `layout` decides which of the two ways it is."""
