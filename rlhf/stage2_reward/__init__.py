"""Stage 2, the reward model: network, comparisons, K-wise loss, training."""
