"""writing.json: what a token costs with and without a cache, and what five ways to choose it write.

    python -m tutorials.numbers.make.writing

About a minute on one core. Milliseconds are those of the processor, the least of several tries; the model that is timed
has the shape of preset small and is not trained. The model that writes is that of `tutorials.models`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

import torch

from minigpt.generate import generate, sampling_logprobs
from minigpt.model import GPT, GPTConfig
from minigpt.runs.config import Settings, parse
from minigpt.runs.errors import run_main
from tutorials.exercises.writing import OPENINGS, beam_search, logprob_of, repeated
from tutorials.models import Trained, load_or_train
from tutorials.numbers.make.record import commit, record

LENGTHS, TRIES = (16, 64, 128, 256, 384, 512), 15
TOKENS, BEAMS, SAMPLES = 60, 8, 4


@dataclass(frozen=True)
class WritingConfig(Settings):
    """Nothing to choose."""


def milliseconds(work: Callable[[], object]) -> float:
    """The least processor time of several tries."""
    least = float("inf")
    for _ in range(TRIES):
        started = time.process_time()
        work()
        least = min(least, time.process_time() - started)
    return 1000 * least


@torch.inference_mode()
def costs() -> dict[str, list[float]]:
    """Milliseconds for the next token of a text of each length: reading it all, and with its keys and values kept."""
    model = GPT(GPTConfig(vocab_size=1536, context=LENGTHS[-1] + TRIES)).eval()
    whole, cached = [], []
    for length in LENGTHS:
        ids = torch.randint(1536, (1, length), generator=torch.Generator().manual_seed(0))
        whole.append(milliseconds(lambda ids=ids: model.logits(model.hidden(ids)[:, -1])))
        cache = model.new_cache(1, length + TRIES)
        model(ids[:, :-1], cache=cache)

        def one_token(ids: torch.Tensor = ids, cache: object = cache) -> object:
            return model(ids[:, -1:], cache=cache)

        cached.append(milliseconds(one_token))
    return {"lengths": list(LENGTHS), "whole": whole, "cached": cached}


def ways(model: GPT) -> dict[str, Callable[[list[int]], list[list[int]]]]:
    """Ways to continue a prompt: each gives one or several responses."""

    def sampled(**settings: float) -> Callable[[list[int]], list[list[int]]]:
        def write(prompt: list[int]) -> list[list[int]]:
            written = generate(
                model,
                [prompt],
                max_new_tokens=TOKENS,
                stop_tokens=[],
                pad_id=0,
                samples_per_prompt=SAMPLES,
                generator=torch.Generator().manual_seed(0),
                **settings,
            )
            return written.tokens.tolist()

        return write

    return {
        "beam search, 8": lambda prompt: [beam_search(model, prompt, TOKENS, BEAMS)[0]],
        "greedy": lambda prompt: sampled(temperature=0)(prompt)[:1],
        "top-p 0.9": sampled(top_p=0.9),
        "temperature 1": sampled(),
        "temperature 1.5": sampled(temperature=1.5),
    }


SOUNDS = (" moos.", " barks.", " moos purple.")


def sentences(base: Trained) -> str:
    """The log-probability of three sentences about the cow."""
    cow = base.tokenizer.encode("The cow")
    scores = {sound: float(logprob_of(base.model, cow, base.tokenizer.encode(sound)).sum()) for sound in SOUNDS}
    return "\n".join(f"The cow{sound:<14} {score:6.1f} nats" for sound, score in scores.items())


def ratios(base: Trained, tokens: int = 20) -> str:
    """What was sampled at temperature 0.7, measured at 1 and at 0.7: probability now, divided by that when sampled."""
    prompt = base.tokenizer.encode(OPENINGS[0])
    generator = torch.Generator().manual_seed(0)
    settings = {"stop_tokens": [], "pad_id": 0, "temperature": 0.7, "want_logprobs": True, "generator": generator}
    one = generate(base.model, [prompt], max_new_tokens=tokens, **settings)
    with torch.no_grad():
        logits = base.model(torch.tensor([prompt + one.tokens[0].tolist()]))[0, len(prompt) - 1 : -1]  # [N,V]
    lines = []
    for temperature in (1.0, 0.7):
        now = sampling_logprobs(logits, temperature).gather(1, one.tokens[0][:, None])[:, 0]  # [N]
        ratio = (now - one.logprobs[0]).exp()  # [N]
        lines.append(f"measured at temperature {temperature}: ratios from {ratio.min():.2f} to {ratio.max():.2f}")
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    """Times, writes, records."""
    parse(WritingConfig, argv, description=__doc__, presets={})
    torch.set_num_threads(1)
    at, started = commit(), time.monotonic()
    base = load_or_train("base")
    prompts = [base.tokenizer.encode(opening) for opening in OPENINGS]
    results, lines = {}, [f"{'':<16}nats a token   repeated"]
    for name, write in ways(base.model).items():
        written = [(prompt, response) for prompt in prompts for response in write(prompt)]
        per_token = -fmean(float(logprob_of(base.model, *pair).mean()) for pair in written)
        again = fmean(repeated(response) for _, response in written)
        results[name] = {"nats": per_token, "repeated": again, "first": base.tokenizer.decode(written[0][1])}
        lines.append(f"{name:<16}{per_token:12.2f}   {again:8.2f}")
        print(lines[-1], repr(results[name]["first"]), flush=True)
    timed = costs()
    longest = {"tokens": LENGTHS[-1], "whole": timed["whole"][-1], "cached": timed["cached"][-1]}
    record(
        "writing",
        {
            "table": "\n".join(lines),
            "ways": results,
            "costs": timed,
            "longest": longest,
            "cow": sentences(base),
            "ratios": ratios(base),
        },
        command="python -m tutorials.numbers.make.writing",
        commit=at,
        seeds=[0],
        threads=1,
        seconds=time.monotonic() - started,
        code=["minigpt/model.py", "minigpt/cache.py", "minigpt/generate.py", "tutorials/models.py"],
    )


if __name__ == "__main__":
    run_main(main)
