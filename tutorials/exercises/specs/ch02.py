"""Chapter 02 in plain loops: merges by counting everything anew, characters by counting their bytes."""

Pair = tuple[str, str]


def joined(pieces: list[str], pair: Pair) -> list[str]:
    """The pieces with every occurrence of the pair joined, from left to right."""
    result: list[str] = []
    at = 0
    while at < len(pieces):
        if at + 1 < len(pieces) and (pieces[at], pieces[at + 1]) == pair:
            result.append(pieces[at] + pieces[at + 1])
            at += 2
        else:
            result.append(pieces[at])
            at += 1
    return result


def pair_counts(pieces: list[list[str]], counts: list[int]) -> dict[Pair, int]:
    """How often each pair of neighbours occurs in the corpus."""
    found: dict[Pair, int] = {}
    for word, count in zip(pieces, counts, strict=True):
        for at in range(len(word) - 1):
            pair = (word[at], word[at + 1])
            found[pair] = found.get(pair, 0) + count
    return found


def learn_merges(words: list[str], counts: list[int], merge_count: int) -> list[Pair]:
    """Exercise 2.1."""
    pieces = [list(word) for word in words]
    merges: list[Pair] = []
    for _ in range(merge_count):
        found = pair_counts(pieces, counts)
        if not found:
            break
        most = max(found.values())
        pair = max(pair for pair in found if found[pair] == most)
        merges.append(pair)
        pieces = [joined(word, pair) for word in pieces]
    return merges


def stream_text(tokens: list[list[int]]) -> list[str]:
    """Exercise 2.2: after each token, decode all complete characters from the beginning, and show what is new."""
    shown: list[str] = []
    read: list[int] = []
    for token in tokens:
        read += token
        whole, at = 0, 0
        while at < len(read):
            first = read[at]
            length = 1 if first < 128 else 2 if first < 0b11100000 else 3 if first < 0b11110000 else 4
            at += length
            if at <= len(read):
                whole = at
        shown.append(bytes(read[:whole]).decode("utf-8")[len("".join(shown)) :])
    return shown


def tokens_of(word: str, merges: list[Pair]) -> list[str]:
    """Exercise 2.3."""
    pieces = list(word)
    for left, right in merges:
        pieces = joined(pieces, (left, right))
    return pieces


def encode_chat(turns: list[tuple[str, str]]) -> list[int]:
    """Exercise 2.4: the role's token, the bytes of the text, the end token."""
    special = {"user": 256, "assistant": 257}
    ids: list[int] = []
    for role, text in turns:
        ids.append(special[role])
        for value in text.encode("utf-8"):
            ids.append(value)
        ids.append(258)
    return ids
