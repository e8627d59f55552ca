use super::*;
use crate::garbage::{Random, mutate};
use crate::id::InterfaceId;
use crate::slots::{Lack, TEXT_BYTES_MAX, ZONES_MAX, samples};

#[test]
fn every_command_reads_as_it_was_written() {
    for command in samples::commands() {
        assert_eq!(Command::decode(&command.encode()), Ok(command));
    }
}

#[test]
fn the_bytes_of_commands_are_stable() {
    // Golden: they are in the logs of clusters that run.
    let hex = |command: &Command| -> String {
        let bytes = command.encode();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let abort = samples::commands().swap_remove(9);
    assert_eq!(hex(&abort), "010a0101010201030302ac02");
    let set = samples::commands().swap_remove(11);
    assert_eq!(hex(&set), "010c01070101000202c801");
    let choose = samples::commands().swap_remove(12);
    let expected = "010d010f010a94b7d2a5ddcde899d701020101020102";
    assert_eq!(hex(&choose), expected);
    let assign = samples::assign([1, 2], 4, 1);
    let expected = concat!(
        "0107",
        "010101",
        "0206010101020104",
        "0206010102020104",
        "030f",
        "010a94b7d2a5ddcde899d701",
        "020101"
    );
    assert_eq!(hex(&assign), expected);
}

#[test]
fn a_command_without_the_fields_of_later_versions_has_their_defaults() {
    // As a version would have written it that knew no disks, weights and settings.
    let mut out = Writer::default();
    out.bytes(1, &samples::CLUSTER.0.to_le_bytes());
    out.record(2, |member| {
        member.text(1, "n1");
        member.number(2, 1);
        member.text(4, "10.0.0.1:7400");
    });
    let mut bytes = vec![1, 2];
    bytes.extend(out.finish());
    let Ok(Command::Join { member, .. }) = Command::decode(&bytes) else {
        panic!("readable");
    };
    assert_eq!((member.weight, member.disk), (100, None));
    assert!(member.movable.is_empty() && member.lacks.is_empty());
}

#[test]
fn a_member_is_written_as_before_there_were_types_that_move_if_it_has_none() {
    // Golden: it is in the logs of clusters that run.
    let mut member = samples::member(1);
    let hex = |member: &Member| -> String {
        let bytes = samples::join(member.clone(), None).encode();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let moves = hex(&member);
    member.movable.clear();
    let stays = hex(&member);
    assert_eq!(stays, GOLDEN_MEMBER);
    let field = "0b03c79403";
    assert!(moves.contains(field) && !stays.contains(field), "{moves}");
}

#[test]
fn what_a_member_lacks_is_written_for_each_type() {
    // Golden: it is in the logs of clusters that run.
    let mut member = samples::member(1);
    member.lacks = samples::lacks();
    let join = samples::join(member, None);
    assert_eq!(Command::decode(&join.encode()), Ok(join.clone()));
    let hex: String = join.encode().iter().map(|it| format!("{it:02x}")).collect();
    let lacks = concat!(
        "0c0c",
        "010101",
        "020773746f72616765",
        "0c10",
        "010102",
        "030b01046469736b0203737364",
        "0c09",
        "010103",
        "040162",
        "040163"
    );
    assert!(hex.contains(lacks), "{hex}");
    let text = |kind: u32| samples::lacks()[&InterfaceId(kind)].to_string();
    assert_eq!(text(1), "it does not have the role storage");
    assert_eq!(text(2), "it does not have the label disk=ssd");
    assert_eq!(text(3), "its zone is none of b, c");
}

#[test]
fn lacks_that_are_too_long_are_refused() {
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    let label = |key: &str, value: &str| Lack::Label {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let many = (0..=ZONES_MAX).map(|it| it.to_string()).collect();
    for lack in [
        label(&long, ""),
        label("", &long),
        Lack::Zone([long.clone()].into()),
        Lack::Zone(many),
    ] {
        let mut member = samples::member(1);
        member.lacks.insert(InterfaceId(1), lack);
        let refused = Command::decode(&samples::join(member, None).encode());
        assert!(matches!(
            refused,
            Err(RecordError::OutOfRange {
                record: "member",
                field: "lack"
            })
        ));
    }
}

/// Version, kind, cluster, and the member: name, life, disk, address, zone, host, version, weight.
const GOLDEN_MEMBER: &str = concat!(
    "0102",
    "011004030201000000000000000000000000",
    "0226",
    "01026e31",
    "020101",
    "030101",
    "040d31302e302e302e313a37343030",
    "0500",
    "0803c79403",
    "090101",
    "0a0164"
);

#[test]
fn what_a_later_version_wrote_is_refused_by_name() {
    let text = |bytes: &[u8]| Command::decode(bytes).expect_err("refused").to_string();
    assert_eq!(
        text(&[2, 1]),
        "encoding version 2: this version reads 1 to 1"
    );
    assert_eq!(
        text(&[1, 99]),
        "kind 99 of a command: a later version has written it"
    );
    let abort = samples::commands().swap_remove(9).encode();
    let later = [&abort[..], &[9, 1, 0]].concat();
    assert_eq!(
        text(&later),
        "field 9 of a command: a later version has written it"
    );
    assert_eq!(text(&[1, 10]), "a command without its group");
}

#[test]
fn damaged_commands_are_refused_or_mean_something_that_can_be_written() {
    let mut random = Random::new(11);
    for command in samples::commands() {
        let bytes = command.encode();
        for _ in 0..500 {
            let damaged = mutate(&bytes, &mut random);
            if let Ok(read) = Command::decode(&damaged) {
                assert_eq!(Command::decode(&read.encode()), Ok(read));
            }
        }
    }
    for _ in 0..5000 {
        let _ = Command::decode(&random.bytes(64));
    }
}

#[test]
fn a_batch_over_the_limit_is_not_decoded() {
    let most = samples::assign(0..256, 0, 1).encode();
    Command::decode(&most).expect("the most that is allowed");
    let more = samples::assign(0..257, 0, 1).encode();
    let error = Command::decode(&more).expect_err("refused");
    assert_eq!(error.to_string(), "a command whose slots is out of range");
}
