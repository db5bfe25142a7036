"""BERT against transformers' BertModel on the same weights, and its masking against the shares of the paper."""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

from minigpt.data import IGNORE
from minigpt.model import GPTConfig
from minigpt.relatives.bert import Bert, hide_tokens, masked_token_loss

transformers = pytest.importorskip("transformers")

B, T, V = 3, 7, 20
CONFIG = GPTConfig(
    vocab_size=V,
    context=16,
    layers=2,
    heads=2,
    channels=8,
    position="learned",
    norm="layernorm",
    bias=True,
    norm_epsilon=1e-12,
)
MASK = torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 2 + [0] * 5], dtype=torch.bool)


def ids(seed=0):
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(seed))


def randomised(model):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def transformers_bert(model):
    """BertForMaskedLM and the pooler of BertModel, with our weights."""
    c = model.config
    settings = transformers.BertConfig(
        vocab_size=c.vocab_size,
        hidden_size=c.channels,
        num_hidden_layers=c.layers,
        num_attention_heads=c.heads,
        intermediate_size=c.mlp_width,
        hidden_act="gelu",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=c.context,
        type_vocab_size=2,
        layer_norm_eps=1e-12,
        pad_token_id=0,
    )
    base, masked = transformers.BertModel(settings), transformers.BertForMaskedLM(settings)
    with torch.no_grad():
        for bert in (base, masked.bert):
            e = bert.embeddings
            e.word_embeddings.weight.copy_(model.token_embedding.weight)
            e.position_embeddings.weight.copy_(next(model.positions.parameters()))
            e.token_type_embeddings.weight.copy_(model.segment_embedding.weight)
            e.LayerNorm.load_state_dict(model.embedding_norm.state_dict())
            for theirs, ours in zip(bert.encoder.layer, model.blocks, strict=True):
                heads = (theirs.attention.self.query, theirs.attention.self.key, theirs.attention.self.value)
                weights = zip(heads, ours.attention.qkv.weight.chunk(3), ours.attention.qkv.bias.chunk(3), strict=True)
                for layer, weight, bias in weights:
                    layer.weight.copy_(weight)
                    layer.bias.copy_(bias)
                for mine, other in (
                    (ours.attention.projection, theirs.attention.output.dense),
                    (ours.attention_norm, theirs.attention.output.LayerNorm),
                    (ours.mlp.up, theirs.intermediate.dense),
                    (ours.mlp.projection, theirs.output.dense),
                    (ours.mlp_norm, theirs.output.LayerNorm),
                ):
                    other.load_state_dict(mine.state_dict())
        base.pooler.dense.load_state_dict(model.pooler.state_dict())
        head = masked.cls.predictions
        head.transform.dense.load_state_dict(model.masked_head[0].state_dict())
        head.transform.LayerNorm.load_state_dict(model.masked_head[2].state_dict())
        head.decoder.weight.copy_(model.token_embedding.weight)
        head.decoder.bias.copy_(model.masked_bias)
    return base.eval(), masked.eval()


def test_states_pooled_state_and_masked_logits_are_those_of_transformers():
    model = randomised(Bert(CONFIG)).eval()
    base, masked = transformers_bert(model)
    segments = (torch.arange(T) >= 3).long().expand(B, T)
    given = {"input_ids": ids(), "attention_mask": MASK.long(), "token_type_ids": segments}
    theirs = base(**given)
    assert_close(model.hidden(ids(), MASK, segments)[MASK], theirs.last_hidden_state[MASK], rtol=1e-4, atol=1e-5)
    assert_close(model.pooled(ids(), MASK, segments), theirs.pooler_output, rtol=1e-4, atol=1e-5)
    assert_close(model(ids(), MASK, segments)[MASK], masked(**given).logits[MASK], rtol=1e-4, atol=1e-5)


def test_every_token_sees_later_ones_and_no_padding():
    model = randomised(Bert(CONFIG)).eval()
    before = model.hidden(ids(), MASK)
    changed = ids()
    changed[0, 6] = (changed[0, 6] + 1) % V
    changed[1, 6] = (changed[1, 6] + 1) % V  # padding
    after = model.hidden(changed, MASK)
    assert (after[0, 0] - before[0, 0]).abs().max() > 1e-4, "a causal mask? the first token must see the last one"
    assert_close(after[1, :5], before[1, :5], rtol=0, atol=0, msg="padding changed a real token")


def test_shares_of_hidden_tokens_are_the_papers():
    many = torch.randint(1, V, (400, 250), generator=torch.Generator().manual_seed(0))  # 0 is the mask's id
    maskable = torch.ones_like(many, dtype=torch.bool)
    maskable[:, 0] = False
    inputs, targets = hide_tokens(many, maskable, mask_id=0, vocab_size=V, generator=torch.Generator().manual_seed(1))
    chosen = targets != IGNORE
    assert not chosen[:, 0].any(), "a special token was chosen"
    n = chosen.sum().item()
    assert abs(n / maskable.sum().item() - 0.15) < 0.005
    assert (targets[chosen] == many[chosen]).all(), "the target is the token that stood there"
    assert (inputs[~chosen] == many[~chosen]).all(), "a token that is no target was changed"
    hidden, kept = (inputs[chosen] == 0).sum().item() / n, (inputs[chosen] == many[chosen]).sum().item() / n
    # a random token is [MASK] or the token itself in one case of V each
    assert abs(hidden - (0.8 + 0.1 / V)) < 0.015, "80 % become [MASK]"
    assert abs(kept - (0.1 + 0.1 / V)) < 0.015, "10 % stay"


def test_the_loss_counts_targets_only_and_their_gradient_is_zero_elsewhere():
    model = randomised(Bert(CONFIG)).eval()
    targets = torch.full((B, T), IGNORE)
    targets[0, 2], targets[1, 4] = 5, 7
    logits = model(ids(), MASK).log_softmax(-1)
    expected = -(logits[0, 2, 5] + logits[1, 4, 7]) / 2
    assert_close(masked_token_loss(model, ids(), MASK, targets), expected, rtol=1e-5, atol=1e-6)
    assert masked_token_loss(model, ids(), MASK, torch.full((B, T), IGNORE)).item() == 0.0, "0/0 without a target"


def test_the_classifier_learns_what_stands_at_the_end_of_the_text():
    """[CLS] is the first token: with a causal mask it would see itself alone, and guess."""
    words = torch.randint(2, 5, (256, 6), generator=torch.Generator().manual_seed(0))
    texts = torch.cat([torch.ones(256, 1, dtype=torch.long), words], dim=1)  # 1 is [CLS]
    labels = (words[:, -1] == 4).long()
    config = dataclasses.replace(CONFIG, vocab_size=8, channels=32)
    model, mask = Bert(config), torch.ones(256, 7, dtype=torch.bool)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(model.classify(texts, mask), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right = (model.classify(texts, mask).argmax(-1) == labels).float().mean()
    assert right > 0.99, f"{right:.2f} right; always the same answer is right in {1 - labels.float().mean():.2f}"
