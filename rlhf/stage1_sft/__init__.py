"""Stage 1, supervised fine-tuning: demonstrations to policy.

`examples` makes ids and masks of demonstrations, `objective` is the loss on responses only, `stage` the command.
"""
