"""A preset is a column through all stages: each has it, and what a stage expects of another fits."""

import pytest

from minigpt import pretrain
from minigpt.runs.config import PRESET_NAMES, with_overrides
from minigpt.scale.plan import Machine, Work, ppo_phases, pretraining_phases
from rlhf.alternatives import dpo, grpo
from rlhf.chat import ChatConfig
from rlhf.evaluation import evaluate
from rlhf.evaluation.best_of_k import BestOfKConfig
from rlhf.stage1_sft import stage as sft
from rlhf.stage2_reward import stage as reward_model
from rlhf.stage3_ppo import configuration as ppo_config
from rlhf.stage_io import TEMPERATURE
from rlhf.web.engine.events import Sampling

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
    assert tuple(presets) == PRESET_NAMES, "a chain would stop in the middle"
    for preset, overrides in presets.items():
        assert with_overrides(config(), {"preset": preset, **overrides}).preset == preset


def test_answers_are_sampled_at_one_temperature_everywhere():
    """A reward model that is taught by answers at another temperature judges a policy that never speaks."""
    sampling = [stage for stage in STAGES if hasattr(STAGES[stage][0](), "temperature")]
    assert sampling == ["reward_model", "ppo", "grpo", "evaluate"]
    for stage in sampling:
        config, presets = STAGES[stage]
        for overrides in presets.values():
            assert with_overrides(config(), overrides).temperature == TEMPERATURE, stage
    for settings in (BestOfKConfig(), ChatConfig(), Sampling()):
        assert settings.temperature == TEMPERATURE, type(settings)


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_medium_has_about_25_million_parameters_and_fits_a_gpu_of_24_gb_at_its_own_batch_sizes(precision):
    pretraining = with_overrides(pretrain.PretrainConfig(), pretrain.PRESETS["medium"])
    ppo = with_overrides(ppo_config.PPOConfig(), ppo_config.PRESETS["medium"])
    config, machine, work = pretraining.model, Machine(gpu_memory=24.0), Work(precision=precision)
    assert config.parameter_count() == pytest.approx(25e6, rel=0.1)
    sampling, update = ppo_phases(config, machine, work)
    at_once = [
        (pretraining_phases(config, machine, work)[0], pretraining.training.batch_size),
        (sampling, ppo.batch_size),  # all answers of an iteration are written together
        (update, ppo.micro_batch_size),
    ]
    for phase, batch in at_once:
        needed = phase.total(batch)
        assert needed <= machine.room, f"{phase.name}: {batch} sequences at once take {needed / 1e9:.1f} GB"
