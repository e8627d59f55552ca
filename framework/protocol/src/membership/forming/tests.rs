use super::*;
use crate::garbage::Random;

const RETRY: Duration = Duration::from_millis(100);

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// Nodes that form a cluster over a network that loses, doubles and delays, and that crash.
struct World {
    random: Random,
    now: u64,
    nodes: Vec<Node>,
    /// Messages under way: when they come, from, to, what.
    network: Vec<(u64, usize, usize, FormingMessage)>,
    /// Whether messages are lost and nodes crash.
    faulty: bool,
}

struct Node {
    former: Former,
    expect: Option<u32>,
    disk: FormingMemory,
    life: u64,
    /// Who it sees.
    sees: BTreeSet<usize>,
}

fn id(node: usize) -> NodeId {
    NodeId(node as u64)
}

impl World {
    fn new(seed: u64, expects: &[Option<u32>]) -> Self {
        let node = |(me, expect): (usize, &Option<u32>)| Node {
            former: former(me, *expect, 0, FormingMemory::default(), 0),
            expect: *expect,
            disk: FormingMemory::default(),
            life: 0,
            sees: BTreeSet::new(),
        };
        Self {
            random: Random::new(seed),
            now: 0,
            nodes: expects.iter().enumerate().map(node).collect(),
            network: Vec::new(),
            faulty: true,
        }
    }

    fn step(&mut self) {
        self.now += 10;
        let count = self.nodes.len();
        if self.faulty && self.random.below(60) == 0 {
            let node = self.random.below(count);
            self.restart(node);
        }
        for me in 0..count {
            // Sightings come one by one, and without faults all of them.
            for other in 0..count {
                if me != other && (self.random.below(40) == 0 || !self.faulty) {
                    self.nodes[me].sees.insert(other);
                }
                if self.nodes[me].sees.contains(&other) {
                    let sighting = self.nodes[other].former.sighting();
                    self.nodes[me]
                        .former
                        .handle_sighting(sighting, at(self.now));
                }
            }
            let random = u128::from(self.random.next()) + 1;
            self.nodes[me].former.handle_time(random, at(self.now));
            self.carry_out(me);
        }
        let (due, later) = std::mem::take(&mut self.network)
            .into_iter()
            .partition(|message| message.0 <= self.now);
        self.network = later;
        for (_, from, to, message) in due {
            self.nodes[to]
                .former
                .handle_message(id(from), message, at(self.now));
            self.carry_out(to);
        }
    }

    fn carry_out(&mut self, me: usize) {
        while let Some(action) = self.nodes[me].former.poll_action() {
            if self.faulty && self.random.below(200) == 0 {
                // A crash between two actions: what was stored is stored, the rest is lost.
                self.restart(me);
                return;
            }
            match action {
                FormingAction::Store(memory) => self.nodes[me].disk = memory,
                FormingAction::Send { to, message } => {
                    let copies = if self.faulty { self.random.below(3) } else { 1 };
                    for _ in 0..copies {
                        let delay = self.random.below(150) as u64;
                        let to = usize::try_from(to.0).expect("small");
                        let message = (self.now + delay, me, to, message.clone());
                        self.network.push(message);
                    }
                }
                FormingAction::Form { cluster, .. } | FormingAction::Join { cluster } => {
                    assert_eq!(self.nodes[me].disk.cluster, Some(cluster));
                }
            }
        }
    }

    fn restart(&mut self, me: usize) {
        let node = &mut self.nodes[me];
        node.life += 1;
        let memory = node.disk.clone();
        node.former = former(me, node.expect, node.life, memory, self.now);
        node.sees.clear();
    }

    /// Returns the clusters that nodes belong to.
    fn clusters(&self) -> BTreeSet<ClusterId> {
        let nodes = self.nodes.iter();
        nodes.filter_map(|node| node.disk.cluster).collect()
    }
}

fn former(me: usize, expect: Option<u32>, life: u64, memory: FormingMemory, now: u64) -> Former {
    let life = Incarnation(life);
    Former::new(id(me), life, expect, memory, RETRY, at(now)).expect("in range")
}

