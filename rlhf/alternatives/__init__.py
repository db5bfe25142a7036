"""Alternatives to stage 3.

`best_of_k` picks the best of K answers and trains nothing; `rejection_sampling` fine-tunes on them; `dpo` learns from
the rankings without a reward model; `grpo` needs no value model.
"""
