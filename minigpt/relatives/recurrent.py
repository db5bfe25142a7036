"""Recurrent language models: a GRU that carries a state, and the same with attention over its past states.

A recurrent network reads a text token by token and keeps one vector of what it has read. Whatever it will need later
has to stay in that vector. The gated recurrent unit (Cho et al. 2014, arXiv 1406.1078) learns what to keep:

    r_t = σ(W_r x_t + U_r h_{t−1})                reset: how much of the old state the candidate sees
    z_t = σ(W_z x_t + U_z h_{t−1})                update: how much of the old state stays
    n_t = tanh(W_n x_t + r_t ⊙ U_n h_{t−1})       candidate
    h_t = z_t ⊙ h_{t−1} + (1 − z_t) ⊙ n_t

`gru_loops` is these four lines. `nn.GRU` computes the same numbers and is much faster (tests/minigpt/relatives).
Attention was invented to relieve the vector (Bahdanau et al. 2015, arXiv 1409.0473): at each step the network looks at
all of its past states and takes a weighted mean of them. The transformer keeps the attention and drops the recurrence.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def gru_loops(x: Tensor, gru: nn.GRU) -> Tensor:
    """The states h_1 … h_T [B,T,C] of one GRU layer that reads x [B,T,C], starting at 0: the definition."""
    W_r, W_z, W_n = gru.weight_ih_l0.chunk(3)  # [C,C] each
    U_r, U_z, U_n = gru.weight_hh_l0.chunk(3)  # [C,C] each
    b_r, b_z, b_n = gru.bias_ih_l0.chunk(3)  # [C] each
    d_r, d_z, d_n = gru.bias_hh_l0.chunk(3)  # [C] each
    state = torch.zeros(x.shape[0], U_r.shape[1])  # [B,C]
    states = []
    for t in range(x.shape[1]):
        reset = torch.sigmoid(x[:, t] @ W_r.T + b_r + state @ U_r.T + d_r)  # [B,C]
        update = torch.sigmoid(x[:, t] @ W_z.T + b_z + state @ U_z.T + d_z)  # [B,C]
        candidate = torch.tanh(x[:, t] @ W_n.T + b_n + reset * (state @ U_n.T + d_n))  # [B,C]
        state = update * state + (1 - update) * candidate  # [B,C]
        states.append(state)
    return torch.stack(states, dim=1)  # [B,T,C]


class AdditiveAttention(nn.Module):
    """A mean of the earlier states, weighted by a small network's score of each (Bahdanau et al. 2015, appendix A.1.2):

    score(t, s) = vᵀ tanh(W h_t + U h_s),  s < t
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(channels, channels, bias=False)
        self.score = nn.Linear(channels, 1, bias=False)

    def weights(self, states: Tensor) -> Tensor:
        """states [B,T,C] -> weights [B,T,T]: row t sums to 1 over the earlier states, and is 0 for the first token."""
        tokens = states.shape[1]
        pairs = torch.tanh(self.query(states)[:, :, None] + self.key(states)[:, None])  # [B,T,T,C]
        scores = self.score(pairs).squeeze(-1)  # [B,T,T]
        earlier = torch.ones(tokens, tokens, dtype=torch.bool, device=states.device).tril(diagonal=-1)  # [T,T]
        scores = scores.masked_fill(~earlier, -torch.inf)  # [B,T,T]
        first = torch.zeros_like(scores[:, :1])  # [B,1,T], the first token has no past: softmax over nothing is NaN
        return torch.cat([first, scores[:, 1:].softmax(dim=-1)], dim=1)  # [B,T,T]

    def forward(self, states: Tensor) -> Tensor:
        """states [B,T,C] -> the weighted mean of the states before each token [B,T,C]."""
        return self.weights(states) @ states  # [B,T,C]


class RecurrentModel(nn.Module):
    """A GRU language model with tied embeddings; `attention=True` adds additive attention over its past states."""

    def __init__(self, vocab_size: int, channels: int, layers: int = 1, attention: bool = False, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.token_embedding = nn.Embedding(vocab_size, channels)
            self.gru = nn.GRU(channels, channels, num_layers=layers, batch_first=True)
            self.attention = AdditiveAttention(channels) if attention else None
            self.combine = nn.Linear(2 * channels, channels) if attention else None
            nn.init.normal_(self.token_embedding.weight, std=1 / math.sqrt(channels))

    def states(self, ids: Tensor) -> Tensor:
        """ids [B,T] -> what the next token is predicted from [B,T,C]."""
        states, _ = self.gru(self.token_embedding(ids))  # [B,T,C]
        if self.attention is None:
            return states
        past = self.attention(states)  # [B,T,C]
        return torch.tanh(self.combine(torch.cat([states, past], dim=-1)))  # [B,T,C]

    def forward(self, ids: Tensor) -> Tensor:
        """ids [B,T] -> logits of the next token [B,T,V]."""
        return F.linear(self.states(ids), self.token_embedding.weight)  # [B,T,V]
