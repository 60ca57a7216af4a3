"""Pictures: as tensors and as files, their sizes and colours, and the plot of a run's loss."""
