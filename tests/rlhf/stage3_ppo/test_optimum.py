"""The optimum of PPO, DPO, GRPO and best-of-n, in worlds so small that it can be written down.

The first three want a policy π that earns reward and stays near a reference:

    maximise over π     E_π[r(y)] − β·KL(π ‖ π_ref)

Write it as −β·KL(π ‖ π*) + β·log Z, with π*(y) = π_ref(y)·exp(r(y)/β)/Z. A KL is never negative and is 0 only for
equal distributions, so the best policy is π*, and the best value is β·log Z (Ziegler et al. 2019, section 2.2; Rafailov
et al. 2023, appendix A.1). A world here has so few answers that π* is one line, and that expectations are sums over all
answers instead of means over samples: where a method ends is then no matter of luck.

Each test lets one method, with the very functions that the stages use, learn from its own reference, and compares the
distribution that it reaches with π*. Fine-tuning on the best of n samples has a target of its own, which is worked out
at the end.
"""

import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rlhf.alternatives.best_of_k import Candidates, kl_bound
from rlhf.alternatives.dpo import implicit_rewards
from rlhf.alternatives.grpo_losses import group_advantages, grpo_loss
from rlhf.stage3_ppo.losses import gae, kl_k1, policy_loss, shape_rewards

BETA = 0.5


class World:
    """Answers of `tokens` tokens out of `vocabulary`, all of them; tables of logits are the policies."""

    def __init__(self, vocabulary: int, tokens: int, seed: int = 0) -> None:
        self.answers = torch.tensor(list(itertools.product(range(vocabulary), repeat=tokens)))  # [A,T]
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        # the table of token t has one row of logits for each beginning of t tokens
        self.reference = [draw(vocabulary**t, vocabulary) for t in range(tokens)]
        self.reward = draw(len(self.answers))  # [A]
        self.mask = torch.ones(len(self.answers), tokens, dtype=torch.bool)  # [A,T]

    def logprobs(self, tables: list[Tensor]) -> Tensor:
        """[A,T], of each token of each answer."""
        columns, beginning = [], torch.zeros(len(self.answers), dtype=torch.long)  # [A], which beginning it is
        for table, token in zip(tables, self.answers.T, strict=True):
            columns.append(table.log_softmax(-1)[beginning, token])  # [A]
            beginning = beginning * table.shape[1] + token
        return torch.stack(columns, dim=1)

    def optimum(self, beta: float) -> Tensor:
        """π* [A]."""
        return (self.logprobs(self.reference).sum(1) + self.reward / beta).softmax(0)

    def value(self, probabilities: Tensor, beta: float) -> Tensor:
        """E[r] − β·KL of a distribution [A]."""
        reference = self.logprobs(self.reference).sum(1)
        return (probabilities * (self.reward - beta * (probabilities.log() - reference))).sum()

    def learn(self, loss: Callable[[Tensor, Tensor, Tensor], Tensor], steps: int = 500) -> Tensor:
        """Minimise loss(logprobs, old logprobs, reference's logprobs), all [A,T], from the reference on -> [A].

        The old ones are those of the policy that "sampled": the one before the step.
        """
        reference = self.logprobs(self.reference).detach()
        tables = [table.clone().requires_grad_() for table in self.reference]
        optimizer = torch.optim.Adam(tables, lr=0.05)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)
        for _ in range(steps):
            logprobs = self.logprobs(tables)
            optimizer.zero_grad()
            loss(logprobs, logprobs.detach(), reference).backward()
            optimizer.step()
            schedule.step()
        return self.logprobs(tables).detach().sum(1).exp()


ONE_TOKEN, TWO_TOKENS, THREE_TOKENS = World(6, 1), World(3, 2), World(3, 3)


def distance(p: Tensor, q: Tensor) -> float:
    """Total variation: the largest difference in the probability of any event."""
    return float(0.5 * (p - q).abs().sum())


