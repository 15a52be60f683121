"""What must hold beyond single rows, and the tests that show each point, for `docs/coverage.md`.

A point whose tests need a database is shown on both; `anywhere` names tests whose subject knows no database, and
`where_possible` more of them, which run only where the machine has what they need, and count for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """One promise in words. A test is `path under tests::name`."""

    words: str
    tests: tuple[str, ...] = ()
    anywhere: tuple[str, ...] = ()
    where_possible: tuple[str, ...] = ()


FOUNDATION = (
    Point(
        "complete mediation: entries and suppressed calls equal the calls of known principals, also for malformed, "
        "denied, crashed and repeated ones",
        (
            "gateway/test_mediation_over_http.py::test_entries_and_suppressed_equal_ten_thousand_calls_over_real_sockets",
            "gateway/test_mediation.py::test_entries_equal_calls_after_mixed_concurrent_calls",
            "gateway/test_mediation.py::test_a_crashing_handler_keeps_nothing_but_its_entry",
        ),
    ),
    Point(
        "a killed server: no acknowledged decision is missing, no effect is without its entry, the tree verifies, and no "
        "answer left before a sync of its entry",
        (
            "durability/test_kill.py::test_kill_nine_under_load_loses_nothing",
            "durability/test_sync_before_answer.py::test_postgresql_no_answer_before_the_server_has_flushed_and_said_so",
        ),
        where_possible=(
            "durability/test_sync_before_answer.py::test_sqlite_every_answer_follows_a_sync_of_what_was_written_for_it",
            "durability/test_sync_before_answer.py::test_every_answer_follows_a_sync_of_the_log",
        ),
    ),
    Point(
        "disk full or database gone: a clear 503; afterwards each such call has effect and entry or neither, and "
        "`get_outcome` tells which; the service recovers by itself",
        (
            "gateway/test_failing_ground.py::test_calls_while_the_ground_fails_have_effect_and_entry_or_neither",
            "gateway/test_failing_ground.py::test_a_statement_at_fault_is_that_calls_recorded_failure_whatever_its_words",
            "durability/test_lost_answers.py::test_postgresql_committed_and_the_answer_lost_with_the_database",
            "durability/test_lost_answers.py::test_sqlite_the_answer_lost_with_the_file",
        ),
    ),
    Point(
        "replay: deciding again over an entry's own facts, under the law that it names, equals the record",
        (
            "gateway/test_replay.py::test_deciding_again_equals_the_record",
            "gateway/test_replay.py::test_a_day_with_everything_in_it_is_decided_again_by_each_entrys_own_law",
        ),
    ),
    Point(
        "a train equals its calls one by one",
        (
            "gateway/test_train.py::test_a_train_equals_one_by_one",
            "gateway/test_queue_trains.py::test_a_train_of_the_queue_equals_one_by_one",
        ),
    ),
    Point(
        "one winner of many racers, rising fences, exact quotas; over two processes the same, an order through one binds "
        "the next call on the other, and neither starves",
        (
            "journeys/test_two_processes.py::test_racers_on_both_have_one_winner_and_rising_fences",
            "journeys/test_two_processes.py::test_calls_per_hour_are_exact_over_both",
            "journeys/test_two_processes.py::test_an_order_through_one_binds_the_next_call_on_the_other",
            "journeys/test_two_processes.py::test_an_activation_through_one_binds_the_next_call_on_the_other_and_so_does_its_end",
            "journeys/test_two_processes.py::test_under_load_on_both_neither_starves_and_a_command_still_answers",
            "gateway/test_limits_bind.py::test_racers_get_as_many_locks_as_the_profile_says",
        ),
    ),
    Point(
        "whatever is edited, deleted, inserted, replaced, cut off or reordered in the ledger's tables is found against an "
        "outside checkpoint; a lawful erasure verifies and is counted",
        (
            "ledger/test_tamper_matrix.py::test_every_column_of_every_ledger_table_is_protected_or_listed",
            "ledger/test_tamper.py::test_every_plain_edit_is_found",
            "ledger/test_tamper.py::test_a_consistent_rewriting_is_found_by_the_outside_checkpoint",
            "ledger/test_erasure.py::test_a_lawful_erasure_verifies_and_is_counted",
        ),
    ),
    Point(
        "both policy engines agree over the whole matrix; a policy that errs denies; hostile policy text is an error and "
        "never a crash",
        (
            "surfaces/test_hostile_policy.py::test_hostile_text_is_a_problem_with_a_line_and_the_server_answers_the_next",
        ),
        (
            "properties/test_engines_agree.py::test_both_engines_agree_on_the_whole_matrix",
            "properties/test_engines_agree.py::test_a_forbid_that_fails_to_evaluate_denies",
            "bundle/test_load.py::test_hostile_text_is_a_law_fault_that_names_the_file",
        ),
    ),
    Point(
        "a forged identity is refused at every door; no token or caught secret is in the ledger, a log or an error, nor "
        "its bare digest; what a caller says of its own standing has no effect",
        (
            "surfaces/test_forged_identity.py::test_no_door_lets_in_who_has_no_good_token",
            "surfaces/test_forged_identity.py::test_what_a_caller_says_of_itself_has_no_effect_at_any_door",
            "surfaces/test_forged_identity.py::test_no_token_and_no_secret_is_left_anywhere_nor_a_digest_of_one",
            "surfaces/test_logs.py::test_no_log_holds_a_token_or_a_secret",
        ),
    ),
    Point(
        "observing: nothing binds but identity, control and self-protection; every entry says what would have been; it "
        "ends by itself",
        (
            "operations/test_checks.py::test_in_observe_mode_nothing_is_enforced_and_nobody_asked",
            "operations/test_tools.py::test_observing_binds_nothing_but_the_guard_of_the_guard",
            "gateway/test_what_binds_always.py::test_an_observed_workspace_lets_nobody_govern_who_may_not",
            "gateway/test_standing_binds.py::test_an_observe_mode_set_here_binds_there_and_ends_by_itself",
        ),
        (
            "gateway/test_decide.py::test_what_is_observed_allows_and_says_what_would_have_been",
            "gateway/test_decide.py::test_identity_binds_in_every_mode",
            "gateway/test_decide.py::test_control_binds_in_every_mode",
            "gateway/test_decide.py::test_the_pack_that_protects_guardhouse_binds_in_every_mode",
        ),
    ),
    Point(
        "what is made of the OpenAPI document finds no 5xx and no undocumented answer",
        ("surfaces/test_openapi_schemathesis.py::test_nothing_breaks_and_nothing_is_undocumented",),
    ),
    Point(
        "the standard's proof vectors, and an independent verifier that accepts our receipts and checkpoints",
        ("ledger/test_receipts.py::test_every_receipt_is_accepted_by_both",),
        (
            "ledger/test_tree.py::test_roots",
            "ledger/test_tree.py::test_inclusion",
            "ledger/test_tree.py::test_consistency",
            "ledger/test_receipts.py::test_the_verifier_stands_alone",
            "ledger/test_golden.py::test_its_checkpoints_and_receipt_are_good_for_the_independent_verifier",
        ),
    ),
)
"""The gate, its decisions and its ledger."""

WORK = (
    Point(
        "one winner of many racers for a task; each task is done exactly once though workers are killed; late writers "
        "are refused by their fence",
        (
            "journeys/test_shared_work.py::test_a13_r06_racers_on_both_servers_have_one_winner",
            "journeys/test_shared_work.py::test_r11_c26_each_task_is_done_exactly_once_though_workers_are_killed",
            "services/test_queue.py::test_r11_a_lapsed_lease_reopens_the_task_and_refuses_the_late_writer",
        ),
    ),
    Point(
        "opposite dependencies at once make no cycle; a dependency's end makes its dependants ready",
        (
            "journeys/test_shared_work.py::test_a12_opposite_dependencies_through_both_servers_make_no_circle",
            "services/test_queue.py::test_a10_a11_blocked_until_all_needs_are_done",
        ),
    ),
    Point(
        "every tool and every error case answers as documented to the official client over both transports; entries "
        "equal calls",
        (
            "surfaces/mcp/test_tools.py::test_c13_c24_c30_every_tool_of_the_core_set_answers_as_documented",
            "surfaces/mcp/test_error_cases.py::test_every_refusal_of_the_work_is_a_result_with_its_documented_code",
            "surfaces/mcp/test_streamable.py::test_entries_equal_calls_when_many_clients_call_at_once",
        ),
    ),
    Point(
        "text beyond any window is examined; a suspended or low-trust agent changes nothing in any table",
        (
            "gateway/test_reference_rows.py::test_c36_a_blocked_completion_leaves_the_claim_and_padding_hides_nothing",
            "gateway/test_reference_rows.py::test_c08_a_suspended_or_low_trust_agent_changes_nothing_in_any_table",
        ),
    ),
    Point(
        "`recall` ranks the same on both databases, as people judged",
        (),
        ("services/test_memory.py::test_c06_recall_ranks_the_same_on_both_databases_and_as_people_judged",),
    ),
    Point(
        "a crashed agent's locks and tasks come back within its lease, and its old fence writes nothing",
        (
            "journeys/test_crashed_worker.py::test_c05_c26_r11_a_killed_workers_locks_and_task_come_back_within_its_lease",
        ),
    ),
    Point(
        "every row of the table above has a test that is named after it",
        (),
        ("test_promises.py::test_every_row_is_shown_by_a_test",),
    ),
)
"""The work that agents share."""

SECTIONS = {"What must hold of the gate and its ledger": FOUNDATION, "What must hold of shared work": WORK}
