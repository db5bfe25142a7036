"""Stage 2, the reward model: ranked answers to a score.

`network` is the model, `loss` the K-wise loss, `examples` and `objective` its batches and metrics, `comparisons`
samples answers and has them ranked, `stage` is the command.
"""
