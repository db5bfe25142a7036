"""Measurements of each stage.

`answers` lets every stage answer the same prompts; `measures` are the figures of its answers, `win_rate` compares two
stages, `calibration` asks whether a policy abstains where it would be wrong, `few_shot` shows the base model examples.
`evaluate` is the command that makes results.json of all that, and `results` reads it. `rollouts` grades the answers
that PPO learned from, `best_of_k` shows what the best of K answers is worth, `side_effects` what PPO does with another
KL penalty. May import everything but `report` and the tutorials; nothing that learns imports it.
"""

from pathlib import Path

# `python -m rlhf.evaluation.chat` and the like: commands that have moved print one sentence with their new name
__path__.append(str(Path(__file__).parents[1] / "_old_commands" / "evaluation"))
