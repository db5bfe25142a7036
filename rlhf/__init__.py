"""Alignment: the three stages of InstructGPT (Ouyang et al. 2022, arXiv 2203.02155) on a small GPT.

    prompts A ─► demonstrations ─► sft.py           stage 1   a policy that answers
    prompts B ─► answers ranked ─► reward_model.py  stage 2   a score for an answer
    prompts C ─► rollouts       ─► ppo.py           stage 3   a policy the score has improved
    prompts D ─► evaluate.py                                  what each stage did, by the gold labeler

Shapes are those of `minigpt` (B T C H D V L) and K, the number of answers to one prompt.
This package imports `minigpt`; never the other way.
"""
