"""Generation against a slow oracle: one row at a time, the whole sequence through the model for every token."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from minigpt.generate import (
    Generation,
    compaction,
    generate,
    groups_of_like_length,
    inverse_cdf_sample,
    read_prompts,
    restrict_top_k,
    restrict_top_p,
    sampling_logprobs,
)
from minigpt.model import GPT, POSITIONS, GPTConfig, token_logprobs
from minigpt.runs.errors import DivergedError, UserError

TINY = GPTConfig(vocab_size=17, context=20, layers=2, heads=2, channels=8)
PAD = 16
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10, 11, 12], [3, PAD, 3], [15] * 19]  # the last has room for one token


def restless_model(position: str = "rotary", scale: float = 8.0) -> GPT:
    """A tiny model whose next token really depends on the text."""
    model = GPT(replace(TINY, position=position), seed=2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(scale)
    return model


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class Settings:
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


@torch.no_grad()
def write_slowly(
    model: GPT, prompt: list[int], uniforms: list[float], stops: list[int], settings: Settings
) -> tuple[list[int], list[float], bool]:
    """No cache, no batch, no tensors beyond the logits: tokens, their log-probabilities, and whether a stop came."""
    tokens, logprobs = [], []
    for uniform in uniforms[: model.config.context - len(prompt)]:
        logits = model(torch.tensor([prompt + tokens]))[0, -1].double().tolist()
        if settings.temperature == 0:
            weights = [float(z == max(logits)) for z in logits]
        else:
            weights = [math.exp((z - max(logits)) / settings.temperature) for z in logits]
        order = sorted(range(len(weights)), key=lambda token: -weights[token])
        allowed = order[: settings.top_k] if settings.top_k else order
        mass, total, nucleus = 0.0, sum(weights[token] for token in allowed), []
        for token in allowed:
            if mass < settings.top_p:
                nucleus.append(token)
            mass += weights[token] / total
        total, walked = sum(weights[token] for token in nucleus), 0.0
        for token in sorted(nucleus):
            walked += weights[token] / total
            if uniform < walked:
                break
        tokens.append(token)
        logprobs.append(math.log(weights[token] / total))
        if token in stops:
            return tokens, logprobs, True
    return tokens, logprobs, False


def response(generation: Generation, row: int) -> list[int]:
    return generation.tokens[row, : generation.lengths[row]].tolist()


# ---- The fast way writes what the slow way writes ----------------------------------------------------------------


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize(
    "settings",
    [Settings(), Settings(0.0), Settings(0.7, top_k=5), Settings(1.5, top_p=0.6), Settings(2.0, top_k=8, top_p=0.8)],
    ids=str,
)
def test_generate_equals_the_slow_oracle(position: str, settings: Settings) -> None:
    model, stops, copies, limit = restless_model(position), [0, 13], 3, 12
    result = generate(
        model,
        PROMPTS,
        max_new_tokens=limit,
        stop_tokens=stops,
        pad_id=PAD,
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        generator=seeded(),
        samples_per_prompt=copies,
        want_logprobs=True,
    )
    uniforms = torch.rand(len(PROMPTS) * copies, limit, generator=seeded()).tolist()
    for row in range(len(PROMPTS) * copies):
        prompt = PROMPTS[row // copies]
        tokens, logprobs, ended = write_slowly(model, prompt, uniforms[row], stops, settings)
        assert response(result, row) == tokens, f"row {row}: positions, mask or compaction mix rows up"
        assert_close(result.logprobs[row, : len(tokens)], torch.tensor(logprobs), rtol=1e-3, atol=1e-4)
        assert result.ended[row] == ended, f"row {row}"
        assert (result.tokens[row, len(tokens) :] == PAD).all(), "something was written after the end"
        assert (result.logprobs[row, len(tokens) :] == 0).all()
    assert result.tokens.shape[1] == result.lengths.max(), "columns that nobody wrote"


def test_greedy_writes_the_most_probable_token() -> None:
    model = restless_model()
    result = generate(model, PROMPTS, max_new_tokens=6, stop_tokens=[], pad_id=PAD, temperature=0)
    with torch.no_grad():
        for row, prompt in enumerate(PROMPTS):
            text = list(prompt)
            for token in response(result, row):
                assert token == model(torch.tensor([text]))[0, -1].argmax()
                text.append(token)


def test_small_temperatures_approach_greedy() -> None:
    model = restless_model()
    greedy = generate(model, PROMPTS, max_new_tokens=6, stop_tokens=[], pad_id=PAD, temperature=0)
    cold = generate(model, PROMPTS, max_new_tokens=6, stop_tokens=[], pad_id=PAD, temperature=1e-6, generator=seeded())
    assert torch.equal(greedy.tokens, cold.tokens)


def test_a_greedy_row_does_not_depend_on_its_batch() -> None:
    model = restless_model()
    settings = {"max_new_tokens": 8, "stop_tokens": [0, 13], "pad_id": PAD, "temperature": 0}
    together = generate(model, PROMPTS, **settings)
    backwards = generate(model, PROMPTS[::-1], **settings)
    for row, prompt in enumerate(PROMPTS):
        alone = response(generate(model, [prompt], **settings), 0)
        assert response(together, row) == alone
        assert response(backwards, len(PROMPTS) - 1 - row) == alone


# ---- Randomness --------------------------------------------------------------------------------------------------


def test_same_seed_same_tokens() -> None:
    model = restless_model()

    def sample(seed: int) -> Generation:
        return generate(model, PROMPTS[:3], max_new_tokens=8, stop_tokens=[], pad_id=PAD, generator=seeded(seed))

    assert torch.equal(sample(1).tokens, sample(1).tokens)
    assert not torch.equal(sample(1).tokens, sample(2).tokens)


def test_a_row_does_not_depend_on_when_others_stop() -> None:
    """Rows leave the computation as they finish; the random numbers of those that stay must not shift."""
    model = restless_model()

    def sample(stops: list[int]) -> Generation:
        return generate(
            model,
            PROMPTS[:3],
            max_new_tokens=10,
            stop_tokens=stops,
            pad_id=PAD,
            generator=seeded(),
            samples_per_prompt=8,
        )

    free, stopped = sample([]), sample([0, 5, 9])
    assert len(set(stopped.lengths.tolist())) > 3, "the rows were meant to stop at different times"
    for row in range(24):
        assert response(stopped, row) == response(free, row)[: stopped.lengths[row]]


def test_prompts_that_are_read_in_groups_have_the_logits_and_the_cache_of_each_alone() -> None:
    """64 prompts of 1 to 19 tokens in four groups, two rows each. Another row's numbers are those of an order that was
    not undone."""
    model, lengths = restless_model(), torch.randperm(64, generator=seeded()) % 19 + 1
    prompts = [torch.randint(17, (length,), generator=seeded(n)).tolist() for n, length in enumerate(lengths.tolist())]
    groups = groups_of_like_length(lengths)
    assert [len(group) for group in groups] == [16] * 4
    assert torch.cat(groups).sort().values.tolist() == list(range(64))
    with torch.inference_mode():
        logits, cache = read_prompts(model, prompts, 1, 2)
        for row in range(128):
            own, alone = read_prompts(model, [prompts[row // 2]], 1, 1)
            torch.testing.assert_close(logits[row], own[0], rtol=1e-5, atol=1e-5)
            length = len(prompts[row // 2])
            assert cache.lengths[row] == length
            for ours, theirs in ((cache.keys, alone.keys), (cache.values, alone.values)):
                torch.testing.assert_close(ours[:, row, :, :length], theirs[:, 0, :, :length], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("lengths", "groups"), [([5] * 64, 1), ([9] * 60 + [10] * 4, 1), ([3, 12] * 15, 1), ([3, 12] * 16, 2)]
)
def test_prompts_are_read_in_one_group_where_several_save_little(lengths: list[int], groups: int) -> None:
    """Equal lengths; almost equal ones; too few prompts; and enough of them."""
    assert len(groups_of_like_length(torch.tensor(lengths))) == groups


def test_global_randomness_is_untouched() -> None:
    state = torch.get_rng_state()
    generate(restless_model(), PROMPTS[:2], max_new_tokens=4, stop_tokens=[], pad_id=PAD, generator=seeded())
    assert torch.equal(torch.get_rng_state(), state)


def chi_square_p(observed: Tensor, expected: Tensor, fitted: int = 1) -> float:
    """The probability of counts at least as far from the expected ones, by Pearson's χ² test; both are counts [cells].

    Rare cells are pooled, as the test needs about five expected counts in each. `fitted`: how many numbers the expected
    counts took from the observed ones, the total among them; as many degrees of freedom are lost.
    """
    rare = expected < 5
    observed = torch.cat((observed[~rare], observed[rare].sum()[None])).double()
    expected = torch.cat((expected[~rare], expected[rare].sum()[None])).double()
    observed, expected = observed[expected > 0], expected[expected > 0]
    statistic = ((observed - expected).square() / expected).sum()
    degrees = torch.tensor(float(len(expected) - fitted), dtype=torch.float64)
    return float(torch.special.gammaincc(degrees / 2, statistic / 2))


@pytest.mark.parametrize(("statistic", "degrees", "p"), [(18.307, 10, 0.05), (124.342, 100, 0.05), (3.841, 1, 0.05)])
def test_the_chi_square_test_has_the_critical_values_of_the_tables(statistic: float, degrees: int, p: float) -> None:
    expected = torch.full((degrees + 1,), 1e4, dtype=torch.float64)
    observed = expected.clone()
    observed[0] += math.sqrt(statistic * 1e4)
    assert chi_square_p(observed, expected) == pytest.approx(p, abs=1e-4)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_the_softmax_of_the_tempered_logits(temperature: float) -> None:
    """First and second token of one prompt, in pairs. The seed is fixed: p below 1e-4 is a bug and no bad luck."""
    model, prompt, samples = restless_model(scale=60.0), [1, 2, 3], 20_000  # far from uniform at any temperature
    result = generate(
        model,
        [prompt],
        max_new_tokens=2,
        stop_tokens=[],
        pad_id=PAD,
        temperature=temperature,
        generator=seeded(5),
        samples_per_prompt=samples,
    )
    V = TINY.vocab_size
    pairs = result.tokens[:, 0] * V + result.tokens[:, 1]  # [K]
    observed = torch.bincount(pairs, minlength=V * V)  # [V·V]

    @torch.no_grad()
    def p_at(temperature: float) -> float:
        first = (model(torch.tensor([prompt]))[0, -1] / temperature).softmax(-1)  # [V]
        texts = torch.tensor([prompt + [token] for token in range(V)])  # [V,T]
        second = (model(texts)[:, -1] / temperature).softmax(-1)  # [V,V]
        return chi_square_p(observed, samples * (first[:, None] * second).flatten())

    assert p_at(temperature) > 1e-4, "these are not samples of the softmax: is the temperature applied, once?"
    assert p_at(1.1 * temperature) < 1e-4, "this test could not see a temperature that is 10 % off"


def test_samples_of_one_prompt_are_independent() -> None:
    """χ² of (first token of sample 2i, of sample 2i + 1): copies that share randomness would be dependent."""
    model, samples = restless_model(scale=4.0), 20_000
    result = generate(
        model,
        [[1, 2, 3]],
        max_new_tokens=1,
        stop_tokens=[],
        pad_id=PAD,
        generator=seeded(6),
        samples_per_prompt=samples,
    )
    V = TINY.vocab_size
    first, second = result.tokens[0::2, 0], result.tokens[1::2, 0]

    def p_of(first: Tensor, second: Tensor) -> float:
        table = torch.bincount(first * V + second, minlength=V * V).view(V, V).double()
        expected = table.sum(1, keepdim=True) * table.sum(0, keepdim=True) / table.sum()
        # both margins are taken from the table: 2V − 1 numbers
        return chi_square_p(table.flatten(), expected.flatten(), fitted=2 * V - 1)

    assert p_of(first, second) > 1e-4, "the samples of a prompt know of each other"
    mixed = torch.where(torch.arange(len(second)) % 10 == 0, first, second)
    assert p_of(first, mixed) < 1e-4, "this test could not see one copy in ten"


def test_choose_lays_probabilities_on_a_line() -> None:
    logprobs = torch.tensor([0.0, 0.25, 0.5, 0.0, 0.25, 0.0]).log()
    largest = 1 - 2**-24  # the largest number torch.rand returns
    uniforms = torch.tensor([0.0, 0.2499, 0.25, 0.7499, 0.75, largest])
    chosen = inverse_cdf_sample(logprobs.expand(6, 6), uniforms)
    assert chosen.tolist() == [1, 1, 2, 2, 4, 4], "a token of probability 0 was chosen, or a border is off by one"


def test_choose_survives_rounding() -> None:
    """The probabilities of a large vocabulary do not sum to 1 exactly; the largest uniform must still find a token."""
    logprobs = torch.randn(200, 5001, generator=seeded()).log_softmax(-1)
    logprobs[:, -1] = -torch.inf
    chosen = inverse_cdf_sample(logprobs, torch.full((200,), 1 - 2**-24))
    assert (chosen < 5000).all()


# ---- Restrictions ------------------------------------------------------------------------------------------------


def test_top_k_keeps_exactly_k_even_with_ties() -> None:
    logits = torch.tensor([[1.0, 5.0, 5.0, 5.0, 0.0], [4.0, 3.0, 2.0, 1.0, 0.0]])
    for k in range(1, 8):
        kept = restrict_top_k(logits, k).isfinite()
        assert kept.sum(-1).tolist() == [min(k, 5)] * 2
        for row in range(2):
            assert logits[row][kept[row]].min() >= max(logits[row][~kept[row]].tolist(), default=-math.inf)


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (1e-9, [False, True, False, False]),
        (0.5, [False, True, False, False]),
        (0.51, [False, True, False, True]),
        (0.80, [False, True, False, True]),
        (0.82, [True, True, False, True]),
        (0.99, [True, True, True, True]),
    ],
)
def test_top_p_keeps_the_smallest_set_that_reaches_p(p: float, expected: list[bool]) -> None:
    logits = torch.tensor([0.15, 0.505, 0.035, 0.31]).log() + 3.0
    assert restrict_top_p(logits[None], p).isfinite()[0].tolist() == expected


def test_the_sampled_distribution_is_normalised_and_in_order_temperature_top_k_top_p() -> None:
    logits = torch.randn(3, 4, 11, generator=seeded()) * 3  # any leading shape
    sampled = sampling_logprobs(logits, temperature=1.7, top_k=6, top_p=0.7)
    assert_close(sampled.exp().sum(-1), torch.ones(3, 4), rtol=1e-5, atol=1e-6)
    by_hand = restrict_top_p(restrict_top_k(logits / 1.7, 6), 0.7).log_softmax(-1)
    assert_close(sampled, by_hand, rtol=1e-6, atol=1e-6)
    assert not sampled.isnan().any()
    assert_close(sampling_logprobs(logits, 1.0), logits.log_softmax(-1), rtol=1e-6, atol=1e-6)
    assert torch.equal(sampling_logprobs(logits, 1.0, top_k=1).exp(), sampling_logprobs(logits, 0.0).exp())


@pytest.mark.parametrize("settings", [Settings(0.7), Settings(1.3), Settings(0.8, 4), Settings(1.2, 9, 0.7)], ids=str)
def test_stored_logprobs_equal_recomputed_ones(settings: Settings) -> None:
    """PPO relies on this: one forward pass over prompt + response gives the log-probabilities of the sampling pass."""
    model = restless_model()
    result = generate(
        model,
        PROMPTS[:4],
        max_new_tokens=10,
        stop_tokens=[0],
        pad_id=PAD,
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        generator=seeded(),
        samples_per_prompt=2,
        want_logprobs=True,
    )
    for row in range(8):
        prompt, written = PROMPTS[row // 2], response(result, row)
        logits = model(torch.tensor([prompt + written]))[0, len(prompt) - 1 : -1]  # [N,V]
        sampled = sampling_logprobs(logits, settings.temperature, settings.top_k, settings.top_p)
        again = sampled.gather(-1, torch.tensor(written)[:, None])[:, 0]
        assert_close(result.logprobs[row, : len(written)], again, rtol=1e-4, atol=1e-5)
        if settings.top_k == 0:
            tempered = token_logprobs(logits[None] / settings.temperature, torch.tensor([written]))[0]
            assert_close(result.logprobs[row, : len(written)], tempered, rtol=1e-4, atol=1e-5)
            untempered = token_logprobs(logits[None], torch.tensor([written]))[0]
            assert not torch.allclose(untempered, tempered, atol=1e-2), "this test cannot see a forgotten temperature"


# ---- Where a response ends ---------------------------------------------------------------------------------------


def greedy(prompts: list[list[int]], stops: list[int], limit: int = 8) -> Generation:
    return generate(restless_model(), prompts, max_new_tokens=limit, stop_tokens=stops, pad_id=PAD, temperature=0)


def test_the_stop_token_is_the_last_token_and_counts() -> None:
    free = response(greedy([[1, 2, 3]], []), 0)
    for place, stop in enumerate(free):
        first = free.index(stop)
        result = greedy([[1, 2, 3]], [stop])
        assert response(result, 0) == free[: first + 1], f"stop at {place}: it belongs to the response"
        assert result.ended.tolist() == [True]


def test_a_response_may_be_one_stop_token() -> None:
    stop = response(greedy([[1, 2, 3]], [], 1), 0)[0]
    result = greedy([[1, 2, 3], [4]], [stop])
    assert response(result, 0) == [stop]
    assert result.lengths[0] == 1
    assert result.ended[0]


def test_a_stop_token_on_the_last_allowed_step_ends_the_response() -> None:
    free = response(greedy([[4]], []), 0)
    limit = next(n for n in range(8, 0, -1) if free.index(free[n - 1]) == n - 1)
    assert greedy([[4]], [free[limit - 1]], limit).ended.tolist() == [True]


def test_without_a_stop_token_the_response_is_cut() -> None:
    result = greedy([[1, 2, 3], [4]], [])
    assert result.lengths.tolist() == [8, 8]
    assert result.ended.tolist() == [False, False]
    assert result.logprobs is None


def test_a_row_is_cut_where_the_context_is_full() -> None:
    """Rows of every length: each stops at its own border, though the others go on."""
    prompts = [[1] * length for length in range(1, TINY.context)]
    result = greedy(prompts, [], limit=100)
    assert result.lengths.tolist() == [TINY.context - len(prompt) for prompt in prompts]
    assert not result.ended.any()


def test_rows_frozen_between_compactions_do_not_run_out_of_the_cache() -> None:
    """One full row among many others is too few to compact: it has to stand still while the others write on."""
    prompts = [[15] * 19] + [[1, 2]] * 20
    result = greedy(prompts, [], limit=15)
    assert result.lengths.tolist() == [1] + [15] * 20
    assert (result.tokens[1:] == result.tokens[1]).all()
    assert response(greedy([[1, 2]], [], limit=15), 0) == result.tokens[1].tolist()


def test_padding_may_be_the_stop_token() -> None:
    """Many tokenizers have no pad of their own. The lengths say where a response ends, whatever stands after it."""
    stop = response(greedy([[1, 2, 3]], []), 0)[2]
    settings = {"max_new_tokens": 8, "stop_tokens": [stop], "temperature": 0, "want_logprobs": True}
    with_pad, with_stop = (generate(restless_model(), PROMPTS[:3], pad_id=pad, **settings) for pad in (PAD, stop))
    for name in ("lengths", "ended", "logprobs"):
        assert torch.equal(getattr(with_pad, name), getattr(with_stop, name)), name
    assert len(set(with_stop.lengths.tolist())) > 1, "no row is padded"
    for row in range(3):
        assert response(with_stop, row) == response(with_pad, row)


def test_prompts_may_contain_stop_and_pad_ids() -> None:
    free = response(greedy([[1, PAD, 2, PAD]], []), 0)
    unused = next(token for token in range(TINY.vocab_size) if token not in free and token != PAD)
    result = greedy([[1, PAD, 2, PAD]], [unused, PAD] if PAD not in free else [unused])
    assert response(result, 0) == free


# ---- Good manners ------------------------------------------------------------------------------------------------


def test_dropout_is_off_and_the_mode_comes_back() -> None:
    model = GPT(replace(TINY, dropout=0.5), seed=2)
    for training in (True, False):
        model.train(training)
        results = [
            generate(model, PROMPTS, max_new_tokens=5, stop_tokens=[], pad_id=PAD, generator=seeded()).tokens
            for _ in range(2)
        ]
        assert torch.equal(*results), "dropout was on"
        assert model.training == training
    model.train()
    with pytest.raises(IndexError):
        generate(model, [[999]], max_new_tokens=1, stop_tokens=[], pad_id=PAD, temperature=0)
    assert model.training, "after an error the mode must come back too"


def test_the_result_may_enter_a_backward_pass() -> None:
    """Tensors made in inference mode may not, and PPO needs it."""
    model = restless_model()
    result = generate(
        model, PROMPTS[:3], max_new_tokens=5, stop_tokens=[], pad_id=PAD, generator=seeded(), want_logprobs=True
    )
    ratio = (token_logprobs(model(result.tokens), result.tokens) - result.logprobs).exp()
    ratio.sum().backward()
    assert model.token_embedding.weight.grad.isfinite().all()


def run(prompts: list[list[int]] | None = None, **changes: object) -> Tensor:
    settings = {"max_new_tokens": 3, "stop_tokens": [], "pad_id": PAD, "generator": seeded()} | changes
    return generate(restless_model(), [[1]] if prompts is None else prompts, **settings).tokens


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"prompts": []}, "no prompt"),
        ({"prompts": [[1], []]}, "prompt 1 is empty"),
        ({"prompts": [[1], [1] * 20]}, "prompt 1 has 20 tokens"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"samples_per_prompt": 0}, "samples_per_prompt"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
    ],
)
def test_meaningless_requests_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        run(**changes)


def test_sampling_without_a_generator_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="generator"):
        run(generator=None)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_model_that_has_diverged_is_one_sentence_at_any_token(value: float, temperature: float) -> None:
    """It writes nothing but 9, which is not in the prompt and whose embedding is broken: the second token finds out."""
    model = GPT(replace(TINY, tied_embeddings=False, norm="layernorm", bias=True), seed=2)
    with torch.no_grad():
        model.token_embedding.weight[9] = value
        model.final_norm.weight.zero_()
        model.final_norm.bias.fill_(1.0)
        model.unembedding.weight.zero_()
        model.unembedding.weight[9] = 10.0
    options = {"stop_tokens": [], "pad_id": PAD, "temperature": temperature, "generator": seeded()}
    assert generate(model, [[1, 2]], max_new_tokens=1, **options).tokens.tolist() == [[9]]
    with pytest.raises(DivergedError, match="logits are not finite"):
        generate(model, [[1, 2]], max_new_tokens=2, **options)


def test_rows_that_go_on_stay_where_they_are_and_the_last_ones_fill_the_gaps():
    for seed in range(50):
        live = torch.rand(1 + seed, generator=torch.Generator().manual_seed(seed)) < 0.8
        count = int(live.sum())
        rows = compaction(live, count)
        assert sorted(rows.tolist()) == live.nonzero().squeeze(1).tolist(), "a live row is lost, or a dead one goes on"
        stays = live[:count].nonzero().squeeze(1)
        assert torch.equal(rows[stays], stays), "a row that could stay has moved"
