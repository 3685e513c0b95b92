"""Videos in, finds with time stamps out: reading, sampling, predicting, and what is written."""
