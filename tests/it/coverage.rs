//! Every error of a call has a test that gets it.
//!
//! The list is checked in three ways: each code of the range is in it, each test is there, and its
//! body names the code. It cannot see whether the test means it; whoever adds a line reads the test.

use callboard::Code;

use callboard_tests::source::{block_of_braces, masked, read};

/// A code, the file of its test and the test.
type Row = (Code, &'static str, &'static str);

const ERRORS: &str = "tests/it/errors.rs";
const BODIES: &str = "tests/it/bodies.rs";
const BUILDS: &str = "tests/it/builds.rs";
const ENCODINGS: &str = "tests/it/encodings.rs";
const HOOKS: &str = "tests/it/hooks.rs";
const NAMED: &str = "tests/it/named.rs";
const PLACED: &str = "tests/it/placed.rs";
const PRESSURE: &str = "tests/it/pressure.rs";
const PROCESSES: &str = "tests/it/processes.rs";
const SHAPES: &str = "tests/it/shapes.rs";
const SUPERVISION: &str = "tests/it/supervision.rs";
const SPAWNING: &str = "tests/it/spawning.rs";
const RIGHTS: &str = "tests/it/rights.rs";
/// Against a peer that sends what no build of ours would.
const RAW: &str = "framework/runtime/src/call/tests.rs";

#[rustfmt::skip]
const GOT: &[Row] = &[
    (Code::DeadlineExceeded, ERRORS, "deadlines_end_calls_here_and_there"),
    (Code::DeadlineBeforeSend, ERRORS, "a_deadline_that_ends_in_the_queue_is_told_from_one_that_ends_in_a_turn"),
    (Code::PeerLost, PROCESSES, "calls_to_a_killed_peer_end_and_its_next_life_answers"),
    (Code::PeerUnreachable, ERRORS, "a_stopped_actor_and_a_stopped_node_say_so"),
    (Code::NoHost, ERRORS, "a_panic_is_an_error_of_its_call_and_the_queue_is_kept"),
    (Code::NotHosted, RAW, "a_call_of_what_is_not_here_is_refused_and_counted_under_one_label"),
    (Code::UnknownMethod, BUILDS, "a_service_of_another_build_is_called_where_it_agrees_and_refused_where_not"),
    (Code::SchemaMismatch, BUILDS, "refuses_what_differs"),
    (Code::BodyUndecodable, ENCODINGS, "arguments_that_cannot_be_read_back_are_refused_before_the_handler_runs"),
    (Code::BodyOverLimit, ENCODINGS, "a_body_that_would_take_too_much_memory_is_refused_by_whoever_reads_it"),
    (Code::BodyTooLarge, ERRORS, "bodies_and_replies_over_the_cap_are_refused_by_name"),
    (Code::ReplyUndecodable, ENCODINGS, "replies_that_cannot_be_read_say_that_the_handler_ran"),
    (Code::MailboxFull, ERRORS, "a_full_mailbox_refuses_and_a_dropped_call_gives_its_place_back"),
    (Code::SendBufferFull, PRESSURE, "a_send_that_finds_no_room_until_its_deadline_was_not_sent_and_no_other_is_lost"),
    (Code::TooManyInFlight, ERRORS, "too_many_calls_in_flight_are_refused"),
    (Code::Panicked, ERRORS, "a_panic_is_an_error_of_its_call_and_the_queue_is_kept"),
    (Code::ReplyDropped, BODIES, "replies_that_wait_for_a_slow_reader_are_bounded_in_bytes"),
    (Code::TurnAborted, BODIES, "a_stream_that_was_never_answered_says_so_when_its_actor_stops"),
    (Code::ActorStopped, ERRORS, "a_stopped_actor_and_a_stopped_node_say_so"),
    (Code::ActorGone, ERRORS, "a_stopped_actor_and_a_stopped_node_say_so"),
    (Code::Quarantined, ERRORS, "a_panic_is_an_error_of_its_call_and_the_queue_is_kept"),
    (Code::CallCycle, ERRORS, "a_call_that_would_wait_for_its_own_chain_names_it"),
    (Code::ChainTooLong, ERRORS, "a_chain_of_calls_has_an_end"),
    (Code::NodeStopping, ERRORS, "a_node_that_stops_refuses_new_calls_and_answers_the_old_ones"),
    (Code::Detached, SHAPES, "a_ref_decoded_outside_a_call_says_that_it_is_detached"),
    (Code::StreamBroken, ERRORS, "a_stream_whose_actor_stops_breaks"),
    (Code::KeyedElsewhere, SHAPES, "a_keyed_actor_has_one_activation_for_each_key_on_its_node"),
    (Code::ReplyTooLarge, BODIES, "the_smaller_cap_counts_whichever_side_has_it"),
    (Code::BodyUnencodable, ENCODINGS, "a_value_without_an_encoding_is_an_error_of_the_side_that_has_it"),
    (Code::ReplyUnencodable, ENCODINGS, "a_value_without_an_encoding_is_an_error_of_the_side_that_has_it"),
    (Code::ExpiredInQueue, ERRORS, "a_deadline_that_ends_in_the_queue_is_told_from_one_that_ends_in_a_turn"),
    (Code::Forbidden, RIGHTS, "a_method_that_names_roles_refuses_those_who_have_none_of_them"),
    (Code::Moved, PLACED, "what_a_turn_made_does_not_leave_when_its_lease_has_ended"),
    (Code::SlotUnowned, PLACED, "a_call_whose_slot_nobody_owns_waits_for_an_owner_and_says_so_at_its_deadline"),
    (Code::LeaseLost, PLACED, "what_a_turn_made_does_not_leave_when_its_lease_has_ended"),
    (Code::ServiceGivenUp, SUPERVISION, "a_service_that_cannot_be_made_is_withdrawn_and_its_calls_go_elsewhere"),
    (Code::ActivationFailed, HOOKS, "calls_that_wait_for_an_actor_that_cannot_begin_are_told_why_and_the_next_one_tries_again"),
    (Code::NameUnknown, NAMED, "an_unknown_name_says_who_was_asked"),
    (Code::NameTaken, NAMED, "of_those_who_ask_at_the_same_moment_exactly_one_gets_the_name"),
    (Code::NameLost, NAMED, "after_a_split_the_one_that_has_held_a_name_for_longer_keeps_it_and_the_other_is_told"),
    (Code::NameOfOtherType, NAMED, "a_name_of_an_actor_of_another_type_is_told_as_that"),
    (Code::NameInvalid, NAMED, "an_unknown_name_says_who_was_asked"),
    (Code::TooManyNames, NAMED, "a_node_has_as_many_names_as_it_allows"),
    (Code::TooManyActors, SPAWNING, "a_node_takes_as_many_actors_as_it_allows"),
    (Code::Unrecognised, RAW, "an_error_of_a_newer_version_is_named_by_its_number"),
];

