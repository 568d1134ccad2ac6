"""Which tests are quick, for `make quick`, and which are long: these start first, so that none of them is the last."""

from __future__ import annotations

from pathlib import Path

import pytest

# Files whose tests touch every module in a few seconds each.
_QUICK = frozenset(
    f"test_{name}.py"
    for name in (
        *(
            "aio",
            "archive",
            "cases",
            "cli",
            "cli_cat",
            "cli_check",
            "cli_convert",
            "cli_fetch",
            "cli_head",
            "cli_payload",
            "cli_stats",
        ),
        *("client", "columns", "destinations", "events", "files", "filters", "layering", "parquet"),
        *("polars", "progress", "reader", "rejects", "salvage", "schema", "sources", "testing_service", "token"),
    )
)
# What takes longest in these files; each stands beside a quick test of the same code.
_NOT_QUICK = frozenset(
    f"test_{name}"
    for name in (
        "a_case_reads_the_same_as_string_views_and_dictionaries",
        "many_at_once_on_one_loop",
        "what_was_mended_is_a_row_again",
        "a_service_that_cannot_be_reached_failed_however_short_the_wait",
        "a_reader_that_goes_away_is_no_error",
        "reading_waits_for_a_writer_that_is_slower",
        "a_link_by_http_can_be_taken_as_it_is",
        "the_memory_of_a_conversion_is_given_back",
        "memory_does_not_grow_with_the_rejects",
        "the_process_ends_although_the_loop_was_left",
        "a_url_is_a_log_and_goes_on_where_it_broke",
        "batches_and_events_hold_the_rows_that_meet_every_condition",
        "hostile_numbers_of_distinct_values_are_counted_together",
        "the_file_has_a_limit",
        "what_was_not_mended_is_bad_again",
        "many_logs_become_a_file_each_and_a_line_each",
        "it_fails_as_it_is_told_to",
        "help_names_every_option_and_wrong_ones_are_refused",
        "a_flipped_bit_in_the_data_is_always_an_error",
        "a_ninth_column_is_two_edits",
        "a_ninth_column_of_logs_without_a_header_is_one_more",
        "a_hundred_megabytes_cut_twenty_times_arrive_once_each",
        "a_large_zip_cut_in_the_middle_gives_what_was_there",
        "little_is_lost_before_damage_far_down_a_stream",
        "more_bad_records_in_a_block_than_the_kernel_returns_at_once",
        "one_that_is_not_text_works_everywhere",
        "other_zips_cut_anywhere_give_a_prefix",
        "it_has_a_limit",
        "the_dictionary_of_a_reader_only_grows",
        "any_time_to_wait_is_a_number_or_none",
        "a_terminal_without_the_letters_is_no_error",
        "a_case_reads_the_same_from_every_source",
        "a_log_of_nothing_else_is_not_held_in_memory",
        "a_signal_leaves_neither_half_a_file_nor_a_process",
        "a_worker_that_is_killed_costs_its_log_only",
        "every_byte_of_them_comes_back",
        "every_reader_reads_the_same",
        "every_writer_from_every_source_in_the_same_blocks",
        "long_text_ends_a_row_group_before_its_rows_are_full",
        "memory_stays_flat",
        "no_place_of_an_answer_shows_it",
        "row_groups_are_of_the_size_asked_for",
        "the_examples_that_it_prints_work",
        "values_are_those_of_the_standard_library",
        "what_is_a_header_first_is_one_in_the_middle",
        "where_a_row_group_ends_depends_on_the_log_alone",
        "wherever_it_is_cut",
        "workers_end_with_a_first_process_that_is_killed",
    )
)
# Of other files, what touches modules that those leave out. Without ``test_``.
_ALSO_QUICK = {
    "archive_loss": {
        "signatures_by_chance_are_no_archive",
        "no_cut_hides_a_joined_archive",
    },
    "cli_terminal": {
        "a_bar_has_rate_and_size_and_leaves_nothing_behind",
        "a_narrow_terminal_has_all_the_numbers",
        "a_status_that_nobody_knows_gets_a_note",
        "a_terminal_without_the_letters_gets_others",
        "bars_of_several_logs_say_which_is_read",
        "head_fits_the_terminal",
        "names_steer_it_as_little",
        "no_log_steers_the_terminal",
        "the_funnel_is_drawn_with_bars_and_colours",
        "what_is_shown_as_json_is_json_all_the_same",
        "without_a_bar_nothing_is_drawn",
    },
    "convert_logs": {
        "a_wrong_value",
        "all_logs_in_their_order",
        "damage_is_not_forgotten_when_a_log_is_skipped",
        "each_log_becomes_a_file",
        "replace_and_error",
        "the_file_of_another_log_is_kept",
        "the_file_of_somebody_else_is_kept",
        "what_has_changed_is_converted_again",
    },
    "datasets": {
        "a_column_that_no_log_has",
        "a_directory_is_the_logs_in_it",
        "a_name_that_looks_like_a_glob",
        "a_query_opens_each_log_once",
        "every_way_gives_all_records_again_and_again",
        "fragments_are_the_logs_with_the_schema_of_all",
        "head_reads_no_more_than_it_takes",
        "its_text_says_what_it_is",
        "nothing_but_bad_logs_is_an_error",
        "rejects_and_errors_name_log_and_member",
    },
    "kernels": {
        "arguments_that_do_not_fit_parts_are_refused_by_the_reference_too",
        "payload_columns_of_texts_that_are_no_json_at_all",
        "records_in_the_order_of_their_parts",
        "runs_of_several_blocks",
    },
    "mend": {
        "a_bad_record_is_an_error_of_its_place_if_nothing_else_is_said",
        "a_file_that_cannot_be_mended_is_one_clear_error",
        "a_header_is_mended_once_or_its_records_stay_bad",
        "it_writes_beside_the_file_and_says_what_is_left",
        "sources_of_all_kinds",
        "what_is_good_is_a_row_and_what_is_bad_keeps_its_place",
    },
    "notebook": {
        "nothing_of_a_log_is_markup",
        "a_report_shows_what_was_written",
    },
    "partitions": {
        "partitions",
        "what_does_not_fit_gives_the_same_files",
        "a_second_run_does_nothing",
    },
    "payload_columns": {
        "a_filter_comes_first",
        "a_value_at_every_place_of_a_step",
        "an_integer_fits_or_is_counted",
        "any_float_comes_back",
        "both_dialects_and_unquoted_payloads",
        "no_payload_columns",
        "parquet_has_them",
    },
    "places": {
        "a_bucket_that_does_not_exist_is_called_that",
        "a_file_url_is_a_path",
        "a_folder_of_a_store_is_known_without_a_slash",
        "a_small_log_takes_one_request_for_its_size_and_one_for_its_bytes",
        "a_url_without_its_slashes_is_no_local_folder",
        "an_old_file_is_replaced_where_a_rename_does_not_do_it",
        "an_open_file_gets_the_bytes_and_stays_open",
        "an_unknown_scheme_is_refused_in_words",
        "any_bytes_of_a_file_in_a_store_are_what_they_are",
        "files_that_cannot_be_written_are_refused",
        "logs_of_a_folder_that_were_converted_before_are_left_out",
        "no_message_shows_a_key",
        "no_output_is_the_log_whatever_reaches_it",
        "rejects_appear_with_their_file_or_not_at_all",
        "two_places_of_a_file_are_read_by_turns_without_a_request_each",
        "what_is_not_there_is_an_error_that_names_it",
    },
    "sample": {
        "bad_arguments_are_named",
        "days_that_do_not_exist_are_a_usage_error",
        "the_command_writes_a_log_for_each_day",
    },
    "sync": {
        "a_file_of_something_else_stays_and_does_not_stop_the_others",
        "a_folder_that_cannot_be_written_is_an_error_before_the_service_is_asked",
        "a_manifest_that_cannot_be_written_is_said",
        "other_options_fetch_a_day_again",
        "rejects_that_a_person_has_changed_are_kept",
        "rejects_that_change_while_the_log_is_fetched_are_kept",
        "the_command_fetches_and_lists",
    },
}
# Of more than three seconds alone on two cores, the longest first.
_LONG = (
    *("test_sanitizers.py", "test_fuzz.py", "test_cli_signals.py", "test_memory.py", "test_kept.py"),
    *("test_limits.py", "test_leaks.py", "test_hostile.py", "test_sample.py", "test_readme.py", "test_cli_terminal.py"),
)


def is_quick(item: pytest.Item) -> bool:
    name = item.name.partition("[")[0]
    others = _ALSO_QUICK.get(item.path.stem.removeprefix("test_"), set())
    return (item.path.name in _QUICK and name not in _NOT_QUICK) or name.removeprefix("test_") in others


def has_quick_tests(path: Path) -> bool:
    """Whether a file need be looked into for them."""
    return path.name in {*_QUICK, *(f"test_{name}.py" for name in _ALSO_QUICK), "conftest.py"}


def order(item: pytest.Item) -> int:
    """A smaller number starts earlier."""
    return _LONG.index(item.path.name) if item.path.name in _LONG else len(_LONG)
