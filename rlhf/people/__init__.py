"""Simulated people: what they ask, write and prefer.

Read `prompts` first, then `annotators`, who rank answers by the gold total and noise, and `labeler`, which knows the
truth and grades answers; `story_grader` is the part of it that reads stories. Imports `minigpt.toyworld`. Only this
folder, `evaluation` and the comparisons of stage 2 import the gold labeler: no policy and no reward model sees it.
"""
