"""From a start to a picture: the levels of coarse-to-fine, the optimisers, and the loop around both."""
