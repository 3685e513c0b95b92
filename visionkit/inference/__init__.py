"""Pictures in, finds out: the predictor and what it writes."""
