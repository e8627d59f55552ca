use super::*;
use crate::garbage::{Random, mutate};
use crate::slots::Command;
use crate::slots::samples::{self, assign, cluster, owner, slot};

fn followed(state: &State) -> View {
    let mut view = View::new();
    while view.version() < state.version() {
        let delta = state.since(view.version(), 0).expect("formed");
        view.handle_delta(&delta).expect("follows");
    }
    view
}

#[test]
fn a_large_table_comes_in_parts_that_end_between_two_versions() {
    let mut state = cluster(1, 1024);
    for first in [0, 256, 512, 768] {
        let command = assign(first..first + 256, 0, 1);
        state.apply(&command).expect("free");
    }
    let mut view = View::new();
    let mut parts = 0;
    while view.version() < state.version() {
        let delta = state.since(view.version(), 300).expect("formed");
        assert!(delta.entries.len() <= 300);
        view.handle_delta(&delta).expect("follows");
        parts += 1;
    }
    assert_eq!(parts, 4);
    assert!((0..1024).all(|it| view.may_act(owner(1), slot(it)).is_some()));
}

#[test]
fn only_the_owner_in_this_life_may_act_and_not_while_the_slot_moves() {
    let mut state = cluster(2, 8);
    state.apply(&assign([0], 0, 1)).expect("free");
    let view = followed(&state);
    assert_eq!(view.may_act(owner(1), slot(0)), Some(Epoch(1)));
    assert_eq!(view.may_act(owner(2), slot(0)), None);
    let mut later = owner(1);
    later.incarnation.0 = 2;
    assert_eq!(view.may_act(later, slot(0)), None);
    let plant = |mistake| followed(&state).with_plant(Plant::of(Some(mistake)));
    assert!(
        plant(Mistake::ForgetIncarnation)
            .may_act(later, slot(0))
            .is_some()
    );

    let (id, epoch, to) = (slot(0), Epoch(1), owner(2));
    state
        .apply(&Command::Move { id, epoch, to })
        .expect("owned");
    let view = followed(&state);
    assert_eq!(view.may_act(owner(1), id), None);
    assert_eq!(view.may_act(owner(2), id), None);
    let plant = followed(&state).with_plant(Plant::of(Some(Mistake::StartBeforeStop)));
    assert!(plant.may_act(owner(2), id).is_some());
}

#[test]
fn deltas_that_do_not_fit_change_nothing() {
    let mut state = cluster(1, 8);
    let old = state.since(Version(0), 0).expect("formed");
    state.apply(&assign([0], 0, 1)).expect("free");
    let new = state.since(Version(0), 0).expect("formed");
    let mut view = View::new();
    view.handle_delta(&new).expect("the first");
    assert_eq!(view.handle_delta(&old), Ok(vec![]), "it is old");
    assert_eq!(view.version(), state.version());

    let mut gap = new.clone();
    (gap.from, gap.to) = (Version(90), Version(91));
    let error = view.handle_delta(&gap).expect_err("refused").to_string();
    assert_eq!(error, "the delta begins at version 90, the view is at 4");
    let mut foreign = new.clone();
    foreign.cluster = ClusterId(9);
    view.handle_delta(&foreign).expect_err("refused");
    let mut back = new.clone();
    back.to = Version(99);
    (back.entries[0].1.epoch, back.entries[0].1.changed) = (Epoch(0), Version(98));
    let error = view.handle_delta(&back).expect_err("refused").to_string();
    assert_eq!(error, "the delta takes slot g1:0 from epoch 1 back to 0");
    let mut outside = new.clone();
    outside.to = Version(99);
    outside.entries[0].0.slot = Slot(8);
    view.handle_delta(&outside).expect_err("refused");
    assert_eq!(view.version(), state.version());
}

#[test]
fn a_view_that_has_missed_who_left_begins_anew() {
    let mut state = cluster(2, 8);
    let mut view = followed(&state);
    state
        .apply(&Command::Leave(owner(2)))
        .expect("owns nothing");
    state.departed.clear();
    state.horizon = state.version;
    let delta = state.since(view.version(), 0).expect("formed");
    view.handle_delta(&delta).expect("everything");
    assert_eq!(view.member(owner(2).node), None);
    assert!(view.member(owner(1).node).is_some());
}

