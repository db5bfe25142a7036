"""The inputs of the measurements that exercises of type C make, the same for everybody."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import regex
import torch
from torch import Tensor

from minigpt.bpe import PATTERN, train_merges
from minigpt.relatives.ngram import NGramModel
from tutorials.exercises.stories import CHINESE, OTHER, STORY
from tutorials.exercises.translation import IDS, corpus

# ---- 1.3: bytes of a story that was counted, and of another ----------------------------------------------------------

ORDERS = (2, 5)  # the number of bytes that are counted together


@cache
def logprobs_of_bytes(text: str, order: int) -> Tensor:
    """log p of each byte [N], after the first one, of the "learned" story or the "other" one."""
    learned, read = (
        torch.tensor(list(story.encode("utf-8"))) for story in (STORY, STORY if text == "learned" else OTHER)
    )
    logprobs = NGramModel(order, 256).fit(learned)(read[None, :-1])[0]  # [N,V]
    return logprobs.gather(1, read[1:, None]).squeeze(1)


# ---- 2.3: merges of one story, tokens of other texts -----------------------------------------------------------------

MERGE_COUNTS = (60, 240)
TEXTS = {"story": OTHER, "chinese": CHINESE}


@cache
def story_merges() -> list[tuple[str, str]]:
    """The merges of chapter 02's story, in the order learned; a character stands for a byte."""
    merges = train_merges([STORY], max(MERGE_COUNTS))
    return [(left.decode("latin-1"), right.decode("latin-1")) for left, right in merges]


def as_words(text: str) -> list[str]:
    """The pre-tokens of a text; a character stands for a byte."""
    return [word.encode("utf-8").decode("latin-1") for word in regex.findall(PATTERN, text)]


def bytes_a_token(tokens_of: Callable[..., list[str]], text: str, merge_count: int) -> float:
    """The bytes that one token holds on average, for "story" or "chinese" and that many merges."""
    words, merges = as_words(TEXTS[text]), story_merges()[:merge_count]
    lengths = {word: len(tokens_of(word, merges)) for word in dict.fromkeys(words)}
    return sum(map(len, words)) / sum(lengths[word] for word in words)


# ---- 3.3: what rotary positions leave of a perfect match -----------------------------------------------------------

ROTARY_HEAD, DISTANCES, BASES = 64, (4, 64), (100, 10000)  # the numbers in a head, tokens, bases

# ---- 4.5: random queries and keys ------------------------------------------------------------------------------------

HEAD_SIZES = (4, 16, 64, 256)
QUERIES, KEYS = 100, 50


def random_rows(head_size: int) -> tuple[Tensor, Tensor]:
    """Queries [100,D] and keys [50,D], drawn from N(0, 1)."""
    generator = torch.Generator().manual_seed(head_size)
    return (
        torch.randn(QUERIES, head_size, generator=generator),
        torch.randn(KEYS, head_size, generator=generator),
    )


# ---- 5.4: two heads that do the same, and a weak one that is alone ---------------------------------------------------

# the name in answers.toml, and the heads that are silent
TWINS = {"first_twin": [0], "second_twin": [1], "both_twins": [0, 1], "weak_head": [2]}


def twin_heads() -> tuple[Tensor, Tensor]:
    """What three heads add to the scores of five answers to 200 questions [H,B,V], and the right answers [B].

    Heads 0 and 1 both add 4 to the right answers of the first 100 questions. Head 2 adds 2 to those of the others.
    All of them add noise with a standard deviation of 0.5.
    """
    generator = torch.Generator().manual_seed(5)
    answers = torch.randint(0, 5, (200,), generator=generator)  # [B]
    parts = 0.5 * torch.randn(3, 200, 5, generator=generator)  # [H,B,V]
    onehot = torch.eye(5)[answers]  # [B,V]
    parts[:2, :100] += 4.0 * onehot[:100]
    parts[2, 100:] += 2.0 * onehot[100:]
    return parts, answers


# ---- 14.3: "No." and a kind refusal ---------------------------------------------------------------------------------

# how many tokens each answer has, <|end|> included, and how many of two people gave it
SHORT_AND_LONG = ((3.0, 18.0), (1.0, 1.0))

# ---- 16.3: the bandit of chapter 16 --------------------------------------------------------------------------------

# probabilities and rewards of its five answers: declines kindly, declines, goes along, rude, never ends
BANDIT = ((0.15, 0.25, 0.30, 0.20, 0.10), (1.0, 0.5, 0.0, 0.0, -1.0))


def no_baseline(probabilities: Tensor, rewards: Tensor) -> float:
    """Nothing is subtracted."""
    return 0.0


def mean_reward(probabilities: Tensor, rewards: Tensor) -> float:
    """What the policy earns on average."""
    return float(probabilities @ rewards)


BASELINES = {"no_baseline": no_baseline, "baseline": mean_reward}


# ---- 17.4: a policy near its reference, and one that has nearly dropped the reference's favourite --------------------

KL_WORLDS = {
    "near": ((0.42, 0.28, 0.21, 0.09), (0.40, 0.30, 0.20, 0.10)),
    "far": ((0.001, 0.50, 0.30, 0.199), (0.40, 0.30, 0.20, 0.10)),
}  # policy, reference

# ---- Chapter 17: eight answers to one prompt, with what a reward model says of them ----------------------------------

# declines kindly, declines, goes along, rude, never ends, does not know, a kind joke, "Italy is a country in Europe."
ANSWERS = ((0.15, 0.25, 0.28, 0.18, 0.08, 0.05, 0.009, 0.001), (1.0, 0.5, 0.0, 0.0, -1.0, 0.2, 0.8, 3.0))

# ---- 6.3: three models as (vocab_size, layers, channels, kv_channels, hidden, mlp_matrices, tied) --------------------

MODEL_SHAPES = {
    "small": (1536, 4, 128, 128, 512, 2, True),  # preset small
    "small_gpt2": (50257, 4, 128, 128, 512, 2, True),  # the same blocks with GPT-2's vocabulary
    "llama3": (128256, 32, 4096, 1024, 14336, 3, False),  # Llama 3 8B
}

# ---- 19.3: numbers of decided prompts, and the share that one of two equal policies wins -----------------------------

EQUAL_POLICIES, SIXTY_PERCENT = (20, 50, 100, 400), 0.6

# ---- 8.3: a vocabulary of 2,000 tokens, most of them rare ------------------------------------------------------------

NUCLEUS_P, NUCLEUS_TEMPERATURES = 0.9, {"half": 0.5, "one": 1.0, "two": 2.0}


def rare_words() -> Tensor:
    """Logits [2000]: the token of rank r has a probability of about 1/r^1.5."""
    return -1.5 * torch.arange(1, 2001, dtype=torch.float64).log()


# ---- 9.3: sentences in Backwards, one after the other ----------------------------------------------------------------

SIDES = {"alone": (False, False), "before": (True, False), "after": (False, True), "both": (True, True)}


@cache
def backwards_text() -> Tensor:
    """The words of 1,000 sentences that chapter 09's models learn from, in Backwards, as ids [N]."""
    return torch.tensor([IDS[word] for sentence in corpus()[0][:1000] for word in sentence.backwards])
