"""Stage 3, PPO: a score to a better policy.

Read `losses` (the formulas), then `step` (one iteration on one page) with `rollout` beside it. `networks` are the four
models and their optimisers, `guards` the checks that always run, `metrics` the names of what is logged, `training` the
loop and its files, `configuration` the settings, `paper_presets` those of three papers. `stage` is the command.
Nothing here imports the gold labeler, directly or not: the evaluation grades the answers when the run has ended.
"""