def ppo(world: World, beta: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Reward shaping, GAE and the clipped loss. An answer counts as often as it is sampled: its advantage is multiplied
    by its probability, and the sum over answers is the expectation."""

    def loss(logprobs: Tensor, old: Tensor, reference: Tensor) -> Tensor:
        weight = old.sum(1, keepdim=True).exp()  # [A,1]
        rewards = shape_rewards(world.reward, old, reference, world.mask, beta)  # [A,T]
        baseline = (weight * rewards).sum()  # of the first token; any constant is right, as its expected gradient is 0
        values = torch.zeros_like(rewards)
        values[:, 0] = baseline
        advantages, _ = gae(rewards, values, world.mask, 1.0, 1.0)  # [A,T]
        return policy_loss(logprobs, old, weight * advantages, world.mask, clip=0.2, denominator=1)[0]

    return loss


def grpo(world: World, beta: float, kl: str, scale_by_std: bool = False) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Groups of two answers: all pairs, each as often as it is sampled."""
    number = torch.arange(len(world.answers))
    pairs = torch.cartesian_prod(number, number)  # [A²,2]
    rows = pairs.flatten()  # [2·A²], the two of a group side by side
    mask = world.mask[rows]

    def loss(logprobs: Tensor, old: Tensor, reference: Tensor) -> Tensor:
        sampled = old.sum(1).exp()  # [A]
        weight = (sampled[pairs].prod(dim=1) / 2).repeat_interleave(2)  # [2·A²]; ½: the mean over a group's two
        rewards = world.reward
        if kl == "reward":
            rewards = rewards - beta * kl_k1(old, reference).sum(1)
        advantages = weight * group_advantages(rewards[rows], 2, scale_by_std)
        options = {"clip": 0.2, "beta": beta, "denominator": 1}
        of_groups, _ = grpo_loss(logprobs[rows], old[rows], reference[rows], advantages, mask, kl="reward", **options)
        if kl == "reward":
            return of_groups
        nothing = torch.zeros(1, dtype=torch.float64)
        for answer in number:  # one by one, as the function cannot know how often each of them is sampled
            one = [tensor[answer, None] for tensor in (logprobs, old, reference)]
            of_groups = of_groups + sampled[answer] * grpo_loss(*one, nothing, world.mask[:1], kl=kl, **options)[0]
        return of_groups

    return loss


def dpo(world: World, beta: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """All pairs of answers, preferred as Bradley and Terry say: P(i better than j) = σ(r_i − r_j)."""
    preferred = torch.sigmoid(world.reward[:, None] - world.reward[None, :])  # [A,A]

    def loss(logprobs: Tensor, old: Tensor, reference: Tensor) -> Tensor:
        rewards = implicit_rewards(logprobs.sum(1), reference.sum(1), beta)  # [A]
        return (preferred * F.softplus(rewards[None, :] - rewards[:, None])).sum()  # −log σ(r̂_i − r̂_j)

    return loss


# ---- PPO and DPO -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "world", [ONE_TOKEN, TWO_TOKENS, THREE_TOKENS], ids=["one token", "two tokens", "three tokens"]
)
@pytest.mark.parametrize("method", [ppo, dpo])
def test_ppo_and_dpo_reach_the_optimum(method, world):
    learned = world.learn(method(world, BETA))
    assert distance(learned, world.optimum(BETA)) < 0.005, "sign of the KL? advantages of the wrong token?"
    reference = world.logprobs(world.reference).sum(1)
    best = BETA * torch.logsumexp(reference + world.reward / BETA, dim=0)  # β·log Z
    assert world.value(learned, BETA) == pytest.approx(float(best), rel=0.01)


def test_the_optimum_is_what_no_other_policy_surpasses():
    """The closed form against brute force, so that the tests here do not rest on a derivation alone."""
    generator = torch.Generator().manual_seed(1)
    best = ONE_TOKEN.value(ONE_TOKEN.optimum(BETA), BETA)
    for size in (0.01, 0.1, 1.0):
        for _ in range(200):
            other = ONE_TOKEN.optimum(BETA).log() + size * torch.randn(6, generator=generator, dtype=torch.float64)
            assert ONE_TOKEN.value(other.softmax(0), BETA) <= best


def test_a_large_beta_keeps_ppo_at_the_reference_and_none_makes_it_take_the_best():
    reference = ONE_TOKEN.logprobs(ONE_TOKEN.reference).sum(1).exp()
    assert distance(ONE_TOKEN.learn(ppo(ONE_TOKEN, 100.0)), reference) < 0.01
    learned = ONE_TOKEN.learn(ppo(ONE_TOKEN, 0.0))
    assert learned[ONE_TOKEN.reward.argmax()] > 0.95


# ---- GRPO: it depends on where the KL stands ---------------------------------------------------------------------

# The mean of a group holds the answer that it is subtracted from, so the reward's gradient comes out (G−1)/G as long.
# With the KL in the reward, its gradient is shortened alike; in the loss it is not, and β counts G/(G−1) times.
GROUP_OF_TWO = 2.0


@pytest.mark.parametrize("world", [ONE_TOKEN, TWO_TOKENS], ids=["one token", "two tokens"])
def test_grpo_with_the_kl_in_the_reward_reaches_the_optimum(world):
    assert distance(world.learn(grpo(world, BETA, "reward")), world.optimum(BETA)) < 0.005


def test_grpo_with_k2_in_the_loss_reaches_the_optimum_of_one_token_but_not_of_two():
    """E[∇k2] is ∇KL of this token; that this token leads to others with a KL of their own is not in it.

    What it reaches instead: each token weighs its own KL alone. The last one does as it should, and the first one takes
    the mean reward of what follows for what it leads to, without the KL that follows.
    """
    assert distance(ONE_TOKEN.learn(grpo(ONE_TOKEN, BETA, "k2")), ONE_TOKEN.optimum(GROUP_OF_TWO * BETA)) < 0.005
    learned, world, beta = TWO_TOKENS.learn(grpo(TWO_TOKENS, BETA, "k2")), TWO_TOKENS, GROUP_OF_TWO * BETA
    first, second = world.reference[0][0].log_softmax(-1), world.reference[1].log_softmax(-1)
    then = (second + world.reward.view(3, 3) / beta).softmax(-1)  # [3,3], π(second | first)
    mean_reward = (then * world.reward.view(3, 3)).sum(1)  # [3]
    myopic = (first + mean_reward / beta).softmax(-1)[:, None] * then
    assert distance(learned, myopic.flatten()) < 0.005
    assert distance(myopic.flatten(), world.optimum(beta)) > 0.02, "this world cannot tell the two apart"


def test_grpo_with_k3_in_the_loss_reaches_another_policy():
    """E[∇k3] = ∇KL(π_ref ‖ π), the other direction. With μ = E_π[r], the gradient of E_π[r] − β·KL(π_ref ‖ π) by the
    logit of y is π(y)·(r(y) − μ) − β·(π(y) − π_ref(y)). It is 0 for

        π(y) = π_ref(y) / (1 + (μ − r(y))/β)

    where μ makes the sum 1: a power law of the reward instead of an exponential.
    """
    beta, reference = GROUP_OF_TWO * BETA, ONE_TOKEN.logprobs(ONE_TOKEN.reference).sum(1).exp()
    reward = ONE_TOKEN.reward
    low, high = float(reward.max()) - beta, float(reward.max())  # the sum falls from infinity to at most 1
    for _ in range(100):
        mean = (low + high) / 2
        expected = reference / (1 + (mean - reward) / beta)
        low, high = (mean, high) if expected.sum() > 1 else (low, mean)
    assert float((expected * reward).sum()) == pytest.approx(mean, abs=1e-9), "μ must be the mean reward of that policy"
    learned = ONE_TOKEN.learn(grpo(ONE_TOKEN, BETA, "k3"))
    assert distance(learned, expected) < 0.005
    assert distance(learned, ONE_TOKEN.optimum(beta)) > 0.02, "this world cannot tell the two apart"


def test_dividing_by_the_deviation_moves_the_end_only_where_the_kl_stands_in_the_loss():
    """DeepSeekMath's division weighs a group by how little its answers differ (Dr. GRPO, section 3.2).

    With the KL in the reward, all answers of π* have the same reward, β·log Z: all advantages are 0 however they are
    scaled, and π* stays the end of the way. With the KL in the loss, the reward's gradient has to balance the KL's, and
    a scaled one balances it somewhere else.
    """
    learned = ONE_TOKEN.learn(grpo(ONE_TOKEN, BETA, "reward", scale_by_std=True))
    assert distance(learned, ONE_TOKEN.optimum(BETA)) < 0.005
    learned = ONE_TOKEN.learn(grpo(ONE_TOKEN, BETA, "k2", scale_by_std=True))
    assert distance(learned, ONE_TOKEN.optimum(GROUP_OF_TWO * BETA)) > 0.02


# ---- Best-of-n: fine-tuning on the best of n samples ----------------------------------------------------------------


def best_of(world: World, n: int) -> Tensor:
    """The distribution [A] of the best of n answers of the reference, by enumerating every way to draw n of them."""
    reference = world.logprobs(world.reference).sum(1).exp()  # [A]
    result = torch.zeros_like(reference)
    for drawn in itertools.product(range(len(reference)), repeat=n):
        index = list(drawn)
        scores = tuple(world.reward[index].tolist())
        best = Candidates(("",) * n, (True,) * n, scores, ((),) * n).best  # the command's own choice
        result[drawn[best]] += reference[index].prod()
    return result


def imitation(target: Tensor) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The loss of stage 1 on demonstrations that are drawn from `target` [A]: −E[Σ_t log π(y_t)]."""

    def loss(logprobs: Tensor, old: Tensor, reference: Tensor) -> Tensor:
        return -(target[:, None] * logprobs).sum()

    return loss


@pytest.mark.parametrize("world", [ONE_TOKEN, TWO_TOKENS], ids=["one token", "two tokens"])
def test_fine_tuning_on_the_best_of_n_reaches_the_best_of_n_distribution(world):
    """With F(y) the probability of an answer that is no better than y: P(best of n is y) = F(y)^n − (F(y) − π(y))^n.

    That is no π_ref·exp(r/β)/Z: it sees the order of the rewards and not their size.
    """
    n = 3
    exact = best_of(world, n)
    reference = world.logprobs(world.reference).sum(1).exp()
    no_better = (reference[None, :] * (world.reward[None, :] <= world.reward[:, None])).sum(1)  # [A], F
    closed_form = no_better**n - (no_better - reference) ** n
    assert distance(exact, closed_form) < 1e-12, "the best is picked by another rule"
    learned = world.learn(imitation(exact))
    assert distance(learned, exact) < 0.005
    kl = float((exact * (exact / reference).log()).sum())
    assert kl < kl_bound(n), "log n − (n−1)/n is reached only where no answer repeats"
    nearest = min(distance(exact, world.optimum(beta)) for beta in torch.logspace(-2, 2, 400).tolist())
    assert nearest > 0.02, "this world cannot tell best-of-n from the optimum under a KL penalty"
