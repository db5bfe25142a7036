"""A small GPT, written to be read: tokenizer, transformer, generation, data, optimisers and pretraining.

Nothing here knows about `rlhf/`, which builds on it.

One legend of shapes, used on every tensor line of both packages:

    B  batch: sequences side by side          V  vocabulary: token ids
    T  tokens of a sequence                   L  layers (blocks)
    C  channels of the residual stream        K  answers to one prompt
    H  heads                                  S  keys, or slots of the cache
    D  head size, C = H·D                     N  new tokens of a response

`x  # [B,T,C]` at the end of a line is the shape of what the line computed. Log-probabilities are natural logarithms, in
nats. A boolean mask is True where there is something real: a token that is not padding, a key that may be attended to.

In reading order: bpe, tokenizer (text <-> ids); positions, attention, cache, flat, model (ids -> logits); generate;
data, objective, optim, training, pretrain; inside (the attention weights of each head, and the model without some
heads). `toyworld/` writes their data, `runs/` keeps their results; `relatives/` are other models, to compare with;
`corpora/`, `scale/` and `hf/` are side rooms.
"""

from pathlib import Path

# `python -m minigpt.plan` and the like: commands that have moved print one sentence with their new name
__path__.append(str(Path(__file__).parent / "_old_commands"))
