"""Whether live pictures are still like those of the training."""
