"""Stage 3, PPO: losses, rollout, one iteration, the loop, its settings, the papers' presets."""
