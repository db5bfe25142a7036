"""The tokenizer: training beside Hugging Face's `tokenizers`, encoding beside it and beside tiktoken itself.

The text is made up, of as many kinds of words as English prose of this length has.
"""

from collections.abc import Callable, Sequence
from statistics import median

import tiktoken
import torch
from tokenizers import Tokenizer as TheirTokenizer
from tokenizers import models, pre_tokenizers, trainers

from minigpt.bpe import PATTERN, train_merges
from minigpt.scale.timing import REPEATS, seconds_of
from minigpt.tokenizer import SPECIAL_TOKENS, Tokenizer
from tests.benchmarks.made_up import made_up_text
from tests.benchmarks.report import Options, Part, Result

CPU = torch.device("cpu")
SIZE, MERGES, KINDS = 10_000_000, 1024, 50_000


def train_theirs(texts: Sequence[str], merges: int) -> TheirTokenizer:
    """A byte-level BPE of the same size with the same pattern."""
    tokenizer = TheirTokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=256 + merges, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def beside(
    what: str, work: dict[str, Callable[[], object]], megabytes: float, goals: dict[str, float | None], rounds: int
) -> list[Result]:
    """MB/s of "ours" beside each of the others, one after the other, in rounds."""
    seconds = [{name: seconds_of(each, CPU) for name, each in work.items()} for _ in range(rounds)]
    speed = {name: megabytes / median(times[name] for times in seconds) for name in work}
    results = []
    for name, goal in goals.items():
        ratios = tuple(times[name] / times["ours"] for times in seconds)
        results.append(Result(what, speed["ours"], "MB/s", name, speed[name], median(ratios), goal, rounds=ratios))
    return results


def tiktoken_itself(tokenizer: Tokenizer) -> tiktoken.Encoding:
    """tiktoken with our vocabulary, without our class around it."""
    tokens = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size - len(SPECIAL_TOKENS))]
    ranks = {token: rank for rank, token in enumerate(tokens)}
    return tiktoken.Encoding("itself", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})


def measure(options: Options) -> Part:
    """Training, then encoding with what was trained."""
    size, merges, kinds = (20_000, 20, 200) if options.quick else (SIZE, MERGES, KINDS)
    rounds = 1 if options.quick else REPEATS
    texts = made_up_text(size, kinds)
    megabytes = sum(len(text.encode("utf-8")) for text in texts) / 1e6
    training = {"ours": lambda: train_merges(texts, merges), "tokenizers": lambda: train_theirs(texts, merges)}
    name = f"tokenizer training, {megabytes:.0f} MB, {merges:,} merges"
    results = beside(name, training, megabytes, {"tokenizers": None}, rounds)

    ours, theirs = Tokenizer(train_merges(texts, merges)), train_theirs(texts, merges)
    itself = tiktoken_itself(ours)
    encoding = {
        "ours": lambda: ours.encode_batch(texts),
        "tiktoken itself": lambda: itself.encode_ordinary_batch(texts),
        "tokenizers": lambda: theirs.encode_batch(texts),
    }
    # "at tiktoken's own speed": it is tiktoken that works in ours, so anything below 1 by more than noise is our fault
    results += beside("encoding", encoding, megabytes, {"tiktoken itself": 0.95, "tokenizers": None}, rounds)
    return Part(results)
