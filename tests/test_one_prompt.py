"""One prompt from the toy world to a gradient: the files that it passes are those that README.md lists.

A file is passed if one of its functions runs on the way, from the drawing of a request to the optimiser's step. Left
out are files that never hold the prompt or a tensor made of it: those of a run on disk, checks and measurements.
"""

import re
import sys
from pathlib import Path

import torch

from minigpt.model import GPT, GPTConfig
from minigpt.runs.config import with_overrides
from minigpt.tokenizer import Tokenizer
from rlhf.people.prompts import prompt_set
from rlhf.stage2_reward.network import RewardModel
from rlhf.stage3_ppo import training
from rlhf.stage3_ppo.configuration import PPOConfig

ROOT = Path(__file__).resolve().parents[1]
# the run on disk; seeds, settings, several processes; checks, measurements, optimisers
BESIDE_THE_WAY = (
    "minigpt/runs/",
    "minigpt/scale/distributed.py",
    "minigpt/scale/sharding.py",
    "minigpt/scale/precision.py",
    "minigpt/scale/compilation.py",
    "minigpt/optim.py",
    "minigpt/toyworld/english.py",
    "rlhf/stage_io.py",
    "rlhf/stage3_ppo/configuration.py",
    "rlhf/stage3_ppo/guards.py",
    "rlhf/stage3_ppo/metrics.py",
)
COMMAND = "rlhf/stage3_ppo/stage.py"  # draws the prompts and hands them to train_ppo; here the test does


def files_passed(work) -> set[str]:
    """The files of minigpt/ and rlhf/ of which a function is called while `work` runs."""
    found: set[str] = set()

    def record(frame, event, _):
        if event == "call" and frame.f_code.co_name != "<module>":
            found.add(frame.f_code.co_filename)

    sys.setprofile(record)
    try:
        work()
    finally:
        sys.setprofile(None)
    names = {Path(name).relative_to(ROOT).as_posix() for name in found if Path(name).is_relative_to(ROOT)}
    return {name for name in names if name.startswith(("minigpt/", "rlhf/"))}


def test_the_files_that_a_prompt_passes_are_those_in_the_readme(tmp_path, monkeypatch):
    texts = [turn.text for prompt in prompt_set("C", 40, seed=1) for turn in prompt.turns]
    tokenizer = Tokenizer.train(texts, 400)
    size = GPTConfig(vocab_size=tokenizer.vocab_size, context=128, layers=1, heads=2, channels=16)
    sizes = {"prompts": 4, "batch_size": 4, "minibatch_size": 4, "micro_batch_size": 4, "max_new_tokens": 4}
    config = with_overrides(PPOConfig(), {**sizes, "iterations": 1, "epochs": 1, "critic_warmup": 0, "device": "cpu"})
    policy, trunk = GPT(size, seed=0), GPT(size, seed=1)
    reward_model = RewardModel(trunk, torch.Generator().manual_seed(0)).requires_grad_(False)
    before = policy.token_embedding.weight.detach().clone()
    monkeypatch.setattr(training.RunFolder, "draw_curves", lambda folder: None)

    def one_iteration():
        (prompt,) = [prompt for prompt in prompt_set("C", 10, seed=0) if prompt.family == "fact"][:1]
        prompts = [prompt.turns] * 4
        training.train_ppo(policy, prompts, tokenizer, config, reward_fn=reward_model, stage_dir=tmp_path)

    passed = {name for name in files_passed(one_iteration) if not name.startswith(BESIDE_THE_WAY)} | {COMMAND}
    assert not torch.equal(policy.token_embedding.weight, before), "no gradient has reached the policy"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    part = readme.split("<!-- prompt:start -->")[1].split("<!-- prompt:end -->")[0]
    listed = set(re.findall(r"`((?:minigpt|rlhf)/[\w/]+\.py)`", part))
    # prompt_set draws from all families, so that the toy world's files of the others run as well
    world = {name for name in passed if name.startswith("minigpt/toyworld/")}
    assert passed - world == {name for name in listed if not name.startswith("minigpt/toyworld/")}
    assert {name for name in listed if name.startswith("minigpt/toyworld/")} <= world
    assert f"{len(listed)} files" in part, "the count in the text"
