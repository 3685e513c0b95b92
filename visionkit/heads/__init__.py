"""What answers a task from the backbone's features, one file a task."""
