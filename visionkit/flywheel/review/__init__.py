"""The review page: a small server on this machine, and what it shows in a browser."""
