use super::*;
use crate::garbage::Random;
use crate::id::Incarnation;
use crate::slots::Lack;
use crate::slots::samples::{self, GROUP, assign, cluster, join, member, owner};

/// Carries out a plan at once, as if all owners stopped; returns how many slots moved.
fn carry_out(state: &mut State, plan: &Plan) -> usize {
    for command in &plan.assign {
        state.apply(command).expect("nobody has them");
    }
    for planned in &plan.moves {
        let PlannedMove { id, epoch, to } = *planned;
        let by = state.entry(id).expect("there is").owner.expect("owned");
        state.apply(&Command::Move { id, epoch, to }).expect("fits");
        state
            .apply(&Command::Stopped { id, epoch, by })
            .expect("fits");
    }
    plan.moves.len()
}

fn settle(state: &mut State) -> usize {
    let planned = plan(state, usize::MAX);
    let moved = carry_out(state, &planned);
    assert_eq!(
        plan(state, usize::MAX),
        Plan::default(),
        "one plan settles it"
    );
    moved
}

/// The greatest distance of a member's load from its share, as a part of the share, and in slots.
fn imbalance(state: &State) -> (f64, f64) {
    let (group, table) = state.groups().next().expect("a group");
    let eligible = state.members();
    let eligible = eligible.filter(|(it, _)| state.why_not(group, it.id()).is_none());
    let eligible: Vec<_> = eligible.map(|(it, _)| (it.owner(), it.weight)).collect();
    let weights: f64 = eligible.iter().map(|it| f64::from(it.1)).sum();
    let mut worst = (0.0f64, 0.0f64);
    for (owner, weight) in eligible {
        let load = table.iter().filter(|it| it.1.owner == Some(owner)).count();
        let share = f64::from(state.slots().get()) * f64::from(weight) / weights;
        let off = (load as f64 - share).abs();
        worst = (worst.0.max(off / share), worst.1.max(off));
    }
    worst
}

fn grow(state: &mut State, number: u64) {
    let command = join(member(number), None);
    state.apply(&command).expect("new");
}

#[test]
fn everything_is_placed_and_balanced_at_3_10_50_and_300_nodes() {
    for nodes in [3, 10, 50, 300] {
        let mut state = cluster(nodes, 4096);
        assert_eq!(settle(&mut state), 0, "nothing moves that nobody has");
        let (part, slots) = imbalance(&state);
        assert!(part <= 0.1 && slots < 1.0, "{nodes}: {part} {slots}");
    }
}

#[test]
fn a_node_that_joins_gets_its_share_and_nothing_else_moves() {
    for nodes in [3, 10, 50, 300] {
        let mut state = cluster(nodes, 4096);
        settle(&mut state);
        grow(&mut state, nodes + 1);
        let moves = plan(&state, usize::MAX).moves;
        assert!(moves.iter().all(|it| it.to == owner(nodes + 1)));
        let moved = settle(&mut state) as f64;
        let ideal = 4096.0 / (nodes as f64 + 1.0);
        assert!(moved <= ideal * 1.05 + 1.0, "{nodes}: {moved} of {ideal}");
        assert!(imbalance(&state).1 < 1.0, "{nodes}");
    }
}

#[test]
fn what_would_lose_its_state_moves_only_where_it_must() {
    let stays = |number: u64| {
        let mut stays = member(number);
        stays.movable.clear();
        join(stays, None)
    };
    let mut state = cluster(0, 512);
    for number in 1..=3 {
        state.apply(&stays(number)).expect("new");
    }
    settle(&mut state);
    let had = state.slots_of(owner(2));
    state.apply(&stays(4)).expect("new");
    assert_eq!(plan(&state, usize::MAX), Plan::default(), "no balance");
    // A version that lets it move gets none of those that do not give, and gives none to them.
    grow(&mut state, 5);
    assert_eq!(
        plan(&state, usize::MAX),
        Plan::default(),
        "nor with another"
    );
    state.apply(&Command::Drain(owner(2))).expect("lives");
    assert_eq!(settle(&mut state), had, "a drain takes them along");
    let had = state.slots_of(owner(3));
    state.apply(&Command::Lapse(owner(3))).expect("lives");
    assert_eq!(settle(&mut state), 0);
    assert_eq!(state.slots_of(owner(3)), 0, "{had} were assigned");
}

#[test]
fn a_node_that_is_drained_gives_its_slots_and_nothing_else_moves() {
    for nodes in [3, 10, 50, 300] {
        let mut state = cluster(nodes, 4096);
        settle(&mut state);
        let had = state.slots_of(owner(2));
        state.apply(&Command::Drain(owner(2))).expect("lives");
        let moved = settle(&mut state);
        assert!(moved <= had + had / 20 + 1, "{nodes}: {moved} of {had}");
        assert_eq!(state.slots_of(owner(2)), 0);
        state
            .apply(&Command::Leave(owner(2)))
            .expect("owns nothing");
    }
}

