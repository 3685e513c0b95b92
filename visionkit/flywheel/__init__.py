"""The loop that makes a model better by using it: catalog, review queue, page, promotion."""
