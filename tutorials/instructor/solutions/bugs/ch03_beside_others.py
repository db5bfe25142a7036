"""Exercise 3.4, a bug hunt: right alone, wrong beside others.

    python -m tutorials.exercises.bugs.ch03_beside_others      # some seconds: it learns to write dates
    python -m tutorials.exercises check 3.4

A small transformer learns to write dates, such as 2026-11-29. Any digit may follow any other, but the dashes have their
places. Afterwards it completes beginnings of dates, several at a time: the rows of a batch must be equally long, so
shorter ones are padded on the left. Given one beginning alone, it writes a date. Given the same one beside a longer
one, it often does not. Nothing crashes, and the mask is right. One idea in this file is wrong. Find it, and change at
most three lines.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIGNS, LENGTH, CHANNELS = "0123456789-#", 10, 32  # "#" is the padding
STEPS, BATCH, LEARNING_RATE = 150, 64, 1e-2


def positions_of(mask: Tensor) -> Tensor:
    """The place of each token in its text: mask [B,T] bool, True at real tokens -> [B,T] int64, from 0."""
    # SOLUTION
    before = torch.cumsum(mask, dim=1) - 1  # [B,T]
    return before.clamp_min(0)  # [B,T]
    # STUB
    # columns = torch.arange(mask.shape[1])  # [T]
    # return columns.repeat(len(mask), 1)  # [B,T]
    # END SOLUTION


class Writer(nn.Module):
    """Signs in, scores of the next sign out: one layer of attention and an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.signs, self.places = nn.Embedding(len(SIGNS), CHANNELS), nn.Embedding(2 * LENGTH, CHANNELS)
        self.qkv = nn.Linear(CHANNELS, 3 * CHANNELS, bias=False)
        self.mlp = nn.Sequential(nn.Linear(CHANNELS, 4 * CHANNELS), nn.GELU(), nn.Linear(4 * CHANNELS, CHANNELS))
        self.norm, self.scores = nn.LayerNorm(CHANNELS), nn.Linear(CHANNELS, len(SIGNS))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        T = ids.shape[1]
        x = self.signs(ids) + self.places(positions_of(mask))  # [B,T,C]
        queries, keys, values = self.qkv(x)[:, None].chunk(3, dim=-1)  # [B,1,T,C] each
        visible = mask[:, None] & torch.ones(T, T, dtype=torch.bool).tril() | torch.eye(T, dtype=torch.bool)  # [B,T,T]
        x = x + F.scaled_dot_product_attention(queries, keys, values, attn_mask=visible[:, None])[:, 0]  # [B,T,C]
        return self.scores(self.norm(x + self.mlp(x)))  # [B,T,V]


def train(steps: int = STEPS) -> Writer:
    """A writer that has seen some thousand dates, each whole and without padding."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        writer = Writer()
        optimizer = torch.optim.Adam(writer.parameters(), lr=LEARNING_RATE)
        for _ in range(steps):
            ids = torch.randint(0, 10, (BATCH, LENGTH))  # [B,T]
            ids[:, [4, 7]] = SIGNS.index("-")
            logits = writer(ids[:, :-1], torch.ones(BATCH, LENGTH - 1, dtype=torch.bool))  # [B,T,V]
            loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return writer


@torch.no_grad()
def complete(writer: Writer, beginnings: list[str]) -> list[str]:
    """Every beginning with what the writer adds, ten signs in all, always the most probable next sign."""
    longest = max(map(len, beginnings))
    texts = [beginning.rjust(longest, "#") for beginning in beginnings]
    while any(len(text.lstrip("#")) < LENGTH for text in texts):
        ids = torch.tensor([[SIGNS.index(sign) for sign in text] for text in texts])  # [B,T]
        best = writer(ids, ids != SIGNS.index("#"))[:, -1].argmax(dim=-1)  # [B]
        texts = [text + SIGNS[sign] for text, sign in zip(texts, best.tolist(), strict=True)]
    return [text.lstrip("#")[:LENGTH] for text in texts]


def try_out(writer: Writer) -> list[tuple[str, str, str]]:
    """Beginnings of dates, each completed alone, and all of them in one batch."""
    beginnings = ["2", "19", "202", "2026", "1999-1", "2026-11"]
    alone = [complete(writer, [beginning])[0] for beginning in beginnings]
    return list(zip(beginnings, alone, complete(writer, beginnings), strict=True))


def is_date(text: str) -> bool:
    """True for four digits, two and two, with dashes between them."""
    return [len(part) if part.isdigit() else 0 for part in text.split("-")] == [4, 2, 2]


if __name__ == "__main__":
    print(f"{'beginning':<12}{'alone':<14}beside others")
    for row in try_out(train()):
        marks = ["" if is_date(text) else "  <- no date" for text in row[1:]]
        print(f"{row[0]:<12}{row[1] + marks[0]:<14}{row[2]}{marks[1]}")
