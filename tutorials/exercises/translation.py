"""A small language to translate into, and the models of chapter 09 that learn it.

    English:     the small cow chases the owl near the old goat .
    Backwards:   el woc llams el lwo la taog dlo raen sesahc .

A word is spelled backwards, an adjective stands behind its noun, `near` behind what is near, and the verb last. `the`
is `el` before half of the nouns and `la` before the others. Sentences have two or three nouns, each with an adjective
or without, so their lengths differ.

    model = EncoderDecoder(SHAPE)
    fit(model)                          # 200 steps of 64 sentences, some seconds
    right(model)                        # the share of 200 sentences never seen that it translates without a fault
    say(model, "the cow finds …")       # a translation
    alignment(model, sentences)         # where it looks while it writes each word
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.attention import Layout
from minigpt.data import IGNORE
from minigpt.model import GPT, GPTConfig
from minigpt.relatives.encoder_decoder import EncoderDecoder, greedy_decode, teacher_forcing_loss

NOUNS = ["cow", "fox", "owl", "hen", "pig", "cat", "horse", "goat", "duck", "mouse", "bear", "frog"]
ADJECTIVES = ["small", "old", "white", "black", "hungry", "tired"]
VERBS = ["chases", "follows", "hears", "finds"]
ENGLISH = [*NOUNS, *ADJECTIVES, *VERBS, "near", "the"]
ARTICLES = ("el", "la")
LA = {"fox", "hen", "cat", "goat", "mouse", "frog"}  # the nouns whose article is la


def backwards(word: str) -> str:
    """The same word in the other language; `the` has two, see `translate`."""
    return word[::-1]


BACKWARDS = [*ARTICLES, *map(backwards, ENGLISH[:-1])]
START, END, MASK, STOP = "<start>", "<end>", "<mask>", "."
WORDS = [START, END, MASK, STOP, *ENGLISH, *BACKWARDS]
IDS = {word: number for number, word in enumerate(WORDS)}
SHAPE = GPTConfig(vocab_size=len(WORDS), context=32, layers=1, heads=4, channels=32, position="sinusoidal")

# ---- The two languages -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sentence:
    """A sentence in both languages, and for each word of the translation the place of the word that it translates."""

    english: tuple[str, ...]
    backwards: tuple[str, ...]
    places: tuple[int, ...]


def translate(english: Sequence[str]) -> Sentence:
    """The translation of an English sentence that has the form of those below."""
    order: list[int] = []  # places in the English sentence, in the order of the translation
    verb, behind = 0, []  # behind the noun: an adjective, near
    for place, word in enumerate(english):
        if word in VERBS:
            verb = place
        elif word == "the":
            order.append(place)
        elif word in NOUNS:
            order += [place, *behind]
            behind = []
        elif word != STOP:
            behind.insert(0, place)
    order += [verb, len(english) - 1]
    words = []
    for word, place in ((english[place], place) for place in order):
        noun = next((later for later in english[place:] if later in NOUNS), "")
        words.append(ARTICLES[noun in LA] if word == "the" else backwards(word))
    return Sentence(tuple(english), tuple(words), tuple(order))


def random_sentence(generator: torch.Generator) -> Sentence:
    """Two or three nouns, each with an adjective in half of the cases."""

    def one_of(words: Sequence[str]) -> str:
        return words[int(torch.randint(len(words), (), generator=generator))]

    def half_the_time() -> bool:
        return bool(torch.rand((), generator=generator) < 0.5)

    def phrase() -> list[str]:
        return ["the", *([one_of(ADJECTIVES)] if half_the_time() else []), one_of(NOUNS)]

    end = ["near", *phrase()] if half_the_time() else []
    return translate([*phrase(), one_of(VERBS), *phrase(), *end, STOP])


@cache
def corpus() -> tuple[list[Sentence], list[Sentence]]:
    """5,000 sentences to learn from, and 200 others."""
    generator = torch.Generator().manual_seed(0)
    learned = [random_sentence(generator) for _ in range(5000)]
    seen, others = {sentence.english for sentence in learned}, []
    while len(others) < 200:
        sentence = random_sentence(generator)
        if sentence.english not in seen:
            others.append(sentence)
    return learned, others


# ---- Batches ---------------------------------------------------------------------------------------------------------

Batch = tuple[Tensor, Tensor, Tensor]


def padded(rows: Sequence[Sequence[str]]) -> Tensor:
    """Words to ids [B,T], with IGNORE behind the shorter rows."""
    ids = torch.full((len(rows), max(map(len, rows))), IGNORE)
    for b, row in enumerate(rows):
        ids[b, : len(row)] = torch.tensor([IDS[word] for word in row])
    return ids


def pairs(sentences: Sequence[Sentence]) -> Batch:
    """For an encoder and a decoder: source ids [B,S], True at real tokens [B,S], target ids [B,T+1]."""
    source = padded([sentence.english for sentence in sentences])
    target = padded([(START, *sentence.backwards, END) for sentence in sentences])
    return source.clamp(min=0), source != IGNORE, target


def rows(sentences: Sequence[Sentence]) -> Batch:
    """For a GPT, both in one row: ids [B,T], what is due at each place [B,T], IGNORE before the translation, and the
    number of source tokens [B]."""
    ids = padded([(*sentence.english, START, *sentence.backwards, END) for sentence in sentences])
    source = torch.tensor([len(sentence.english) for sentence in sentences])
    due = ids[:, 1:].clone()
    due[torch.arange(due.shape[1]) < source[:, None]] = IGNORE
    return ids[:, :-1].clamp(min=0), due, source


# ---- Learning and translating ----------------------------------------------------------------------------------------

Loss = Callable[..., Tensor]


def fit(
    model: nn.Module,
    loss_of: Loss = teacher_forcing_loss,
    form: Callable[[Sequence[Sentence]], tuple[Tensor, ...]] = pairs,
    steps: int = 200,
    rate: float = 0.006,
    seed: int = 0,
    optimizer: torch.optim.Optimizer | None = None,
) -> list[float]:
    """Trains the model; its losses, one a step. `form` makes a batch of sentences, `loss_of(model, *batch)` a loss.
    With the optimizer of an earlier call the training goes on from there."""
    learned, generator, losses = corpus()[0], torch.Generator().manual_seed(seed), []
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(steps):
        chosen = torch.randint(len(learned), (64,), generator=generator).tolist()
        loss = loss_of(model, *form([learned[number] for number in chosen]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


Mask = Callable[[Tensor, int], Tensor]  # lengths of the sources [B] and T -> what each token may see [B,T,T]


def row_logits(model: GPT, mask: Mask, ids: Tensor, source: Tensor) -> Tensor:
    """Logits [B,T,V] of a GPT on `rows`, source and translation in one."""
    tokens = ids.shape[1]
    return model(ids, Layout(torch.arange(tokens), mask(source, tokens)[:, None]))


def mask_loss(mask: Mask) -> Callable[..., Tensor]:
    """The loss of the translations in `rows` under a mask, as `fit` calls it."""

    def loss_of(model: GPT, ids: Tensor, due: Tensor, source: Tensor) -> Tensor:
        return F.cross_entropy(row_logits(model, mask, ids, source).flatten(0, 1), due.flatten(), ignore_index=IGNORE)

    return loss_of


def translations(model: EncoderDecoder, sentences: Sequence[Sentence]) -> list[list[str]]:
    """What the model writes for each sentence, greedily."""
    source, real, _ = pairs(sentences)
    written = greedy_decode(model, source, real, start=IDS[START], end=IDS[END], max_tokens=18)
    return [[WORDS[token] for token in ids] for ids in written]


def right(model: EncoderDecoder) -> float:
    """The share of the 200 other sentences that the model translates without any fault."""
    others = corpus()[1]
    written = translations(model, others)
    return sum(tuple(words) == s.backwards for words, s in zip(written, others, strict=True)) / len(others)


def say(model: EncoderDecoder, english: str) -> str:
    """The model's translation of one English sentence."""
    return " ".join(translations(model, [translate(english.split())])[0])


