use std::collections::{BTreeMap, VecDeque};

use super::*;
use crate::garbage::Random;

fn values(slab: &LinkedSlab<u64>, list: ListId) -> Vec<u64> {
    slab.iter(list).map(|(_, value)| *value).collect()
}

#[test]
fn entries_leave_in_the_order_they_came() {
    let mut slab = LinkedSlab::new();
    let (a, b) = (slab.new_list(), slab.new_list());
    for value in 0..4 {
        slab.push_back(a, value);
        slab.push_back(b, value + 10);
    }
    assert_eq!(values(&slab, b), [10, 11, 12, 13]);
    assert_eq!(
        (0..5).map_while(|_| slab.pop_front(a)).collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
    assert_eq!((slab.len(), slab.list_len(a), slab.list_len(b)), (4, 0, 4));
}

#[test]
fn a_late_key_finds_nothing_in_a_reused_slot() {
    let mut slab = LinkedSlab::new();
    let list = slab.new_list();
    let old = slab.push_back(list, "old");
    assert_eq!(slab.remove(old), Some("old"));
    let new = slab.push_back(list, "new");
    assert_eq!(old.index, new.index);
    assert_eq!(slab.remove(old), None);
    assert_eq!(slab.get(old), None);
    assert_eq!(slab.list_of(old), None);
    assert!(!slab.move_to_back(old, list));
    assert_eq!(slab.get_mut(new), Some(&mut "new"));
}

#[test]
fn removing_at_the_ends_and_in_the_middle_keeps_the_rest_in_order() {
    let mut slab = LinkedSlab::new();
    let list = slab.new_list();
    let keys: Vec<Key> = (0..5).map(|value| slab.push_back(list, value)).collect();
    slab.remove(keys[2]);
    assert_eq!(values(&slab, list), [0, 1, 3, 4]);
    slab.remove(keys[0]);
    slab.remove(keys[4]);
    assert_eq!(values(&slab, list), [1, 3]);
    assert!(slab.move_to_back(keys[1], list));
    assert_eq!(values(&slab, list), [3, 1]);
    assert_eq!(slab.front_key(list), Some(keys[3]));
    assert_eq!(slab.front(list), Some(&3));
}

#[test]
fn a_removed_list_drops_its_entries_and_is_reused() {
    let mut slab = LinkedSlab::new();
    let (a, b) = (slab.new_list(), slab.new_list());
    let key = slab.push_back(a, 1);
    slab.push_back(b, 2);
    slab.remove_list(a);
    assert_eq!(slab.get(key), None);
    assert_eq!(slab.len(), 1);
    let again = slab.new_list();
    assert_eq!(again, a);
    assert_eq!(slab.pop_front(again), None);
}

#[test]
#[should_panic(expected = "the list was removed")]
fn using_a_removed_list_is_a_fault_of_the_caller() {
    let mut slab = LinkedSlab::<u8>::new();
    let list = slab.new_list();
    slab.remove_list(list);
    slab.push_back(list, 1);
}

#[test]
fn slots_are_reused_before_the_slab_grows() {
    let mut slab = LinkedSlab::new();
    let list = slab.new_list();
    for round in 0..1000 {
        let keys: Vec<Key> = (0..10).map(|n| slab.push_back(list, round + n)).collect();
        for key in keys {
            slab.remove(key);
        }
    }
    assert_eq!(slab.slots.len(), 10);
}

#[test]
fn random_operations_match_a_model_of_queues() {
    for seed in 1..=20 {
        let mut random = Random::new(seed);
        let mut slab = LinkedSlab::new();
        let lists: Vec<ListId> = (0..4).map(|_| slab.new_list()).collect();
        let mut model: Vec<VecDeque<u64>> = vec![VecDeque::new(); lists.len()];
        let mut keys: BTreeMap<u64, Key> = BTreeMap::new();
        for value in 0..5000 {
            let at = random.below(lists.len());
            match random.below(10) {
                0..4 => {
                    keys.insert(value, slab.push_back(lists[at], value));
                    model[at].push_back(value);
                }
                4..6 => {
                    assert_eq!(slab.pop_front(lists[at]), model[at].pop_front());
                }
                kind => {
                    // Any value that ever was, so often one that is gone.
                    let Some((&value, &key)) = keys.range(value / 2..).next() else {
                        continue;
                    };
                    let place = model.iter().position(|queue| queue.contains(&value));
                    if let Some(list) = place {
                        model[list].retain(|other| *other != value);
                    }
                    if kind < 8 {
                        assert_eq!(slab.remove(key), place.map(|_| value));
                    } else {
                        assert_eq!(slab.move_to_back(key, lists[at]), place.is_some());
                        if place.is_some() {
                            model[at].push_back(value);
                        }
                    }
                }
            }
            assert_eq!(slab.len(), model.iter().map(VecDeque::len).sum::<usize>());
        }
        for (list, queue) in lists.iter().zip(&model) {
            assert_eq!(*queue, values(&slab, *list));
            assert_eq!(slab.list_len(*list), queue.len());
        }
    }
}
