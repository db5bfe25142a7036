"""What the simulated people ask, write and prefer: prompts, the gold labeler, annotators."""
