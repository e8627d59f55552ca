//! Traces written by hand: what is found in them, and what is not.

use super::*;

fn turn(key: &str, (epoch, node): (u64, &str), start_ns: u64, end_ns: u64) -> Turn {
    Turn {
        key: key.to_owned(),
        slot: 7,
        epoch,
        node: node.to_owned(),
        start_ns,
        end_ns,
    }
}

fn written(turns: &[Turn]) -> Vec<u8> {
    let lines = turns.iter().map(|turn| format!("{turn}\n"));
    lines.collect::<String>().into_bytes()
}

fn judged(faults: Vec<Fault>, traces: &[Vec<Turn>]) -> Verdict {
    let files: Vec<Vec<u8>> = traces.iter().map(|turns| written(turns)).collect();
    let mut judge = Judge::new(faults);
    judge
        .read(files.iter().map(|file| &file[..]).collect())
        .expect("whole traces");
    judge.verdict()
}

fn fault(node: &str, from_ns: u64, until_ns: u64, kind: FaultKind) -> Fault {
    Fault {
        node: node.to_owned(),
        from_ns,
        until_ns,
        kind,
    }
}

#[test]
fn a_turn_reads_back_as_it_was_written() {
    let turn = turn("alice", (3, "n1"), 10, 20);
    assert_eq!(Turn::parse(&turn.to_string()), Some(turn));
    for wrong in [
        "",
        "alice\t7\t3\tn1\t10",
        "alice\t7\t3\tn1\t20\t10",
        "a\tb\t3\tn1\t1\t2",
    ] {
        assert_eq!(Turn::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn turns_one_after_the_other_are_as_they_should_be() {
    let one = vec![turn("a", (1, "n1"), 0, 10), turn("a", (1, "n1"), 10, 20)];
    let two = vec![turn("b", (1, "n2"), 5, 15), turn("a", (2, "n2"), 20, 30)];
    let verdict = judged(Vec::new(), &[one, two]);
    assert_eq!((verdict.turns, verdict.overlapping_turns), (4, 0));
    assert_eq!(verdict.findings, [""; 0]);
}

#[test]
fn two_turns_of_one_key_at_once_are_found_whichever_ends_first() {
    for (long, short) in [("n1", "n2"), ("n2", "n1")] {
        let one = vec![turn("a", (1, long), 0, 100)];
        let two = vec![turn("a", (1, short), 50, 60), turn("b", (1, short), 60, 99)];
        let verdict = judged(Vec::new(), &[one, two]);
        assert_eq!(verdict.overlapping_turns, 1, "{verdict:?}");
        assert!(verdict.findings[0].starts_with("overlap: "), "{verdict:?}");
    }
}

#[test]
fn an_overlap_on_one_node_is_one_too() {
    let one = vec![turn("a", (1, "n1"), 0, 10), turn("a", (1, "n1"), 9, 20)];
    assert_eq!(judged(Vec::new(), &[one]).overlapping_turns, 1);
}

#[test]
fn a_turn_that_its_process_slept_through_is_counted_apart() {
    const S: u64 = 1_000_000_000;
    let one = vec![turn("a", (1, "n1"), 10 * S, 200 * S)];
    let two = vec![turn("a", (2, "n2"), 100 * S, 110 * S)];
    let counts = |fault| {
        let verdict = judged(vec![fault], &[one.clone(), two.clone()]);
        (verdict.overlapping_turns, verdict.overlaps_of_paused)
    };
    assert_eq!(
        counts(fault("n1", 20 * S, 190 * S, FaultKind::Paused)),
        (0, 1)
    );
    for wrong in [
        fault("n1", 5 * S, 190 * S, FaultKind::Paused),
        fault("n2", 20 * S, 190 * S, FaultKind::Paused),
        fault("n1", 20 * S, 190 * S, FaultKind::Cut),
    ] {
        assert_eq!(counts(wrong), (1, 0), "no excuse");
    }
}

#[test]
fn a_turn_of_an_older_epoch_after_one_of_a_newer_is_found_in_either_order_of_their_ends() {
    // Of two keys of one slot: no turns of one key overlap.
    for ends in [(70, 80), (80, 70)] {
        let one = vec![turn("a", (1, "n1"), 60, ends.0)];
        let two = vec![turn("b", (2, "n2"), 50, ends.1)];
        let verdict = judged(Vec::new(), &[one, two]);
        assert_eq!(
            (verdict.epoch_regressions, verdict.overlapping_turns),
            (1, 0)
        );
    }
    let one = vec![turn("a", (1, "n1"), 10, 80)];
    let two = vec![turn("b", (2, "n2"), 50, 60)];
    assert_eq!(
        judged(Vec::new(), &[one, two]).epoch_regressions,
        0,
        "it began before"
    );
    let three = vec![turn("c", (3, "n3"), 70, 90)];
    let between = vec![turn("b", (2, "n2"), 50, 60), turn("a", (1, "n1"), 65, 95)];
    assert_eq!(judged(Vec::new(), &[three, between]).epoch_regressions, 1);
}

#[test]
fn a_slot_that_leaves_a_node_in_order_has_moved_and_from_a_killed_one_is_recovered() {
    let one = vec![turn("a", (1, "n1"), 0, 10)];
    let two = vec![turn("a", (2, "n2"), 50, 60), turn("b", (2, "n2"), 61, 62)];
    let counts = |faults| {
        let verdict = judged(faults, &[one.clone(), two.clone()]);
        (verdict.moved_slots, verdict.recovered_slots)
    };
    assert_eq!(counts(Vec::new()), (1, 0));
    assert_eq!(counts(vec![fault("n1", 20, 90, FaultKind::Down)]), (0, 1));
    assert_eq!(counts(vec![fault("n2", 20, 90, FaultKind::Down)]), (1, 0));
    assert_eq!(
        counts(vec![fault("n1", 61, 90, FaultKind::Down)]),
        (1, 0),
        "too late for it"
    );
    let same = vec![turn("a", (2, "n1"), 50, 60)];
    let verdict = judged(Vec::new(), &[one.clone(), same]);
    assert_eq!(verdict.moved_slots, 0, "it came back to the same node");
}

#[test]
fn a_line_that_was_cut_by_a_kill_is_left_out_and_any_other_is_an_error() {
    let mut file = written(&[turn("a", (1, "n1"), 0, 10)]);
    file.extend_from_slice(b"a\t7\t1\tn1\t11\t");
    let mut judge = Judge::default();
    judge.read(vec![&file[..]]).expect("a cut line is no error");
    assert_eq!(judge.verdict().turns, 1);
    let out_of_order = written(&[turn("a", (1, "n1"), 0, 10), turn("a", (1, "n1"), 0, 9)]);
    for wrong in [&b"nonsense\n"[..], &out_of_order] {
        let error = Judge::default().read(vec![wrong]).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
