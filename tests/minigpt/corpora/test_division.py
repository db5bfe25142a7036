"""What is held back for validation is the share that was asked for, in whole documents."""

import random
from collections.abc import Sequence

import pytest
import torch

from minigpt.corpora.division import Part, choose_validation
from minigpt.runs.errors import UserError


def divided(texts: list[str], sizes: Sequence[int], fraction: float, seed: int) -> tuple[list[str], list[str]]:
    """The training and the validation documents."""
    held = choose_validation(sizes, fraction, seed)
    return list(Part(texts, held, validation=False)), list(Part(texts, held, validation=True))


def test_whole_documents_are_held_back_once_and_keep_their_order():
    documents = [f"document {number}" for number in range(50)]
    training, validation = divided(documents, [1] * 50, 0.1, seed=0)
    assert len(validation) == 5
    assert sorted(training + validation) == sorted(documents)
    assert training == [document for document in documents if document in set(training)]
    assert divided(documents, [1] * 50, 0.1, seed=0) == (training, validation)
    assert divided(documents, [1] * 50, 0.1, seed=1)[1] != validation
    assert validation != documents[-5:], "the end of a file is not a fair sample of it"


def test_something_is_left_on_each_side_or_it_is_said_why_not():
    assert [len(part) for part in divided(["a", "b"], [1, 1], 0.01, seed=0)] == [1, 1]
    assert [len(part) for part in divided(["a", "b"], [1, 1], 0.99, seed=0)] == [1, 1]
    with pytest.raises(UserError, match="too short"):
        divided(["x"], [1], 0.1, seed=0)
    for fraction in (0.0, 1.0, -1.0):
        with pytest.raises(UserError, match="between 0 and 1"):
            divided(["a", "b"], [1, 1], fraction, seed=0)


def test_dividing_a_text_leaves_the_global_random_state_alone():
    before, python_before = torch.get_rng_state(), random.getstate()
    divided(["a", "b", "c"], [1] * 3, 0.5, seed=0)
    torch.testing.assert_close(torch.get_rng_state(), before, rtol=0, atol=0)
    assert random.getstate() == python_before


@pytest.mark.parametrize("fraction", [0.02, 0.04, 0.3, 0.9])
@pytest.mark.parametrize(
    "sizes",
    [
        [100_000, 100_000],
        [200_000],
        [1] * 300,
        [10, 200_000, 10, 10],
        [2 ** (n % 15) for n in range(500)],
        [7_000] * 30,
        [400, 4_000, 4_000, 40_000],
    ],
    ids=["two", "one", "equal", "one long", "all lengths", "pieces", "few"],
)
def test_what_is_held_back_is_the_share_that_was_asked_for_whatever_the_lengths(sizes, fraction):
    texts = ["".join(random.Random(n).choices("abc ", k=size)) for n, size in enumerate(sizes)]
    for seed in range(3):
        training, validation = divided(texts, sizes, fraction, seed)
        share = sum(map(len, validation)) / sum(sizes)
        assert 0.88 * fraction <= share <= 1.12 * fraction, f"{share:.3f} of the text instead of {fraction}"
        assert sorted("".join(training + validation)) == sorted("".join(texts)), "text is lost, or there twice"
        assert len(training) + len(validation) <= len(texts) + 1, "more than one document is cut"


def test_a_document_is_cut_only_where_no_whole_one_fits_and_at_its_end():
    texts = [letter * 100 + "\n" + letter * 899 for letter in "abcd"]
    held = choose_validation([1000] * 4, 0.25, seed=0)
    assert list(Part(texts, held, validation=True)) in [[text] for text in texts]
    held = choose_validation([1000] * 4, 0.02, seed=0)
    (end,) = Part(texts, held, validation=True)
    assert end in {letter * 80 for letter in "abcd"}
    assert sorted(len(text) for text in Part(texts, held, validation=False)) == [920, 1000, 1000, 1000]


def test_a_corpus_that_grows_while_it_is_read_is_refused():
    with pytest.raises(UserError, match="grown"):
        list(Part(["a", "b", "c"], choose_validation([1, 1], 0.5, seed=0), validation=False))
