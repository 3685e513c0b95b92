"""What the commands do: each job takes its config and a run folder, and says what came of it."""
