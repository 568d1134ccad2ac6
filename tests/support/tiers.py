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
        *(
            "polars",
            "progress",
            "reader",
            "rejects",
            "salvage",
            "schema",
            "sharing",
            "sources",
            "testing_service",
            "token",
        ),
    )
)
# What takes longest in these files; each stands beside a quick test of the same code.
_NOT_QUICK = frozenset(
    f"test_{name}"
    for name in (
        "a_case_reads_the_same_as_string_views_and_dictionaries",
        "the_first_bad_record_is_raised_after_all_before_it",
        "no_traceback_with_local_variables_shows_it",
        "public_names_are_the_same_whatever_was_imported_before",
        "logs_leave_no_connection_behind",
        "several_logs_at_a_time_have_them_too",
        "an_error_that_nobody_catches_does_not_print_it",
        "without_urllib3_it_says_what_to_install",
        "without_urllib3_one_line_says_what_to_install",
        "without_rich_a_bar_is_an_error_that_says_how_to_get_it",
        "filtering_does_not_wait_for_pandas",
        "pandas_is_not_imported_for_them",
        "a_conversion_imports_no_module_that_takes_tens_of_megabytes",
        "writers_side_by_side_do_not_disturb_each_other",
        "zlib_does_where_isal_is_too_old",
        "too_many_row_groups_of_very_many_columns_are_a_limit",
        "batches_are_those_of_the_log_whatever_the_chunks",
        "all_chunks_of_a_table_have_the_same_dictionary",
        "noise_in_a_header_raises_nothing_else",
        "it_asks_waits_and_writes_a_day",
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
# Of other files, what touches modules that those leave out. Without ``test_``; with parameters it is these alone.
_ALSO_QUICK = {
    "archive_loss": {
        "signatures_by_chance_are_no_archive",
        "no_cut_hides_a_joined_archive",
    },
    "cli_signals": {"a_signal_is_not_lost_where_python_drops_its_exception"},
    "cli_terminal": {
        "a_bar_has_rate_and_size_and_leaves_nothing_behind",
        "a_narrow_terminal_has_all_the_numbers",
        "a_status_that_nobody_knows_gets_a_note",
        "a_terminal_without_the_letters_gets_others",
        "bars_of_several_logs_say_which_is_read",
        "head_fits_the_terminal",
        "names_steer_it_as_little",
        "no_log_steers_the_terminal",
        "stats_fits_the_terminal[80-message]",
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
        "paths_globs_and_lists",
        "what_is_no_source_is_told",
        "nothing_but_bad_logs_is_an_error",
        "rejects_and_errors_name_log_and_member",
    },
    "installing": {"the_other_package_of_this_name_beside_it_is_told_on_import"},
    "kernels": {
        "arguments_that_do_not_fit_parts_are_refused_by_the_reference_too",
        "columns_that_do_not_fit_are_not_made_lines_of_json",
        "lines_of_json_are_those_of_others",
        "payload_columns_of_texts_that_are_no_json_at_all",
        "records_in_the_order_of_their_parts",
        "runs_of_several_blocks",
        "strings_that_were_made_already_are_encoded",
        "what_was_taken_from_a_dictionary_stays_as_it_is",
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
        "a_wrong_value",
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
    # Those that need no S3 server: to start one, and to import its clients, takes seconds.
    "places": {
        "a_colon_in_a_name_makes_no_url",
        "a_file_is_written_anywhere_and_alone[memory-small]",
        "a_file_is_written_anywhere_and_alone[subtree-small]",
        "a_file_url_is_a_path",
        "a_folder_by_its_file_url_is_that_folder",
        "a_folder_or_a_glob_of_a_file_system_is_the_logs_in_it",
        "a_log_is_read_from_anywhere[memory-small]",
        "a_log_is_read_from_anywhere[subtree-small]",
        "a_path_that_lost_a_slash_of_a_url_is_told",
        "a_url_without_its_slashes_is_no_local_folder",
        "after_an_error_all_is_as_it_was[memory-small-old]",
        "after_an_error_all_is_as_it_was[subtree-small-old]",
        "an_error_of_whatever_kind_from_a_store_names_the_file",
        "an_old_file_is_replaced_where_a_rename_does_not_do_it",
        "an_open_file_gets_the_bytes_and_stays_open",
        "an_unknown_scheme_is_refused_in_words",
        "any_bytes_of_a_file_in_a_store_are_what_they_are",
        "files_that_cannot_be_written_are_refused",
        "https_is_downloaded",
        "partitions_are_written_anywhere[memory]",
        "rejects_appear_with_their_file_or_not_at_all",
        "rejects_are_written_there_and_read_again[memory]",
        "rejects_are_written_there_and_read_again[subtree]",
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
    named = {name.removeprefix("test_"), item.name.removeprefix("test_")}
    return (item.path.name in _QUICK and name not in _NOT_QUICK) or not others.isdisjoint(named)


def has_quick_tests(path: Path) -> bool:
    """Whether a file need be looked into for them."""
    return path.name in {*_QUICK, *(f"test_{name}.py" for name in _ALSO_QUICK), "conftest.py"}


def order(item: pytest.Item) -> int:
    """A smaller number starts earlier."""
    return _LONG.index(item.path.name) if item.path.name in _LONG else len(_LONG)
