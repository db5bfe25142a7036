"""The decoding step as a fixed program: the plain step's numbers, nothing that a CUDA graph could not record."""

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from minigpt import generate
from minigpt.generate import read_prompts
from minigpt.model import GPT, GPTConfig
from minigpt.scale import decoding
from minigpt.scale.decoding import Decoder, GraphDecoder, StaticStep, decoder_for, power_of_two, steps_of
from minigpt.scale.precision import set_precision

CONFIG = GPTConfig(vocab_size=17, context=40, layers=2, heads=2, channels=16)
PROMPTS = [[1, 2, 3], [4], [5, 6], [7, 8, 9, 10, 11], [3, 3]]
# What makes the host wait for the device, or has a result whose size the device decides: the names in inference mode,
# where item() is one operation, and tolist() begins with resolve_conj; `Seen` adds two.
UNRECORDABLE = (
    "item",
    "is_nonzero",
    "nonzero",
    "masked_select",
    "equal",
    "allclose",
    "_unique2",
    "unique_consecutive",
    "bincount",
    "repeat_interleave",
    "resolve_conj",
    "index by a mask",
    "to the CPU",
)


def confident_gpt(dtype: torch.dtype = torch.float32, **changes) -> GPT:
    model = GPT(GPTConfig(**{**vars(CONFIG), **changes}), seed=1).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8.0)
    return set_precision(model, dtype)


def written_with(decoder: type, model: GPT, monkeypatch, **settings) -> generate.Generation:
    monkeypatch.setattr(generate, "decoder_for", decoder)
    options = {"max_new_tokens": 30, "stop_tokens": [2, 9], "pad_id": 0, "samples_per_prompt": 3} | settings
    return generate.generate(model, PROMPTS, generator=torch.Generator().manual_seed(4), want_logprobs=True, **options)


@pytest.mark.parametrize(
    "changes", [{}, {"position": "learned"}, {"position": "sinusoidal", "norm": "layernorm", "bias": True}]
)
def test_what_is_written_is_the_same_with_the_fixed_program(changes, monkeypatch):
    model = confident_gpt(**changes)
    for settings in ({}, {"top_k": 5, "temperature": 0.7}, {"stop_tokens": []}, {"max_new_tokens": 1}):
        plain = written_with(Decoder, model, monkeypatch, **settings)
        fixed = written_with(GraphDecoder, model, monkeypatch, **settings)
        for name in ("tokens", "lengths", "ended"):
            assert torch.equal(getattr(fixed, name), getattr(plain, name)), f"{name} with {settings}"
        assert_close(fixed.logprobs, plain.logprobs, rtol=0, atol=1e-5)
    assert set(steps_of(model, CONFIG.context)) >= {4, 16}, "no row was dropped, so that was not compared"


def test_a_model_made_float64_writes_with_the_fixed_program_too(monkeypatch):
    model = confident_gpt().double()
    plain = written_with(Decoder, model, monkeypatch)
    fixed = written_with(GraphDecoder, model, monkeypatch)
    assert torch.equal(fixed.tokens, plain.tokens)
    assert next(iter(steps_of(model, CONFIG.context).values())).logits.dtype == torch.float64


def test_in_bfloat16_it_differs_by_rounding_only(monkeypatch):
    model = confident_gpt(torch.bfloat16)
    plain = written_with(Decoder, model, monkeypatch, temperature=1.0, stop_tokens=[])
    fixed = written_with(GraphDecoder, model, monkeypatch, temperature=1.0, stop_tokens=[])
    same = (plain.tokens == fixed.tokens).cumprod(dim=1).bool()  # [B,N], until a rounding chooses another token
    assert same.float().mean() > 0.5
    assert_close(fixed.logprobs[same], plain.logprobs[same], rtol=0, atol=1e-1)
    assert (fixed.logprobs - plain.logprobs)[same].abs().mean() < 1e-2


def test_rows_leave_only_where_half_of_the_batch_is_enough(monkeypatch):
    assert [power_of_two(number) for number in (1, 2, 3, 4, 5, 8, 9)] == [1, 2, 4, 4, 8, 8, 16]
    decoder = GraphDecoder(confident_gpt(), read_prompts(confident_gpt(), PROMPTS, 4, 3)[1])  # 15 rows in 16
    assert not decoder.should_shrink(15, 9)
    assert decoder.should_shrink(15, 8)
    assert decoder.should_shrink(8, 4)


def test_rows_that_only_fill_the_batch_up_are_empty_and_never_move_whoever_used_them_before():
    model = confident_gpt()
    ids = torch.zeros(8, dtype=torch.long)
    with torch.no_grad():
        for prompts in ([[1, 2]] * 8, PROMPTS):  # the second time 5 rows in the buffers of 8
            decoder = GraphDecoder(model, read_prompts(model, prompts, 10, 1)[1])
            for _ in range(4):
                decoder.step(ids[: len(prompts)], torch.ones(len(prompts), dtype=torch.bool))
    assert decoder.now.cache.lengths.tolist() == [7, 5, 6, 9, 6, 0, 0, 0], "a row would run past the last slot"