#[test]
fn the_slots_of_a_node_that_is_lost_are_assigned_and_nothing_moves() {
    let mut state = cluster(10, 4096);
    settle(&mut state);
    state.apply(&Command::Lapse(owner(2))).expect("lives");
    let planned = plan(&state, usize::MAX);
    assert_eq!(planned.moves, []);
    assert_eq!(settle(&mut state), 0);
    assert!(imbalance(&state).1 < 1.0);
}

#[test]
fn a_thousand_joins_and_leaves_in_a_row_stay_balanced_and_move_what_they_must() {
    let mut state = cluster(10, 512);
    let mut random = Random::new(17);
    let mut members: Vec<(u64, u64)> = (1..=10).map(|number| (number, 1)).collect();
    settle(&mut state);
    let (mut moved, mut ideal) = (0.0, 0.0);
    for step in 0..1000u64 {
        let count = members.len() as f64;
        let joins = members.len() < 3 || (members.len() < 40 && random.below(2) == 0);
        if joins {
            // Some are old names in a new life, as after a restart.
            let number = 1 + random.below(60) as u64;
            if members.iter().any(|it| it.0 == number) {
                continue;
            }
            let mut joiner = member(number);
            joiner.incarnation.0 = step + 2;
            state.apply(&join(joiner, None)).expect("new");
            members.push((number, step + 2));
            ideal += 512.0 / (count + 1.0);
        } else {
            let (number, life) = members.swap_remove(random.below(members.len()));
            let mut gone = owner(number);
            gone.incarnation.0 = life;
            let drained = random.below(2) == 0;
            if drained {
                ideal += state.slots_of(gone) as f64;
                state.apply(&Command::Drain(gone)).expect("lives");
            } else {
                state.apply(&Command::Lapse(gone)).expect("lives");
            }
            moved += settle(&mut state) as f64;
            state.apply(&Command::Leave(gone)).expect("owns nothing");
        }
        moved += settle(&mut state) as f64;
        let (_, slots) = imbalance(&state);
        assert!(slots < 1.0, "step {step}: off by {slots}");
    }
    assert!(moved <= ideal * 1.05, "{moved} moved, {ideal} had to");
}

#[test]
fn weights_and_what_members_lack_are_kept_to() {
    let mut state = cluster(4, 1024);
    let mut strong = member(5);
    strong.weight = 300;
    state.apply(&join(strong, None)).expect("new");
    settle(&mut state);
    assert!(imbalance(&state).1 < 1.0);
    let (weak, strong) = (state.slots_of(owner(1)), state.slots_of(owner(5)));
    assert!(strong.abs_diff(3 * weak) <= 3, "{weak} {strong}");
    // They start anew, of a program that asks for another zone.
    for number in 1..=5 {
        state.apply(&Command::Lapse(owner(number))).expect("lives");
        let mut member = member(number);
        member.incarnation = Incarnation(2);
        member.lacks = BTreeMap::from([(samples::CART, Lack::Zone(["b".to_owned()].into()))]);
        state.apply(&join(member, None)).expect("a later life");
    }
    let before = plan(&state, 100);
    assert!(
        before.assign.is_empty() && before.moves.is_empty(),
        "nobody may"
    );
    assert_eq!(before.unplaceable, BTreeMap::from([(GROUP, 1024)]));
    let mut right = member(6);
    right.zone = "b".into();
    state.apply(&join(right, None)).expect("new");
    settle(&mut state);
    assert_eq!(state.slots_of(owner(6)), 1024);
}

#[test]
fn slots_that_nobody_may_have_are_counted() {
    let mut state = cluster(2, 64);
    let group = Group::of(GROUP, [crate::id::InterfaceId(1)]);
    state.apply(&Command::Place(group)).expect("there is");
    assert_eq!(plan(&state, 9).unplaceable, BTreeMap::from([(GROUP, 64)]));
}

#[test]
fn a_plan_is_cut_and_goes_on_from_where_it_was() {
    let mut state = cluster(3, 64);
    settle(&mut state);
    grow(&mut state, 4);
    let whole = plan(&state, usize::MAX).moves;
    let mut parts = Vec::new();
    loop {
        let part = plan(&state, 3);
        if part.moves.is_empty() {
            break;
        }
        assert!(part.moves.len() <= 3);
        carry_out(&mut state, &part);
        parts.extend(part.moves);
    }
    assert_eq!(parts, whole);
}

#[test]
fn what_is_on_its_way_is_left_alone_and_counts_as_arrived() {
    let mut state = cluster(2, 8);
    state.apply(&assign(0..8, 0, 1)).expect("free");
    let planned = plan(&state, usize::MAX).moves;
    assert_eq!(planned.len(), 4);
    for PlannedMove { id, epoch, to } in planned {
        state.apply(&Command::Move { id, epoch, to }).expect("fits");
    }
    assert_eq!(plan(&state, usize::MAX), Plan::default());
}
