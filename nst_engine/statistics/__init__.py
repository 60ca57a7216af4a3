"""What is measured of a picture's features, and how far apart two measurements are. `measure` measures whole pictures
piece by piece, `moments` and `distances` have the statistics that are sums, `sorting`, `nearest`, `hypercolumns` and
`earth_mover` those that need the features themselves; `masks` and `regions` say which part of a picture counts.
`styles` measures styles with it, `objective` the picture that is painted."""
