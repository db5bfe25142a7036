"""Alternatives to stage 3: best of K, rejection sampling, DPO, GRPO."""
