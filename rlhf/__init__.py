"""Alignment: the three stages of InstructGPT (Ouyang et al. 2022, arXiv 2203.02155) on a small GPT.

    prompts A ─► demonstrations ─► stage1_sft/      a policy that answers
    prompts B ─► answers ranked ─► stage2_reward/   a score for an answer
    prompts C ─► rollouts       ─► stage3_ppo/      a policy that the score has improved
    prompts D ─►                   evaluation/      what each stage did, by the gold labeler
                                   report/          the same as pages for people to read

Read `chat_format` and `people/` first, then the stages in order. `alternatives/` are other ways from a reward model or
from rankings to a policy; `chat` talks to any of them. `data_formats/` is a side room: other people's files.

Shapes are those of `minigpt` (B T C H D V L) and K, the number of answers to one prompt.
This package imports `minigpt`; never the other way.
"""

from pathlib import Path

# `python -m rlhf.sft` and the like: commands that have moved print one sentence with their new name
__path__.append(str(Path(__file__).parent / "_old_commands"))
