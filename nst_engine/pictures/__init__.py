"""Pictures as tensors and as files. `images` checks tensors and resizes them, `colour` changes and transfers colours;
`decode`, `encode` and `files` read and write files, with alpha, colour profiles and settings; `plot` draws a run's
loss. The engine uses the first two everywhere; files are for the command line, films and `nst run`."""
