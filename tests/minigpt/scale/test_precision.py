"""bfloat16: what is computed in it and what is not, and that it changes the results by its rounding only."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.testing import assert_close

from minigpt.generate import generate, sampling_logprobs
from minigpt.model import GPT, GPTConfig, token_logprobs
from minigpt.objective import next_token_loss_sum
from minigpt.optim import Optimizer, OptimizerConfig, newton_schulz, newton_schulz_by_gram, orthogonalised
from minigpt.runs.config import RunConfig
from minigpt.runs.errors import UserError
from minigpt.scale.precision import compute_dtype, dtype_of, set_precision

CONFIG = GPTConfig(vocab_size=61, context=32, layers=2, heads=2, channels=32)
IDS = torch.randint(61, (3, 17), generator=torch.Generator().manual_seed(0))  # [B,T]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def confident_gpt(dtype: torch.dtype, **changes) -> GPT:
    """Larger weights than at birth: of a model that thinks all tokens alike, any log-probability is right."""
    model = GPT(GPTConfig(**{**vars(CONFIG), **changes}), seed=1).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8.0)
        model.token_embedding.weight.mul_(2.0)
    return set_precision(model, dtype)


# ---- The setting ----


def test_auto_is_bfloat16_only_on_a_gpu_that_has_it(monkeypatch):
    assert compute_dtype("auto", CPU) == torch.float32
    for has_it, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has_it=has_it: has_it)
        assert compute_dtype("auto", CUDA) == expected
    with pytest.raises(UserError, match="--precision bfloat16: this GPU has none"):
        compute_dtype("bfloat16", CUDA)
    with pytest.raises(UserError, match="--precision bfloat16: not tried on mps"):
        compute_dtype("bfloat16", torch.device("mps"))
    assert compute_dtype("auto", torch.device("mps")) == torch.float32
    assert compute_dtype("bfloat16", CPU) == torch.bfloat16, "an explicit choice is never overruled"


def test_a_run_places_a_model_in_its_precision_and_copies_keep_it():
    model = RunConfig(device="cpu", precision="bfloat16").place(GPT(CONFIG))
    assert dtype_of(copy.deepcopy(model)) == torch.bfloat16, "PPO's reference is a copy of the policy"
    assert dtype_of(RunConfig(device="cpu").place(GPT(CONFIG))) == torch.float32


def test_tf32_is_for_bfloat16_on_a_gpu_and_never_touched_on_a_cpu(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", asked.append)
    set_precision(GPT(CONFIG), torch.bfloat16)
    assert asked == [], "on a CPU `high` would change float32 as well"

    class GPTOnCUDA(GPT):
        def parameters(self, recurse=True):
            return iter([SimpleNamespace(device=CUDA)])

    model = GPTOnCUDA(CONFIG)
    set_precision(model, torch.bfloat16)
    set_precision(model, torch.float32)
    assert asked == ["high", "highest"]


class TF32(TorchFunctionMode):
    """Matrix products as a GPU takes them in TF32: factors rounded to 11 bits, sums in float32."""

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        arguments = list(arguments)
        factors = {torch.Tensor.matmul: (0, 1), torch.Tensor.__matmul__: (0, 1), torch.baddbmm: (1, 2)}
        for index in factors.get(function, ()):
            bits = arguments[index].contiguous().view(torch.int32)
            arguments[index] = ((bits + 0x1000) & ~0x1FFF).view(torch.float32)
        return function(*arguments, **(keywords or {}))


def test_muon_does_on_a_gpu_what_tf32_does_not_spoil(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(n, n, generator=generator))[0] for n in (16, 64))
    gradient = ((left * torch.logspace(0, -4, 16)) @ right[:16])[None]  # [1,16,64], singular values of four decades
    errors = {}
    for way in (newton_schulz, newton_schulz_by_gram):
        exact = way(gradient)
        with TF32():
            rounded = way(gradient)
        errors[way] = torch.linalg.matrix_norm(rounded - exact, 2).item()
    assert errors[newton_schulz] < 0.05
    assert errors[newton_schulz_by_gram] > 0.2, "then orthogonalised() needs no rule for GPUs"
    monkeypatch.setattr("minigpt.optim.newton_schulz_by_gram", None)
    orthogonalised(gradient.to("meta"))  # any device but a CPU


# ---- float32 ----


@pytest.mark.parametrize("method", ["hidden", "forward"])
def test_in_float32_nothing_is_cast_and_every_bit_is_that_of_the_plain_method(method, monkeypatch):
    def never(*arguments, **named):
        raise AssertionError("float32 entered autocast")

    model = confident_gpt(torch.float32)
    expected = getattr(GPT, method)(model, IDS)
    monkeypatch.setattr(torch, "autocast", never)
    assert torch.equal(getattr(model, method)(IDS), expected)
    there_and_back = set_precision(set_precision(model, torch.bfloat16), torch.float32)
    assert torch.equal(getattr(there_and_back, method)(IDS), expected)


# ---- bfloat16: what is in it ----


def test_products_are_bfloat16_and_weights_gradients_stream_and_compared_logits_float32():
    model = confident_gpt(torch.bfloat16)
    seen = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.RMSNorm) or name in ("blocks.0", "blocks.1"):
            module.register_forward_hook(lambda module, inputs, output, name=name: seen.update({name: output.dtype}))
    hidden = model.hidden(IDS)  # [B,T,C]
    logits = model.logits(hidden)  # [B,T,V]
    logits.logsumexp(-1).sum().backward()
    for name, dtype in seen.items():
        product = name.split(".")[-1] in ("qkv", "projection", "up")
        assert dtype == (torch.bfloat16 if product else torch.float32), name
    assert hidden.dtype == logits.dtype == torch.float32
    for name, parameter in model.named_parameters():
        assert parameter.dtype == parameter.grad.dtype == torch.float32, name
    cache = model.new_cache(len(IDS), 20)
    with torch.no_grad():
        model.hidden(IDS, cache=cache)
    assert cache.keys.dtype == cache.values.dtype == torch.bfloat16, "float32 would take twice the memory"


def test_logits_of_a_whole_text_are_rounded_and_those_that_are_compared_are_not():
    model = confident_gpt(torch.bfloat16)
    every = torch.ones_like(IDS, dtype=torch.bool)
    whole, compared, chosen = model(IDS), model.logits(model.hidden(IDS)), model(IDS, at=every)  # [B,T,V] ×2, [B·T,V]
    assert whole.dtype == torch.float32, "the loss is to be computed in float32"
    assert torch.equal(whole, whole.bfloat16().float())
    assert not torch.equal(compared, compared.bfloat16().float())
    assert torch.equal(chosen, compared.flatten(0, 1)), "PPO compares the logits at the positions of a response"


def test_log_softmax_is_float32_whatever_the_logits_are():
    logits = torch.randn(2, 3, 61, generator=torch.Generator().manual_seed(0)).bfloat16() * 8
    exact = logits.double().log_softmax(-1)  # [B,T,V]
    targets = IDS[:2, :3]
    assert_close(sampling_logprobs(logits, 1.0), exact.float(), rtol=0, atol=1e-5)
    chosen = exact.gather(-1, targets[..., None])[..., 0].float()  # [B,T]
    assert_close(token_logprobs(logits, targets), chosen, rtol=0, atol=1e-5)
    mean = next_token_loss_sum(logits, targets) / targets.numel()
    assert_close(mean, -chosen.mean(), rtol=0, atol=1e-5, msg="the loss was summed in bfloat16")


# ---- bfloat16: what comes out ----


@pytest.mark.parametrize("position", ["rotary", "learned"])
def test_logprobs_of_what_is_written_are_those_found_when_it_is_read(position):
    model = confident_gpt(torch.bfloat16, position=position)
    prompts = [row[: 3 + index].tolist() for index, row in enumerate(IDS)]
    written = generate(
        model,
        prompts,
        max_new_tokens=20,
        stop_tokens=[],
        pad_id=0,
        samples_per_prompt=4,
        want_logprobs=True,
        generator=torch.Generator().manual_seed(2),
    )
    differences = []
    for row, (tokens, logprobs) in enumerate(zip(written.tokens, written.logprobs, strict=True)):
        prompt = prompts[row // 4]
        ids = torch.tensor([prompt + tokens.tolist()])  # [1,T]
        distribution = sampling_logprobs(model.logits(model.hidden(ids)), 1.0)[0]  # [T,V]
        again = distribution[len(prompt) - 1 : -1].gather(1, tokens[:, None])[:, 0]  # [N]
        differences.append((again - logprobs).detach().abs())
    assert torch.cat(differences).mean() < 4e-3, "twice what is seen: other numbers with a cache than without"


def test_copies_of_weights_are_never_those_of_the_step_before_nor_of_inference_mode():
    model = confident_gpt(torch.bfloat16)
    generate(model, [[1, 2]], max_new_tokens=3, stop_tokens=[], pad_id=0, temperature=0)  # under inference mode
    model.hidden(IDS).sum().backward()  # a copy made there could not be saved for this backward pass
    with torch.no_grad():
        model.blocks[0].mlp.up.weight.mul_(1.5)
    assert torch.equal(model.hidden(IDS), copy.deepcopy(model).hidden(IDS)), "a cached copy outlived its step"


def test_training_follows_that_in_float32():
    losses = {}
    for dtype in (torch.float32, torch.bfloat16):
        model = set_precision(GPT(CONFIG, seed=1), dtype)
        optimizer = Optimizer(model, OptimizerConfig(learning_rate=0.01, warmup_steps=0))
        losses[dtype] = []
        for _ in range(15):
            optimizer.zero_grad()
            loss = next_token_loss_sum(model(IDS[:, :-1]), IDS[:, 1:]) / IDS[:, 1:].numel()
            loss.backward()
            optimizer.step(1.0)
            losses[dtype].append(loss.item())
    exact, rounded = (torch.tensor(losses[dtype]) for dtype in (torch.float32, torch.bfloat16))
    assert exact[-1] < 0.5 * exact[0], "nothing was learned, so nothing was compared"
    assert_close(rounded, exact, rtol=0, atol=2e-2, msg=lambda text: f"more than bfloat16's rounding\n{text}")
