"""A chat with the model in the terminal, with the reward model's score of each answer.

    python -m rlhf.chat --stage ppo
    echo "What does a cow eat?" | python -m rlhf.chat --stage sft

/stage base lets another stage continue the same conversation, /reset forgets the conversation, /quit ends.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

import torch

from minigpt.generate import generate
from minigpt.model import GPT
from minigpt.runs.config import PRESET_NAMES, RunConfig, option, parse
from minigpt.runs.errors import UserError, did_you_mean, run_main
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import Turn, encode_plain, encode_prompt
from rlhf.stage2_reward.network import RewardModel, load_reward_model
from rlhf.stage_io import TEMPERATURE, load_policy, load_tokenizer

FOLDERS = {"base": "pretrain", "sft": "sft", "ppo": "ppo", "dpo": "dpo", "grpo": "grpo"}
COMMANDS = ("/stage", "/reset", "/quit")


@dataclass(frozen=True)
class ChatConfig(RunConfig):
    """The stage to talk to, and how its answers are sampled."""

    stage: str = option("ppo", "who answers", choices=tuple(FOLDERS))
    temperature: float = option(
        TEMPERATURE, "below 1 the likelier words get likelier; 0 always takes the likeliest", low=0
    )
    max_new_tokens: int = option(48, "an answer is cut after this many tokens", low=1)


@dataclass(frozen=True)
class Reply:
    """An answer; `score` is None without a reward model, `forgotten` counts the old turns that were dropped for it."""

    text: str
    ended: bool
    score: float | None
    forgotten: int


class Chat:
    """A conversation with one stage at a time."""

    def __init__(self, config: ChatConfig) -> None:
        """Raises UserError if the stage has not been trained."""
        self.config = config
        self.tokenizer: Tokenizer = load_tokenizer(config.run_dir)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.turns: list[Turn] = []
        self.reward_model: RewardModel | None = None
        if (config.stage_dir("reward_model") / "checkpoint.pt").is_file():  # before stage 2 there is none yet
            self.reward_model = config.place(load_reward_model(config.stage_dir("reward_model"), self.tokenizer))
        self.switch(config.stage)

    def switch(self, stage: str) -> None:
        """Lets another stage answer from here on. Raises UserError, and keeps the old one, if it does not exist."""
        if stage not in FOLDERS:
            raise UserError(f"there is no stage {stage!r}, only {', '.join(FOLDERS)}{did_you_mean(stage, FOLDERS)}")
        self.model: GPT = self.config.place(load_policy(self.config.stage_dir(FOLDERS[stage]), self.tokenizer))
        self.stage = stage

    def say(self, text: str) -> Reply:
        """The answer to one more message. Raises UserError, and forgets the message, if it alone is too long."""
        turns, plain = [*self.turns, Turn("user", text)], self.stage == "base"
        ids, kept = fit_turns(self.tokenizer, turns, plain, self.model.config.context, self.config.max_new_tokens)
        written = generate(
            self.model,
            [ids],
            max_new_tokens=self.config.max_new_tokens,
            stop_tokens=[stop_token(self.tokenizer, plain)],
            pad_id=self.tokenizer.pad_id,
            temperature=self.config.temperature,
            generator=self.generator,
        )
        ended = bool(written.ended[0])
        answer_ids = written.tokens[0, : int(written.lengths[0]) - ended].tolist()
        answer = self.tokenizer.decode(answer_ids).strip()
        score = None
        if self.reward_model is not None:
            score = score_answer(self.reward_model, self.tokenizer, kept, answer_ids, ended)
        self.turns = [*kept, Turn("assistant", answer)]
        return Reply(answer, ended, score, len(turns) - len(kept))


def stop_token(tokenizer: Tokenizer, plain: bool) -> int:
    """The token that ends an answer. plain: of a base model, which has never seen <|end|>; documents end otherwise."""
    return tokenizer.end_of_text_id if plain else tokenizer.end_id


def fit_turns(
    tokenizer: Tokenizer, turns: Sequence[Turn], plain: bool, context: int, max_new_tokens: int
) -> tuple[list[int], list[Turn]]:
    """The ids of a conversation and its turns, without the oldest questions and answers that leave no room to answer.

    plain: as lines of a document, for a base model. Raises UserError if the last question alone is too long.
    """
    limit = context - min(max_new_tokens, context // 2)
    kept = list(turns)
    while len(ids := (encode_plain if plain else encode_prompt)(tokenizer, kept)) > limit:
        if len(kept) == 1:
            raise UserError(
                f"your message has {len(ids)} tokens, and of the model's {context} only {limit} leave room for an "
                "answer: shorten it"
            )
        kept = kept[2:]
    return ids, kept


@torch.inference_mode()
def score_answer(
    reward_model: RewardModel, tokenizer: Tokenizer, turns: Sequence[Turn], answer: Sequence[int], ended: bool
) -> float:
    """The reward model's score of the very ids that were sampled; a base model's as if they were a reply."""
    ids = [*encode_prompt(tokenizer, turns), *answer, *([tokenizer.end_id] if ended else [])]
    ids = ids[-reward_model.trunk.config.context :]  # plain text has no chat tokens, so it may fit more
    device = reward_model.shift.device
    return float(reward_model(torch.tensor([ids], device=device), torch.tensor([len(ids)], device=device)))


def describe(reply: Reply, stage: str, context: int) -> str:
    """A reply as the terminal shows it."""
    lines = []
    if reply.forgotten:
        lines.append(f"(the {reply.forgotten} oldest turns no longer fit into {context} tokens and are forgotten)")
    lines.append(f"{stage}: {reply.text}{'' if reply.ended else ' … (cut off)'}")
    if reply.score is not None:
        lines.append(f"    reward model {reply.score:+.2f}")
    return "\n".join(lines)


def run_command(chat: Chat, line: str) -> str:
    """Carry out a command and say what was done. Raises UserError for one that does not exist."""
    command, _, argument = line.partition(" ")
    if command == "/reset":
        chat.turns = []
        return "(a new conversation)"
    if command == "/stage":
        chat.switch(argument.strip())
        return f"({chat.stage} answers from here on)"
    raise UserError(f"there is no command {command}, only {', '.join(COMMANDS)}{did_you_mean(command, COMMANDS)}")


def lines_of(stream: TextIO) -> Iterator[str]:
    """The lines somebody types or pipes in, until the stream ends; a person is shown where to type."""
    while True:
        try:
            line = input("you: ") if stream.isatty() else stream.readline()
        except EOFError:
            print()
            return
        if not line and not stream.isatty():
            return
        if line.strip():
            yield line.strip()


def converse(chat: Chat, stream: TextIO) -> None:
    """Answer line after line. At a terminal a mistake is pointed out and the talk goes on; in a pipe it ends it."""
    for line in lines_of(stream):
        if line == "/quit":
            return
        try:
            if line.startswith("/"):
                print(run_command(chat, line))
            else:
                print(describe(chat.say(line), chat.stage, chat.model.config.context), flush=True)
        except UserError as error:
            if not stream.isatty():
                raise
            print(error)


def main(argv: list[str]) -> None:
    """Talks to one stage of a run."""
    config = parse(ChatConfig, argv, description=__doc__, presets={name: {} for name in PRESET_NAMES})
    chat = Chat(config)
    if sys.stdin.isatty():
        scored = "the reward model scores each answer" if chat.reward_model else "no reward model yet: no scores"
        print(f"{chat.stage} of {config.run_dir}; {scored}. {', '.join(COMMANDS)}")
    try:
        converse(chat, sys.stdin)
    except KeyboardInterrupt:
        print()  # nothing is lost by leaving, so Ctrl-C is an ordinary way to leave


if __name__ == "__main__":
    run_main(main)
