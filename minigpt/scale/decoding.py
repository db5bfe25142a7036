"""Generation by several processes: each answers some of the prompts, and all get all responses."""

from typing import Any

import torch

from minigpt.generate import Generation, generate
from minigpt.model import GPT
from minigpt.scale.distributed import all_reduce_sum, share_of_rows, world_size
from minigpt.scale.sharding import gathered


def generate_together(
    model: GPT,
    prompts: list[list[int]],
    *,
    max_new_tokens: int,
    pad_id: int,
    generator: torch.Generator,
    samples_per_prompt: int = 1,
    **settings: Any,
) -> Generation:
    """The result of `generate`, with the prompts divided among the processes of a run; every process returns all rows.

    Each process draws the random numbers of all rows and uses those of its own, so the responses are those of one
    process.
    """
    if world_size() == 1:
        return generate(
            model,
            prompts,
            max_new_tokens=max_new_tokens,
            pad_id=pad_id,
            generator=generator,
            samples_per_prompt=samples_per_prompt,
            **settings,
        )
    total = len(prompts) * samples_per_prompt
    uniforms = torch.rand(total, max_new_tokens, generator=generator, device=generator.device)  # [B,N]
    device = model.token_embedding.weight.device
    tokens = torch.zeros(total, max_new_tokens, dtype=torch.int64, device=device)  # [B,N]
    logprobs = torch.zeros(total, max_new_tokens, device=device)  # [B,N]
    lengths, ended = torch.zeros(2, total, dtype=torch.int64, device=device)  # [B] each
    asked = share_of_rows(len(prompts))
    rows = slice(asked.start * samples_per_prompt, asked.stop * samples_per_prompt)
    with gathered(model):
        if prompts[asked]:
            part = generate(
                model,
                prompts[asked],
                max_new_tokens=max_new_tokens,
                pad_id=pad_id,
                uniforms=uniforms[rows],
                samples_per_prompt=samples_per_prompt,
                **(settings | {"want_logprobs": True}),
            )
            width = part.tokens.shape[1]
            tokens[rows], lengths[rows], ended[rows] = pad_id, part.lengths, part.ended.long()
            tokens[rows, :width], logprobs[rows, :width] = part.tokens, part.logprobs
    for numbers in (tokens, logprobs, lengths, ended):
        all_reduce_sum(numbers)  # every other process has zeros where this one has its rows
    longest = int(lengths.max())
    wanted = logprobs[:, :longest] if settings.get("want_logprobs") else None
    return Generation(tokens[:, :longest], lengths, ended.bool(), wanted)