#[test]
fn a_thousand_formations_and_no_fork() {
    let (mut formed_in_faults, mut crashes) = (0, 0);
    for seed in 1..=1000 {
        let expects = match seed % 4 {
            0 => vec![Some(1), None, None],
            1 => vec![Some(3); 3],
            2 => vec![None, Some(3), Some(3), Some(3), None],
            _ => vec![Some(5); 5],
        };
        let mut world = World::new(seed, &expects);
        for _ in 0..world.random.below(400) {
            world.step();
            assert!(world.clusters().len() <= 1, "seed {seed}: two clusters");
        }
        formed_in_faults += world.clusters().len();
        crashes += world.nodes.iter().map(|node| node.life).sum::<u64>();
        world.faulty = false;
        for _ in 0..400 {
            world.step();
            assert!(world.clusters().len() <= 1, "seed {seed}: two clusters");
        }
        let alone = world.nodes.iter().find(|it| it.disk.cluster.is_none());
        if let Some(node) = alone {
            panic!("seed {seed}: {:?} {:?}", node.disk, node.former.why_not());
        }
    }
    assert!(
        formed_in_faults > 100,
        "{formed_in_faults} formed during faults"
    );
    assert!(crashes > 1000, "{crashes} crashes");
}

#[test]
fn overlapping_sets_do_not_both_form() {
    // Four nodes that each expect three: whichever three see each other first, at most one cluster.
    for seed in 1..=500 {
        let mut world = World::new(seed, &[Some(3); 4]);
        for _ in 0..300 {
            world.step();
            assert!(world.clusters().len() <= 1, "seed {seed}: two clusters");
        }
    }
}

#[test]
fn a_node_says_why_it_forms_no_cluster() {
    let sighting = |node, expects, cluster| Sighting {
        node: NodeId(node),
        cluster,
        expects,
    };
    let mut former = former(1, Some(3), 1, FormingMemory::default(), 0);
    let text = |former: &Former| former.why_not().expect("a reason").to_string();
    former.handle_sighting(sighting(2, Some(3), None), at(0));
    assert_eq!(
        text(&former),
        "2 of the 3 nodes that form the cluster are here; start the others"
    );
    former.handle_sighting(sighting(3, Some(2), None), at(0));
    assert_eq!(
        text(&former),
        "bootstrap_expect is 3 here and 2 on node 0000000000000003: give both the same"
    );
    former.handle_sighting(sighting(3, Some(3), None), at(0));
    assert_eq!(former.why_not(), None);
    former.handle_sighting(sighting(4, Some(3), None), at(0));
    assert!(text(&former).starts_with("4 nodes want to form a cluster of 3"));
    former.handle_lost(NodeId(4));
    let set = [1, 2, 3].map(NodeId).into();
    let round = Round {
        life: Incarnation(1),
        count: 0,
    };
    former.handle_message(NodeId(2), FormingMessage::Ask { round, set }, at(0));
    assert!(text(&former).starts_with("node 0000000000000002 is forming the cluster"));
}

#[test]
fn what_is_expected_has_bounds() {
    for expect in [0, 6] {
        let memory = FormingMemory::default();
        let error = Former::new(id(1), Incarnation(1), Some(expect), memory, RETRY, at(0));
        let text = error.expect_err("refused").to_string();
        assert!(text.contains("allowed are 1 to 5"), "{text}");
    }
}

#[test]
fn one_node_that_expects_itself_forms_at_once() {
    let mut former = former(1, Some(1), 1, FormingMemory::default(), 0);
    former.handle_time(99, at(0));
    let actions: Vec<_> = std::iter::from_fn(|| former.poll_action()).collect();
    let voters = BTreeSet::from([id(1)]);
    let cluster = ClusterId(99);
    assert_eq!(
        actions.last(),
        Some(&FormingAction::Form { cluster, voters })
    );
    assert!(matches!(&actions[1], FormingAction::Store(it) if it.cluster == Some(cluster)));
}

#[test]
fn a_node_that_has_a_cluster_never_forms_another() {
    let memory = FormingMemory {
        cluster: Some(ClusterId(7)),
        ..FormingMemory::default()
    };
    let mut former = former(1, Some(1), 1, memory, 0);
    former.handle_time(99, at(0));
    let cluster = ClusterId(7);
    assert_eq!(former.poll_action(), Some(FormingAction::Join { cluster }));
    assert_eq!(former.poll_action(), None);
}
