"""Prepares what a class will rank: prompts B, answered by the SFT policy of a run.

    python -m rlhf.web.prepare --preset tiny --prompts 100 --answers 4

The answers are sampled as stage 2 samples them. Beside them stand known pairs, an ideal answer and one that is much
worse: whoever gets many of these wrong is not looking. The gold totals and the reward model's scores are kept for the
measures; nobody who ranks sees them. The server runs this command at its first start, so only this command can see the
gold labeler, and the server cannot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from tqdm import tqdm

from minigpt.data import pad_sequences
from minigpt.runs.config import PRESET_NAMES, parse
from minigpt.runs.errors import UserError, run_main
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import Turn, encode_prompt, encode_response
from rlhf.people.prompts import Prompt, prompt_set
from rlhf.records import messages
from rlhf.stage2_reward.comparisons import Answers, sample_answers
from rlhf.stage2_reward.network import RewardModel, load_reward_model
from rlhf.stage_io import TEMPERATURE, load_policy, load_tokenizer
from rlhf.web.config import ItemsConfig
from rlhf.web.store import items
from rlhf.web.store.database import Database
from rlhf.web.store.items import Item

CLEARLY = 0.5  # by so much in gold the better answer of a known pair is better
# Prompts whose answers turn out equal are dropped, and those that leave no room for an answer.
SPARE = 1.5


def prepare(config: ItemsConfig) -> int:
    """Adds the items to the class's store; how many there are now. Raises UserError if the run has no SFT policy."""
    tokenizer = load_tokenizer(config.run_dir)
    policy = config.place(load_policy(config.stage_dir("sft"), tokenizer))
    reward_model = None
    if (config.stage_dir("reward_model") / "checkpoint.pt").is_file():
        reward_model = config.place(load_reward_model(config.stage_dir("reward_model"), tokenizer))
    pairs = round(config.known_share * config.prompts)
    longest = policy.config.context - config.max_new_tokens
    drawn = prompt_set("B", round(SPARE * (config.prompts + pairs)), config.seed)
    prompts = [prompt for prompt in drawn if len(encode_prompt(tokenizer, prompt.turns)) <= longest]
    sampled = sample_answers(
        policy,
        tokenizer,
        prompts,
        answers=(config.answers, config.answers),
        max_new_tokens=config.max_new_tokens,
        temperature=TEMPERATURE,
        seed=config.seed,
    )
    answered = {answers.prompt.id: answers for answers in tqdm(sampled, "answers", len(prompts), unit=" prompts")}
    # sampled in order of length: taken in the order of the prompts, which are mixed
    ordered = [answered[prompt.id] for prompt in prompts if prompt.id in answered]
    if not ordered:
        raise UserError("the policy gives every prompt one and the same answer, so there is nothing to rank")
    ranked = [as_item(answers) for answers in ordered[: config.prompts]]
    known = [pair for answers in ordered[config.prompts :] if (pair := known_pair(answers)) is not None]
    made = [*ranked, *known[:pairs]]
    if reward_model is not None:
        made = [with_scores(item, reward_model, tokenizer) for item in made]
    store = Database(config.database)
    items.add(store, made)
    return items.count(store)


def as_item(answers: Answers) -> Item:
    """The answers of the policy to one prompt."""
    return Item(tuple(messages(answers.prompt.turns)), answers.texts, answers.ended, answers.gold())


def known_pair(answers: Answers) -> Item | None:
    """The prompt's ideal answer and the policy's worst one, or a bad one of the toy world; None if neither is clearly
    worse."""
    prompt: Prompt = answers.prompt
    gold = answers.gold()
    worst = answers.texts[gold.index(min(gold))]
    for other in (worst, *prompt.request.bad):
        pair = Answers(prompt, (prompt.ideal, other), (True, True))
        better, worse = pair.gold()
        if better - worse >= CLEARLY:
            return Item(tuple(messages(prompt.turns)), pair.texts, pair.ended, (better, worse), known=0)
    return None


@torch.inference_mode()
def with_scores(item: Item, reward_model: RewardModel, tokenizer: Tokenizer) -> Item:
    """The item with the reward model's score of each answer; without, if one does not fit into its context."""
    sequences = list(encoded(item, tokenizer))
    if max(map(len, sequences)) > reward_model.trunk.config.context:
        return item
    device = next(reward_model.parameters()).device
    ids, lengths = pad_sequences(sequences, tokenizer.pad_id)
    scores = reward_model(ids.to(device), lengths.to(device)).tolist()
    return Item(item.prompt, item.texts, item.ended, item.gold, tuple(scores), item.known)


def encoded(item: Item, tokenizer: Tokenizer) -> Iterator[Sequence[int]]:
    """Prompt and answer as ids, for each answer, as stage 2 encodes them."""
    prompt = encode_prompt(tokenizer, [Turn(message["role"], message["content"]) for message in item.prompt])
    for text, ended in zip(item.texts, item.ended, strict=True):
        response = encode_response(tokenizer, text, sampled=item.known is None)
        yield [*prompt, *(response if ended else response[:-1])]


def main(argv: list[str]) -> None:
    """Prepares the items of a class."""
    config = parse(ItemsConfig, argv, description=__doc__, presets={name: {} for name in PRESET_NAMES})
    print(f"{prepare(config)} prompts are ready to be ranked in {config.database}")


if __name__ == "__main__":
    run_main(main)