#[test]
fn whoever_follows_a_view_sees_what_the_view_sees() {
    let mut state = cluster(3, 1024);
    let mut near = View::new();
    let mut far = View::new();
    let mut late = View::new();
    let mut random = Random::new(5);
    for step in 0..400 {
        let node = random.below(3) as u64 + 1;
        let id = slot(random.below(1024) as u32);
        let epoch = state.entry(id).expect("a slot").epoch;
        let mut member = samples::member(node);
        let mut members = state.members();
        let known = members.find(|(it, _)| it.id() == member.id());
        let who = known.map_or(owner(node), |(it, _)| it.owner());
        drop(members);
        member.incarnation.0 = step + 2;
        let command = match step % 5 {
            0 => Command::Assign {
                group: id.group,
                slots: vec![(id.slot, epoch)],
                to: who,
            },
            1 => Command::Lapse(who),
            2 => Command::Leave(who),
            3 => {
                let to = who;
                Command::Move { id, epoch, to }
            }
            _ => samples::join(member, None),
        };
        // Some do not fit; that they change nothing is tested elsewhere.
        let _ = state.apply(&command);
        if random.below(3) == 0 {
            let delta = state.since(near.version(), 300).expect("formed");
            near.handle_delta(&delta).expect("follows");
        }
        if random.below(4) == 0
            && let Some(delta) = near.since(far.version(), 256)
        {
            far.handle_delta(&delta).expect("follows");
        }
    }
    while near.version() < state.version() {
        let delta = state.since(near.version(), 300).expect("formed");
        near.handle_delta(&delta).expect("follows");
    }
    for view in [&mut far, &mut late] {
        while view.version() < near.version() {
            let delta = near.since(view.version(), 0).expect("known");
            view.handle_delta(&delta).expect("follows");
        }
        assert!(view.members().eq(state.members()));
        assert!(view.groups().eq(state.groups()));
    }
}

#[test]
fn a_part_names_the_groups_of_its_slots_though_they_have_changed_since() {
    let mut state = cluster(1, 1024);
    for first in [0, 256, 512, 768] {
        let command = assign(first..first + 256, 0, 1);
        state.apply(&command).expect("free");
    }
    let group = state.groups().next().expect("one").0.clone();
    state.apply(&Command::Place(group)).expect("known");
    assert_eq!(followed(&state).version(), state.version());
}

#[test]
fn callers_are_not_told_what_no_call_is_routed_by() {
    let mut state = cluster(1, 8);
    state.apply(&assign([0], 0, 1)).expect("free");
    let delta = state.since(Version(0), 0).expect("formed").for_callers();
    let mut view = View::new();
    view.handle_delta(&Delta::decode(&delta.encode()).expect("its own"))
        .expect("the first");
    let (told, known) = (view.members().next(), state.members().next());
    let (told, known) = (told.expect("one").0, known.expect("one").0);
    assert_eq!((&told.name, told.addr), (&known.name, known.addr));
    assert_eq!(told.owner(), known.owner());
    assert!(told.disk.is_none() && told.zone.is_empty() && told.roles.is_empty());
    assert!(told.labels.is_empty() && told.hosts.is_empty() && told.lacks.is_empty());
    assert!(
        known.disk.is_some() && !known.hosts.is_empty(),
        "it has some"
    );
    assert_eq!(view.entry(slot(0)), state.entry(slot(0)).ok());
}

#[test]
fn an_older_client_skips_the_fields_of_a_newer_cluster() {
    let state = cluster(1, 8);
    let delta = state.since(Version(0), 0).expect("formed");
    let later = [&delta.encode()[..], &[77, 2, 1, 2]].concat();
    assert_eq!(Delta::decode(&later), Ok(delta));
}

#[test]
fn damaged_deltas_do_no_harm() {
    let mut state = cluster(3, 64);
    state.apply(&assign(0..64, 0, 1)).expect("free");
    let bytes = state.since(Version(0), 0).expect("formed").encode();
    let mut random = Random::new(13);
    for _ in 0..2000 {
        if let Ok(delta) = Delta::decode(&mutate(&bytes, &mut random)) {
            let _ = followed(&samples::cluster(1, 64)).handle_delta(&delta);
        }
    }
}
