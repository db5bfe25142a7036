"""An n-gram language model: interpolated Kneser-Ney smoothing over counts of token sequences.

The probability of a token given the n − 1 tokens before it is its share of what followed them in the training text.
Most sequences of n tokens never occurred, so some of the probability is kept for tokens that were not seen there, and
is spread by the model of order n − 1 (Kneser and Ney 1995; interpolated: Chen and Goodman 1999, section 3):

    p_n(w | h) = max(c(h w) − D, 0) / c(h) + D · N(h ·) / c(h) · p_{n−1}(w | h′)

c counts occurrences at the highest order; at the lower orders it counts *different tokens before*: "Francisco" is a
frequent word, but it follows one word only, so it is an unlikely guess after an unknown one. N(h ·) is how many
different tokens followed h, h′ is h without its first token, and p_0 is uniform over the vocabulary.
"""

from collections import Counter, defaultdict

import numpy
import torch
from torch import Tensor, nn

History = tuple[int, ...]


class NGramModel(nn.Module):
    """Counts of a token stream as a language model; `fit` it once, it has nothing to learn by gradient."""

    def __init__(self, order: int, vocab_size: int) -> None:
        """order: n, the longest sequence counted; 1 looks at no token before. Raises ValueError below 1."""
        super().__init__()
        if order < 1:
            raise ValueError(f"the order of an n-gram model is {order}, but must be at least 1")
        self.order, self.vocab_size = order, vocab_size
        # for each history of 0 … n − 1 tokens: which tokens followed it, and how often
        self.followers: dict[History, dict[int, int]] = {}
        self.discounts = [0.0] * (order + 1)  # [n+1], D of each order; that of order 0 is not used
        self.uniform = nn.Parameter(torch.full((vocab_size,), 1 / vocab_size, dtype=torch.double), False)  # [V], p_0
        self._distributions: dict[History, numpy.ndarray] = {}

    def fit(self, tokens: Tensor) -> "NGramModel":
        """Counts the sequences of a token stream [N] and returns itself."""
        ids = tokens.tolist()
        counts = Counter(tuple(ids[i : i + self.order]) for i in range(len(ids) - self.order + 1))
        self.followers, self._distributions = {}, {}
        for order in range(self.order, 0, -1):
            followers: dict[History, dict[int, int]] = defaultdict(dict)
            for sequence, count in counts.items():
                followers[sequence[:-1]][sequence[-1]] = count
            self.followers.update(followers)
            self.discounts[order] = discount(list(counts.values()))
            # at the next lower order each different token before counts once (the continuation count)
            counts = Counter(sequence[1:] for sequence in counts)
        return self

    def distribution(self, history: History) -> numpy.ndarray:
        """p(· | history) [V] over the next token; of the history only the last n − 1 tokens matter."""
        history = history[max(0, len(history) - self.order + 1) :]
        if history not in self._distributions:
            self._distributions[history] = self._interpolate(history)
        return self._distributions[history]

    def _interpolate(self, history: History) -> numpy.ndarray:
        lower = self.distribution(history[1:]) if history else self.uniform.cpu().numpy()  # [V]
        followers = self.followers.get(history)
        if followers is None:
            return lower  # this history never occurred
        total, D = sum(followers.values()), self.discounts[len(history) + 1]
        probabilities = D * len(followers) / total * lower  # [V]
        for token, count in followers.items():
            probabilities[token] += max(count - D, 0.0) / total
        return probabilities

    def forward(self, ids: Tensor) -> Tensor:
        """ids [B,T] -> log-probabilities of the next token [B,T,V] in nats: logits that are normalised already."""
        rows = [[self.distribution(tuple(row[: t + 1])) for t in range(len(row))] for row in ids.tolist()]
        return torch.from_numpy(numpy.log(numpy.array(rows))).float().to(self.uniform.device)  # [B,T,V]


def discount(counts: list[int]) -> float:
    """D = n₁ / (n₁ + 2·n₂), where n_k sequences occurred k times (Ney, Essen and Kneser 1994); 0.5 if none did once."""
    once, twice = counts.count(1), counts.count(2)
    return once / (once + 2 * twice) if once else 0.5
