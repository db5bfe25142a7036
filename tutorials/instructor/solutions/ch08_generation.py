"""Chapter 08: generation. Exercises 8.1 to 8.3 are written into this file; 8.4 is in bugs/ch08_beside_a_longer_one.py.

    python -m tutorials.exercises check 8.1      # run the checks of one exercise
    python -m tutorials.exercises hint 8.1       # one hint; ask again for the next one
    python -m tutorials.exercises plug 8.1       # once it is green: a model writes with your function

Replace `raise NotImplementedError(...)` by your own lines. torch and math are enough. What each function must do is
also written as plain loops in specs/ch08.py: slow, and right.

Shapes: B rows (texts) · H heads · S slots of the cache · D head size · V tokens to choose from.
"""

import math

import torch
from torch import Tensor

# ---- 8.1 One token, with a cache ---------------------------------------------------------------------------------


def attend_with_cache(
    query: Tensor, new_key: Tensor, new_value: Tensor, keys: Tensor, values: Tensor, lengths: Tensor
) -> Tensor:
    """What attention gives to one new token of each row, from the keys and values that were kept.

    query, new_key, new_value [B,H,D], of the new token. keys, values [B,H,S,D], the cache: row b has filled its slots
    0 … lengths[b] − 1; what stands in the others is garbage (it may be NaN). lengths [B], from 0 (nothing is kept yet)
    to S (no slot is free). The new token sees the filled slots of its own row, and itself. -> [B,H,D]. Scores are
    divided by √D. The cache stays as it is: the new key and value are not written into it.
    """
    # SOLUTION
    filled = torch.arange(keys.shape[2]) < lengths[:, None]  # [B,S]
    kept_keys = keys.masked_fill(~filled[:, None, :, None], 0.0)  # [B,H,S,D]
    kept_values = values.masked_fill(~filled[:, None, :, None], 0.0)  # [B,H,S,D]
    old = torch.einsum("bhd,bhsd->bhs", query, kept_keys).masked_fill(~filled[:, None], -math.inf)  # [B,H,S]
    itself = (query * new_key).sum(dim=-1, keepdim=True)  # [B,H,1]
    weights = torch.softmax(torch.cat([old, itself], dim=-1) / math.sqrt(query.shape[-1]), dim=-1)  # [B,H,S+1]
    return torch.einsum("bhs,bhsd->bhd", weights[..., :-1], kept_values) + weights[..., -1:] * new_value
    # END SOLUTION


# ---- 8.2 Min-p ---------------------------------------------------------------------------------------------------


def min_p_logprobs(logits: Tensor, temperature: float, min_p: float) -> Tensor:
    """The log-probabilities that min-p sampling draws from (Nguyen et al. 2024): logits [B,V] -> [B,V].

    The logits are divided by the temperature, which is above 0. Then, in each row, every token stays whose probability
    is at least min_p times that of the row's most probable token; the others get −inf. What is left adds up to 1 again.
    min_p lies between 0 (every token stays) and 1 (only the most probable one, and its equals).
    """
    # SOLUTION
    logprobs = torch.log_softmax(logits / temperature, dim=-1)  # [B,V]
    least = logprobs.amax(dim=-1, keepdim=True) + (math.log(min_p) if min_p > 0 else -math.inf)  # [B,1]
    return torch.log_softmax(logprobs.masked_fill(logprobs < least, -math.inf), dim=-1)  # [B,V]
    # END SOLUTION


# ---- 8.3 How many are left? --------------------------------------------------------------------------------------


def nucleus_size(logits: Tensor, temperature: float, top_p: float) -> int:
    """How many tokens top-p leaves to choose from: logits [V] -> a whole number.

    The logits are divided by the temperature. The tokens are taken in the order of their probability, the most probable
    one first, until the sum of those taken reaches top_p. At least one is taken.

    FIRST write your predictions into answers.toml; then this function; then let
    `python -m tutorials.exercises plug 8.3` measure, and write down what it printed.
    """
    # SOLUTION
    falling = (logits.double() / temperature).softmax(dim=-1).sort(descending=True).values  # [V]
    before = falling.cumsum(dim=-1) - falling  # [V], the sum of the more probable ones
    return max(1, int((before < top_p - 1e-9).sum()))
    # END SOLUTION
