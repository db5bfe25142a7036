"""A preset is a column through all stages: each has it, and what a stage expects of another fits."""

import pytest

from minigpt import pretrain
from minigpt.config import with_overrides
from minigpt.plan import Machine, Work, fits
from rlhf import dpo, evaluate, grpo, ppo_config, reward_model, sft

STAGES = {
    "pretrain": (pretrain.PretrainConfig, pretrain.PRESETS),
    "sft": (sft.SFTConfig, sft.PRESETS),
    "reward_model": (reward_model.RewardModelConfig, reward_model.PRESETS),
    "ppo": (ppo_config.PPOConfig, ppo_config.PRESETS),
    "dpo": (dpo.DPOConfig, dpo.PRESETS),
    "grpo": (grpo.GRPOConfig, grpo.PRESETS),
    "evaluate": (evaluate.EvaluateConfig, evaluate.PRESETS),
}


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_every_preset_and_its_settings_are_valid(stage):
    config, presets = STAGES[stage]
    assert list(presets) == ["tiny", "small", "medium"], "a chain would stop in the middle"
    for preset, overrides in presets.items():
        assert with_overrides(config(), {"preset": preset, **overrides}).preset == preset


def test_medium_has_about_25_million_parameters_and_its_ppo_fits_a_gpu_of_24_gb():
    config = with_overrides(pretrain.PretrainConfig(), pretrain.PRESETS["medium"]).model
    assert config.parameter_count() == pytest.approx(25e6, rel=0.1)
    assert fits("PPO", config, Machine(gpu_memory=24.0), Work()), "four models, one answer at a time"
