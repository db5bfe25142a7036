"""HH-RLHF's transcripts: two whole conversations as text, of which the people of Bai et al. 2022 (arXiv 2204.05862)
preferred one.

    {"chosen": "\\n\\nHuman: Hi\\n\\nAssistant: Hello!", "rejected": "\\n\\nHuman: Hi\\n\\nAssistant: What?"}

The prompt is their longest common beginning that ends with "\\n\\nAssistant:". To split at the first "Assistant:" would
make half of the conversation an answer; to split each text at its last one gives pairs whose prompts differ.

`transcript` is the way back. In all 2,312 pairs of harmless-base/test it gives the original text byte for byte; the
only thing it would add is the blank that follows a marker, where a file has none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from minigpt.runs.errors import UserError
from rlhf.chat_format import Turn

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
MARKER = re.compile(r"\n\n(Human|Assistant):")
ROLES = {"Human": "user", "Assistant": "assistant"}


def split_pair(chosen: str, rejected: str, where: str) -> tuple[tuple[Turn, ...], str, str]:
    """(turns of the prompt, chosen answer, rejected answer), the blank after each marker removed.

    An answer runs to the end of its text, markers and all, and may be empty: four of the 2,312 are. Raises UserError
    naming `where` for texts that do not begin with the same question.
    """
    if not (chosen.startswith(HUMAN) and rejected.startswith(HUMAN)):
        raise UserError(f'{where}: "chosen" and "rejected" must both begin with a blank line and "Human:".')
    common = common_beginning(chosen, rejected)
    cut = _last_answer(common)
    if cut is None:
        raise UserError(f'{where}: "chosen" and "rejected" have no question in common, with "Assistant:" after it.')
    prompt = common[:cut].removesuffix(ASSISTANT)
    return read_transcript(prompt), chosen[cut:].removeprefix(" "), rejected[cut:].removeprefix(" ")


def common_beginning(first: str, second: str) -> str:
    """The longest text with which both begin."""
    for length, (mine, other) in enumerate(zip(first, second, strict=False)):  # one may be longer
        if mine != other:
            return first[:length]
    return min(first, second, key=len)


def _last_answer(text: str) -> int | None:
    """The place where the assistant's last turn begins, after its marker. Nine of the 2,312 pairs have two
    "Assistant:" in a row; what follows the second continues the turn that the first has begun."""
    cut, previous = None, "Human"
    for marker in MARKER.finditer(text):
        if marker[1] == "Assistant" and previous == "Human":
            cut = marker.end()
        previous = marker[1]
    return cut


def read_transcript(text: str) -> tuple[Turn, ...]:
    """The turns of a transcript. Two turns of one speaker in a row become one that keeps the marker between them: to
    drop it would change the text."""
    turns: list[Turn] = []
    _, *parts = MARKER.split(text)
    for speaker, words in zip(parts[::2], parts[1::2], strict=True):
        role = ROLES[speaker]
        if turns and turns[-1].role == role:
            turns[-1] = Turn(role, f"{turns[-1].text}\n\n{speaker}:{words}")
        else:
            turns.append(Turn(role, words.removeprefix(" ")))
    return tuple(turns)


def transcript(turns: Sequence[Turn], answer: str) -> str:
    """A prompt and its answer as HH-RLHF writes them."""
    markers = {"user": HUMAN, "assistant": ASSISTANT}
    return "".join(f"{markers[turn.role]} {turn.text}" for turn in (*turns, Turn("assistant", answer)))
