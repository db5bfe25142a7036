"""`plug` for chapter 01: the student's bigram and cache on unseen texts, and perplexities of bytes."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from minigpt.relatives.ngram import NGramModel
from tutorials.exercises.first_word import STOP, WORDS, answers, texts, words_of
from tutorials.exercises.measure import ORDERS, logprobs_of_bytes
from tutorials.exercises.plugs.common import student_function, student_module
from tutorials.exercises.registry import Exercise

LEARNED, HELD_OUT, V = 1000, 200, len(WORDS)


def read_unseen_texts(exercise: Exercise) -> None:
    """The student's bigram and the package's on texts that neither has seen; and what the student's writes."""
    learned, unseen = texts(LEARNED, 2).flatten(), texts(HELD_OUT, 3)
    table = student_function(exercise)(learned, V, 0.5)  # [V,V]
    yours = -table[unseen[:, :-1], unseen[:, 1:]].log().mean()
    logprobs = NGramModel(2, V).fit(learned)(unseen[:, :-1])  # [B,T,V]
    ours = F.nll_loss(logprobs.flatten(0, 1), unseen[:, 1:].flatten())
    print(f"nats a word of {HELD_OUT} unseen texts: yours {yours:.4f}, the package's {ours:.4f}")
    generator, word, written = torch.Generator().manual_seed(0), STOP, []
    for _ in range(24):
        word = int(torch.multinomial(table[word], 1, generator=generator))
        written.append(word)
    print("your model writes:", words_of(torch.tensor(written)))


def remember_what_was_said(exercise: Exercise) -> None:
    """The loss of the answers and of all words: a trigram alone, and with the student's cache."""
    mix, unseen = student_function(exercise), texts(HELD_OUT, 3)
    probabilities = NGramModel(3, V).fit(texts(LEARNED, 2).flatten())(unseen[:, :-1]).exp()  # [B,T,V]
    print(f"{'':14}{'answers':>10}{'all words':>12}   nats a word")
    for weight in (0.0, 0.1, 0.3):
        mixed = torch.stack([mix(p, ids[1:], weight) for p, ids in zip(probabilities, unseen, strict=True)])  # [B,T,V]
        losses = -mixed.gather(2, unseen[:, 1:, None]).squeeze(2).log()  # [B,T]
        print(f"weight {weight:<7.1f}{losses[answers(unseen)].mean():>10.3f}{losses.mean():>12.3f}")
    print("a cache knows which words this text has used, and not which of them is asked for")


def measure_orders(exercise: Exercise) -> None:
    """The perplexity of two stories for short and long histories."""
    function = student_function(exercise)
    print(f"{'':10}" + "".join(f"{f'order {order}':>12}" for order in ORDERS) + "      perplexity a byte")
    for text in ("learned", "other"):
        row = [function(logprobs_of_bytes(text, order)) for order in ORDERS]
        print(f"{text:10}" + "".join(f"{value:12.3f}" for value in row))
    print("write the four numbers into answers.toml, and why they came out like that")


def compare_losses(exercise: Exercise) -> None:
    """The repaired program's own two losses."""
    program = student_module(exercise)
    known, other = program.LEARNED.split(), program.OTHER.split()
    size = len(set(known) | set(other))
    for name, words in (("the learned text", known), ("another text", other)):
        print(f"{name:18}{program.loss_of(known, words, size):.2f} nats a word")


PLUGS = {
    "1.1": read_unseen_texts,
    "1.2": remember_what_was_said,
    "1.3": measure_orders,
    "1.4": compare_losses,
}
