"""Text of any length that nobody has to download: made-up words, as many and as unequal as those of a language."""

import itertools
import random

DOCUMENT = 300  # words
LINE = 12  # words
SYLLABLES = [a + b + c for a in "bcdfghklmnprstvw" for b in ("a", "e", "i", "o", "u", "ea") for c in ("", *"nrstl")]


def made_up_text(size: int, kinds: int, seed: int = 0) -> list[str]:
    """Documents of about `size` letters together, of at most `kinds` words; the r-th is as frequent as 1/r (Zipf)."""
    rng = random.Random(seed)
    words = ["".join(rng.choices(SYLLABLES, k=rng.choice((1, 1, 2, 2, 3, 4)))) for _ in range(kinds)]
    weights = list(itertools.accumulate(1 / rank for rank in range(1, kinds + 1)))
    documents, written = [], 0
    while written < size:
        chosen = rng.choices(words, cum_weights=weights, k=DOCUMENT)
        lines = (" ".join(chosen[start : start + LINE]).capitalize() for start in range(0, DOCUMENT, LINE))
        documents.append(".\n".join(lines) + ".")
        written += len(documents[-1])
    return documents
