"""Byte-pair encoding: how text is cut into pre-tokens, how merges are learned, and how they are applied.

Training (Sennrich, Haddow & Birch 2016, section 3.2, on bytes as in GPT-2, Radford et al. 2019, section 2.2): cut the
corpus into pre-tokens (roughly words), write each as single bytes, then again and again make the most frequent pair of
neighbours into a new token. If several pairs are equally frequent, the greatest is taken, in the order in which Python
compares byte strings: b"st" before b"es". Encoding applies the merges in the order they were learned.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import regex

from minigpt.runs.errors import UserError

# GPT-2's pattern of pre-tokens. No merge crosses the end of a pre-token, so "dog" before "." or "!" stays one token
# "dog". At each place of a text the first alternative that matches is taken:
#
#   '(?:[sdmt]|ll|ve|re)   the endings of English             "it's we'll"   -> "it" "'s" " we" "'ll"
#   [ ]?\p{L}+             letters, and a space before them   "the dog"      -> "the" " dog"
#   [ ]?\p{N}+             digits, and a space before them    "in 2026ab"    -> "in" " 2026" "ab"
#   [ ]?[^\s\p{L}\p{N}]+   other visible characters, likewise "dogs!? #1"    -> "dogs" "!?" " #" "1"
#   \s+(?!\S)              white space, except the last character of it before a word
#                                                             "a   b"        -> "a" "  " " b"
#   \s+                    that last one, if it is no space   "a\nb"         -> "a" "\n" "b"
#
# The space belongs to the word after it, which is why most tokens of running text begin with a space. `regex` reads the
# pattern in training and tiktoken in encoding. Their Unicode tables may be of different years: next to a letter that
# only one of them knows, a merge may be learned that encoding never uses.
PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
BYTES = tuple(bytes([value]) for value in range(256))

Pair = tuple[bytes, bytes]


# ---- Learning merges -----------------------------------------------------------------------------------------------


class GreatestFirst:
    """A pair in a heap. heapq yields the least entry, and here a pair is less if its byte strings are greater."""

    __slots__ = ("pair",)

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    def __lt__(self, other: "GreatestFirst") -> bool:
        return self.pair > other.pair


class PairIndex:
    """The corpus as distinct pre-tokens, with up-to-date counts of all pairs of neighbours.

    A pre-token is stored once with its multiplicity, and a merge changes only the pre-tokens that contain the pair.
    Recounting the corpus after each merge gives the same tokens and takes hours.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        pretokens: Counter[str] = Counter()
        for text in texts:
            pretokens.update(regex.findall(PATTERN, text))
        self.multiplicity = list(pretokens.values())
        self.words = [[BYTES[value] for value in pretoken.encode("utf-8")] for pretoken in pretokens]
        self.counts: Counter[Pair] = Counter()
        self.containing: defaultdict[Pair, set[int]] = defaultdict(set)  # pair -> the words that it occurs in
        for index, word in enumerate(self.words):
            for pair in pairwise(word):
                self.counts[pair] += self.multiplicity[index]
                self.containing[pair].add(index)
        self.heap = [self._entry(pair) for pair in self.counts]
        heapq.heapify(self.heap)

    def _entry(self, pair: Pair) -> tuple[int, GreatestFirst]:
        return -self.counts[pair], GreatestFirst(pair)

    def most_frequent(self) -> Pair | None:
        """The most frequent pair of neighbours, among equals the lexicographically greatest; None if none is left."""
        while self.heap:
            negated_count, first = heapq.heappop(self.heap)
            pair = first.pair
            if self.counts[pair] == -negated_count:
                return pair
            # Lazy deletion: when a count falls, its old entry stays in the heap and is replaced when it comes out.
            if self.counts[pair] > 0:
                heapq.heappush(self.heap, self._entry(pair))
        return None

    def merge(self, pair: Pair) -> None:
        """Joins the pair in every pre-token, and updates the counts of all pairs next to it."""
        change: Counter[Pair] = Counter()
        for index in list(self.containing[pair]):
            before = self.words[index]
            after = join_everywhere(before, pair)
            for neighbours in pairwise(before):
                change[neighbours] -= self.multiplicity[index]
                self.containing[neighbours].discard(index)
            for neighbours in pairwise(after):
                change[neighbours] += self.multiplicity[index]
                self.containing[neighbours].add(index)
            self.words[index] = after
        for neighbours, difference in change.items():
            self.counts[neighbours] += difference
            if difference > 0:
                heapq.heappush(self.heap, self._entry(neighbours))


def join_everywhere(pieces: Sequence[bytes], pair: Pair) -> list[bytes]:
    """The pieces with every occurrence of the pair joined, from left to right: of a a a the first two."""
    joined: list[bytes] = []
    at = 0
    while at < len(pieces):
        if tuple(pieces[at : at + 2]) == pair:
            joined.append(pair[0] + pair[1])
            at += 2
        else:
            joined.append(pieces[at])
            at += 1
    return joined


def train_merges(texts: Iterable[str], merge_count: int, other_tokens: int = len(BYTES)) -> list[Pair]:
    """The first `merge_count` merges, in the order they are learned. Raises UserError if the corpus has fewer pairs.

    other_tokens: the number of tokens in the vocabulary that are not merges, for the message.

    No two merges give the same byte string, so each is one token. Consider the bytes "abc" in several words, where no
    merge has joined "a" or "c" with a byte outside. The merges inside are then the same in all these words. So if one
    word joins a + bc, all of them have a bc at that moment, and all get the token abc in the same step.
    """
    index = PairIndex(texts)
    merges: list[Pair] = []
    while len(merges) < merge_count:
        pair = index.most_frequent()
        if pair is None:
            raise UserError(
                f"the corpus allows only {len(merges)} merges and a vocabulary of this size needs {merge_count}; give "
                f"more text, or a vocabulary size of at most {other_tokens + len(merges)}"
            )
        merges.append(pair)
        index.merge(pair)
    return merges


# ---- Applying merges -----------------------------------------------------------------------------------------------


def merge_steps(pieces: Sequence[bytes], ranks: dict[bytes, int]) -> Iterator[tuple[Pair, list[bytes]]]:
    """The merges of one pre-token, in order: yields (the pair joined, the pieces after that) until none is possible.

    Of all neighbours whose concatenation is a token, the pair with the lowest id is joined, the leftmost of several.
    ranks: token -> id.
    """
    pieces = list(pieces)
    while True:
        known = [(ranks[a + b], at) for at, (a, b) in enumerate(pairwise(pieces)) if a + b in ranks]
        if not known:
            return
        _, at = min(known)
        pair = (pieces[at], pieces[at + 1])
        pieces[at : at + 2] = [pair[0] + pair[1]]
        yield pair, list(pieces)
