"""Which pictures people are asked about, in which order, and why."""
