"""What is to be matched. `style` is one picture and its statistics, each measured once, with its `copies`, mirrored or
rotated; `grams` blends several and gives each its part of the result; `compute` makes them from pictures, `saved`
writes and reads them as files. `objective` asks them for targets; the command line and the nodes hand them on."""
