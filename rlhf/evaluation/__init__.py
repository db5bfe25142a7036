"""Measurements of each stage.

`answers` lets every stage answer the same prompts, `evaluate` makes results.json of their grades, `win_rate` compares
two stages, `rollouts` grades the answers that PPO learned from, `best_of_k` shows what the best of K answers is worth.
`report` shows a run on one page, `readme` in README.md; `goals` are the figures a run must reach; `chat` talks to a
stage. May import everything but the tutorials; nothing that learns imports it.
"""
