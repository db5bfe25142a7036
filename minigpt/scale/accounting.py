"""The cost of a model, by arithmetic on its configuration alone: FLOPs, and bytes by what holds them.

Nothing here makes a tensor. The tests hold every figure against tensors that exist, unless its docstring says
otherwise: FLOPs against those that torch counts, bytes against what autograd, the optimisers, DDP, FSDP and the cache
really keep (test_accounting.py), and whole phases against a meter of live memory (test_plan.py).

A FLOP is one addition or multiplication of two numbers. Bytes of weights, gradients and moments are those of float32,
the only precision they are ever stored in here; `precision` is that of the matrix products, "float32" or "bfloat16"
(autocast). `gpus` is over how many GPUs a thing is divided: 1 unless the model is sharded.
"""

from minigpt.model import GPTConfig
from minigpt.optim import goes_by_gram

PRECISIONS = ("bfloat16", "float32")
DEVICES = ("cuda", "cpu")
FLOAT32 = 4  # bytes
CHINCHILLA_TOKENS = 20  # tokens for each parameter: Hoffmann et al. 2022, arXiv 2203.15556, table 3


def divided(amount: int, gpus: int) -> int:
    """The largest share of `amount` that one of `gpus` GPUs holds."""
    return -(-amount // gpus)


def product_bytes(precision: str) -> int:
    """Bytes of a number that a matrix product takes or gives."""
    return 2 if precision == "bfloat16" else FLOAT32


# ---- FLOPs -------------------------------------------------------------------------------------------------------


def flops_per_token(config: GPTConfig, tokens: int) -> int:
    """FLOPs of one training step for each token of sequences of `tokens` tokens: 6·N + 12·L·H·D·tokens.

    PaLM's count (Chowdhery et al. 2022, appendix B) with nanoGPT's N: every parameter but those that are only looked
    up, which are learned positions and a token embedding that is not tied. A tied one counts once, as the output matrix
    that it is too. Each of the N is used in one multiplication and one addition forward, and in two of each backward:
    once for the gradient of the activation and once for that of the weight. The second term is the two products of
    attention, over all `tokens` keys, though a causal kernel skips half of them: utilisation is comparable between
    papers only if everybody counts alike. A forward pass is a third of it.
    """
    looked_up = config.context * config.channels * (config.position == "learned")
    if not config.tied_embeddings:
        looked_up += config.vocab_size * config.channels
    return 6 * (config.parameter_count() - looked_up) + 12 * config.layers * config.channels * tokens


def ppo_flops(config: GPTConfig, tokens: int, response: int, episodes: int, epochs: int) -> int:
    """FLOPs of PPO over `episodes` of `tokens` tokens, the last `response` of them the response.

    Four forward passes, as the policy writes the tokens and reference, reward and value model read them; then in each
    epoch a training step of policy and value model (2·P·4 + 6·P·2·epochs, P parameters). The last token is read by the
    reward model alone: nothing follows that would have to be predicted. Two things are spared: the vocabulary, but for
    response tokens of policy and reference, and the MLP of the last block, but for those and the one token that the
    reward model reads (`at` of GPT.hidden).
    """
    forward, V, C = flops_per_token(config, tokens) // 3, config.vocab_size, config.channels
    spared = 2 * (matrix_parameters(config) // config.layers - 4 * C * C)  # all but the four matrices of attention

    def one_pass(tokens: int, used: int, scored: int) -> int:
        return tokens * (forward - 2 * V * C) - (tokens - used) * spared + scored * 2 * V * C

    policy, value_model = one_pass(tokens - 1, response, response), one_pass(tokens - 1, response, 0)
    reward_model = one_pass(tokens, 1, 0)
    return episodes * (2 * policy + value_model + reward_model + epochs * 3 * (policy + value_model))


# ---- What is trained, and with what ------------------------------------------------------------------------------


def matrix_shapes(config: GPTConfig) -> dict[tuple[int, int], int]:
    """The matrices inside the blocks as Muon sees them: shape -> how many. A fused qkv weight is three of them."""
    C, M, L = config.channels, config.mlp_width, config.layers
    counts: dict[tuple[int, int], int] = {}
    for shape, count in [((C, C), 4), ((M, C), 2 if config.mlp == "swiglu" else 1), ((C, M), 1)]:
        counts[shape] = counts.get(shape, 0) + count * L
    return counts


def matrix_parameters(config: GPTConfig) -> int:
    """Numbers in the matrices inside the blocks."""
    return sum(rows * columns * count for (rows, columns), count in matrix_shapes(config).items())


def optimizer_bytes(config: GPTConfig, optimizer: str, parameters: int, gpus: int = 1) -> int:
    """AdamW keeps two moments of each of `parameters` numbers; Muon instead one momentum of each block matrix.

    A sharded Muon deals whole matrices to the GPUs, so some hold one more than others: this is the most.
    """
    if optimizer == "adamw":
        return 2 * FLOAT32 * divided(parameters, gpus)
    momentum = sum(rows * columns * divided(count, gpus) for (rows, columns), count in matrix_shapes(config).items())
    return FLOAT32 * momentum + 2 * FLOAT32 * divided(parameters - matrix_parameters(config), gpus)


def muon_step_bytes(config: GPTConfig, device: str, gpus: int = 1) -> int:
    """Bytes that Muon holds during its step besides momentum: for all matrices of one shape at once, m ≤ n their sides,

        gradient, gradient + μ·momentum, X and the new X [M,m,n] each; A = X Xᵀ and B = bA + cA² [M,m,m] each, and for
        wide matrices, which on a CPU go by their Gram matrix, the product of all iterations [M,m,m];

    and still the update of the shape before. Sharded, each GPU orthogonalises its share of the M, but it gathers all
    gradients of a shape, one by one and then stacked, and later all updates: no number of GPUs divides those. That of
    the sharded step is read off the code, not measured.
    """
    most, before = 0, 0
    for (rows, columns), count in matrix_shapes(config).items():
        stack, squares = count * rows * columns, count * min(rows, columns) ** 2
        kept_squares = 3 if goes_by_gram(rows, columns, device) else 2
        orthogonalising = stack + before + divided(3 * stack + kept_squares * squares, gpus)
        gathering = 2 * (stack + before) + divided(stack, gpus) if gpus > 1 else 0
        most, before = max(most, orthogonalising, gathering), stack
    return FLOAT32 * most


# ---- What an engine adds -----------------------------------------------------------------------------------------


def autocast_bytes(config: GPTConfig, precision: str, gpus: int = 1) -> int:
    """Autocast's bfloat16 copies of all weights in matrix products. They live from the forward pass to the backward
    pass, which needs them. Sharded, the blocks are gathered as bfloat16, block by block, and only the output matrix is
    copied, whole on each GPU."""
    if precision == "float32":
        return 0
    if gpus > 1:
        return 2 * config.vocab_size * config.channels
    biases = config.bias * config.layers * (5 * config.channels + config.mlp_width * (1 + (config.mlp == "swiglu")))
    return 2 * (matrix_parameters(config) + config.vocab_size * config.channels + biases)


def gathered_bytes(config: GPTConfig) -> int:
    """Bytes that FSDP gathers on each GPU: the block at work and the next one, and all that is outside of the blocks
    for the whole pass; weights and gradients of each. In bfloat16 both are half as large for a block, but its gradients
    are added up in float32 besides, which is as much. From the design of FSDP2, not measured."""
    matrices = matrix_parameters(config)
    block = divided(matrices, config.layers)
    outside = config.parameter_count() - matrices  # the vectors inside of the blocks are a rounding error
    return 2 * FLOAT32 * (2 * block + outside)


# ---- Activations -------------------------------------------------------------------------------------------------


def norm_bytes(config: GPTConfig, device: str) -> int:
    """Bytes a token that one norm keeps: its input, and 1/√(…) as one number; layernorm the mean too.

    RMSNorm is one kernel on CUDA. On a CPU it is several operations, of which the last keeps x/√(mean(x²) + ε) as well.
    """
    kept = config.channels + 1
    if config.norm == "layernorm":
        kept += 1
    elif device == "cpu":
        kept += config.channels
    return FLOAT32 * kept


def block_bytes(config: GPTConfig, precision: str, device: str) -> tuple[int, int]:
    """Bytes a token that one block keeps for the backward pass, until attention has mixed the tokens and after that. M
    is the width of the MLP, e the bytes of a number in a matrix product: 4, or 2 under autocast. The residual stream
    and the norms are float32 either way.

        who            keeps                                                         numbers    bytes each
        ─────────────  ────────────────────────────────────────────────────────────  ─────────  ──────────
        norm           its input and its statistics, see norm_bytes                  C + 1 …    4
        qkv            its input                                                     C          e
        attention      queries, keys and values, which are one buffer                3C         e
                       rotary: turned queries and keys; the buffer stays for values  2C         e
                       its output, which is the projection's input; no scores        C          e
                       the logsumexp of each row of scores                           H          4
        ─────────────  ────────────────────────────────────────────────────────────  ─────────  ──────────
        norm           its input and its statistics                                  C + 1 …    4
        up             its input                                                     C          e
                       swiglu under autocast: gate casts the same input once more    C          e
        gelu           its input, and its output, which is the projection's input    2M         e
        or swiglu      up x, gate x, silu(gate x), and their product                 4M         e
    """
    if config.dropout:
        raise ValueError("dropout keeps masks, which are not counted here")
    e = product_bytes(precision)
    C, M, H = config.channels, config.mlp_width, config.heads
    attention = C + 3 * C + C
    if config.position == "rotary":
        attention += 2 * C
    mlp = C
    if config.mlp == "swiglu":
        mlp += 4 * M + (C if precision == "bfloat16" else 0)
    else:
        mlp += 2 * M
    norm = norm_bytes(config, device)
    return norm + e * attention + FLOAT32 * H, norm + e * mlp


def activation_bytes(config: GPTConfig, tokens: int, read: int | None, precision: str, device: str) -> int:
    """Bytes that the backward pass of one sequence of `tokens` tokens needs, all but the logits': the blocks, the final
    norm, the normed stream that the output matrix multiplies. Linear in tokens, because fused attention keeps no [T,T]
    scores. read: the number of tokens that are returned (`at` of GPT.hidden), None for all; the MLP of the last block
    is computed for these alone, and `at` is kept, a byte a token. Of padded rows: flat tokens (`minigpt.flat`) have no
    padding, and at worst, in rows of full length, keep the output of attention twice."""
    e, C = product_bytes(precision), config.channels
    attention, mlp = block_bytes(config, precision, device)
    at_the_end = norm_bytes(config, device) + e * C
    if read is None:
        return tokens * (config.layers * (attention + mlp) + at_the_end)
    below = tokens * (config.layers - 1) * (attention + mlp)
    return below + tokens * (attention + 1) + read * (mlp + at_the_end)


def logits_bytes(config: GPTConfig) -> int:
    """Bytes for each token that is predicted: V float32 numbers that the log-softmax keeps, and as many again for the
    gradient that comes into its backward pass and for the one that goes out. Where the vocabulary is large and the
    model small, this is most of the memory."""
    return 3 * FLOAT32 * config.vocab_size


def cache_bytes(config: GPTConfig, tokens: int, precision: str) -> int:
    """Keys and values of one sequence of `tokens` tokens in all layers, in the dtype of the products: `KVCache`."""
    return 2 * config.layers * config.channels * tokens * product_bytes(precision)


def whole_policy_bytes(config: GPTConfig, precision: str) -> int:
    """A sharded policy that is put together for a rollout (sharding.gathered): its blocks in the precision of the
    products, all else in float32. The few vectors of the blocks are counted as float32. From the design, not measured.
    """
    matrices = matrix_parameters(config)
    return product_bytes(precision) * matrices + FLOAT32 * (config.parameter_count() - matrices)


def generation_bytes(config: GPTConfig, prompt_tokens: int, tokens: int, precision: str) -> int:
    """The most that one sequence needs while it is written, `tokens` counting its prompt: the largest of these moments.

    reading    keys and values of the prompt; in the MLP, the stream before the block, in it and normed, and the wide
               activations; rotary: a row's own cos and sin
    copying    keys and values, and beside them those of the prompt; the first logits
    choosing   keys and values; five times the vocabulary: first logits, these logits, their log-probabilities, the
               probabilities, the running sum

    Prompts that are read in groups of like length need less, in models of two layers or more. The cache and the wide
    activations are in the precision of the products, all else in float32. In inference mode autocast keeps no copies of
    weights: it casts each anew where it is used.
    """
    cache, V = cache_bytes(config, tokens, precision), config.vocab_size
    streams = 3 * config.channels + (2 * config.head_size if config.position == "rotary" else 0)
    wide = config.mlp_width * (3 if config.mlp == "swiglu" else 2)
    prompt = cache_bytes(config, prompt_tokens, precision)
    reading = prompt + prompt_tokens * (FLOAT32 * streams + product_bytes(precision) * wide)
    copying = cache + prompt + FLOAT32 * V
    return max(reading, copying, cache + 5 * FLOAT32 * V)
