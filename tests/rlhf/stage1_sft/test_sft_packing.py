"""Stage 1 with several demonstrations in a row: the targets, the loss and the gradient of a row for each."""

import math

import pytest
import torch
from torch.testing import assert_close

from minigpt.data import IGNORE
from minigpt.model import GPT, POSITIONS, GPTConfig
from minigpt.tokenizer import Tokenizer
from rlhf.stage1_sft.examples import Example, collate, collate_packed
from rlhf.stage1_sft.objective import DemonstrationObjective

PAD, END = 9, 8
# 9 is the pad id and occurs in texts as well; the lengths are 4, 7 and 2, so the inputs 3, 6 and 1
EXAMPLES = [Example((1, 2), (3, END)), Example((4, PAD, 5), (6, PAD, 7, END)), Example((1,), (END,))]
CONTEXT = 24


def random_examples(count: int, seed: int = 0) -> list[Example]:
    generator = torch.Generator().manual_seed(seed)

    def ids(longest: int) -> tuple[int, ...]:
        length = int(torch.randint(1, longest + 1, (), generator=generator))
        return tuple(torch.randint(0, 12, (length,), generator=generator).tolist())

    return [Example(ids(8), (*ids(8), END)) for _ in range(count)]


def objective(examples: list[Example], row_tokens: int, batch_size: int, micro: int = 0) -> DemonstrationObjective:
    tokenizer = Tokenizer.train(["A cow eats grass."], 256 + 5)
    sizes = {"batch_size": batch_size, "micro_batch_size": micro, "row_tokens": row_tokens}
    return DemonstrationObjective(examples, examples, **sizes, tokenizer=tokenizer, seed=0, device=torch.device("cpu"))


def restless_model(position: str = "rotary") -> GPT:
    config = GPTConfig(vocab_size=261, context=CONTEXT, layers=2, heads=2, channels=16, position=position)
    model = GPT(config, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(5.0)
    return model.eval()


def loss_and_gradient(model: GPT, chosen: DemonstrationObjective) -> list[torch.Tensor]:
    """The loss of the first step as the training loop computes it, Σ loss_sum / Σ weight, and its gradient."""
    micros = chosen.micro_batches(0)
    loss = sum(chosen.loss_sum(model, micro)[0] for micro in micros) / sum(map(chosen.weight, micros))
    return [loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))]


def test_packed_by_hand():
    inputs, targets, documents = collate_packed(EXAMPLES, PAD, 7)
    i = IGNORE
    assert inputs.tolist() == [[4, 9, 5, 6, 9, 7, 1], [1, 2, 3, 9, 9, 9, 9]]
    assert documents.tolist() == [[0, 0, 0, 0, 0, 0, 1], [0, 0, 0, -1, -1, -1, -1]]
    assert targets.tolist() == [[i, i, 6, 9, 7, 8, 8], [i, 3, 8, i, i, i, i]], (
        "the last token of a demonstration predicts nothing, least of all the first of the next one"
    )


def test_packed_rows_hold_the_targets_of_single_rows():
    examples = random_examples(40)
    _, single, _ = collate(examples, PAD)
    inputs, targets, _ = collate_packed(examples, PAD, CONTEXT)
    assert sorted(targets[targets != IGNORE].tolist()) == sorted(single[single != IGNORE].tolist())
    assert inputs.numel() < 0.7 * single.numel(), "packing is there to save padding"


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("micro", [0, 1, 3])
def test_loss_and_gradient_are_those_of_a_row_for_each(position, micro):
    model, examples = restless_model(position), random_examples(12)
    expected = loss_and_gradient(model, objective(examples, 0, batch_size=12))
    found = loss_and_gradient(model, objective(examples, CONTEXT, batch_size=12, micro=micro))
    for f, e in zip(found, expected, strict=True):
        assert_close(f, e, rtol=1e-5, atol=1e-5, msg=lambda text: f"documents not isolated, or positions?\n{text}")


@pytest.mark.parametrize("pad", [0, 3, END, 11])
def test_the_pad_id_may_be_any_token_of_the_texts(pad):
    model, chosen = restless_model(), objective(EXAMPLES, CONTEXT, batch_size=3)
    reference, _ = chosen.loss_sum(model, collate(EXAMPLES, PAD))
    loss, _ = chosen.loss_sum(model, collate_packed(EXAMPLES, pad, CONTEXT))
    assert_close(loss, reference, rtol=1e-5, atol=1e-5)


def test_held_out_loss_does_not_depend_on_packing():
    model, examples = restless_model(), random_examples(40)
    with torch.no_grad():
        alone, packed = (objective(examples, size, batch_size=4).evaluate(model) for size in (0, CONTEXT))
    assert packed["loss"] == pytest.approx(alone["loss"], rel=1e-5)
    assert packed["mean_token_accuracy"] == alone["mean_token_accuracy"]


@pytest.mark.parametrize("row_tokens", [0, CONTEXT])
def test_three_tokens_by_hand(row_tokens):
    """Probabilities 1/2, 1/4 and 1/8 for the three tokens of a response: a mean loss of (1 + 2 + 3)/3 · log 2."""
    chosen = objective([Example((1, 2), (3, 4, END))], row_tokens, batch_size=1)
    probabilities = torch.full((4, 12), 0.01)  # [T,V], from the prompt on; those of the prompt do not matter
    for place, (token, share) in enumerate(((3, 1 / 2), (4, 1 / 4), (END, 1 / 8)), start=1):
        probabilities[place] = (1 - share) / 11
        probabilities[place, token] = share

    class Fixed(torch.nn.Module):
        def forward(self, ids, layout, at):
            return probabilities.log()[None][at]  # [M,V]

    (micro,) = chosen.micro_batches(0)
    loss, _ = chosen.loss_sum(Fixed(), micro)
    assert float(loss) / chosen.weight(micro) == pytest.approx(2 * math.log(2), rel=1e-6)
