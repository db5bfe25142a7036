"""The encoder-decoder against torch's nn.Transformer on the same weights; decoding against exhaustive enumeration."""

import itertools

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from minigpt.data import IGNORE
from minigpt.model import GPTConfig
from minigpt.relatives.encoder_decoder import (
    EncoderDecoder,
    beam_decode,
    greedy_decode,
    teacher_forcing_loss,
)

B, S, T, V = 3, 6, 5, 12
CONFIG = GPTConfig(
    vocab_size=V, context=16, layers=2, heads=2, channels=8, position="sinusoidal", norm="layernorm", bias=True
)
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]], dtype=torch.bool)


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(V, (B, S), generator=generator), torch.randint(V, (B, T), generator=generator)


def randomised(model, seed=0):
    """Norm gains and biases as well: at 1 and 0 a forgotten one would not show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def torch_transformer(model):
    """nn.Transformer with our weights."""
    c = model.config
    shape = {"d_model": c.channels, "nhead": c.heads, "dim_feedforward": c.mlp_width, "activation": "gelu"}
    options = {"dropout": 0.0, "batch_first": True, "norm_first": True}
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(**shape, **options), c.layers, nn.LayerNorm(c.channels), enable_nested_tensor=False
    )
    peer = nn.Transformer(num_decoder_layers=c.layers, custom_encoder=encoder, **shape, **options)
    pairs = [(peer.encoder.norm, model.encoder_norm), (peer.decoder.norm, model.decoder_norm)]
    with torch.no_grad():
        peers, blocks = [*peer.encoder.layers, *peer.decoder.layers], [*model.encoder, *model.decoder]
        for theirs, ours in zip(peers, blocks, strict=True):
            theirs.self_attn.in_proj_weight.copy_(ours.attention.qkv.weight)
            theirs.self_attn.in_proj_bias.copy_(ours.attention.qkv.bias)
            pairs += [(theirs.self_attn.out_proj, ours.attention.projection), (theirs.norm1, ours.attention_norm)]
            pairs += [(theirs.linear1, ours.mlp.up), (theirs.linear2, ours.mlp.projection)]
            if hasattr(ours, "cross_attention"):
                cross = ours.cross_attention
                theirs.multihead_attn.in_proj_weight.copy_(torch.cat([cross.query.weight, cross.key_value.weight]))
                theirs.multihead_attn.in_proj_bias.copy_(torch.cat([cross.query.bias, cross.key_value.bias]))
                pairs += [(theirs.multihead_attn.out_proj, cross.projection)]
                pairs += [(theirs.norm2, ours.cross_norm), (theirs.norm3, ours.mlp_norm)]
            else:
                pairs += [(theirs.norm2, ours.mlp_norm)]
        for theirs, ours in pairs:
            theirs.load_state_dict(ours.state_dict())
    return peer.eval()


def test_logits_are_those_of_torchs_transformer():
    model, (source, target) = randomised(EncoderDecoder(CONFIG)), batch()
    peer = torch_transformer(model)
    states = peer(
        model.embed(source),
        model.embed(target),
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(T),
        src_key_padding_mask=~MASK,
        memory_key_padding_mask=~MASK,
    )
    expected = states @ model.token_embedding.weight.T
    assert_close(model(source, MASK, target), expected, rtol=1e-4, atol=1e-5)


def test_padding_of_the_source_changes_nothing():
    model, (source, target) = randomised(EncoderDecoder(CONFIG)), batch()
    short = model(source[1:2, :4], MASK[1:2, :4], target[1:2])
    assert_close(model(source, MASK, target)[1:2], short, rtol=1e-5, atol=1e-5)


def test_the_encoder_looks_both_ways_and_the_decoder_does_not():
    model, (source, target) = randomised(EncoderDecoder(CONFIG)), batch()
    memory = model.encode(source, MASK)
    later = source.clone()
    later[0, 5] = (later[0, 5] + 1) % V
    assert (model.encode(later, MASK)[0, 0] - memory[0, 0]).abs().max() > 1e-4, "the encoder must see later tokens"
    changed = target.clone()
    changed[:, 3] = (changed[:, 3] + 1) % V
    assert_close(
        model(source, MASK, changed)[:, :3],
        model(source, MASK, target)[:, :3],
        rtol=0,
        atol=0,
        msg="a later target token changed an earlier prediction",
    )
    assert (model(later, MASK, target)[0] - model(source, MASK, target)[0]).abs().min(-1).values.max() > 0


def test_cross_attention_weights_are_what_the_output_is_made_of():
    model, (source, target) = randomised(EncoderDecoder(CONFIG)), batch()
    memory, mask = model.encode(source, MASK), MASK[:, None, None]
    attention, x = model.decoder[0].cross_attention, model.embed(target)
    weights = attention.weights(x, memory, mask)  # [B,H,T,S]
    assert_close(weights.sum(-1), torch.ones(B, CONFIG.heads, T), rtol=0, atol=1e-6)
    assert (weights.transpose(1, 3)[~MASK] == 0).all(), "padding of the source is read"
    _, _, values = attention.project(x, memory)
    mixed = (weights @ values).transpose(1, 2).reshape(B, T, CONFIG.channels)
    assert_close(attention.projection(mixed), attention(x, memory, mask), rtol=1e-5, atol=1e-6)


def test_the_loss_is_the_mean_over_real_targets_each_from_the_right_tokens_before_it():
    model, (source, target) = randomised(EncoderDecoder(CONFIG)), batch()
    target[1, 3:], target[2, 2:] = IGNORE, IGNORE
    nats, count = 0.0, 0
    for b in range(B):
        for t in range(1, T):
            if target[b, t] != IGNORE:
                logits = model(source[b : b + 1], MASK[b : b + 1], target[b : b + 1, :t])[0, -1]
                nats, count = nats - logits.log_softmax(-1)[target[b, t]], count + 1
    assert_close(teacher_forcing_loss(model, source, MASK, target), nats / count, rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_weight():
    model, (source, target) = EncoderDecoder(CONFIG), batch()
    teacher_forcing_loss(model, source, MASK, target).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"no gradient reaches {name}"
        assert parameter.grad.abs().sum() > 0, f"no gradient reaches {name}"


def all_targets(model, source, mask, end, length):
    """Every target of up to `length` tokens, ended by `end` or cut, with its log-probability."""
    found = []
    others = [token for token in range(V) if token != end]
    for n in range(length + 1):
        for body in itertools.product(others, repeat=n):
            ids = list(body) + ([end] if n < length else [])
            logits = model(source, mask, torch.tensor([[0, *ids]]))[0, :-1]
            total = sum(logits[t].log_softmax(-1)[token].item() for t, token in enumerate(ids))
            found.append((list(body), total))
    return sorted(found, key=lambda item: -item[1])


def test_a_beam_as_wide_as_the_world_finds_the_most_probable_targets():
    model = randomised(EncoderDecoder(CONFIG), seed=3).eval()
    source, mask = batch()[0][:1], MASK[:1]
    expected = all_targets(model, source, mask, end=1, length=2)
    found = beam_decode(model, source, mask, start=0, end=1, max_tokens=2, width=V * V)
    assert [ids for ids, _ in found[:20]] == [ids for ids, _ in expected[:20]]
    assert_close(
        torch.tensor([t for _, t in found[:20]]), torch.tensor([t for _, t in expected[:20]]), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_beam_of_one_is_greedy_and_a_wider_one_is_never_less_probable(seed):
    model = randomised(EncoderDecoder(CONFIG), seed).eval()
    source, _ = batch(seed)
    greedy = greedy_decode(model, source, MASK, start=0, end=1, max_tokens=4)
    for b in range(B):
        ((ids, total),) = beam_decode(model, source[b : b + 1], MASK[b : b + 1], start=0, end=1, max_tokens=4, width=1)
        assert ids == greedy[b]
        wide = beam_decode(model, source[b : b + 1], MASK[b : b + 1], start=0, end=1, max_tokens=4, width=60)
        assert wide[0][1] >= total - 1e-5
