"""Mistakes that every function can have, made from the right one, and the check that meets each of them first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tutorials.instructor.wrong import Wrong

Function = Callable[..., Any]


def zeros(solution: Function) -> Function:
    return lambda *arguments: solution(*arguments) * 0


def five_percent_small(solution: Function) -> Function:
    return lambda *arguments: solution(*arguments) * 0.95


def sign_flipped(solution: Function) -> Function:
    return lambda *arguments: -solution(*arguments)


def another_axis(solution: Function) -> Function:
    """A tensor with an axis too many; a number in a list."""

    def wrong(*arguments: Any) -> Any:
        output = solution(*arguments)
        return output[None] if isinstance(output, Tensor) else [output]

    return wrong


def one_number(solution: Function) -> Function:
    return lambda *arguments: solution(*arguments).mean()


def returns_input(solution: Function) -> Function:
    return lambda *arguments: arguments[0]


def not_a_number(solution: Function) -> Function:
    return lambda *arguments: solution(*arguments) * float("nan")


def mutates_input(solution: Function) -> Function:
    """The right answer, but the first argument is another one afterwards."""

    def wrong(*arguments: Any) -> Any:
        output = solution(*arguments)
        arguments[0].add_(1.0)
        return output

    return wrong


def double_precision(solution: Function) -> Function:
    """A tensor of another type; a number as a tensor."""

    def wrong(*arguments: Any) -> Any:
        output = solution(*arguments)
        return output.double() if isinstance(output, Tensor) else torch.tensor(output)

    return wrong


def returns_nothing(solution: Function) -> Function:
    return lambda *arguments: None


def raises(solution: Function) -> Function:
    return lambda *arguments: [][0]


MISTAKES = (
    zeros,
    five_percent_small,
    sign_flipped,
    another_axis,
    one_number,
    returns_input,
    not_a_number,
    mutates_input,
    double_precision,
    returns_nothing,
    raises,
)

# Which check is the first to fail, in the order of MISTAKES. "" where the mistake cannot be made: a number has no other
# shape and is not changed in place, a loss is one number anyway, and a bug hunt hands out the code around its function.
CAUGHT_BY = {
    "0.1": (
        *("two_tokens_by_hand",) * 4,
        "",
        "two_tokens_by_hand",
        "two_tokens_by_hand",
        "",
        *("two_tokens_by_hand",) * 3,
    ),
    "1.1": (
        *("without_discount_plain_shares",) * 3,
        "a_row_for_each_word",
        "a_row_for_each_word",
        "a_row_for_each_word",
        "without_discount_plain_shares",
        "a_row_for_each_word",
        *("a_row_for_each_word",) * 3,
    ),
    "1.2": (
        *("the_first_word_has_no_cache",) * 3,
        "a_prediction_for_each_word",
        "a_prediction_for_each_word",
        "the_words_before_and_no_others",
        "the_first_word_has_no_cache",
        "predictions_and_text_stay",
        *("a_prediction_for_each_word",) * 3,
    ),
    "1.3": (*("equally_likely_words",) * 4, "", *("equally_likely_words",) * 2, "", *("equally_likely_words",) * 3),
    "1.4": (*("a_pair_that_was_never_seen_counts",) * 11,),
    "2.1": ("a_list_of_pairs",) * 11,
    "2.2": ("one_text_for_each_token",) * 11,
    "2.3": ("without_merges_single_characters",) * 11,
    "2.4": ("a_spelled_token_is_plain_text",) * 11,
    "3.1": (
        *("place_zero_is_zeros_and_ones",) * 3,
        "a_vector_for_each_place",
        "a_vector_for_each_place",
        "a_vector_for_each_place",
        "place_zero_is_zeros_and_ones",
        "",  # whole numbers do not take 1.0; ch03.py has a mistake of its own
        *("a_vector_for_each_place",) * 3,
    ),
    "3.2": (
        *("place_zero_turns_nothing",) * 3,
        "rotated_shape_and_type",
        "rotated_shape_and_type",
        "one_pair_turns_by_hand",
        "place_zero_turns_nothing",
        "vectors_and_positions_stay",
        *("rotated_shape_and_type",) * 3,
    ),
    "3.3": (
        *("two_numbers_are_a_cosine",) * 4,
        "",
        "two_numbers_are_a_cosine",
        "two_numbers_are_a_cosine",
        "",
        *("two_numbers_are_a_cosine",) * 3,
    ),
    "3.4": (
        "padding_on_the_left_is_not_counted",
        "",
        *("padding_on_the_left_is_not_counted",) * 5,
        "padding_on_the_left_is_not_counted",
        *("padding_on_the_left_is_not_counted",) * 3,
    ),
    "4.1": (
        *("one_token_returns_its_value",) * 3,
        "shape_and_type",
        "shape_and_type",
        "one_token_returns_its_value",
        "one_token_returns_its_value",
        "inputs_unchanged",
        *("shape_and_type",) * 3,
    ),
    "4.2": (
        *("window_of_one_returns_the_values",) * 3,
        "window_shape_and_type",
        "window_shape_and_type",
        "window_of_one_returns_the_values",
        "window_of_one_returns_the_values",
        "window_inputs_unchanged",
        *("window_shape_and_type",) * 3,
    ),
    "4.3": (
        *("weights_add_up_to_one",) * 3,
        "a_second_digit_cannot_be_guessed",
        "a_second_digit_cannot_be_guessed",
        "weights_add_up_to_one",
        "a_second_digit_cannot_be_guessed",
        "",
        *("a_second_digit_cannot_be_guessed",) * 3,
    ),
    "4.5": (
        *("equal_scores_give_ln_s",) * 4,
        "",
        "equal_scores_give_ln_s",
        "equal_scores_give_ln_s",
        "",
        *("equal_scores_give_ln_s",) * 3,
    ),
    "5.1": (
        *("one_token_is_projected_twice",) * 3,
        "a_row_for_each_token",
        "a_row_for_each_token",
        "one_token_is_projected_twice",
        "one_token_is_projected_twice",
        "x_and_weights_stay",
        *("a_row_for_each_token",) * 3,
    ),
    "5.2": (
        *("one_token_shows_who_shares",) * 3,
        "as_many_heads_as_queries",
        "as_many_heads_as_queries",
        "one_token_shows_who_shares",
        "one_token_shows_who_shares",
        "queries_keys_and_values_stay",
        *("as_many_heads_as_queries",) * 3,
    ),
    "5.3": (*("a_row_has_what_its_token_heard",) * 7, "", *("a_row_has_what_its_token_heard",) * 3),
    "5.4": (
        *("a_head_that_decides_alone",) * 4,
        "",
        "a_head_that_decides_alone",
        "a_head_that_decides_alone",
        "",
        *("a_head_that_decides_alone",) * 3,
    ),
    "6.1": (
        *("block_adds_nothing_if_nothing_is_found",) * 3,
        "block_has_the_streams_shape",
        "block_has_the_streams_shape",
        "block_norms_what_attention_reads",
        "block_adds_nothing_if_nothing_is_found",
        "block_leaves_its_inputs",
        *("block_has_the_streams_shape",) * 3,
    ),
    "6.2": (
        *("parallel_adds_nothing_if_nothing_is_found",) * 3,
        "parallel_has_the_streams_shape",
        "parallel_has_the_streams_shape",
        "parallel_norms_what_attention_reads",
        "parallel_adds_nothing_if_nothing_is_found",
        "parallel_leaves_its_inputs",
        *("parallel_has_the_streams_shape",) * 3,
    ),
    "6.3": (
        *("one_matrix_by_hand",) * 4,
        "",
        *("one_matrix_by_hand",) * 2,
        "",
        *("one_matrix_by_hand",) * 3,
    ),
    "6.4": (
        "a_sum_is_not_the_sum_of_its_parts",
        *("neurons_by_hand",) * 2,
        "a_sum_is_not_the_sum_of_its_parts",
        "a_sum_is_not_the_sum_of_its_parts",
        "a_sum_is_not_the_sum_of_its_parts",
        "neurons_by_hand",
        "",
        *("a_sum_is_not_the_sum_of_its_parts",) * 3,
    ),
    "7.1": (
        *("the_first_step_is_one_rate_long",) * 3,
        "three_rows_stay_three_rows",
        "three_rows_stay_three_rows",
        "the_first_step_is_one_rate_long",
        "the_first_step_is_one_rate_long",
        "state_and_gradient_stay",
        *("three_rows_stay_three_rows",) * 3,
    ),
    "7.2": (
        *("the_first_step_is_not_lost",) * 4,
        "",
        *("the_first_step_is_not_lost",) * 2,
        "",
        *("the_first_step_is_not_lost",) * 3,
    ),
    "7.3": (
        *("a_flat_curve_stays_flat",) * 3,
        "one_loss_a_step",
        "one_loss_a_step",
        "three_losses_by_hand",
        "a_flat_curve_stays_flat",
        "the_curve_stays",
        *("one_loss_a_step",) * 3,
    ),
    "7.4": (
        *("a_long_row_beside_a_short_one",) * 7,
        "",
        *("a_long_row_beside_a_short_one",) * 3,
    ),
    "8.1": (
        *("an_empty_cache_gives_the_new_value",) * 3,
        "one_output_a_row_and_head",
        "one_output_a_row_and_head",
        "an_empty_cache_gives_the_new_value",
        "an_empty_cache_gives_the_new_value",
        "the_cache_stays",
        *("one_output_a_row_and_head",) * 3,
    ),
    "8.2": (
        *("nothing_is_cut_at_zero",) * 3,
        "one_logprob_a_token",
        "one_logprob_a_token",
        "nothing_is_cut_at_zero",
        "nothing_is_cut_at_zero",
        "the_logits_are_left",
        *("one_logprob_a_token",) * 3,
    ),
    "8.3": (
        *("halves_by_hand",) * 4,
        "",
        *("halves_by_hand",) * 2,
        "",
        *("halves_by_hand",) * 3,
    ),
    "8.4": (
        *("a_short_row_sees_its_own_slots",) * 7,
        "",
        *("a_short_row_sees_its_own_slots",) * 3,
    ),
    "9.1": (
        *("one_source_token_gives_its_values",) * 3,
        "one_output_a_target_token",
        "one_output_a_target_token",
        "one_source_token_gives_its_values",
        "one_source_token_gives_its_values",
        "both_texts_and_weights_stay",
        *("one_output_a_target_token",) * 3,
    ),
    "9.2": (
        "a_table_for_each_row",
        "a_table_for_each_row",
        "a_table_for_each_row",
        "a_table_for_each_row",
        "a_table_for_each_row",
        "a_table_for_each_row",
        "a_table_for_each_row",
        "",
        *("a_table_for_each_row",) * 3,
    ),
    "9.3": (
        *("four_words_by_hand",) * 4,
        "",
        *("four_words_by_hand",) * 2,
        "",
        *("four_words_by_hand",) * 3,
    ),
    "9.4": (
        *("targets_are_what_stood_there",) * 7,
        "",
        *("targets_are_what_stood_there",) * 3,
    ),
    "14.1": (
        *("knowing_nothing_costs_ln_v",) * 3,
        "the_sft_loss_is_a_scalar",
        "",
        "the_sft_loss_is_a_scalar",
        "knowing_nothing_costs_ln_v",
        "the_demonstrations_stay",
        *("the_sft_loss_is_a_scalar",) * 3,
    ),
    "14.2": (
        "one_answer_by_hand",
        "targets_are_shorter_by_one",
        "one_answer_by_hand",
        "targets_are_shorter_by_one",
        "",
        "targets_are_shorter_by_one",
        "targets_are_shorter_by_one",
        "",
        *("targets_are_shorter_by_one",) * 3,
    ),
    "14.3": (
        *("answers_of_equal_length",) * 3,
        "one_probability_an_answer",
        "one_probability_an_answer",
        "answers_of_equal_length",
        "answers_of_equal_length",
        "lengths_and_counts_stay",
        *("one_probability_an_answer",) * 3,
    ),
    "14.4": (
        *("one_row_with_its_end",) * 4,
        "",
        *("one_row_with_its_end",) * 2,
        "",
        *("one_row_with_its_end",) * 3,
    ),
    "15.1": (
        *("equal_scores_cost_ln_2",) * 3,
        "the_loss_is_one_number",
        "",
        "the_loss_is_one_number",
        "equal_scores_cost_ln_2",
        "arguments_unchanged",
        *("the_loss_is_one_number",) * 3,
    ),
    "15.2": (
        *("the_right_column_by_hand",) * 3,
        "one_score_a_row",
        "one_score_a_row",
        "one_score_a_row",
        "the_right_column_by_hand",
        "rows_unchanged",
        *("one_score_a_row",) * 3,
    ),
    "15.3": (
        *("grouped_reads_each_answer_once",) * 4,
        "",
        *("grouped_reads_each_answer_once",) * 2,
        "",
        *("grouped_reads_each_answer_once",) * 3,
    ),
    "15.4": (
        *("without_ties_nothing_changes",) * 3,
        "the_loss_is_one_number",
        "",
        "the_loss_is_one_number",
        "without_ties_nothing_changes",
        "arguments_unchanged",
        *("the_loss_is_one_number",) * 3,
    ),
    "15.5": (
        "scores_of_answers_one_by_one",
        "scores_of_answers_one_by_one",
        "scores_of_answers_one_by_one",
        "alone_or_beside_others",
        "alone_or_beside_others",
        "alone_or_beside_others",
        "alone_or_beside_others",
        "",
        "scores_of_answers_one_by_one",
        "alone_or_beside_others",
        "alone_or_beside_others",
    ),
    "16.1": (
        *("one_token_by_hand",) * 3,
        "the_loss_is_a_scalar",
        "",
        "the_loss_is_a_scalar",
        "one_token_by_hand",
        "what_was_sampled_stays",
        *("the_loss_is_a_scalar",) * 3,
    ),
    "16.2": (
        *("two_answers_by_hand",) * 3,
        "one_advantage_an_answer",
        "one_advantage_an_answer",
        "two_answers_by_hand",
        "two_answers_by_hand",
        "scores_and_groups_stay",
        *("one_advantage_an_answer",) * 3,
    ),
    "16.3": (
        *("a_fair_coin_by_hand",) * 3,
        "a_sure_policy_has_no_variance",
        "",
        "a_sure_policy_has_no_variance",
        "a_sure_policy_has_no_variance",
        "",
        *("a_sure_policy_has_no_variance",) * 3,
    ),
    "16.4": (
        *("a_reward_at_the_end_reaches_the_first_token",) * 7,
        "returns_equal_the_specification",
        *("a_reward_at_the_end_reaches_the_first_token",) * 3,
    ),
    "17.1": (
        *("nothing_follows_the_last_token",) * 3,
        "one_advantage_a_token",
        "one_advantage_a_token",
        "nothing_follows_the_last_token",
        "nothing_follows_the_last_token",
        "rewards_and_values_stay",
        *("one_advantage_a_token",) * 3,
    ),
    "17.2": (
        *("at_the_start_every_ratio_is_one",) * 3,
        "the_clipped_loss_is_a_scalar",
        "",
        "the_clipped_loss_is_a_scalar",
        "at_the_start_every_ratio_is_one",
        "what_was_stored_stays",
        *("the_clipped_loss_is_a_scalar",) * 3,
    ),
    "17.3": (
        *("two_tokens_of_a_vocabulary",) * 3,
        *("one_kl_a_token",) * 3,
        "the_same_model_has_no_kl",
        "the_logits_stay",
        *("one_kl_a_token",) * 3,
    ),
    "17.4": (
        *("two_answers_scatter",) * 3,
        "no_spread_where_nothing_differs",
        "",
        "no_spread_where_nothing_differs",
        "no_spread_where_nothing_differs",
        "",
        *("no_spread_where_nothing_differs",) * 3,
    ),
    "17.5": (
        *("without_scores_it_goes_back",) * 3,
        "",
        "",
        *("without_scores_it_goes_back",) * 3,
        "",
        *("without_scores_it_goes_back",) * 2,
    ),
    "18.1": (
        *("one_token_after_one_token",) * 3,
        *("one_number_a_column",) * 3,
        "one_token_after_one_token",
        "logits_and_ids_stay",
        *("one_number_a_column",) * 3,
    ),
    "18.2": (
        *("the_first_scores",) * 3,
        *("three_numbers_are_remembered",) * 2,
        "the_first_scores",
        "the_first_scores",
        "memory_and_scores_stay",
        *("three_numbers_are_remembered",) * 3,
    ),
    "18.3": (
        *("above_and_below",) * 3,
        "no_alarm_inside",
        "",
        "no_alarm_inside",
        "no_alarm_inside",
        "the_curves_stay",
        *("no_alarm_inside",) * 3,
    ),
    "18.4": (
        *("many_steps_stay_near",) * 7,
        "",
        *("many_steps_stay_near",) * 3,
    ),
    "19.1": (
        *("ties_are_left_out",) * 3,
        *("three_numbers",) * 3,
        "ties_are_left_out",
        "grades_and_draws_stay",
        *("three_numbers",) * 3,
    ),
    "19.2": ("",) * 9 + ("nothing_was_seen",) * 2,
    "19.3": (
        *("one_and_two_prompts",) * 4,
        "",
        "one_and_two_prompts",
        "one_and_two_prompts",
        "",
        *("one_and_two_prompts",) * 3,
    ),
    "19.4": (
        "copies_bring_nothing",
        "ends_are_near_the_truth",
        *("copies_bring_nothing",) * 5,
        "",
        "",
        *("copies_bring_nothing",) * 2,
    ),
}


def universal(exercise: str, solution: Function) -> list[Wrong]:
    """The universal mistakes of one exercise."""
    pairs = zip(MISTAKES, CAUGHT_BY.get(exercise, ()), strict=False)
    return [Wrong(exercise, make.__name__, caught_by, make(solution)) for make, caught_by in pairs if caught_by]