#[test]
fn every_error_of_a_call_has_a_test_that_gets_it() {
    let calls = Code::ALL
        .iter()
        .filter(|code| code.text().starts_with("CB1"));
    let listed: Vec<Code> = GOT.iter().map(|(code, ..)| *code).collect();
    assert_eq!(listed, calls.copied().collect::<Vec<_>>());
    for (code, file, test) in GOT {
        let body = test_body(&read(file), test);
        let body = body.unwrap_or_else(|| panic!("{file} has no test {test}"));
        assert!(
            body.contains(&format!("Code::{code:?}")),
            "{test} in {file} does not name {code:?}"
        );
    }
}

/// Returns the code of a test, or of a macro that tests call.
fn test_body(text: &str, name: &str) -> Option<String> {
    let code = masked(text);
    let starts = [format!("fn {name}("), format!("macro_rules! {name} ")];
    let at = starts.iter().find_map(|start| code.find(start))?;
    let before = code[..at].trim_end();
    let is_test =
        before.ends_with("async") && before.trim_end_matches("async").trim_end().ends_with(']');
    if !is_test && !code[at..].starts_with("macro") {
        return None;
    }
    let open = at + code[at..].find('{')?;
    Some(code[open..block_of_braces(&code, open)].to_owned())
}

#[test]
fn a_test_is_found_with_its_body_and_nothing_else_is() {
    let text = "fn helper() { Code::A }\n#[tokio::test]\nasync fn it() { Code::B // Code::C\n}";
    let body = test_body(text, "it").expect("found");
    assert!(body.contains("Code::B") && !body.contains("Code::C") && !body.contains("Code::A"));
    assert_eq!(test_body(text, "helper"), None);
    assert_eq!(test_body(text, "other"), None);
}
