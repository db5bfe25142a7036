"""Stage 3, PPO: a score to a better policy.

Read `losses` (the formulas), then `step` (one iteration on one page) with `rollout` beside it. `guards` are the
checks that always run, `training` is the loop and its files, `configuration` the settings, `paper_presets` those of
three papers, `stage` the command. Imports the networks of stage 2, never the gold labeler.
"""
