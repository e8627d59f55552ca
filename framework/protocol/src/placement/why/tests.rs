use super::*;
use crate::placement::plan;
use crate::slots::samples::{assign, cluster, join, member, owner, slot};
use crate::slots::{Command, Epoch, State, Version};

/// Returns what a node sees that knows all of the state.
fn view(state: &State) -> View {
    let mut view = View::new();
    let delta = state.since(Version::default(), usize::MAX);
    let delta = delta.expect("it is formed");
    view.handle_delta(&delta).expect("it fits");
    view
}

fn why(state: &State, number: u32) -> Why {
    Why::of(&view(state), slot(number)).expect("a slot of the group")
}

/// Assigns what nobody has, as the leader does.
fn settle(state: &mut State) {
    for command in plan(state, usize::MAX).assign {
        state.apply(&command).expect("nobody has them");
    }
}

#[test]
fn a_slot_is_with_its_first_choice_or_those_before_have_their_shares() {
    let mut state = cluster(3, 64);
    let before = why(&state, 0);
    assert_eq!(before.reason, Reason::NeverOwned);
    assert_eq!(before.candidates.len(), 3);
    settle(&mut state);
    let mut firsts = 0;
    for number in 0..64 {
        let why = why(&state, number);
        let at = why.candidates.iter();
        let at = at.clone().position(|it| Some(it.owner) == why.entry.owner);
        let at = at.expect("the owner may own it");
        let expected = match at {
            0 => Reason::FirstChoice,
            _ => Reason::OthersFull,
        };
        assert_eq!(why.reason, expected, "{why:?}");
        let loads: usize = why.candidates.iter().map(|it| it.load).sum();
        assert_eq!(loads, 64);
        assert!(why.candidates.iter().all(|it| it.share == (21, 22)));
        firsts += u32::from(at == 0);
    }
    assert!((48..64).contains(&firsts), "most, and not all: {firsts}");
}

#[test]
fn a_slot_that_would_be_elsewhere_says_whether_it_stays() {
    for moves in [true, false] {
        let mut state = cluster(1, 8);
        state.apply(&assign(0..8, 0, 1)).expect("free");
        let mut second = member(2);
        if !moves {
            second.movable.clear();
        }
        state.apply(&join(second, None)).expect("new");
        let mut whys = (0..8).map(|it| why(&state, it));
        let likes_second = whys.find(|it| it.candidates[0].owner == owner(2));
        let expected = match moves {
            true => Reason::OutOfBalance,
            false => Reason::Stays,
        };
        assert_eq!(likes_second.expect("some do").reason, expected);
    }
}

#[test]
fn a_slot_on_its_way_and_one_whose_owner_goes_say_so() {
    let mut state = cluster(2, 8);
    state.apply(&assign(0..8, 0, 1)).expect("free");
    let (id, to) = (slot(0), owner(2));
    let epoch = Epoch(1);
    state.apply(&Command::Move { id, epoch, to }).expect("fits");
    assert_eq!(why(&state, 0).reason, Reason::Moving);
    assert_eq!(why(&state, 0).entry.moving, Some(owner(2)));

    state.apply(&Command::Drain(owner(1))).expect("a member");
    let why_one = why(&state, 1);
    assert_eq!(why_one.reason, Reason::OwnerLeaves(Ineligible::Draining));
    let [second, first] = &why_one.candidates[..] else {
        panic!("{why_one:?}");
    };
    assert_eq!((second.owner, &second.why_not), (owner(2), &None));
    assert_eq!(first.why_not, Some(Ineligible::Draining));
    assert_eq!(first.load, 8, "what has not gone yet");

    state.apply(&Command::Lapse(owner(1))).expect("a member");
    assert_eq!(why(&state, 1).reason, Reason::OwnerLost);
    state.apply(&Command::Lapse(owner(2))).expect("a member");
    let why_one = why(&state, 1);
    assert_eq!(why_one.reason, Reason::NobodyEligible);
    let lapsed = Some(Ineligible::Lapsed);
    assert!(why_one.candidates.iter().all(|it| it.why_not == lapsed));
}

#[test]
fn what_the_view_does_not_know_has_no_reason() {
    assert_eq!(Why::of(&View::new(), slot(0)), None);
    assert_eq!(Why::of(&view(&cluster(1, 8)), slot(8)), None);
}
