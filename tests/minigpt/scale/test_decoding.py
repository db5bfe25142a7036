"""Generation by several processes, where there is only one; `make distributed` tests it with two."""

import torch

from minigpt.model import GPT, GPTConfig
from minigpt.scale import decoding


def test_one_process_asks_generate_for_nothing_that_the_caller_does_not_want(monkeypatch):
    """Stage 2 wants no log-probabilities of its answers; only rows of several processes are exchanged with them."""
    asked, original = [], decoding.generate

    def spy(*arguments, **options):
        asked.append(options)
        return original(*arguments, **options)

    monkeypatch.setattr(decoding, "generate", spy)
    model = GPT(GPTConfig(vocab_size=12, context=16, layers=1, heads=2, channels=8))
    settings = {"max_new_tokens": 4, "pad_id": 0, "samples_per_prompt": 2, "stop_tokens": [1]}
    found = decoding.generate_together(model, [[3, 4], [5]], generator=torch.Generator().manual_seed(1), **settings)
    expected = original(model, [[3, 4], [5]], generator=torch.Generator().manual_seed(1), **settings)
    assert torch.equal(found.tokens, expected.tokens)
    assert found.logprobs is None
    assert not any(options.get("want_logprobs") for options in asked), "log-probabilities are computed for nobody"
    assert [options["samples_per_prompt"] for options in asked] == [2]
