"""What differs from machine to machine: file systems, devices and their memory, signals, texts from strangers.
Nothing here knows of pictures."""
