"""The planted bugs: one wrong hunk each, in our own code, and the tests that must catch it.

`seen` names the paper, the project or the thread where the bug was described; it is empty where the bug is only a slip
that is easily made. Threads are cited from a survey made in September 2026; none was opened again for this list.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """In `file`, `before` (which occurs there once) becomes `after`; one of `tests` must fail then."""

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]
    seen: str = ""


ATTENTION, MODEL, GENERATE = "minigpt/attention.py", "minigpt/model.py", "minigpt/generate.py"
FLAT, T_FLAT = "minigpt/flat.py", "tests/minigpt/test_flat.py::test_flat_tokens_are_padded_rows"
T_ATTENTION, T_MODEL = "tests/minigpt/test_attention.py", "tests/minigpt/test_model.py"
T_GENERATE, T_TRAINING = "tests/minigpt/test_generate.py", "tests/minigpt/test_training.py"
LOSSES, UPDATE, ROLLOUT = "rlhf/stage3_ppo/losses.py", "rlhf/stage3_ppo/step.py", "rlhf/stage3_ppo/rollout.py"
DPO, T_DPO = "rlhf/alternatives/dpo.py", "tests/rlhf/alternatives/test_dpo.py"
T_LOSSES, T_PPO = "tests/rlhf/stage3_ppo/test_losses.py", "tests/rlhf/stage3_ppo/test_ppo.py"
T_ROLLOUT = "tests/rlhf/stage3_ppo/test_rollout.py"
T_SFT, T_REWARD = "tests/rlhf/stage1_sft/test_sft.py", "tests/rlhf/stage2_reward/test_reward_model.py"
T_OPTIMUM, T_OPTIM = "tests/rlhf/stage3_ppo/test_optimum.py", "tests/minigpt/test_optim.py"
T_CONVERT = "tests/minigpt/hf/test_convert.py"
T_PACKING, T_KL = "tests/minigpt/test_packing.py", "tests/rlhf/stage3_ppo/test_kl.py"
T_RESUME = "tests/minigpt/runs/test_resume.py"
T_WEB = "tests/rlhf/web"
WEB_BATCH, T_WEB_BATCH = "rlhf/web/engine/batch.py", "tests/rlhf/web/engine/test_batch.py"

BUGS: tuple[Bug, ...] = (
    # ---- the transformer ----
    Bug(
        "mask after the softmax", ATTENTION,
        "    scores = scores.masked_fill(~mask, -torch.inf)  # [B,H,T,S]\n"
        "    weights = scores.softmax(dim=-1)  # [B,H,T,S]\n",
        "    weights = scores.softmax(dim=-1).masked_fill(~mask, 0.0)\n",
        (f"{T_ATTENTION}::test_fast_attentions_equal_the_loops",),
    ),
    Bug(
        "missing 1/√D", ATTENTION, "keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])", "keys.transpose(-2, -1)",
        (f"{T_ATTENTION}::test_fast_attentions_equal_the_loops",), "Vaswani et al. 2017, section 3.2.1",
    ),
    Bug(
        "attention sees the future", ATTENTION, "is_causal=mask is None", "is_causal=False",
        (f"{T_MODEL}::test_a_token_does_not_see_the_future",),
    ),
    Bug(
        "a token may not see itself", ATTENTION, "device=device).tril()", "device=device).tril(-1)",
        (f"{T_ATTENTION}::test_fast_attentions_equal_the_loops", f"{T_ATTENTION}::test_padded_causal_mask"),
    ),
    Bug(
        "flat tokens: equal letters after a difference are shared", FLAT,
        "own = real & ~same.long().cumprod(dim=1).bool()", "own = real & ~same", (T_FLAT,),
    ),
    Bug(
        "flat tokens: positions count through the flat row", FLAT,
        "positions = column.expand(ids.shape)[own]", "positions = torch.arange(int(own.sum())) % ids.shape[1]",
        (T_FLAT,),
    ),
    Bug(
        "padding on the left is visible", ATTENTION,
        "causal_mask(tokens, mask.device) & (mask[:, None, :] | itself)",
        "causal_mask(tokens, mask.device).expand(len(mask), -1, -1)",
        (f"{T_MODEL}::test_padding_and_neighbours_change_nothing",),
    ),
    Bug(
        "positions not shifted under left padding", ATTENTION,
        "Layout(positions_from_mask(mask), ", "Layout(torch.arange(mask.shape[1], device=mask.device), ",
        (f"{T_MODEL}::test_padding_and_neighbours_change_nothing",),
        "Huang et al. 2024 (N+ details): their ppo.py comments it out",
    ),
    Bug(
        "rotary turns neighbours, with tables for halves", "minigpt/positions.py",
        "first, second = x.chunk(2, dim=-1)  # [B,H,T,D/2] each\n"
        "    return x * cos + torch.cat((-second, first), dim=-1) * sin",
        "first, second = x[..., 0::2], x[..., 1::2]\n"
        "    return x * cos + torch.stack((-second, first), dim=-1).flatten(-2) * sin",
        ("tests/minigpt/test_positions.py::test_rotary_turns_channel_i_with_channel_i_plus_half",
         "tests/minigpt/test_positions.py::test_rotary_scores_depend_on_the_distance_only"),
        "LLaMA's weights and the paper's convention",
    ),
    Bug(
        "values are rotated as well", MODEL,
        "queries, keys = rotate(queries, *rotary), rotate(keys, *rotary)  # [B,H,T,D] each",
        "queries, keys, values = rotate(queries, *rotary), rotate(keys, *rotary), rotate(values, *rotary)",
        (f"{T_MODEL}::test_rotary_turns_queries_and_keys_and_never_values",),
    ),
    Bug(
        "no residual around attention", MODEL,
        "x = x + self.dropout(self.attention(", "x = self.dropout(self.attention(",
        (f"{T_MODEL}::test_a_block_is_the_sum_of_its_parts",),
    ),
    Bug(
        "dropout of attention stays on", MODEL, "self.dropout if self.training else 0.0", "self.dropout",
        (f"{T_MODEL}::test_dropout_acts_in_training_only",), "Huang et al. 2024 (N+ details): dropout is off",
    ),
    Bug(
        "the cache counts padding as tokens", "minigpt/cache.py",
        "if real is None else real.sum(dim=1)", "if True else real.sum(dim=1)",
        (f"{T_ATTENTION}::test_a_row_that_stands_still_keeps_its_place",
         f"{T_MODEL}::test_cached_logits_equal_full_logits"),
    ),
    # ---- generation ----
    Bug(
        "temperature multiplies", GENERATE, "logits = logits / temperature", "logits = logits * temperature",
        (f"{T_GENERATE}::test_frequencies_are_the_softmax_of_the_tempered_logits",
         f"{T_GENERATE}::test_small_temperatures_approach_greedy"),
    ),
    Bug(
        "prompts read in groups of like length: the order is not undone", GENERATE,
        "order = torch.cat(groups).argsort()", "order = torch.cat(groups)",
        (f"{T_GENERATE}::test_prompts_that_are_read_in_groups_have_the_logits_and_the_cache_of_each_alone",),
    ),
    Bug(
        "all samples of a prompt share their random numbers", GENERATE,
        "uniforms = torch.rand(rows, max_new_tokens, generator=generator, device=generator.device)  # [B,N]",
        "uniforms = torch.rand(1, max_new_tokens, generator=generator, device=generator.device).expand(rows, -1)",
        (f"{T_GENERATE}::test_samples_of_one_prompt_are_independent",), "nanochat tests/test_engine.py: a past bug",
    ),
    Bug(
        "the end token is no part of the response", GENERATE,
        "        lengths[writing] = step + 1\n        stopped = torch.isin(chosen, stops)  # [R]\n",
        "        stopped = torch.isin(chosen, stops)\n        lengths[writing] = step + 1 - stopped[live].long()\n",
        (f"{T_GENERATE}::test_the_stop_token_is_the_last_token_and_counts",),
        "nanochat engine.py drops the terminal token",
    ),
    Bug(
        "log-probabilities of the untempered distribution", GENERATE,
        "logprobs[writing, step] = distribution.gather(1, chosen[:, None])[live, 0]",
        "logprobs[writing, step] = logits.log_softmax(-1).gather(1, chosen[:, None])[live, 0]",
        (f"{T_GENERATE}::test_stored_logprobs_equal_recomputed_ones",),
        "rlhf-book, minimind: sampled at one temperature, scored at another",
    ),
    # ---- data and training ----
    Bug(
        "targets are the inputs themselves", "minigpt/data.py",
        "return windows[:, :-1], windows[:, 1:]", "return windows[:, :-1], windows[:, :-1]",
        ("tests/minigpt/test_data.py::test_targets_are_the_inputs_one_token_later",),
    ),
    Bug(
        "a row begins where no document does", "minigpt/data.py",
        ".argmax(axis=1)  # [B]; 0 if there is none", ".sum(axis=1)  # [B]; 0 if there is none",
        ("tests/minigpt/test_data.py::test_a_row_begins_with_the_first_document_of_its_window",),
    ),
    Bug(
        "what two validation rows hold counts twice", "minigpt/data.py",
        "targets[row, done - start : len(window) - 1] = window[1 + done - start :]",
        "targets[row, : len(window) - 1] = window[1:]",
        ("tests/minigpt/test_data.py::test_validation_rows_begin_with_documents_and_ask_for_every_token_once",),
    ),
    Bug(
        "seed + epoch as the seed of an epoch", "minigpt/runs/seeds.py",
        "digest = hashlib.sha256(repr((seed, purpose, *numbers)).encode()).digest()",
        "digest = hashlib.sha256(repr(seed + sum(numbers)).encode()).digest()",
        ("tests/minigpt/runs/test_seeds.py::test_epoch_order_and_seeds",),
    ),
    Bug(
        "the mean of micro-batch means", "minigpt/training.py",
        "(loss_sum / total).backward()",
        "(loss_sum / self.objective.weight(micro) / len(mine)).backward()",
        (f"{T_TRAINING}::test_any_split_into_micro_batches_is_the_whole_batch",),
        "huggingface/trl#2175, karpathy/nanochat#59",
    ),
    Bug(
        "gradients of the last step are still there", "minigpt/optim.py",
        "            parameter.grad = None\n", "            pass\n",
        (f"{T_TRAINING}::test_a_step_forgets_the_gradient_of_the_step_before",),
    ),
    Bug(
        "evaluation consumes the training generator", "minigpt/training.py",
        "        torch.manual_seed(seed_of(", "        if state.step == 0:\n            torch.manual_seed(seed_of(",
        (f"{T_TRAINING}::test_evaluation_does_not_disturb_training",),
    ),
    Bug(
        "evaluation leaves the model in evaluation mode", "minigpt/training.py",
        "        self.model.train(training)\n", "",
        (f"{T_TRAINING}::test_every_step_trains_with_dropout_however_often_one_looks",),
    ),
    Bug(
        "resume without the optimiser's state", "minigpt/training.py",
        '            self.optimizer.load_state_dict(saved["optimizer"])\n', "",
        (f"{T_TRAINING}::test_resumed_run_equals_uninterrupted_run_bit_for_bit",),
    ),
    Bug(
        "dropout is no function of seed and step", "minigpt/training.py",
        '        torch.manual_seed(seed_of(self.seed, "dropout", state.step, rank()))',
        "        # torch.manual_seed(0)",
        (f"{T_TRAINING}::test_resumed_run_equals_uninterrupted_run_bit_for_bit",
         f"{T_TRAINING}::test_same_seed_same_metrics_and_the_callers_random_state_is_untouched"),
    ),
    Bug(
        "each gradient is clipped alone", "minigpt/optim.py",
        "return full_tensor(nn.utils.clip_grad_norm_(self.parameters, limit)).item()",
        "return max(nn.utils.clip_grad_norm_([p], limit).item() for p in self.parameters if p.grad is not None)",
        (f"{T_OPTIM}::test_gradients_are_clipped_as_one_vector",),
    ),
    Bug(
        "query, key and value orthogonalised as one matrix", "minigpt/optim.py",
        'getattr(module, "stacked", 1)', "1",
        (f"{T_OPTIM}::test_muon_equals_one_matrix_at_a_time_in_double_precision",
         f"{T_OPTIM}::test_rows_of_the_fused_weight_are_query_then_key_then_value"),
    ),
    Bug(
        "a tie goes to the smaller pair", "minigpt/bpe.py",
        "return self.pair > other.pair", "return self.pair < other.pair",
        ("tests/minigpt/test_tokenizer.py::test_ties_go_to_the_lexicographically_greater_pair_of_byte_strings",),
    ),
    Bug(
        "a user can write the end token", "minigpt/tokenizer.py",
        "return self._encoding.encode_ordinary(text)", 'return self._encoding.encode(text, allowed_special="all")',
        ("tests/minigpt/test_tokenizer.py::test_the_spelling_of_a_special_token_is_data_unless_asked_otherwise",),
    ),
    Bug(
        "a checkpoint may run code", "minigpt/runs/checkpoint.py", "weights_only=True)", "weights_only=False)",
        ("tests/minigpt/runs/test_checkpoint.py::test_a_checkpoint_that_could_run_code_is_refused",),
    ),
    # ---- SFT ----
    Bug(
        "loss on prompt tokens", "rlhf/stage1_sft/examples.py",
        "is_response = (column >= first[:, None]) & (column < lengths[:, None] - 1)",
        "is_response = (column >= 0) & (column < lengths[:, None] - 1)",
        (f"{T_SFT}::test_collate_by_hand", f"{T_SFT}::test_gradient_is_exactly_zero_at_prompt_and_pad_targets"),
        "Huang et al. 2024 (N+ details): their sft.py masks only pads",
    ),
    Bug(
        "mask off by one: the first response token is not learned", "rlhf/stage1_sft/examples.py",
        "torch.tensor([len(example.prompt) - 1 for example in examples])",
        "torch.tensor([len(example.prompt) for example in examples])",
        (f"{T_SFT}::test_collate_by_hand", f"{T_SFT}::test_first_and_last_target_of_the_smallest_example"),
    ),
    Bug(
        "the end token is not supervised", "rlhf/stage1_sft/examples.py",
        "(column < lengths[:, None] - 1)  # [B,T]", "(column < lengths[:, None] - 2)  # [B,T]",
        (f"{T_SFT}::test_collate_by_hand", f"{T_SFT}::test_first_and_last_target_of_the_smallest_example"),
        "Huang et al. 2024 (N+ details), detail 3: the end token is appended",
    ),
    Bug(
        "pads found by comparing ids", "rlhf/stage1_sft/examples.py",
        "return Batch(inputs, targets.masked_fill(~is_response, IGNORE))",
        "return Batch(inputs, targets.masked_fill(~is_response | (targets == pad_id), IGNORE))",
        (f"{T_SFT}::test_the_pad_id_may_be_any_token_of_the_texts",), "huggingface/trl#5303, #3750",
    ),
    Bug(
        "no end token after a response", "rlhf/chat_format.py",
        "return [*tokenizer.encode(text, allow_special=allowed), tokenizer.end_id]", "return [*tokenizer.encode(text)]",
        (f"{T_SFT}::test_encoding_keeps_prompt_and_response_apart",
         "tests/rlhf/test_chat_format.py::test_a_prompt_by_hand"),
        "huggingface/trl#5813",
    ),
    # ---- the reward model ----
    Bug(
        "a sampled chat token spelled out for the reward model", "rlhf/stage2_reward/examples.py",
        "encode_response(tokenizer, text, sampled=ranking.sampled)", "encode_response(tokenizer, text)",
        ("tests/rlhf/stage2_reward/test_reward_model.py::test_a_chat_token_that_was_sampled_is_that_token_for_the_reward_model",),
        "this repository",
    ),
    Bug(
        "the best answer imitated as its text", "rlhf/alternatives/rejection_sampling.py",
        "candidates.ids[candidates.best]", "tuple(tokenizer.encode(candidates.texts[candidates.best]))",
        ("tests/rlhf/alternatives/test_rejection_sampling.py::test_the_best_answer_is_imitated_as_the_ids_that_were_sampled",),
        "this repository",
    ),
    Bug(
        "reward read at the pad", "rlhf/stage2_reward/network.py",
        "last = (lengths - 1).clamp(min=0)", "last = torch.full_like(lengths, ids.shape[1] - 1)",
        (f"{T_REWARD}::test_the_score_is_read_at_the_last_real_token_whatever_stands_in_the_padding",),
        "huggingface/transformers#35352, huggingface/trl#937",
    ),
    Bug(
        "the worse answer should score higher", "rlhf/stage2_reward/loss.py",
        "(ranks[:, None] < ranks[None, :]) & (group", "(ranks[:, None] > ranks[None, :]) & (group",
        (f"{T_REWARD}::test_kwise_loss_and_gradient_are_those_of_a_double_loop",),
    ),
    Bug(
        "ties count as pairs", "rlhf/stage2_reward/loss.py",
        "(ranks[:, None] < ranks[None, :]) & (group", "(ranks[:, None] <= ranks[None, :]) & (group",
        (f"{T_REWARD}::test_kwise_loss_and_gradient_are_those_of_a_double_loop",), "InstructGPT, appendix C.2",
    ),
    Bug(
        "answers to different prompts are compared", "rlhf/stage2_reward/loss.py",
        " & (group[:, None] == group[None, :])  # [N,N]", "",
        (f"{T_REWARD}::test_kwise_loss_and_gradient_are_those_of_a_double_loop",),
    ),
    Bug(
        "a prompt with more answers weighs more", "rlhf/stage2_reward/loss.py",
        "weight = better / pairs[group].clamp(min=1)[:, None]  # [N,N]", "weight = better.to(scores.dtype)",
        (f"{T_REWARD}::test_two_answers_are_the_usual_pairwise_loss_and_no_k_weighs_more_than_another",),
        "InstructGPT, section 3.5, eq. 1",
    ),
    Bug(
        "the shift is added instead of subtracted", "rlhf/stage2_reward/network.py",
        ".squeeze(-1) - self.shift  # [B]", ".squeeze(-1) + self.shift  # [B]",
        (f"{T_REWARD}::test_after_normalisation_demonstrations_score_zero_and_nothing_changes_its_place",),
    ),
    Bug(
        "equal texts collapse when distractors are added", "rlhf/stage2_reward/comparisons.py",
        "texts, ended = list(answers.texts), list(answers.ended)",
        "texts, ended = map(list, zip(*dict(zip(answers.texts, answers.ended, strict=True)).items(), strict=True))",
        ("tests/rlhf/stage2_reward/test_comparisons.py::test_an_answer_that_was_given_both_ended_and_cut_off_keeps_both_rows",),
        "this project, until 2026-11-25",
    ),
    Bug(
        "distractors come from prompts that are held out", "rlhf/stage2_reward/comparisons.py",
        "sources, _ = split_validation(collected, validation_fraction)", "sources = collected",
        ("tests/rlhf/stage2_reward/test_comparisons.py::test_no_distractor_comes_from_a_prompt_that_is_held_out",),
        "this project, until 2026-11-29",
    ),
    Bug(
        "the prompt is in the likelihood of an answer", "rlhf/stage2_reward/likelihood.py",
        "(place >= prompt_tokens[:, None]) & (place < lengths[:, None])", "(place < lengths[:, None])",
        ("tests/rlhf/stage2_reward/test_likelihood.py::test_mean_logprobs_are_those_of_the_answer_alone",),
    ),
    # ---- people ----
    Bug(
        "careless people are as careless as the share says, and the others too", "rlhf/people/demonstrators.py",
        "if rng.random() < self.carelessness:", "if rng.random() < 2 * self.carelessness:",
        ("tests/rlhf/people/test_demonstrators.py::test_the_share_of_careless_demonstrations_is_the_setting",),
    ),
    Bug(
        "a reason that the review does not give is as good as one that it does", "rlhf/people/labeler.py",
        "    if text in invented:\n        return Grade(PLAIN, 0.5, 1.0)",
        "    if text in invented:\n        return Grade(1.0, 1.0, 1.0)",
        ("tests/rlhf/people/test_labeler.py::test_a_verdict_needs_a_reason_from_the_review",
         "tests/rlhf/people/test_labeler.py::test_a_reference_needs_the_reason_that_the_sentence_gives"),
    ),
    Bug(
        "hedging costs nothing", "rlhf/people/labeler.py",
        "return family != \"unknowable\" and admits_not_knowing(text)", "return False and admits_not_knowing(text)",
        ("tests/rlhf/people/test_labeler.py::test_padding",),
    ),
    Bug(
        "facts that are held out are written down", "minigpt/toyworld/documents.py",
        'return fact.frequency == "common" or (fact.frequency == "rare" and rng.random() < RARELY)', "return True",
        ("tests/minigpt/test_toyworld.py::test_nobody_asks_in_a_document_for_a_fact_that_is_held_out",
         "tests/minigpt/test_toyworld.py::test_facts_are_common_rare_or_held_out"),
    ),
    # ---- the evaluation ----
    Bug(
        "an answer that ran out of tokens counts as ended at its first stray", "rlhf/evaluation/measures.py",
        "return grade(request, kept, answer.ended or kept != text).total", "return grade(request, kept, True).total",
        ("tests/rlhf/evaluation/test_measures.py::test_stopping_is_told_from_content",),
    ),
    Bug(
        "abstaining counts as a claim", "rlhf/evaluation/calibration.py",
        'claimed = len(kinds) - kinds.count("unknown")', "claimed = len(kinds)",
        ("tests/rlhf/evaluation/test_calibration.py::test_bins_hold_the_questions_and_the_share_of_abstaining",),
    ),
    Bug(
        "pretraining text is weighed by its rows", "rlhf/stage1_sft/mixing.py",
        "weight = self.coefficient * units / targets.numel()", "weight = self.coefficient * units / len(targets)",
        ("tests/rlhf/stage1_sft/test_mixing.py::test_a_step_is_the_mean_over_responses_plus_gamma_times_the_mean_over_text",),
    ),
    # ---- PPO: the rollout ----
    Bug(
        "log-probabilities at another temperature", ROLLOUT,
        "sampling_logprobs(model(batch.inputs, at=mask), temperature)",
        "sampling_logprobs(model(batch.inputs, at=mask), 1.0)",
        (f"{T_ROLLOUT}::test_stored_logprobs_are_those_of_the_sampling_at_its_temperature",),
        "rlhf-book, minimind: sampled at one temperature, scored at another",
    ),
    Bug(
        "log-probabilities read one place too late", ROLLOUT,
        "model(batch.inputs, at=mask), temperature)",
        "model(batch.ids, at=F.pad(mask, (1, 0))), temperature)",
        (f"{T_ROLLOUT}::test_logprobs_and_entropy_are_those_of_each_sequence_alone",),
    ),
    Bug(
        "values read after the token they should predict from", ROLLOUT,
        "values = model(batch.inputs, at=mask)",
        "values = model(batch.ids, at=F.pad(mask, (1, 0)))",
        (f"{T_ROLLOUT}::test_values_are_read_before_each_token",), "Schulman et al. 2016 (GAE), section 3",
    ),
    # ---- PPO: rewards and advantages ----
    Bug(
        "sign of the KL flipped", LOSSES,
        "    return logprobs - ref_logprobs\n", "    return ref_logprobs - logprobs\n",
        (f"{T_KL}::test_k1_and_k3_expect_the_exact_kl_in_the_right_direction",
         f"{T_OPTIMUM}::test_ppo_and_dpo_reach_the_optimum"),
        "rlhf-book loss.py: approx_kl1 returns −k1",
    ),
    Bug(
        "k3 in the wrong direction", LOSSES,
        "return torch.expm1(-delta) + delta", "return torch.expm1(delta) - delta",
        (f"{T_KL}::test_k1_and_k3_expect_the_exact_kl_in_the_right_direction",),
        "rlhf-book loss.py: approx_kl3",
    ),
    Bug(
        "reward on the first pad", LOSSES,
        "last = mask & ~F.pad(mask[:, 1:], (0, 1))", "last = ~mask & F.pad(mask[:, :-1], (1, 0))",
        (f"{T_LOSSES}::test_rewards_are_the_kl_at_every_token_and_the_score_at_the_last_real_one",),
        "huggingface/trl#3750",
    ),
    Bug(
        "the KL is paid at padded places too", LOSSES,
        "rewards = torch.where(mask, -beta * kl_k1(logprobs, ref_logprobs), 0.0)  # [B,T]",
        "rewards = -beta * kl_k1(logprobs, ref_logprobs)",
        (f"{T_LOSSES}::test_rewards_are_the_kl_at_every_token_and_the_score_at_the_last_real_one",),
    ),
    Bug(
        "value bootstrapped past the end", LOSSES,
        "values = torch.where(mask, values, 0.0)  # zero at the pads", "pass  # ",
        (f"{T_LOSSES}::test_gae_is_the_discounted_sum_of_td_errors",
         f"{T_LOSSES}::test_gae_does_not_see_the_pads_and_rows_do_not_see_each_other"),
        "huggingface/trl#3750",
    ),
    Bug(
        "gamma without lambda", LOSSES,
        "advantage = delta + gamma * lam * advantage", "advantage = delta + gamma * advantage",
        (f"{T_LOSSES}::test_gae_is_the_discounted_sum_of_td_errors",),
    ),
    Bug(
        "returns after whitening", UPDATE,
        "        advantages = whiten(advantages, batch.mask)\n",
        "        advantages = whiten(advantages, batch.mask)\n        returns = advantages + batch.values\n",
        (f"{T_PPO}::test_metrics_are_those_of_a_slow_loop_over_real_tokens",), "Schulman et al. 2016 (GAE), section 3",
    ),
    Bug(
        "advantages whitened with pads", LOSSES,
        "    x = torch.where(mask, x, 0.0)  # [B,T]\n    mean = masked_mean(x, mask)\n"
        "    variance = masked_mean((x - mean) ** 2, mask)\n",
        "    mean = x.mean()\n    variance = ((x - mean) ** 2).mean()\n",
        (f"{T_LOSSES}::test_whitening_equals_whitening_the_joined_real_tokens",),
        "Huang et al. 2024 (N+ details): masked whitening",
    ),
    Bug(
        "an answer without end keeps its score", LOSSES,
        "return torch.where(ended, scores, missing_end_score)", "return scores",
        (f"{T_LOSSES}::test_an_answer_without_end_gets_the_fixed_score_and_only_that_one",), "huggingface/trl#2012",
    ),
    # ---- PPO: the update ----
    Bug(
        "clip on the wrong side", LOSSES,
        "torch.maximum(unclipped, clipped), mask, denominator)\n    with torch.no_grad():\n        parts",
        "torch.minimum(unclipped, clipped), mask, denominator)\n    with torch.no_grad():\n        parts",
        (f"{T_LOSSES}::test_the_clip_stops_the_gradient_only_in_the_direction_of_the_advantage",),
    ),
    Bug(
        "the policy loss has the wrong sign", LOSSES,
        "unclipped = -advantages * ratio", "unclipped = advantages * ratio",
        (f"{T_LOSSES}::test_at_ratio_one_the_gradient_is_reinforce",),
    ),
    Bug(
        "each micro-batch divides by its own tokens", UPDATE,
        "micro.advantages, micro.mask, config.clip, denominator=minibatch.tokens",
        "micro.advantages, micro.mask, config.clip, denominator=micro.mask.sum() * len(parts)",
        (f"{T_PPO}::test_micro_batches_of_any_size_make_the_same_update",), "allenai/open-instruct#1137",
    ),
    Bug(
        "the critic is detached", UPDATE,
        "values = response_values(ppo.value_module, micro)  # [b,t]",
        "values = response_values(ppo.value_module, micro).detach().requires_grad_()",
        (f"{T_PPO}::test_the_frozen_stays_frozen_and_the_value_model_teaches_the_policy_nothing",),
    ),
    Bug(
        "the reference is the policy itself", "rlhf/stage3_ppo/networks.py",
        "self.reference = copy.deepcopy(policy).requires_grad_(False)", "self.reference = policy",
        (f"{T_PPO}::test_the_probe_a_rewarded_first_letter_becomes_frequent",),
    ),
    Bug(
        "the value model is the reward model itself", "rlhf/stage3_ppo/networks.py",
        "        return ValueModel.from_reward_model(reward_fn)\n",
        "        return ValueModel(reward_fn.trunk, reward_fn.head, reward_fn.shift).requires_grad_(True)\n",
        (f"{T_PPO}::test_the_frozen_stays_frozen_and_the_value_model_teaches_the_policy_nothing",),
    ),
    Bug(
        "dropout on in the rollout's models", "rlhf/stage3_ppo/networks.py",
        "= policy.eval(), value_model.eval(), reward_fn", "= policy.train(), value_model.train(), reward_fn",
        (f"{T_PPO}::test_the_first_minibatch_has_ratio_one_even_in_a_model_with_dropout",),
        "huggingface/trl#454, CarperAI/trlx#508",
    ),
    Bug(
        "resume without the random numbers", "rlhf/stage3_ppo/training.py",
        '        ppo.generator.set_state(saved["generator"])\n', "",
        (f"{T_PPO}::test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one",),
    ),
    Bug(
        "resume without the KL controller", "rlhf/stage3_ppo/training.py",
        "ppo.controller.beta, ppo.policy_updates = self.state.beta, self.state.policy_updates",
        "ppo.policy_updates = self.state.policy_updates",
        (f"{T_PPO}::test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one",),
    ),
    Bug(
        "the adaptive controller steers away from its target", LOSSES,
        "kl_nats_per_sequence / self.target - 1, -0.2)", "1 - kl_nats_per_sequence / self.target, -0.2)",
        (f"{T_LOSSES}::test_the_adaptive_controller_follows_zieglers_formula",),
    ),
    Bug(
        "PPO-ptx is left out of the gradient", UPDATE,
        "    (ppo.config.ptx_coefficient * loss).backward()\n", "",
        (f"{T_PPO}::test_the_ptx_gradient_is_that_of_ppo_plus_gamma_times_the_language_models",),
    ),
    Bug(
        "the value loss masks only what it has squared", LOSSES,
        "= (torch.where(mask, x, 0.0) for x in (values, old_values, returns))", "= values, old_values, returns",
        (f"{T_LOSSES}::test_garbage_in_padding_reaches_neither_result_nor_gradient",), "this project, until 2026-11-29",
    ),
    Bug(
        "the policy's warm-up runs while only the critic learns", UPDATE,
        "return lr_factor(iteration - waiting, config.iterations - waiting, config.optimization), value",
        "return value, value",
        (f"{T_PPO}::test_the_warm_up_of_the_policy_begins_with_its_first_update",), "this project, until 2026-11-29",
    ),
    Bug(
        "the adaptive beta moves while only the critic learns", UPDATE,
        "    if iteration >= config.critic_warmup:\n        ppo.controller",
        "    if True:\n        ppo.controller",
        (f"{T_PPO}::test_the_adaptive_beta_stands_still_while_only_the_value_model_learns",),
        "this project, until 2026-11-29",
    ),
    Bug(
        "the KL stop comes after the step that went too far", UPDATE,
        "    if config.kl_stop > 0 and measured[\"approxkl\"] > 1.5 * config.kl_stop:\n        return False\n"
        "    ppo.policy_optimizer.step(factor)\n    ppo.policy_updates += 1\n    return True\n",
        "    ppo.policy_optimizer.step(factor)\n    ppo.policy_updates += 1\n"
        "    return not (config.kl_stop > 0 and measured[\"approxkl\"] > 1.5 * config.kl_stop)\n",
        (f"{T_PPO}::test_the_kl_stop_acts_before_the_step_that_goes_too_far_and_leaves_the_value_model_alone",),
        "this project, until 2026-11-29; Spinning Up breaks before",
    ),
    # ---- DPO, GRPO, evaluation ----
    Bug(
        "DPO without a reference", DPO, "return beta * (logprobs - ref_logprobs)", "return beta * logprobs",
        ("tests/rlhf/alternatives/test_dpo.py::test_two_answers_give_the_papers_loss",
         f"{T_OPTIMUM}::test_ppo_and_dpo_reach_the_optimum"),
    ),
    Bug(
        "DPO with means over tokens", "rlhf/alternatives/dpo.py",
        ".masked_scatter(real, logprobs).sum(dim=1)  # [N]",
        ".masked_scatter(real, logprobs).sum(dim=1) / real.sum(dim=1)",
        ("tests/rlhf/alternatives/test_dpo.py::test_the_prompt_cancels_in_loss_and_gradient",),
    ),
    Bug(
        "dropout on in DPO", DPO, "    policy.eval()  #", "    policy.train()  #",
        (f"{T_DPO}::test_dropout_is_off_so_that_policy_and_reference_start_equal",),
        "Huang et al. 2024 (N+ details): dropout is off",
    ),
    Bug(
        "dropout on in GRPO", "rlhf/alternatives/grpo.py", "        model.eval()  #", "        model.train()  #",
        ("tests/rlhf/alternatives/test_grpo.py::test_dropout_is_off_so_that_the_ratio_is_one",),
        "Huang et al. 2024 (N+ details): dropout is off",
    ),
    Bug(
        "advantages over the batch instead of the group", "rlhf/alternatives/grpo_losses.py",
        "advantages = groups - groups.mean(dim=1, keepdim=True)", "advantages = groups - groups.mean()",
        ("tests/rlhf/alternatives/test_grpo.py::test_advantages_compare_an_answer_with_its_own_group",),
    ),
    Bug(
        "the baseline of leave-one-out holds the answer", "rlhf/alternatives/grpo_losses.py",
        "others = (groups.sum(dim=1, keepdim=True) - groups) / (group_size - 1)",
        "others = groups.mean(dim=1, keepdim=True)",
        ("tests/rlhf/alternatives/test_grpo.py::test_leave_one_out_is_the_group_advantage_times_g_over_g_minus_one",),
    ),
    Bug(
        "the KL of best-of-K without its correction", "rlhf/alternatives/best_of_k.py",
        "return math.log(k) - (k - 1) / k", "return math.log(k)",
        ("tests/rlhf/alternatives/test_best_of_k.py::test_the_bound_is_reached_where_no_answer_is_likely",),
    ),
    # ---- packing ----
    Bug(
        "packed documents see each other", ATTENTION,
        "(causal_mask(documents.shape[1], documents.device) & same)[:, None]  # [B,1,T,T]",
        "causal_mask(documents.shape[1], documents.device).expand(len(documents), 1, -1, -1)",
        (f"{T_PACKING}::test_packed_documents_have_the_logits_losses_and_gradients_of_documents_alone",
         "tests/rlhf/stage1_sft/test_sft_packing.py::test_loss_and_gradient_are_those_of_a_row_for_each"),
        "nanochat scripts/chat_sft.py",
    ),
    Bug(
        "positions run on through a packed row", ATTENTION,
        "Layout(positions_in_documents(documents), ",
        "Layout(torch.arange(documents.shape[1], device=documents.device), ",
        (f"{T_PACKING}::test_packed_documents_have_the_logits_losses_and_gradients_of_documents_alone",),
        "nanochat scripts/chat_sft.py",
    ),
    Bug(
        "packed rows learn their prompts", "rlhf/stage1_sft/examples.py",
        "supervised = [(IGNORE,) * (len(example.prompt) - 1) + example.response for example in examples]",
        "supervised = [ids[1:] for ids in sequences]",
        ("tests/rlhf/stage1_sft/test_sft_packing.py::test_packed_by_hand",),
    ),
    Bug(
        "a packed row takes more than it can hold", "minigpt/data.py",
        "if room[row] >= length]", "if room[row] > 0]",
        (f"{T_PACKING}::test_nothing_is_lost_cropped_or_twice_and_no_two_rows_could_be_one",),
    ),
    Bug(
        "the curve of best-of-n draws its samples again", "rlhf/alternatives/best_of_k.py",
        "    chosen = [math.comb(worse, n - 1) for worse in range(N)]  # `worse`: how many answers have a lower score\n"
        "    ways = math.comb(N, n)\n",
        "    chosen = [((worse + 1) / N) ** n - (worse / N) ** n for worse in range(N)]\n    ways = 1\n",
        ("tests/rlhf/alternatives/test_best_of_k.py::test_the_estimate_is_unbiased",),
        "Stiennon et al. 2020: best-of-n curves",
    ),
    Bug(
        "the reward model drops out while it scores", ROLLOUT, "    model.eval()  # no dropout: an answer", "    #",
        ("tests/rlhf/stage3_ppo/test_ppo_invariants.py::"
         "test_a_reward_model_that_was_left_in_training_mode_scores_without_dropout",),
        "this project, until 2026-11-25",
    ),
    Bug(
        "the end token of an earlier turn counts as the answer's", ROLLOUT,
        "ended=generation.ended,",
        "ended=torch.tensor([tokenizer.end_id in prompt for prompt in chosen]) | generation.ended,",
        ("tests/rlhf/stage3_ppo/test_ppo_invariants.py::"
         "test_the_score_of_an_answer_without_end_is_replaced_though_its_prompt_holds_an_end_token",),
        "huggingface/trl#6802, #6805",
    ),
    # ---- exchange with other tools ----
    Bug(
        "one of GPT-2's matrices, a square one, is not transposed", "minigpt/hf/architectures.py",
        'transposed=frozenset({"attention.qkv", "attention.projection", "mlp.up", "mlp.projection"})',
        'transposed=frozenset({"attention.qkv", "mlp.up", "mlp.projection"})',
        (f"{T_CONVERT}::test_transformers_loads_an_export_with_nothing_else_and_computes_the_same",
         f"{T_CONVERT}::test_gpt2s_published_files_load_and_the_new_tokens_leave_the_old_logits_alone"),
    ),
    Bug(
        "queries and keys change places, and change back on the way home", "minigpt/hf/architectures.py",
        '"attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")',
        '"attention.qkv": ("self_attn.k_proj", "self_attn.q_proj", "self_attn.v_proj")',
        (f"{T_CONVERT}::test_transformers_loads_an_export_with_nothing_else_and_computes_the_same",),
    ),
    Bug(
        "GPT-2's order of the bytes is ignored", "minigpt/tokenizer.py",
        "tokens = [*(BYTES[value] for value in byte_order), ", "tokens = [*BYTES, ",
        ("tests/minigpt/test_tokenizer_peers.py::test_gpt2s_vocab_and_merges_are_read_as_tokenizers_reads_them",),
    ),
    Bug(
        "a new token starts with logit 0, far above the others", "minigpt/hf/model.py",
        "new = rows.mean(dim=0).expand(", "new = torch.zeros(rows.shape[1]).expand(",
        (f"{T_CONVERT}::test_a_new_token_is_at_most_as_likely_as_the_old_ones_are_on_average",), "Hewitt 2021",
    ),
    Bug(
        "the exported reward model has lost its shift", "rlhf/data_formats/export.py",
        "return model.head.bias[0] - model.shift", "return model.head.bias[0]",
        ("tests/rlhf/data_formats/test_export.py::test_transformers_scores_padded_batches_as_we_do",
         "tests/rlhf/data_formats/test_export.py::test_the_constant_is_exact_at_any_size"),
    ),
    # ---- own data ----
    Bug(
        "HH-RLHF is split at the first Assistant", "rlhf/data_formats/hh.py",
        "            cut = marker.end()\n", "            cut = cut or marker.end()\n",
        ("tests/rlhf/data_formats/test_hh.py::test_a_pair_by_hand",),
    ),
    Bug(
        "HH-RLHF's texts are split at the last Assistant of each", "rlhf/data_formats/hh.py",
        'rejected[cut:].removeprefix(" ")', 'rejected.rpartition(ASSISTANT)[2].removeprefix(" ")',
        ("tests/rlhf/data_formats/test_hh.py::test_answers_that_part_in_an_earlier_turn_are_compared_from_there",),
    ),
    Bug(
        "ties are exported as pairs", "rlhf/records.py",
        "ranking.ranks[better] < ranking.ranks[worse]", "ranking.ranks[better] <= ranking.ranks[worse]",
        ("tests/rlhf/data_formats/test_preferences.py::test_a_ranking_by_hand",
         "tests/rlhf/test_records.py::test_pairs_are_those_of_a_double_loop_over_different_ranks_and_texts"),
        "InstructGPT, appendix C.2, drops them",
    ),
    Bug(
        "lower scores are better", "rlhf/data_formats/rankings.py", "sorted(scores, reverse=True)", "sorted(scores)",
        ("tests/rlhf/data_formats/test_formats.py::test_scores_become_ranks_and_equal_scores_ties",),
    ),
    Bug(
        "a system message is dropped", "rlhf/data_formats/messages.py",
        'rest[first] = Turn("user", "\\n\\n".join([*system, rest[first].text]))', "pass",
        ("tests/rlhf/data_formats/test_messages.py::test_a_system_message_stands_before_the_users_first_words",),
    ),
    Bug(
        "a demonstration that was left out keeps its prompt in the list", "rlhf/stage1_sft/examples.py",
        "            example = encode_demonstration(tokenizer, item, context, where)\n"
        "            bad.fits(len(example.prompt) + len(example.response))\n"
        "            examples.append(example)\n"
        "            fitting.append(item)\n",
        "            fitting.append(item)\n"
        "            example = encode_demonstration(tokenizer, item, context, where)\n"
        "            bad.fits(len(example.prompt) + len(example.response))\n"
        "            examples.append(example)\n",
        (f"{T_SFT}::test_a_demonstration_that_does_not_fit",),
    ),
    Bug(
        "a bad line decides the format of the file", "rlhf/data_formats/formats.py",
        "            found = _same_format(data, expected, where)\n",
        "            found = expected = _same_format(data, expected, where)\n",
        ("tests/rlhf/data_formats/test_formats.py::test_a_file_holds_one_format",),
    ),
    # ---- nothing is lost ----
    Bug(
        "a name on the disk before its bytes", "minigpt/runs/files.py",
        "            file.flush()\n            os.fsync(file.fileno())\n        os.replace(temporary, path)\n",
        "            file.flush()\n        os.replace(temporary, path)\n",
        ("tests/minigpt/runs/test_checkpoint.py::test_the_bytes_reach_the_disk_before_the_name_does",),
        "Linux, Documentation/filesystems/ext4.txt, auto_da_alloc: files of no length after a rename without fsync",
    ),
    Bug(
        "the saved state before the newest is not kept", "minigpt/runs/resume.py", "KEPT = 2", "KEPT = 1",
        (f"{T_RESUME}::test_the_last_two_are_kept_and_the_newest_is_resumed",
         f"{T_RESUME}::test_a_damaged_newest_file_can_be_deleted_to_resume_from_the_one_before"),
    ),
    Bug(
        "room is made before the new state is whole", "minigpt/runs/resume.py",
        "    check_weights(payload)\n    save_checkpoint(",
        "    for old in resume_paths(folder)[:-1]:\n        old.unlink()\n    save_checkpoint(",
        (f"{T_RESUME}::test_at_every_moment_of_a_save_the_last_two_are_whole",),
    ),
    Bug(
        "a stopped run goes on with other settings", "minigpt/runs/resume.py",
        "    if changed:\n", "    if not describe:\n",
        (f"{T_RESUME}::test_other_settings_are_named_with_both_values",
         f"{T_TRAINING}::test_other_settings_are_refused_and_the_stopped_run_stays_as_it_was"),
    ),
    Bug(
        "a stopped stage goes on from another base model", "rlhf/stage1_sft/stage.py",
        '"base": weights_digest(policy),', "",
        ("tests/commands/test_resume.py::test_a_stopped_stage_does_not_go_on_from_another_model",),
        "this project, until 2026-11-25",
    ),
    Bug(
        "resume without the value model's optimiser", "rlhf/stage3_ppo/training.py",
        '        ppo.value_optimizer.load_state_dict(saved["value_optimizer"])\n', "",
        (f"{T_PPO}::test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one",
         "tests/commands/test_resume.py::test_a_command_stopped_in_the_middle_and_given_again_leaves_what_it_would_have_left"),
    ),
    # ---- the classroom ----
    Bug(
        "ranks are kept in the order of the page", "rlhf/web/store/rankings.py",
        "dense([rank for _, rank in sorted(zip(shown, shown_ranks, strict=True))])", "dense(shown_ranks)",
        (f"{T_WEB}/test_label.py::test_the_order_of_the_answers_is_drawn_for_each_person",),
    ),
    Bug(
        "a label is acknowledged before it is on the disk", "rlhf/web/store/database.py",
        "PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL",
        (f"{T_WEB}/test_pages.py::test_a_commit_has_reached_the_disk",),
        "SQLite's documentation of the pragma: in WAL mode a power cut may take the last commits",
    ),
    Bug(
        "two people are handed the last place of one prompt", "rlhf/web/store/database.py",
        "BEGIN IMMEDIATE\")  # the write lock", "BEGIN\")  # the write lock",
        (f"{T_WEB}/test_label.py::test_many_people_at_once_get_no_prompt_too_often",),
    ),
    Bug(
        "alpha without the correction for few values", "rlhf/web/labels/agreement.py",
        "return 1 - (n - 1) * observed / expected", "return 1 - n * observed / expected",
        (f"{T_WEB}/test_agreement.py::test_alpha_is_the_published_one",), "Krippendorff 2011",
    ),
    Bug(
        "a prompt is learned from and held back", "rlhf/web/labels/export.py",
        "(_shuffled(label.item_id), label.person_id)", "(label.person_id, _shuffled(label.item_id))",
        (f"{T_WEB}/test_pages.py::test_rankings_of_one_prompt_stand_together",),
    ),
    Bug(
        "a form of another site is taken", "rlhf/web/security.py",
        "        check_token(request.headers, body, session.csrf)\n", "",
        (f"{T_WEB}/test_security.py::test_whatever_changes_something_carries_the_token",),
    ),
    Bug(
        "web batch: a row draws its neighbour's random numbers", WEB_BATCH,
        "row.uniforms[len(row.ids)] for row in", "self.rows[0].uniforms[len(row.ids)] for row in",
        (f"{T_WEB_BATCH}::test_a_row_that_joins_between_two_tokens_changes_nothing_for_anybody",),
    ),
    Bug(
        "KV cache: rows that are copied into another get the length of the longest", "minigpt/cache.py",
        "self.lengths[rows] = other.lengths", "self.lengths[rows] = other.longest",
        (f"{T_ATTENTION}::test_put_copies_rows_to_their_numbers",
         f"{T_WEB_BATCH}::test_joined_caches_hold_the_rows_of_both"),
    ),
    Bug(
        "web batch: the settings of one row are used for all", WEB_BATCH,
        "if len(groups) == 1:", "if len(groups) >= 1:",
        (f"{T_WEB_BATCH}::test_sampled_answers_with_settings_of_their_own_are_those_of_each_alone",),
    ),
    Bug(
        "web batch: who has left is written for to the end", WEB_BATCH,
        "return not (self.finished or self.ticket.cancelled)", "return not self.finished",
        (f"{T_WEB_BATCH}::test_who_leaves_is_dropped_and_the_others_go_on_as_if_alone",),
    ),
    Bug(
        "half a character is shown", "rlhf/web/engine/text.py",
        "return self._decoder.decode(self._tokenizer.token_bytes(token_id))",
        "return self._tokenizer.decode([token_id])",
        (f"{T_WEB}/engine/test_text.py::test_a_character_of_several_tokens_appears_when_it_is_whole",),
    ),
    Bug(
        "a new checkpoint is not read", "rlhf/web/engine/models.py",
        "known, policy = self._policies.get(stage.folder, (None, None))\n        if known != signature:",
        "known, policy = self._policies.get(stage.folder, (None, None))\n        if policy is None:",
        (f"{T_WEB}/engine/test_worker.py::test_a_checkpoint_that_was_replaced_is_read_again",),
    ),
    Bug(
        "answers are written for browsers that have gone", "rlhf/web/engine/streams.py",
        "                ticket.cancel()\n", "                pass\n",
        (f"{T_WEB}/engine/test_streams.py::test_a_browser_that_has_gone_cancels_its_requests_while_they_wait",),
    ),
    Bug(
        "blind: the score gives the writer away", "rlhf/web/pages/compare.py",
        "return Answer(event.sample, event.text, event.ended, None)", "return event",
        (f"{T_WEB}/pages/test_compare.py::"
         "test_a_blind_round_shows_two_texts_and_nothing_that_names_their_writers",),
    ),
    Bug(
        "blind: the first stage is always the first answer", "rlhf/web/blind.py",
        "first, second = self._rng.sample(sorted(set(stages)), 2)",
        "first, second = sorted(self._rng.sample(sorted(set(stages)), 2))",
        (f"{T_WEB}/pages/test_compare.py::"
         "test_every_pair_of_the_stages_is_drawn_in_either_order_equally_often",),
    ),
    Bug(
        "a silent head silences those after it", "minigpt/inside.py", "mixed[:, head] = 0", "mixed[:, head:] = 0",
        ("tests/minigpt/test_inside.py::test_a_silent_head_is_one_whose_columns_of_the_projection_are_zero",),
    ),
    Bug(
        "half a line of a growing log is read", "rlhf/web/logs.py",
        'whole = data[: data.rfind(b"\\n") + 1]', "whole = data",
        (f"{T_WEB}/pages/test_runs.py::test_a_growing_log_is_read_part_by_part",),
    ),
)  # fmt: skip
