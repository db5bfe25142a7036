"""Stage 1, supervised fine-tuning: demonstrations to policy."""