class Seen(TorchDispatchMode):
    """The names of all operations, as the device gets them; and what a name does not tell."""

    def __init__(self) -> None:
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        name, given = function.overloadpacket.__name__, tree_leaves((arguments, keywords))
        if name in ("index", "index_put", "index_put_"):
            indices = [index for index in arguments[1] if index is not None]
            if any(index.dtype == torch.bool for index in indices):
                name = "index by a mask"  # x[mask] asks how many are True; the nonzero for it is inside of the kernel
        if name in ("to", "_to_copy") and torch.device("cpu") in given:
            name = "to the CPU"
        if name == "where" and len(arguments) == 1:
            name = "nonzero"
        self.names.append(name)
        return function(*arguments, **(keywords or {}))


ONES, MASK = torch.ones(3), torch.tensor([True, False, True])
WAITS = {
    "x.item()": lambda: ONES.sum().item(),
    "if x:": lambda: bool(MASK.any()),
    "x.tolist()": lambda: ONES.tolist(),
    "x.cpu()": lambda: ONES.cpu(),
    "x[mask]": lambda: ONES[MASK],
    "x[mask] = number": lambda: torch.ones(3).__setitem__(MASK, 0.0),
    "x[mask] = values": lambda: torch.ones(3).__setitem__(MASK, torch.zeros(2)),
    "masked_select": lambda: ONES.masked_select(MASK),
    "nonzero": lambda: MASK.nonzero(),
    "where(mask)": lambda: torch.where(MASK),
    "unique": lambda: ONES.unique(),
    "equal": lambda: torch.equal(ONES, ONES),
}


@pytest.mark.parametrize("what", WAITS)
def test_whatever_waits_for_the_device_would_be_seen(what):
    with torch.inference_mode(), Seen() as seen:
        WAITS[what]()
    assert set(seen.names) & set(UNRECORDABLE), f"{what} is seen as {seen.names}, so the next test is blind to it"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_a_step_never_waits_for_the_device_and_no_buffer_moves(dtype):
    model = confident_gpt(dtype)
    with torch.inference_mode():
        step = StaticStep(model, rows=4, slots=12)
        buffers = [step.ids, step.live, step.logits, step.cache.keys, step.cache.values, step.cache.lengths]
        places = [buffer.data_ptr() for buffer in buffers]
        step.live[:2] = True
        with Seen() as seen:
            for _ in range(3):
                step.compute(model)
    now = [step.ids, step.live, step.logits, step.cache.keys, step.cache.values, step.cache.lengths]
    assert [buffer.data_ptr() for buffer in now] == places, "a graph would go on writing to the old place"
    assert step.cache.lengths.tolist() == [3, 3, 0, 0], "live rows move on, the others stand still"
    waits = [name for name in seen.names if name in UNRECORDABLE]
    assert len(seen.names) > 50
    assert not waits, f"{waits} cannot be recorded in a CUDA graph"


def test_a_recorded_step_replays_every_later_step(monkeypatch):
    """What a CUDA graph does, on the CPU: the operations of ONE step are recorded, with every number that Python put
    into them, and given again. A length that Python counts would stay that of the recorded step."""
    model = confident_gpt()
    with torch.no_grad():
        step = StaticStep(model, rows=8, slots=CONFIG.context)
        recorded = record(step, model)
        monkeypatch.setattr(StaticStep, "run", lambda self, model: recorded(*buffers_of(self)))
        logits, cache = read_prompts(model, PROMPTS, 20, 1)
        plain = Decoder(model, cache)
        _, cache = read_prompts(model, PROMPTS, 20, 1)
        monkeypatch.setattr(decoding, "steps_of", lambda model, slots: {8: step})
        replayed = GraphDecoder(model, cache)
        live = torch.tensor([True, True, True, True, False])
        for number in range(12):
            ids = logits.argmax(-1)  # [R]
            if number == 6:
                live[1] = False
            logits = plain.step(ids, live)
            assert_close(
                replayed.step(ids, live)[live],
                logits[live],
                rtol=0,
                atol=1e-5,
                msg=lambda text, number=number: f"step {number} has something of step 0\n{text}",
            )


def buffers_of(step: StaticStep) -> list[Tensor]:
    return [step.ids, step.live, step.logits, step.cache.keys, step.cache.values, step.cache.lengths]


def record(step: StaticStep, model: GPT):
    """The step as a list of operations on the tensors it is given."""

    def program(ids, live, logits, keys, values, lengths):
        own = buffers_of(step)
        step.ids, step.live, step.logits = ids, live, logits
        step.cache.keys, step.cache.values, step.cache.lengths = keys, values, lengths
        step.compute(model)
        step.ids, step.live, step.logits, step.cache.keys, step.cache.values, step.cache.lengths = own

    return make_fx(program)(*(buffer.clone() for buffer in buffers_of(step)))


def test_steps_are_kept_until_the_model_moves_or_computes_otherwise():
    model = confident_gpt()
    steps = steps_of(model, 16)
    steps[4] = "recorded"
    with torch.no_grad():
        model.token_embedding.weight.mul_(2.0)
    assert steps_of(model, 16) is steps, "an update in place is seen by a graph"
    assert not steps_of(model, 24)
    assert not steps_of(model, 16), "only the last settings are kept, or memory would fill"
    steps_of(model, 16)[4] = "recorded"
    model.token_embedding.weight.data = model.token_embedding.weight.data.clone()
    assert not steps_of(model, 16), "the graph would read the old weights"
    steps_of(model, 16)[4] = "recorded"
    assert not steps_of(set_precision(model, torch.bfloat16), 16)


def test_a_cpu_takes_the_plain_step():
    model = confident_gpt()
    assert type(decoder_for(model, model.new_cache(1, 4))) is Decoder
