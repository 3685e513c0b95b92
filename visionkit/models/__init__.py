"""Networks: the backbone, the weights it starts from, and what is built on it."""
