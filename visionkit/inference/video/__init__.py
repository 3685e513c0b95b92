"""Video: predictions along time, and what is made of them."""