@torch.no_grad()
def alignment(model: EncoderDecoder, sentences: Sequence[Sentence]) -> Tensor:
    """The weights of cross-attention, a mean over its heads [B,T,S]. Row t is that of the translation's word t: it is
    computed while the decoder reads the word before."""
    source, real, target = pairs(sentences)
    memory, (block,) = model.encode(source, real), model.decoder
    x = model.embed(target[:, :-1].clamp(min=0))  # [B,T,C]
    x = x + block.attention(block.attention_norm(x))
    return block.cross_attention.weights(block.cross_norm(x), memory, real[:, None, None]).mean(dim=1)


def looks_of(model: EncoderDecoder, words: Sequence[str]) -> dict[str, float]:
    """For the words of the translation that are one of `words`: the share that look most at the word that they
    translate ("own"), at `the`, at a noun, or elsewhere, on the 200 other sentences."""
    others, found = corpus()[1], []
    for sentence, weights in zip(others, alignment(model, others), strict=True):
        for word, place, row in zip(sentence.backwards, sentence.places, weights, strict=False):
            if word in words:
                best = int(row.argmax())
                read = sentence.english[best]
                kinds = {"own": best == place, "the": read == "the", "noun": read in NOUNS}
                found.append(next((kind for kind, fits in kinds.items() if fits), "other"))
    return {kind: found.count(kind) / len(found) for kind in ("own", "the", "noun", "other")}
