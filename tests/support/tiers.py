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
            "cli_stats",
        ),
        *("aio", "client", "columns", "destinations", "events", "files", "filters", "layering", "parquet"),
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
        "large_logs_get_a_process_for_two_cores",
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
# Of other files, what touches modules that those leave out.
_ALSO_QUICK = {
    "test_cli_terminal.py": {
        "test_a_bar_has_rate_and_size_and_leaves_nothing_behind",
        "test_a_narrow_terminal_has_all_the_numbers",
        "test_bars_of_several_logs_say_which_is_read",
        "test_names_steer_it_as_little",
        "test_no_log_steers_the_terminal",
        "test_the_funnel_is_drawn_with_bars_and_colours",
    },
    "test_mend.py": {"test_it_writes_beside_the_file_and_says_what_is_left", "test_sources_of_all_kinds"},
    "test_notebook.py": {"test_nothing_of_a_log_is_markup", "test_a_report_shows_what_was_written"},
    "test_partitions.py": {
        "test_partitions",
        "test_what_does_not_fit_gives_the_same_files",
        "test_a_second_run_does_nothing",
    },
    "test_sync.py": {"test_the_command_fetches_and_lists", "test_rejects_that_a_person_has_changed_are_kept"},
    "test_convert_logs.py": {"test_each_log_becomes_a_file"},
    "test_archive_loss.py": {"test_signatures_by_chance_are_no_archive", "test_no_cut_hides_a_joined_archive"},
}
# Of more than three seconds alone on two cores, the longest first.
_LONG = (
    *("test_sanitizers.py", "test_fuzz.py", "test_cli_signals.py", "test_memory.py", "test_kept.py"),
    *("test_limits.py", "test_leaks.py", "test_hostile.py", "test_sample.py", "test_readme.py", "test_cli_terminal.py"),
)


def is_quick(item: pytest.Item) -> bool:
    name = item.name.partition("[")[0]
    return (item.path.name in _QUICK and name not in _NOT_QUICK) or name in _ALSO_QUICK.get(item.path.name, ())


def has_quick_tests(path: Path) -> bool:
    """Whether a file need be looked into for them."""
    return path.name in _QUICK or path.name in _ALSO_QUICK or path.name == "conftest.py"


def order(item: pytest.Item) -> int:
    """A smaller number starts earlier."""
    return _LONG.index(item.path.name) if item.path.name in _LONG else len(_LONG)
