"""How long the names are that the page takes, in characters."""

LONGEST_PERSON = 60
LONGEST_LABEL = 200  # of an item or class that is new to the catalog
