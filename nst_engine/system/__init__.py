"""What differs from machine to machine: file systems, memory that a process may take, signals, texts from strangers.
Nothing here knows of pictures."""
