"""The objective of pretraining: predict the next token; and the metrics of a language model on validation text."""

import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.data import IGNORE, TokenStream, bits_per_byte, byte_count, validation_batches
from minigpt.generate import generate
from minigpt.model import GPT
from minigpt.runs.seeds import seeded_generator
from minigpt.scale.distributed import micro_batch_for
from minigpt.tokenizer import Tokenizer

Batch = tuple[Tensor, Tensor]  # inputs [B,T] and targets [B,T], the same text one token later

VALIDATION_TOKENS = 1 << 18  # on how many the loss is measured at most
SAMPLED_BEGINNINGS = 4  # validation documents that samples.md continues
BEGINNING_TOKENS = 12
SAMPLE_TOKENS = 60


def next_token_loss_sum(logits: Tensor, targets: Tensor) -> Tensor:
    """−Σ log p(target) in nats over all targets that are not IGNORE: logits [...,V], targets [...] → scalar.

    A sum, not a mean: the caller divides by the number of targets of the whole step.
    """
    return F.cross_entropy(logits.flatten(0, -2).float(), targets.flatten(), ignore_index=IGNORE, reduction="sum")


@torch.no_grad()
def evaluate_language_model(model: GPT, batches: list[Batch], byte_count: int) -> dict[str, float]:
    """Metrics of the model on validation `batches`, a text of `byte_count` UTF-8 bytes:

    loss                  nats/token; comparable only between models with the same tokenizer
    bits_per_byte         Σ nats/(ln 2 · bytes); comparable between tokenizers. <|endoftext|> is predicted as well, and
                          has no bytes
    mean_token_accuracy   share of targets that are the model's first choice
    """
    device = next(model.parameters()).device
    nats, right, count = 0.0, 0, 0
    for inputs, targets in batches:
        targets = targets.to(device)  # [B,T]
        logits = model(inputs.to(device))  # [B,T,V]
        nats += next_token_loss_sum(logits, targets).item()
        right += int((logits.argmax(-1) == targets).sum())  # IGNORE is no token id, so padding is never right
        count += int((targets != IGNORE).sum())
    bits = bits_per_byte(nats, byte_count)
    return {"loss": nats / count, "bits_per_byte": bits, "mean_token_accuracy": right / count}


class LanguageModelObjective:
    """Next-token prediction over a stream of documents; see training.Objective."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        training: np.ndarray,
        validation: np.ndarray,
        *,
        context: int,
        batch_size: int,
        micro_batch_size: int,
        seed: int,
        device: torch.device,
        begin_with: int | None = None,
    ) -> None:
        """training, validation: streams of token ids [N] (`data.encode_documents`), in memory or in a file.
        begin_with: the token that rows begin with, if not anywhere (`data.TokenStream`)."""
        self.tokenizer, self.context, self.seed, self.device = tokenizer, context, seed, device
        self.micro_batch_size = micro_batch_for(micro_batch_size, batch_size)
        self.stream = TokenStream(training, context=context, batch_size=batch_size, seed=seed, begin_with=begin_with)
        self.validation = validation_batches(
            validation,
            context=context,
            batch_size=max(batch_size, 32),
            most_tokens=VALIDATION_TOKENS,
            begin_with=begin_with,
        )
        self.validation_bytes = byte_count(tokenizer, self.validation)
        length = min(BEGINNING_TOKENS, context // 2)
        self.beginnings = [ids[: min(length, len(ids) // 2)] for ids in self._first_documents(validation)]

    def _first_documents(self, tokens: np.ndarray) -> list[list[int]]:
        """The ids of the first few documents of a stream [N], which separators part."""
        first = tokens[:VALIDATION_TOKENS].tolist()
        ends = [place for place, token in enumerate(first) if token == self.tokenizer.end_of_text_id]
        return [first[start + 1 : end] for start, end in itertools.pairwise(ends)][:SAMPLED_BEGINNINGS]

    def micro_batches(self, step: int) -> list[Batch]:
        inputs, targets = (part.to(self.device) for part in self.stream.batch(step))  # [B,T] each
        size = self.micro_batch_size
        return list(zip(inputs.split(size), targets.split(size), strict=True))

    def weight(self, micro: Batch) -> int:
        return micro[1].numel()  # a stream has no padding: every position is a target

    def tokens(self, micro: Batch) -> int:
        return micro[0].numel()

    def loss_sum(self, model: nn.Module, micro: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        inputs, targets = micro
        return next_token_loss_sum(model(inputs), targets), {}

    def evaluate(self, model: GPT) -> dict[str, float]:
        return evaluate_language_model(model, self.validation, self.validation_bytes)

    def samples(self, model: GPT) -> str:
        """Continuations of the empty text and of the beginnings of some validation documents, which are in brackets."""
        start = self.tokenizer.end_of_text_id
        prompts = [[start]] + [[start, *beginning] for beginning in self.beginnings]
        written = generate(
            model,
            prompts,
            max_new_tokens=SAMPLE_TOKENS,
            stop_tokens=[start],
            pad_id=self.tokenizer.pad_id,
            temperature=0.8,
            generator=seeded_generator(self.seed, "samples"),
        )
        blocks = []
        for prompt, ids, length, ended in zip(prompts, written.tokens, written.lengths, written.ended, strict=True):
            text = self.tokenizer.decode(ids[: int(length) - int(ended)].tolist())  # without the stop token
            blocks.append(f"~~~text\n[{self.tokenizer.decode(prompt[1:])}]{text}\n~~~\n")
        return "\n".join(blocks)
