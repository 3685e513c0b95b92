"""How the starter weights are made: a small network learns from pictures and from a teacher."""
