"""The PPO mathematics against slow oracles: loops, closed forms and autograd. The KL estimators have test_kl.py."""

import math

import pytest
import torch

from rlhf.stage3_ppo.losses import (
    AdaptiveKLController,
    FixedKLController,
    explained_variance,
    gae,
    kl_k1,
    kl_k2,
    kl_k3,
    masked_kl,
    masked_mean,
    policy_loss,
    replace_unended,
    shape_rewards,
    value_loss,
    whiten,
)

LENGTHS = (5, 1, 3, 4)
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def ragged(seed: int, *names: str) -> tuple[torch.Tensor, ...]:
    """A mask for LENGTHS and one random float64 [4, 5] tensor a name."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(5) < torch.tensor(LENGTHS)[:, None]
    return mask, *(torch.randn(4, 5, generator=generator, dtype=torch.float64) for _ in names)


# ---- masks and whitening ---------------------------------------------------------------------------------------


def test_masked_mean_is_the_mean_of_the_real_tokens_whatever_the_pads_hold():
    mask, x = ragged(0, "x")
    expected = sum(x[row, t] for row, n in enumerate(LENGTHS) for t in range(n)) / sum(LENGTHS)
    torch.testing.assert_close(masked_mean(x, mask), expected, **EXACT)
    x[~mask] = float("nan")
    torch.testing.assert_close(masked_mean(x, mask), expected, **EXACT, msg="NaN in a pad leaked: x * mask?")
    torch.testing.assert_close(masked_mean(x, mask, 2), expected * sum(LENGTHS) / 2, **EXACT)


@pytest.mark.parametrize("shift_mean", [True, False])
def test_whitening_equals_whitening_the_joined_real_tokens(shift_mean):
    mask, x = ragged(1, "x")
    x = 3 * x + 7
    real = x[mask]
    expected = (real - real.mean()) / real.std(unbiased=False) + (0 if shift_mean else real.mean())
    white = whiten(torch.where(mask, x, 1e6), mask, shift_mean)
    torch.testing.assert_close(white[mask], expected, rtol=1e-7, atol=1e-8, msg="pads polluted the mean or variance")
    assert float(white[mask].var(unbiased=False)) == pytest.approx(1.0)
    assert float(white[mask].mean()) == pytest.approx(0.0 if shift_mean else float(real.mean()), abs=1e-9)
    assert not white[~mask].any(), "a padded place must stay 0"


# ---- rewards ---------------------------------------------------------------------------------------------------


def test_rewards_are_the_kl_at_every_token_and_the_score_at_the_last_real_one():
    mask, logp, ref = ragged(4, "logp", "ref")
    scores = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    rewards = shape_rewards(scores, logp, ref, mask, beta=0.3)
    for row, n in enumerate(LENGTHS):
        for t in range(5):
            expected = -0.3 * (logp[row, t] - ref[row, t]) + (scores[row] if t == n - 1 else 0) if t < n else 0.0
            assert rewards[row, t] == pytest.approx(float(expected)), f"row {row}, token {t}: score on a pad?"
    total = scores - 0.3 * torch.where(mask, logp - ref, 0).sum(1)
    torch.testing.assert_close(rewards.sum(1), total, **EXACT)


def test_rewards_of_a_policy_equal_to_its_reference_are_the_scores_alone():
    mask, logp = ragged(5, "logp")
    rewards = shape_rewards(torch.ones(4, dtype=torch.float64), logp, logp.clone(), mask, beta=0.5)
    assert rewards.count_nonzero() == 4
    assert rewards.sum() == 4


def test_an_answer_without_end_gets_the_fixed_score_and_only_that_one():
    scores = replace_unended(torch.tensor([5.0, 5.0]), torch.tensor([True, False]), -1.0)
    assert scores.tolist() == [5.0, -1.0], "replace the score, do not subtract from it"


def test_a_response_that_begins_later_in_the_row_has_the_same_rewards_advantages_and_returns():
    """A batch [B,T] holds prompts of other lengths: the mask of each row begins at another column."""
    mask, logp, ref, values = ragged(15, "logp", "ref", "values")
    scores = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    starts = (3, 0, 4, 1)

    def moved(x):
        """Row b of x, from column starts[b] on."""
        rows = [torch.nn.functional.pad(row, (start, 4 - start)) for row, start in zip(x, starts, strict=True)]
        return torch.stack(rows)

    rewards = shape_rewards(scores, logp, ref, mask, beta=0.3)
    late_mask = moved(mask)
    late_rewards = shape_rewards(scores, moved(logp), moved(ref), late_mask, beta=0.3)
    torch.testing.assert_close(late_rewards, moved(rewards), **EXACT, msg="the score is at another token")
    early, late = gae(rewards, values, mask, 0.9, 0.8), gae(late_rewards, moved(values), late_mask, 0.9, 0.8)
    for found, expected in zip(late, early, strict=True):
        torch.testing.assert_close(found, moved(expected), **EXACT, msg="a token of the prompt has an advantage")


# ---- GAE ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.8), (1.0, 1.0), (0.97, 0.0)])
def test_gae_is_the_discounted_sum_of_td_errors(gamma, lam):
    mask, rewards, values = ragged(6, "rewards", "values")
    advantages, returns = gae(rewards, values, mask, gamma, lam)
    for row, n in enumerate(LENGTHS):
        v = [*values[row, :n].tolist(), 0.0]  # V(terminal) = 0
        delta = [float(rewards[row, t]) + gamma * v[t + 1] - v[t] for t in range(n)]
        for t in range(n):
            expected = sum((gamma * lam) ** k * delta[t + k] for k in range(n - t))
            assert float(advantages[row, t]) == pytest.approx(expected), f"row {row}, token {t}"
            assert float(returns[row, t]) == pytest.approx(expected + v[t])
        assert not advantages[row, n:].any()


def test_gae_limits_are_monte_carlo_and_td():
    mask, rewards, values = ragged(7, "rewards", "values")
    monte_carlo, _ = gae(rewards, values, mask, 1.0, 1.0)
    future = torch.where(mask, rewards, 0).flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(monte_carlo[mask], (future - values)[mask], **EXACT, msg="λ = γ = 1: Σ future r − V")
    td_error, _ = gae(rewards, values, mask, 0.9, 0.0)
    for row, n in enumerate(LENGTHS):
        following = torch.cat([values[row, 1:n], torch.zeros(1, dtype=torch.float64)])  # V after each token, 0 at last
        expected = rewards[row, :n] + 0.9 * following - values[row, :n]
        torch.testing.assert_close(td_error[row, :n], expected, **EXACT, msg="λ = 0: r + γ·V' − V, V' = 0 at the end")


def test_gae_does_not_see_the_pads_and_rows_do_not_see_each_other():
    mask, rewards, values = ragged(8, "rewards", "values")
    expected = gae(rewards, values, mask, 1.0, 0.95)
    rewards[~mask], values[~mask] = float("nan"), 1e9
    torch.testing.assert_close(gae(rewards, values, mask, 1.0, 0.95), expected, **EXACT)
    one_by_one = [gae(rewards[i : i + 1], values[i : i + 1], mask[i : i + 1], 1.0, 0.95)[0] for i in range(4)]
    torch.testing.assert_close(torch.cat(one_by_one), expected[0], **EXACT)


# ---- the policy loss -------------------------------------------------------------------------------------------


def test_at_ratio_one_the_gradient_is_reinforce():
    mask, logp, advantages = ragged(9, "logp", "advantages")
    logp.requires_grad_()
    loss, stats = policy_loss(logp, logp.detach(), advantages, mask, 0.2)
    loss.backward()
    torch.testing.assert_close(logp.grad, torch.where(mask, -advantages, 0) / sum(LENGTHS), **EXACT)
    assert float(stats["ratio"]) == pytest.approx(1.0)
    for name in ("clipfrac", "approxkl", "approxkl_k3", "ratio_deviation_squared"):
        assert float(stats[name]) == 0.0, name


def test_at_ratio_one_the_gradient_by_the_logits_is_that_of_reinforce():
    """−A·∇log softmax(z)_y / N in closed form: A·(π − onehot(y))/N."""
    generator = torch.Generator().manual_seed(14)
    mask = torch.arange(5) < torch.tensor(LENGTHS)[:, None]
    logits = torch.randn(4, 5, 7, generator=generator, dtype=torch.float64).requires_grad_()  # [B,N,V]
    tokens = torch.randint(7, (4, 5), generator=generator)  # [B,N]
    advantages = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    logp = logits.log_softmax(-1).gather(-1, tokens[..., None]).squeeze(-1)  # [B,N]
    loss, _ = policy_loss(logp, logp.detach(), advantages, mask, 0.2)
    (gradient,) = torch.autograd.grad(loss, logits)
    onehot = torch.nn.functional.one_hot(tokens, 7)
    closed_form = advantages[..., None] * (logits.detach().softmax(-1) - onehot) / sum(LENGTHS)
    expected = torch.where(mask[..., None], closed_form, 0.0)
    torch.testing.assert_close(gradient, expected, **EXACT, msg="sign, denominator, or a gradient at a pad?")


@pytest.mark.parametrize(
    ("advantage", "ratio", "moves"),
    [(1, 1.5, False), (1, 1.1, True), (1, 0.5, True), (-1, 0.5, False), (-1, 0.9, True), (-1, 1.5, True)],
)
def test_the_clip_stops_the_gradient_only_in_the_direction_of_the_advantage(advantage, ratio, moves):
    logp = torch.tensor([[math.log(ratio)]], requires_grad=True)
    mask = torch.ones(1, 1, dtype=torch.bool)
    loss, stats = policy_loss(logp, torch.zeros(1, 1), torch.tensor([[float(advantage)]]), mask, 0.2)
    loss.backward()
    assert bool(logp.grad.any()) == moves
    assert float(stats["clipfrac"]) == float(not moves)
    assert float(stats["approxkl"]) == pytest.approx(0.5 * math.log(ratio) ** 2)
    assert float(stats["approxkl_k3"]) == pytest.approx(ratio - 1 - math.log(ratio), abs=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_micro_batches_add_up_to_the_minibatch_exactly(size):
    mask, logp, old, advantages, values, old_values, returns = ragged(10, *"123456")
    tokens = mask.sum()

    def gradients_and_stats(batches):
        x, v = logp.clone().requires_grad_(), values.clone().requires_grad_()
        totals = {}
        for rows in batches:
            p, p_stats = policy_loss(x[rows], old[rows], advantages[rows], mask[rows], 0.2, tokens)
            q, q_stats = value_loss(v[rows], old_values[rows], returns[rows], mask[rows], 0.2, tokens)
            (p + q).backward()
            for name, stat in [*p_stats.items(), *((f"value/{n}", s) for n, s in q_stats.items())]:
                totals[name] = totals.get(name, 0) + stat
        return x.grad, v.grad, totals

    whole = gradients_and_stats([slice(0, 4)])
    split = gradients_and_stats([slice(i, i + size) for i in range(0, 4, size)])
    torch.testing.assert_close(split, whole, rtol=1e-6, atol=1e-9, msg="a mean of micro-batch means?")


PADDED = {
    "masked_mean": (1, masked_mean),
    "whiten": (1, lambda x, mask: (whiten(x, mask) ** 3).sum()),
    "whiten, mean kept": (1, lambda x, mask: (whiten(x, mask, shift_mean=False) ** 3).sum()),
    "masked_kl k1": (2, lambda p, q, mask: masked_kl(kl_k1, p, q, mask)),
    "masked_kl k2": (2, lambda p, q, mask: masked_kl(kl_k2, p, q, mask)),
    "masked_kl k3": (2, lambda p, q, mask: masked_kl(kl_k3, p, q, mask)),
    "shape_rewards": (2, lambda p, q, mask: (shape_rewards(torch.ones(4), p, q, mask, beta=0.3) ** 2).sum()),
    "gae": (2, lambda r, v, mask: sum((part**2).sum() for part in gae(r, v, mask, 0.9, 0.8))),
    "policy_loss": (3, lambda p, old, a, mask: policy_loss(p, old, a, mask, 0.2)[0]),
    "value_loss": (3, lambda v, old, r, mask: value_loss(v, old, r, mask, 0.2)[0]),
    "value_loss, not clipped": (3, lambda v, old, r, mask: value_loss(v, old, r, mask, 0.0)[0]),
    "explained_variance": (2, explained_variance),
}


@pytest.mark.parametrize("side", ["right", "both sides"])
@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("name", list(PADDED))
def test_garbage_in_padding_reaches_neither_result_nor_gradient(name, garbage, side):
    """NaN · 0 is NaN, also in a backward pass: what is masked must be masked before it is squared or divided."""
    count, function = PADDED[name]
    mask, *inputs = ragged(11, *"123"[:count])
    if side == "both sides":  # in a batch [B,T] the prompt is masked on the left
        mask = torch.nn.functional.pad(mask, (2, 1))
        inputs = [torch.nn.functional.pad(x, (2, 1)) for x in inputs]

    def result_and_gradients(padding):
        filled = [torch.where(mask, x, padding).requires_grad_() for x in inputs]
        result = function(*filled, mask)
        result.backward()
        # an unused argument, such as the old values where nothing is clipped, has none
        return result.detach(), [torch.zeros_like(x) if x.grad is None else x.grad for x in filled]

    clean, clean_gradients = result_and_gradients(0.0)
    result, gradients = result_and_gradients(garbage)
    torch.testing.assert_close(result, clean, **EXACT, msg=f"{name}: {garbage} in the padding changes the result")
    for number, (gradient, expected) in enumerate(zip(gradients, clean_gradients, strict=True)):
        torch.testing.assert_close(
            gradient, expected, **EXACT, msg=f"{name}: argument {number} is masked only after it was used"
        )
        assert not gradient[~mask].any(), f"{name}: a padded place has a gradient"


def test_the_diagnostics_do_not_see_the_padding_either():
    mask, *inputs = ragged(12, *"123")
    dirty = [torch.where(mask, x, float("nan")) for x in inputs]
    for function in (policy_loss, value_loss):
        _, expected = function(*inputs, mask, 0.2)
        _, found = function(*dirty, mask, 0.2)
        torch.testing.assert_close(found, expected, **EXACT, msg=f"{function.__name__}: NaN in a diagnostic")


# ---- the value loss ----------------------------------------------------------------------------------------------


def test_the_clipped_value_loss_is_half_the_squared_error_near_the_old_values_and_never_below_it():
    mask, values, returns = ragged(12, "values", "returns")
    half_mse = 0.5 * ((values - returns) ** 2)[mask].mean()
    near, stats = value_loss(values, values + 0.19 * torch.sign(returns), returns, mask, 0.2)
    torch.testing.assert_close(near, half_mse, **EXACT)
    assert float(stats["clipfrac"]) == 0
    torch.testing.assert_close(stats["error"], 2 * half_mse, **EXACT)
    far, _ = value_loss(values, values + 3 * torch.sign(values - returns), returns, mask, 0.2)
    assert far >= half_mse
    off, _ = value_loss(values, values + 3, returns, mask, 0.0)
    torch.testing.assert_close(off, half_mse, **EXACT)


def test_explained_variance_of_a_perfect_a_constant_and_a_wrong_value_model():
    mask, returns = ragged(13, "returns")
    assert float(explained_variance(returns, returns, mask)) == pytest.approx(1.0)
    assert float(explained_variance(torch.full_like(returns, 4.0), returns, mask)) == pytest.approx(0.0)
    assert float(explained_variance(-returns, returns, mask)) == pytest.approx(-3.0)


# ---- β -----------------------------------------------------------------------------------------------------------


def test_the_adaptive_controller_follows_zieglers_formula():
    controller = AdaptiveKLController(beta=0.15, target=6.0, horizon=10_000)
    controller.update(6.6, episodes=512)
    assert controller.beta == pytest.approx(0.15 * (1 + 0.1 * 512 / 10_000))
    for kl, expected in ((6.0, 0.1), (60.0, 0.1 * (1 + 0.2 * 0.05)), (0.0, 0.1 * (1 - 0.2 * 0.05))):
        controller = AdaptiveKLController(beta=0.1, target=6.0, horizon=2_000)
        controller.update(kl, episodes=100)
        assert controller.beta == pytest.approx(expected), f"KL {kl}"
    factors = []
    for kl in (0.0, 3.0, 5.5, 6.0, 6.5, 7.0, 60.0):
        controller = AdaptiveKLController(beta=1.0, target=6.0, horizon=1000)
        controller.update(kl, episodes=100)
        factors.append(controller.beta)
    assert factors == sorted(factors), "a larger KL must never give a smaller β"
    assert factors[3] == 1.0, "at its target the controller stands still"
    assert factors[0] == factors[1] < factors[2] < 1 < factors[4] < factors[5] < factors[6], "clipped at ±20 % only"
    fixed = FixedKLController(0.05)
    fixed.update(100.0, 512)
    assert fixed.beta == 0.05
