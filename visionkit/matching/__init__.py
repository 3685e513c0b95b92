"""Finding the items of a gallery in a picture."""
