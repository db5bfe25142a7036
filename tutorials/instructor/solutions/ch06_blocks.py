"""Chapter 06: blocks. Exercises 6.1 to 6.3 are written into this file; 6.4 is in bugs/ch06_it_forgets.py.

    python -m tutorials.exercises check 6.1      # run the checks of one exercise
    python -m tutorials.exercises hint 6.1       # one hint; ask again for the next one
    python -m tutorials.exercises plug 6.1       # once it is green: train a model of your blocks

Replace `raise NotImplementedError(...)` by your own lines. torch and math are enough. What each function must do is
also written as plain loops in specs/ch06.py: slow, and right.

Shapes: B batch · T tokens · C channels of the residual stream · M neurons of the MLP.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# ---- 6.1 A block -------------------------------------------------------------------------------------------------


def block(
    x: Tensor,
    attention: Callable[[Tensor], Tensor],
    attention_norm: Tensor,
    mlp_norm: Tensor,
    up: Tensor,
    down: Tensor,
    epsilon: float,
) -> Tensor:
    """One layer of a GPT: attention, then the MLP; both read the stream through a norm of their own and add to it.

    x [B,T,C] -> [B,T,C]. `attention` takes and returns [B,T,C]. The norms are RMSNorms, x / √(mean(x²) + ε) · weight
    over the channels of each token, with the weights attention_norm and mlp_norm [C]. The MLP is
    down · gelu(up · x), with up [M,C] and down [C,M], and the exact GELU, z·Φ(z). No biases.
    """

    # SOLUTION
    def normed(stream: Tensor, weight: Tensor) -> Tensor:
        size = torch.sqrt(stream.square().mean(dim=-1, keepdim=True) + epsilon)  # [B,T,1]
        return stream / size * weight  # [B,T,C]

    after = x + attention(normed(x, attention_norm))  # [B,T,C]
    neurons = F.gelu(normed(after, mlp_norm) @ up.T)  # [B,T,M]
    return after + neurons @ down.T  # [B,T,C]
    # END SOLUTION


# ---- 6.2 Side by side --------------------------------------------------------------------------------------------


def parallel_block(
    x: Tensor, attention: Callable[[Tensor], Tensor], norm: Tensor, up: Tensor, down: Tensor, epsilon: float
) -> Tensor:
    """A layer whose attention and MLP work side by side, as in GPT-J and PaLM (Chowdhery et al. 2022, section 2).

    Both read the same normed stream, with one RMSNorm of weight `norm` [C], and both results are added to x. All else
    is as in 6.1: x [B,T,C] -> [B,T,C], up [M,C], down [C,M], the exact GELU.
    """
    # SOLUTION
    size = (x.square().mean(dim=-1, keepdim=True) + epsilon).sqrt()  # [B,T,1]
    read = x / size * norm  # [B,T,C]
    return x + attention(read) + F.gelu(read @ up.T) @ down.T  # [B,T,C]
    # END SOLUTION


# ---- 6.3 Where are the parameters? -------------------------------------------------------------------------------


def share_of(
    part: str,
    vocab_size: int,
    layers: int,
    channels: int,
    kv_channels: int,
    hidden: int,
    mlp_matrices: int,
    tied: bool,
) -> float:
    """The share of a GPT's parameters that stand in one part: "embedding", "attention" or "mlp". The three add up to 1.

    Count matrices only: no norms, no biases, no positions. The embedding is the table of tokens, and once more the
    output matrix if it is not `tied` to it. Attention has matrices for queries and for the projection, of C·C each, and
    for keys and for values, of C·kv_channels each: large models have fewer heads for those (grouped-query attention,
    Ainslie et al. 2023). The MLP has `mlp_matrices` matrices of C·hidden: two with GELU, three with SwiGLU.

    FIRST write your predictions into answers.toml; then this function; then let
    `python -m tutorials.exercises plug 6.3` count, and write down what it printed.
    """
    # SOLUTION
    counts = {
        "embedding": vocab_size * channels * (1 if tied else 2),
        "attention": layers * 2 * channels * (channels + kv_channels),
        "mlp": layers * mlp_matrices * channels * hidden,
    }
    return counts[part] / sum(counts.values())
    # END SOLUTION
