"""Every figure of the planner against what torch really counts, keeps or allocates."""

from contextlib import contextmanager

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils.flop_counter import FlopCounterMode

from minigpt import model as model_module
from minigpt.attention import attention_by_heads, causal_layout
from minigpt.model import GPT, GPTConfig
from minigpt.objective import next_token_loss_sum
from minigpt.optim import Muon, Optimizer, OptimizerConfig, block_matrices
from minigpt.scale import accounting
from minigpt.scale.precision import set_precision
from minigpt.scale.sharding import shard

SMALL = GPTConfig(vocab_size=300, context=64, layers=3, heads=4, channels=64)
GPT2_BLOCK = {"position": "learned", "norm": "layernorm", "mlp": "gelu_tanh", "bias": True}
LLAMA_BLOCK = {"mlp": "swiglu", "tied_embeddings": False}
BLOCKS = {"ours": {}, "gpt2": GPT2_BLOCK, "llama": LLAMA_BLOCK, "sinusoidal": {"position": "sinusoidal"}}


def config_of(block, **changes):
    return GPTConfig(**{**SMALL.__dict__, **BLOCKS[block], **changes})


def ids_and_targets(config, batch, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(config.vocab_size, (2, batch, config.context), generator=generator).to(device)  # [2,B,T]
    return ids[0], ids[1]


# ---- FLOPs ----


@pytest.mark.parametrize("block", BLOCKS)
def test_flops_are_those_that_torch_counts_but_for_vectors(block, monkeypatch):
    # torch counts no FLOPs of the fused CPU kernel, so the products of attention have to be in plain sight
    monkeypatch.setattr(
        model_module, "attention_fused", lambda q, k, v, mask, dropout: attention_by_heads(q, k, v, mask)
    )
    config = config_of(block)
    model = GPT(config)
    ids, targets = ids_and_targets(config, batch=2)
    with FlopCounterMode(display=False) as forward:
        loss = next_token_loss_sum(model(ids), targets)
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    vectors = sum(parameter.numel() for parameter in model.parameters() if parameter.ndim < 2)
    expected = accounting.flops_per_token(config, config.context) - 6 * vectors  # torch counts matrix products only
    assert 3 * forward.get_total_flops() == expected * ids.numel(), "a forward pass is a third: an embedding too many?"
    assert forward.get_total_flops() + backward.get_total_flops() == expected * ids.numel()


def test_gpt3_takes_the_flops_that_its_paper_gives():
    gpt3 = GPTConfig(vocab_size=50257, context=2048, layers=96, heads=96, channels=12288, **GPT2_BLOCK)
    flops = 300e9 * accounting.flops_per_token(gpt3, 2048)
    assert flops == pytest.approx(3.14e23, rel=0.04), "Brown et al. 2020, table D.1, which leaves attention out"


def test_ppo_is_four_forward_passes_and_two_trainings_an_epoch():
    """After a prompt of one token, every token but the last predicts one of the response: policy and value model spare
    nothing but that last token, the reward model all MLPs of its last block but one, and both but the policy the
    vocabulary."""
    C, V, tokens = SMALL.channels, SMALL.vocab_size, 64
    forward = accounting.flops_per_token(SMALL, tokens) // 3
    policy = (tokens - 1) * forward
    value = policy - (tokens - 1) * 2 * V * C
    reward = tokens * (forward - 2 * V * C) - (tokens - 1) * 2 * 8 * C * C
    for epochs in (1, 4):
        expected = 10 * (2 * policy + value + reward + epochs * 3 * (policy + value))
        assert accounting.ppo_flops(SMALL, tokens, tokens - 1, episodes=10, epochs=epochs) == expected


# ---- Weights and optimisers ----


def state_bytes(optimizer):
    moments = [t for state in optimizer.adamw.state.values() for t in state.values() if t.ndim > 0]  # but step counts
    return sum(tensor.nbytes for tensor in [*moments, *optimizer.muon.momentum.values()])


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_optimizers_keep_as_many_bytes_as_counted(block, name):
    config = config_of(block)
    model = GPT(config)
    optimizer = Optimizer(model, OptimizerConfig(optimizer=name))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(1.0)
    assert state_bytes(optimizer) == accounting.optimizer_bytes(config, name, config.parameter_count())


@pytest.mark.parametrize("block", BLOCKS)
def test_muon_sees_the_matrices_that_are_counted(block):
    config = config_of(block)
    model = GPT(config)
    muon = Muon(block_matrices(model), weight_decay=0.0)
    found = [(tuple(momentum.shape[1:]), momentum.shape[0]) for momentum in muon.momentum.values()]
    assert found == list(accounting.matrix_shapes(config).items()), "qkv is three matrices; swiglu has a gate"


def test_a_width_equal_to_the_channels_makes_one_stack_of_all_matrices():
    assert accounting.matrix_shapes(config_of("ours", hidden=64)) == {(64, 64): 3 * 6}


def test_sharded_muon_deals_whole_matrices():
    # 3 layers: 12 matrices of 64 x 64 and 3 each of 256 x 64 and 64 x 256, so of 5 GPUs one holds 3 + 1 + 1
    rest = SMALL.parameter_count() - accounting.matrix_parameters(SMALL)
    expected = 4 * (3 * 64 * 64 + 2 * 64 * 256) + 8 * -(-rest // 5)
    assert accounting.optimizer_bytes(SMALL, "muon", SMALL.parameter_count(), gpus=5) == expected


# ---- Activations ----


def saved_storages(config, precision, device, batch, read=None, flat=False):
    """The tensors that autograd keeps for the backward pass, but weights and tables: address -> (bytes, tensor).

    read: the number of tokens of each sequence that are returned, the last ones; None is all. flat: as flat tokens.
    """
    model = GPT(config).to(device)
    own = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # the tensor too, or its address could be used again
        return tensor

    ids, targets = ids_and_targets(config, batch, device)
    at = None
    if read is not None:
        at = (torch.arange(ids.shape[1], device=device) >= ids.shape[1] - read).expand(ids.shape).clone()  # [B,T]
        targets = targets[at]
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"),
    ):
        next_token_loss_sum(model(ids, None if flat else causal_layout(ids), at=at), targets)
    return kept


SHAPES = {
    "square": {},
    "deep and narrow": {"layers": 8, "channels": 32, "heads": 1},
    "wide": {"layers": 1, "channels": 192, "heads": 6, "context": 32},
    "many heads": {"heads": 32},  # of two channels: the logsumexp matters
    "large vocabulary": {"layers": 1, "vocab_size": 5000},
    "narrow MLP": {"hidden": 48},
}
HERE = [device for device in accounting.DEVICES if device == "cpu" or torch.cuda.is_available()]


@pytest.mark.parametrize("device", HERE)
@pytest.mark.parametrize("precision", accounting.PRECISIONS)
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("read", [None, 5, 20])
def test_activations_are_what_autograd_keeps(read, shape, block, precision, device):
    config = config_of(block, **SHAPES[shape])
    kept = sum(size for size, _ in saved_storages(config, precision, device, batch=4, read=read).values())
    T = config.context
    each = accounting.activation_bytes(config, T, read, precision, device)
    each += (read or T) * accounting.logits_bytes(config) // 3
    expected = 4 * each + accounting.autocast_bytes(config, precision)
    # token ids and targets, the rotary tables of one sequence: not counted; on CUDA kernels keep a seed, or pad
    assert kept == pytest.approx(expected, rel=0.015 if device == "cpu" else 0.1), f"{kept / expected - 1:+.1%}"


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("read", [5, 20])
def test_flat_tokens_keep_one_output_of_attention_more(read, shape, block):
    """In the worst case for flat tokens, rows of full length that share nothing: attention's output is kept in rows,
    for its own backward pass, and in the flat row, for that of the projection."""
    config, batch = config_of(block, **SHAPES[shape]), 4
    flat, padded = (
        sum(size for size, _ in saved_storages(config, "float32", "cpu", batch, read, way).values())
        for way in (True, False)
    )
    output = 4 * batch * config.context * config.channels * config.layers
    assert flat <= 1.01 * padded + output, f"{flat - padded} bytes more, of which outputs of attention are {output}"


class OneKernelRMSNorm(torch.autograd.Function):
    """RMSNorm as CUDA has it: its backward pass (torch's _fused_rms_norm_backward) takes input, 1/rms and weight."""

    @staticmethod
    def forward(ctx, x, weight):
        inverse = torch.rsqrt(x.pow(2).mean(-1, keepdim=True))
        ctx.save_for_backward(x, inverse, weight)
        return x * inverse * weight

    @staticmethod
    def backward(ctx, gradient):
        raise NotImplementedError("only what is kept matters here")


@pytest.mark.parametrize("precision", accounting.PRECISIONS)
def test_on_cuda_rmsnorm_keeps_its_input_once(precision, monkeypatch):
    monkeypatch.setattr(torch.nn.RMSNorm, "forward", lambda norm, x: OneKernelRMSNorm.apply(x, norm.weight))
    kept = sum(size for size, _ in saved_storages(SMALL, precision, "cpu", batch=4).values())
    T = SMALL.context
    each = accounting.activation_bytes(SMALL, T, None, precision, "cuda") + T * accounting.logits_bytes(SMALL) // 3
    expected = 4 * each + accounting.autocast_bytes(SMALL, precision)
    assert kept == pytest.approx(expected, rel=0.015), f"{kept / expected - 1:+.1%}"


def test_dropout_is_refused_as_its_masks_are_not_counted():
    with pytest.raises(ValueError, match="dropout"):
        accounting.activation_bytes(config_of("ours", dropout=0.1), 8, None, "float32", "cpu")


# ---- Generation ----


@pytest.mark.parametrize("precision", accounting.PRECISIONS)
def test_cache_has_as_many_bytes_as_counted(precision):
    model = set_precision(GPT(SMALL), getattr(torch, precision))
    cache = model.new_cache(batch=5, slots=40)
    with torch.inference_mode():
        model.hidden(torch.zeros(5, 1, dtype=torch.long), cache=cache)
    assert cache.keys.nbytes + cache.values.nbytes == 5 * accounting.cache_bytes(SMALL, 40, precision)


# ---- Several GPUs, which one process plays: its collectives do nothing, but it holds what one of 8 GPUs would ----


@contextmanager
def one_of_eight():
    dist.init_process_group("fake", rank=0, world_size=8, store=FakeStore())
    try:
        yield
    finally:
        dist.destroy_process_group()


def fsdp(model):
    mesh = init_device_mesh("cpu", (8,))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def test_fsdp_divides_weights_gradients_and_moments():
    config = config_of("ours", vocab_size=304)  # 304 and 64 rows: both can be divided by 8
    P = config.parameter_count()
    with one_of_eight():
        model = fsdp(GPT(config))
        optimizer = Optimizer(model, OptimizerConfig(optimizer="adamw"))
        ids, targets = ids_and_targets(config, batch=1)
        next_token_loss_sum(model(ids), targets).backward()
        optimizer.adamw.step()
        weights = sum(parameter.to_local().nbytes for parameter in model.parameters())
        gradients = sum(parameter.grad.to_local().nbytes for parameter in model.parameters())
        states = optimizer.adamw.state.values()
        moments = sum(t.to_local().nbytes for state in states for t in state.values() if t.ndim > 0)
    assert weights == gradients == 4 * accounting.divided(P, 8)
    assert moments == accounting.optimizer_bytes(config, "adamw", P, gpus=8)


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")  # on a CPU a norm's gain is no float32
def test_of_a_sharded_model_autocast_copies_only_the_output_matrix():
    config = config_of("ours", vocab_size=304, context=40)  # 40, so that no activation has the shape of a weight
    shapes = {tuple(parameter.shape) for parameter in GPT(config).parameters()}
    copies = {}

    def keep(tensor):
        if tensor.dtype == torch.bfloat16 and {tuple(tensor.shape), tuple(tensor.shape)[::-1]} & shapes:
            copies[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with one_of_eight():
        model = set_precision(GPT(config), torch.bfloat16)
        shard(model)
        ids, targets = ids_and_targets(config, batch=1)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            next_token_loss_sum(model(ids), targets)
    assert len(copies) > 1, "the blocks' weights were not saved at all"
    kept = sum(tensor.untyped_storage().nbytes() for tensor in copies.values())  # 0 where FSDP has taken it back
    assert kept == accounting.autocast_bytes(config, "bfloat16", gpus=8), "whole copies of the blocks are kept"


def test_ddp_holds_buckets_as_large_as_the_gradients():
    with one_of_eight():
        ddp = DistributedDataParallel(GPT(SMALL))
        buckets = [int(size) for size in ddp._get_ddp_logging_data()["bucket_sizes"].split(",")]
    assert sum(buckets) == 4 * SMALL.parameter_count()
    assert not ddp.gradient_as_bucket_view, "torch's default has changed: gradients and buckets are one now"
