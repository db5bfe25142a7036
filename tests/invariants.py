"""The 33 invariants that must hold, the tests that hold them, and the mistakes that would show.

    python -m tests.invariants

writes the table between the markers of tests/README.md. T1 to T33 are the numbers of this table. The last column
names the paper, the project or the thread where a mistake was described; threads are cited from a survey made in
September 2026, and none was opened again for this list. tests/test_invariants.py checks that every test named
here exists and that the page is up to date.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import UserError, run_main
from minigpt.runs.files import write_text
from rlhf.report.readme import replace_between


@dataclass(frozen=True)
class Invariant:
    """T`number`: what holds, in plain words; the tests, as file::name below tests/; what they would catch."""

    number: int
    holds: str
    tests: tuple[str, ...]
    catches: str


@dataclass(frozen=True)
class Chapter:
    """Invariants of one part of the project."""

    title: str
    invariants: tuple[Invariant, ...]


MODEL, GENERATE, PACKING = "minigpt/test_model.py", "minigpt/test_generate.py", "minigpt/test_packing.py"
TRAINING, PRETRAIN = "minigpt/test_training.py", "minigpt/test_pretrain.py"
SFT, SFT_PACKING, REWARD = (
    "rlhf/stage1_sft/test_sft.py",
    "rlhf/stage1_sft/test_sft_packing.py",
    "rlhf/stage2_reward/test_reward_model.py",
)
PADDING, ROLLOUT, NOISE = (
    "rlhf/stage2_reward/test_padding.py",
    "rlhf/stage3_ppo/test_rollout.py",
    "rlhf/people/test_label_noise.py",
)
PPO, EXACT, LOSSES = (
    "rlhf/stage3_ppo/test_ppo.py",
    "rlhf/stage3_ppo/test_ppo_invariants.py",
    "rlhf/stage3_ppo/test_losses.py",
)
KL, OPTIMUM, BEST = (
    "rlhf/stage3_ppo/test_kl.py",
    "rlhf/stage3_ppo/test_optimum.py",
    "rlhf/alternatives/test_best_of_k.py",
)
DPO, GRPO, SAME = (
    "rlhf/alternatives/test_dpo.py",
    "rlhf/alternatives/test_grpo.py",
    "rlhf/stage3_ppo/test_trajectories.py",
)
FORMATS, HH, PREFERENCES = (
    "rlhf/data_formats/test_formats.py",
    "rlhf/data_formats/test_hh.py",
    "rlhf/data_formats/test_preferences.py",
)

MODEL_AND_GENERATION = (
    Invariant(
        1,
        "Reading token by token with the cache gives the logits of reading everything at once: ragged prompts, a "
        "prompt read once for K answers, rows that leave on the way.",
        (
            f"{MODEL}::test_cached_logits_equal_full_logits",
            f"{GENERATE}::test_generate_equals_the_slow_oracle",
            "minigpt/test_attention.py::test_keep_selects_and_reorders_rows",
        ),
        "A row that takes another row's keys after compaction; positions counted in columns instead of tokens.",
    ),
    Invariant(
        2,
        "Log-probabilities, values and scores do not change with padding on either side, with what stands in it, "
        "with the neighbours in the batch, or with the order of the rows.",
        (
            f"{MODEL}::test_padding_and_neighbours_change_nothing",
            f"{PADDING}::test_logprobs_values_and_scores_do_not_see_padding_neighbours_or_order",
            f"{PADDING}::test_padding_on_the_left_gives_the_same_numbers",
            f"{ROLLOUT}::test_padding_batch_mates_and_micro_batches_change_nothing",
        ),
        "Positions that pads on the left shift (commented out in the ppo.py of Huang et al. 2024); a mask from "
        "comparing ids with the pad id (huggingface/trl#5303).",
    ),
    Invariant(
        3,
        "The log-probabilities stored while sampling are those computed again, at the same temperature and truncation.",
        (
            f"{GENERATE}::test_stored_logprobs_equal_recomputed_ones",
            f"{ROLLOUT}::test_stored_logprobs_are_those_of_the_sampling_at_its_temperature",
        ),
        "Sampling at 0.6 and learning at 1 (rlhf-book, minimind, nanochat); a negative KL (huggingface/trl#1857).",
    ),
    Invariant(
        4,
        "Tokens are sampled as often as softmax(logits/T) says (χ²), samples of one prompt are independent, a seed "
        "repeats them, and T → 0 takes the most probable.",
        (
            f"{GENERATE}::test_frequencies_are_the_softmax_of_the_tempered_logits",
            f"{GENERATE}::test_samples_of_one_prompt_are_independent",
            f"{GENERATE}::test_same_seed_same_tokens",
            f"{GENERATE}::test_small_temperatures_approach_greedy",
        ),
        "All samples of a prompt beginning with the same token (nanochat tests/test_engine.py, a past bug); a "
        "temperature that is applied twice or multiplied.",
    ),
    Invariant(
        5,
        "A response ends with the first end token that it writes itself, and that token counts; a cut response "
        "counts to its last token and has none; the end token alone is a response; prompts may hold any id.",
        (
            f"{EXACT}::test_nothing_after_the_end_counts_the_end_does_and_so_does_the_last_token_of_a_cut_response",
            f"{EXACT}::test_a_response_of_the_end_token_alone",
            f"{ROLLOUT}::test_the_end_token_is_part_of_the_response_and_only_the_responses_own_counts",
            f"{GENERATE}::test_the_stop_token_is_the_last_token_and_counts",
            f"{GENERATE}::test_prompts_may_contain_stop_and_pad_ids",
        ),
        "A terminal token that gets no gradient (nanochat engine.py); empty outputs after trimming the end "
        "(CarperAI/trlx PR #401).",
    ),
)

STAGE_1 = (
    Invariant(
        6,
        "The gradient by the logits is exactly 0 where a prompt token or a pad is due; other prompt tokens of the "
        "same number change no target.",
        (
            f"{SFT}::test_gradient_is_exactly_zero_at_prompt_and_pad_targets",
            f"{SFT}::test_the_tokens_of_a_prompt_are_no_targets",
            f"{SFT}::test_first_and_last_target_of_the_smallest_example",
        ),
        "A mask that is off by one; a loss on prompts (only pads are masked in the sft.py of Huang et al. 2024).",
    ),
    Invariant(
        7,
        "The loss of a batch is the same however it is split, and packed into rows or not; on three tokens it is "
        "what a hand computes.",
        (
            f"{TRAINING}::test_any_split_into_micro_batches_is_the_whole_batch",
            f"{PACKING}::test_packed_documents_have_the_logits_losses_and_gradients_of_documents_alone",
            f"{SFT_PACKING}::test_loss_and_gradient_are_those_of_a_row_for_each",
            f"{SFT_PACKING}::test_three_tokens_by_hand",
        ),
        "A mean of micro-batch means (karpathy/nanochat#59, huggingface/trl#2175); packed demonstrations that see each "
        "other (nanochat's bestfit-pad).",
    ),
    Invariant(
        8,
        "The pad id may be the end token or any token of the texts: nothing changes.",
        (
            f"{SFT}::test_the_pad_id_may_be_any_token_of_the_texts",
            f"{SFT_PACKING}::test_the_pad_id_may_be_any_token_of_the_texts",
            f"{GENERATE}::test_padding_may_be_the_stop_token",
            f"{PADDING}::test_the_head_reads_the_state_at_the_end_token_and_no_other",
        ),
        "pad = eos, the commonest family of bugs (huggingface/trl#2387, #2892, #5303).",
    ),
)

STAGE_2 = (
    Invariant(
        9,
        "The K-wise loss and its gradient are those of a double loop over pairs, for K = 2 … 9, ties and ragged K; "
        "every K weighs a prompt alike; order and a constant a prompt change nothing.",
        (
            f"{REWARD}::test_kwise_loss_and_gradient_are_those_of_a_double_loop",
            f"{REWARD}::test_every_k_weighs_a_prompt_alike",
            f"{REWARD}::test_the_order_of_answers_and_prompts_and_a_constant_a_prompt_change_nothing",
            f"{REWARD}::test_two_answers_are_the_usual_pairwise_loss_and_no_k_weighs_more_than_another",
        ),
        "Ties as pairs (InstructGPT, C.2); nine answers weighing six times as much as four (InstructGPT, section 3.5).",
    ),
    Invariant(
        10,
        "A prompt costs K forward passes, not two for each of its K(K − 1)/2 pairs.",
        (f"{REWARD}::test_a_step_reads_each_answer_once",),
        "Pairs shuffled into one data set, which overfits within an epoch (InstructGPT, 3.5).",
    ),
    Invariant(
        11,
        "After normalisation the demonstrations score 0 on average; the shift is saved, and no order changes.",
        (f"{REWARD}::test_after_normalisation_demonstrations_score_zero_and_nothing_changes_its_place",),
        "A checkpoint that scores on another scale than the one it was trained on (InstructGPT, section 3.5).",
    ),
    Invariant(
        12,
        "The score is read at the end token, at any length and padded on either side, wherever the prompt ends.",
        (
            f"{PADDING}::test_the_head_reads_the_state_at_the_end_token_and_no_other",
            f"{PADDING}::test_the_score_does_not_depend_on_where_the_prompt_ends",
            f"{PADDING}::test_stage_2_and_stage_3_give_an_answer_the_same_score",
            f"{REWARD}::test_the_score_is_read_at_the_last_real_token_whatever_stands_in_the_padding",
        ),
        "A read-out at the first pad (huggingface/transformers#35352, huggingface/trl#937); no end token in the "
        "evaluation (huggingface/trl#5813).",
    ),
    Invariant(
        13,
        "It recovers a linear order, all of it without noise; with Bradley–Terry noise its accuracy is the "
        "ceiling E[max(p, 1 − p)].",
        (
            f"{NOISE}::test_without_noise_it_recovers_the_order_of_a_linear_gold",
            f"{NOISE}::test_with_noise_it_guesses_as_well_as_anyone_can_and_knows_better_than_its_teachers",
        ),
        "A loss that learns something else than the order; an accuracy above what labels allow, that is, a leak.",
    ),
)

STAGE_3 = (
    Invariant(
        14,
        "In the first minibatch of a rollout every ratio is 1, nothing is clipped, and the approximate KL is 0; "
        "with a learning rate of 0 that stays so in all epochs.",
        (
            f"{EXACT}::test_no_ratio_differs_from_one_until_the_policy_has_moved",
            f"{PPO}::test_the_first_minibatch_has_ratio_one_even_in_a_model_with_dropout",
            f"{PPO}::test_without_learning_the_ratio_stays_one_in_all_epochs",
        ),
        "Dropout, positions, temperature, masks or precision that differ between sampling and learning "
        "(huggingface/trl#454, CarperAI/trlx#107, #508).",
    ),
    Invariant(
        15,
        "Before the first update policy and reference are equal: every token's KL is 0, and the reward is the "
        "score, at the last token only.",
        (
            f"{EXACT}::test_at_the_start_every_token_has_kl_zero_and_the_reward_is_the_score_at_the_last_one",
            f"{PPO}::test_the_guards_find_another_reference_another_temperature_and_nan",
        ),
        "A reference that is no copy of the policy; a reward on the first pad (huggingface/trl#3750).",
    ),
    Invariant(
        16,
        "GAE is the discounted sum of TD errors; λ = γ = 1 and λ = 0 are Monte Carlo and TD; the rewards of a "
        "response add up to score − β·KL; what stands in pads and other rows changes nothing.",
        (
            f"{LOSSES}::test_gae_is_the_discounted_sum_of_td_errors",
            f"{LOSSES}::test_gae_limits_are_monte_carlo_and_td",
            f"{LOSSES}::test_gae_does_not_see_the_pads_and_rows_do_not_see_each_other",
            f"{LOSSES}::test_rewards_are_the_kl_at_every_token_and_the_score_at_the_last_real_one",
        ),
        "A terminal state that is bootstrapped from (TRL; Huang et al. 2024).",
    ),
    Invariant(
        17,
        "Whitened advantages have mean 0 and variance 1 over the real tokens of the whole rollout, pads stay 0, "
        "and the returns are taken before.",
        (
            f"{LOSSES}::test_whitening_equals_whitening_the_joined_real_tokens",
            f"{PPO}::test_metrics_are_those_of_a_slow_loop_over_real_tokens",
        ),
        "Pads in the statistics, a bias by length (Huang et al. 2024, masked whitening); returns from whitened "
        "advantages (Schulman et al. 2016).",
    ),
    Invariant(
        18,
        "At a ratio of 1 the gradient is REINFORCE's; the clip stops it only where the ratio has already moved as "
        "the advantage asks.",
        (
            f"{LOSSES}::test_at_ratio_one_the_gradient_by_the_logits_is_that_of_reinforce",
            f"{LOSSES}::test_at_ratio_one_the_gradient_is_reinforce",
            f"{LOSSES}::test_the_clip_stops_the_gradient_only_in_the_direction_of_the_advantage",
        ),
        "A sign; a minimum where the maximum belongs.",
    ),
    Invariant(
        19,
        "The clipped value loss is never below the plain one, and is half the squared error near the old values.",
        (f"{LOSSES}::test_the_clipped_value_loss_is_half_the_squared_error_near_the_old_values_and_never_below_it",),
        "A clip that makes the loss smaller, so that a value far off stops learning.",
    ),
    Invariant(
        20,
        "Micro-batches of any size make the same update.",
        (
            f"{LOSSES}::test_micro_batches_add_up_to_the_minibatch_exactly",
            f"{PPO}::test_micro_batches_of_any_size_make_the_same_update",
        ),
        "Each micro-batch divided by its own tokens (allenai/open-instruct#1137, #1161; huggingface/trl#3021).",
    ),
    Invariant(
        21,
        "In worlds that can be enumerated k1 and k3 expect the exact KL, policy to reference and not the reverse; "
        "as losses k1, k2 and k3 have three different gradients.",
        (
            f"{KL}::test_k1_and_k3_expect_the_exact_kl_in_the_right_direction",
            f"{KL}::test_with_policy_and_reference_exchanged_the_estimators_expect_something_else",
            f"{KL}::test_estimates_of_the_tokens_add_up_to_the_kl_of_the_answer",
            f"{KL}::test_as_losses_they_are_three_different_objectives",
            f"{KL}::test_k1_in_the_reward_has_the_gradient_of_the_kl",
        ),
        "rlhf-book's −k1 and its k3 in the wrong direction; k1 as a loss, which does nothing "
        "(huggingface/trl#4967, NVIDIA-NeMo/RL#2506).",
    ),
    Invariant(
        22,
        "The adaptive controller follows Ziegler's formula: clipped, monotonic, at rest at its target.",
        (f"{LOSSES}::test_the_adaptive_controller_follows_zieglers_formula",),
        "A KL per token where one per sequence belongs (Ziegler et al. 2019, section 2.2); a controller that steers "
        "away.",
    ),
    Invariant(
        23,
        "PPO and DPO end at π_ref·exp(r/β)/Z, GRPO where its KL leads it, and fine-tuning on the best of n at the "
        "exact best-of-n distribution.",
        (
            f"{OPTIMUM}::test_ppo_and_dpo_reach_the_optimum",
            f"{OPTIMUM}::test_the_optimum_is_what_no_other_policy_surpasses",
            f"{OPTIMUM}::test_a_large_beta_keeps_ppo_at_the_reference_and_none_makes_it_take_the_best",
            f"{OPTIMUM}::test_grpo_with_the_kl_in_the_reward_reaches_the_optimum",
            f"{OPTIMUM}::test_grpo_with_k3_in_the_loss_reaches_another_policy",
            f"{OPTIMUM}::test_fine_tuning_on_the_best_of_n_reaches_the_best_of_n_distribution",
        ),
        "Any wrong sign or direction on the way; a larger β that gives a larger KL (allenai/open-instruct#534).",
    ),
    Invariant(
        24,
        "Reference and reward model are bit for bit what they were, no gradient of the values reaches the policy, "
        "and nobody drops out.",
        (
            f"{EXACT}::test_reference_and_reward_model_are_bit_for_bit_what_they_were_and_nobody_drops_out",
            f"{EXACT}::test_the_values_gradient_reaches_the_value_model_and_no_other",
            f"{EXACT}::test_a_reward_model_that_was_left_in_training_mode_scores_without_dropout",
            f"{PPO}::test_the_frozen_stays_frozen_and_the_value_model_teaches_the_policy_nothing",
        ),
        "A reference that is updated; a detached critic (jsboige/CoursIA PR #15256); dropout in a frozen network.",
    ),
    Invariant(
        25,
        "The gradient of PPO-ptx is that of PPO plus γ times the language model's; γ = 0 is bit for bit no ptx.",
        (
            f"{PPO}::test_the_ptx_gradient_is_that_of_ppo_plus_gamma_times_the_language_models",
            f"{EXACT}::test_ptx_with_a_coefficient_of_zero_is_bit_for_bit_no_ptx",
        ),
        "A pretraining loss that is logged and not learned.",
    ),
    Invariant(
        26,
        "The score of a response without an end token is replaced, whatever the prompt holds, and no other is.",
        (
            f"{LOSSES}::test_an_answer_without_end_gets_the_fixed_score_and_only_that_one",
            f"{EXACT}::test_the_score_of_an_answer_without_end_is_replaced_though_its_prompt_holds_an_end_token",
        ),
        "Looking for the end in prompt and response together (huggingface/trl#6802, #6805); for eos instead of the "
        "stop token (huggingface/trl#5338).",
    ),
    Invariant(
        27,
        "A seed repeats a run to the last bit, and so does a run that was stopped and resumed.",
        (
            f"{EXACT}::test_the_same_seed_gives_the_same_metrics_and_another_seed_others",
            f"{SAME}::test_the_same_seed_is_the_same_run_to_the_last_bit_even_with_dropout",
            f"{PPO}::test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one",
            f"{PPO}::test_every_prompt_is_asked_once_before_any_is_asked_again",
            f"{TRAINING}::test_resumed_run_equals_uninterrupted_run_bit_for_bit",
            "commands/test_resume.py::test_a_command_stopped_in_the_middle_and_given_again_leaves_what_it_would_have_left",
        ),
        "Random numbers, optimiser, controller or data cursor lost on resume (karpathy/nanoGPT#190, minimind#99).",
    ),
)

ALTERNATIVES = (
    Invariant(
        28,
        "The KL of best-of-n stays strictly below log n − (n − 1)/n where answers can repeat, it wins n/(n + 1) of "
        "the time at most, and its curve is estimated without bias.",
        (
            f"{BEST}::test_the_exact_kl_stays_below_the_bound",
            f"{BEST}::test_the_bound_is_reached_where_no_answer_is_likely",
            f"{BEST}::test_the_best_of_k_wins_against_a_single_answer_k_times_of_k_plus_one_at_most",
            f"{BEST}::test_the_estimate_is_unbiased",
            f"{BEST}::test_the_estimate_is_the_mean_over_all_subsets",
        ),
        "A curve from samples drawn again with replacement, which is too low.",
    ),
    Invariant(
        29,
        "DPO's loss is log 2 at the start, a number worked by hand elsewhere, and sees response tokens only; its "
        "gradient raises the better answer; a reference measured beforehand gives the same.",
        (
            f"{DPO}::test_two_answers_give_the_papers_loss",
            f"{DPO}::test_at_the_reference_the_loss_is_log_two_and_its_gradient_raises_the_better_answer",
            f"{DPO}::test_a_larger_beta_is_a_steeper_loss_of_the_same_margin",
            f"{DPO}::test_the_prompt_cancels_in_loss_and_gradient",
            f"{DPO}::test_a_reference_measured_once_beforehand_gives_the_same_loss_and_gradient",
        ),
        "A missing reference; means over tokens instead of sums; the pair the wrong way round.",
    ),
    Invariant(
        30,
        "GRPO's advantages add up to 0 in a group, equal rewards teach nothing, leave-one-out is G/(G − 1) times "
        "as much, and a first step is REINFORCE.",
        (
            f"{GRPO}::test_advantages_compare_an_answer_with_its_own_group",
            f"{GRPO}::test_equal_rewards_teach_nothing",
            f"{GRPO}::test_leave_one_out_is_the_group_advantage_times_g_over_g_minus_one",
            f"{GRPO}::test_on_policy_the_gradient_is_reinforce_with_the_group_as_baseline",
        ),
        "Advantages over the batch instead of the group; NaN where all answers are equal.",
    ),
)

FORMATS_AND_COMMANDS = (
    Invariant(
        31,
        "Every format of peers becomes the same record, and what is written is read again; HH-RLHF's prompts are "
        "the longest common ones, byte for byte.",
        (
            f"{FORMATS}::test_a_pair_is_the_same_record_in_every_format",
            f"{FORMATS}::test_a_demonstration_is_the_same_record_in_every_format",
            f"{PREFERENCES}::test_what_is_written_is_read_again_as_the_same_pairs",
            f"{HH}::test_all_real_pairs_come_through_byte_for_byte",
            f"{HH}::test_the_prompts_of_the_real_pairs_are_the_longest_common_ones",
        ),
        "A conversation split at its first answer instead of its last; texts whose blanks were trimmed.",
    ),
    Invariant(
        32,
        "Every stage runs as a command, in seconds, on what the stage before it left.",
        (
            "commands/test_chain.py::test_each_stage_leaves_what_the_readme_promises",
            "commands/test_chain.py::test_evaluation_and_report_see_the_whole_chain",
            "minigpt/test_pretrain.py::test_own_text_becomes_a_self_describing_checkpoint",
        ),
        "A stage that cannot read what another one writes.",
    ),
    Invariant(
        33,
        "Ten steps in any split, packed or not, give the same losses and gradient norms, for every trainer.",
        (
            f"{SAME}::test_sft_in_any_split_and_packed_or_not",
            f"{SAME}::test_pretraining_in_any_split",
            f"{SAME}::test_rankings_in_any_split",
            f"{SAME}::test_grpo_in_any_split",
            f"{SAME}::test_ppo_in_any_split",
            f"{SAME}::test_these_tolerances_see_what_they_are_for",
        ),
        "A small bias that hides in one step and grows over ten.",
    ),
)

CHAPTERS = (
    Chapter("Model and generation", MODEL_AND_GENERATION),
    Chapter("SFT", STAGE_1),
    Chapter("The reward model", STAGE_2),
    Chapter("PPO", STAGE_3),
    Chapter("Best-of-n, DPO, GRPO", ALTERNATIVES),
    Chapter("Formats and commands", FORMATS_AND_COMMANDS),
)


def table(chapters: Sequence[Chapter] = CHAPTERS) -> str:
    """A Markdown table for each chapter."""
    lines: list[str] = []
    for chapter in chapters:
        lines += [f"### {chapter.title}", "", "| | invariant | tests | what it would catch |", "|---|---|---|---|"]
        for one in chapter.invariants:
            tests = "<br>".join(f"`{test}`" for test in one.tests)
            lines.append(f"| T{one.number} | {one.holds} | {tests} | {one.catches} |")
        lines.append("")
    return "\n".join(lines)


@dataclass(frozen=True)
class InvariantsConfig(Settings):
    """The page to write."""

    page: str = option("tests/README.md", "the page to write the table into")


def main(argv: list[str]) -> None:
    """Writes the table into the page."""
    config = parse(InvariantsConfig, argv, description=__doc__, presets={})
    path = Path(config.page)
    try:
        page = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); run this from the repository") from None
    write_text(path, replace_between(page, "invariants", table(), str(path)))
    print(f"{path} shows {sum(len(chapter.invariants) for chapter in CHAPTERS)} invariants")


if __name__ == "__main__":
    run_main(main)
