//! Slots on their way from a node to one that a test speaks for, with what is sent to them meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Instant,
};

use callboard_protocol::{
    cluster::{Parcel, Word},
    slots::{Epoch, FORWARDED_MAX, Group, GroupId, Member, Owner, SequenceNumber, Slot, SlotId},
    wire::hello::FEATURE_FORWARDS,
};
use tokio::sync::Notify;

use super::*;
use crate::{call::key_bytes, cluster::Ownership};

#[derive(Debug, Default)]
struct Desk {
    notes: Mutex<Vec<u32>>,
    entered: Notify,
    leave: Notify,
}

/// Keeps nothing that goes along with its slot.
#[derive(Actor)]
#[actor(crate = crate, key = u32)]
pub(crate) struct Clerk(Arc<Desk>);

#[handlers(crate = crate)]
impl Clerk {
    pub async fn hold(&mut self) {
        self.0.entered.notify_one();
        self.0.leave.notified().await;
    }

    pub fn note(&mut self, number: u32) {
        self.0.notes.lock().expect("whole").push(number);
    }
}

const KEY: u32 = 7;

const ID: SlotId = SlotId {
    group: GroupId(InterfaceId::of("Clerk").0),
    slot: Slot(0),
};

/// A node that owns the only slot, and what the control group decides.
struct Scene {
    town: Town,
    one: Node,
    ownership: Arc<Ownership>,
    state: State,
    desk: Arc<Desk>,
    held: Option<tokio::task::JoinHandle<Result<(), CallError>>>,
}

impl Scene {
    async fn new() -> Self {
        let (town, desk) = (Town::new(), Arc::<Desk>::default());
        let ownership = Arc::new(Ownership::new(owner("one")));
        ownership.handle_lease(Time::MAX, Time::MAX);
        let given = desk.clone();
        let one = Node::builder()
            .identity(town.issue("one", PeerKind::Node))
            .host_with::<Clerk>(move |_| Clerk(given.clone()))
            .ownership(ownership.clone())
            .start()
            .await;
        let scene = Self {
            town,
            one: one.expect("starts"),
            ownership,
            state: tables(),
            desk,
            held: None,
        };
        scene.tell();
        scene
    }

    /// Links a peer that takes sends along, or one of an earlier version.
    async fn peer(&self, name: &str, kind: PeerKind, forwards: bool) -> (Raw, Arc<Link>) {
        let features = match forwards {
            true => FEATURE_CLUSTER | FEATURE_FORWARDS,
            false => FEATURE_CLUSTER,
        };
        let (identity, seeds) = (self.town.issue(name, kind), vec![self.one.local_addr()]);
        let metrics = Metrics::new();
        let face = Face::new::<Clerk>(&Policy::default(), |spec| {
            metrics.method(spec.interface, spec.name)
        });
        let hosts = match kind {
            PeerKind::Node => vec![face.expect("bounded shapes").hosted()],
            _ => Vec::new(),
        };
        let mut raw = Raw::with_features(features, 1, &identity, seeds, hosts);
        let link = raw.link().await;
        (raw, link)
    }

    fn tell(&self) {
        let news = self.state.since(self.ownership.version(), usize::MAX);
        let told = self.ownership.handle_delta(&news.expect("formed"));
        told.expect("fits");
    }

    fn decide(&mut self, command: &Command) {
        self.state.apply(command).expect("fits");
        self.tell();
    }

    /// Begins a turn that ends when the test lets it.
    async fn hold(&mut self) {
        let clerk = self.one.actor::<Clerk>(KEY);
        let held = tokio::spawn(async move { clerk.hold().timeout(PATIENCE).await });
        self.desk.entered.notified().await;
        self.held = Some(held);
    }

    async fn let_go(&mut self) {
        self.desk.leave.notify_one();
        let held = self.held.take().expect("it is held").await;
        held.expect("no panic").expect("it has ended in order");
    }

    fn moves(&mut self) {
        let (epoch, to) = (EPOCH, owner("two"));
        self.decide(&Command::Move { id: ID, epoch, to });
    }

    fn has_stopped(&self) -> bool {
        let stopped = Word::Stopped {
            id: ID,
            epoch: EPOCH,
        };
        self.ownership.words().contains(&stopped)
    }

    /// The leader has heard that the node has stopped.
    fn arrives(&mut self) {
        assert!(self.has_stopped());
        let (id, epoch, by) = (ID, EPOCH, owner("one"));
        self.decide(&Command::Stopped { id, epoch, by });
    }

    /// Returns a counter, all labels together.
    fn count(&self, counter: &str) -> usize {
        let metrics = self.one.metrics();
        let lines = metrics.lines().filter(|it| it.starts_with(counter));
        let counts = lines.filter_map(|it| it.rsplit(' ').next()?.parse::<usize>().ok());
        counts.sum()
    }

    fn refused(&self) -> usize {
        self.count("callboard_sends_refused_total{")
    }

    fn forwarded(&self) -> usize {
        self.count("callboard_sends_forwarded_total ")
    }

    fn waiting(&self) -> usize {
        self.count("callboard_mailbox_depth{actor=\"Clerk\"}")
    }
}

const EPOCH: Epoch = Epoch(1);

fn owner(name: &str) -> Owner {
    Owner {
        node: NodeId::of(&NodeName::new(name).expect("a name")),
        incarnation: Incarnation(1),
    }
}

/// The tables of a cluster of two whose only slot is the first one's.
fn tables() -> State {
    let kind = InterfaceId::of("Clerk");
    let mut state = State::new();
    let mut apply = |command| state.apply(&command).expect("fits");
    apply(Command::Form {
        cluster: ClusterId(7),
        slots: SlotCount::new(1).expect("a power of two"),
        settings: Settings::default(),
    });
    for name in ["one", "two"] {
        let member = Member {
            name: NodeName::new(name).expect("a name"),
            incarnation: Incarnation(1),
            disk: None,
            addr: "127.0.0.1:1".parse().expect("an address"),
            zone: String::new(),
            roles: BTreeSet::new(),
            labels: BTreeMap::new(),
            hosts: BTreeSet::from([kind]),
            movable: BTreeSet::new(),
            lacks: BTreeMap::new(),
            version: 1,
            weight: 100,
        };
        apply(Command::Join {
            cluster: ClusterId(7),
            member: Box::new(member),
            heir_of: None,
        });
    }
    apply(Command::Place(Group::of(ID.group, [kind])));
    apply(Command::Assign {
        group: ID.group,
        slots: vec![(ID.slot, Epoch(0))],
        to: owner("one"),
    });
    assert_eq!(state.entry(ID).expect("known").epoch, EPOCH);
    state
}

/// Sends a note to the clerk, as a peer that never looks at tables does.
async fn note(link: &Link, number: u32) {
    noted(link, number, 0, true).await;
}

/// Sends a note to the clerk or calls it, by an epoch if it is not 0.
async fn noted(link: &Link, number: u32, epoch: u64, send: bool) {
    let (key, mut body) = (key_bytes(&KEY).expect("short"), [0; 5]);
    let body = postcard_of(number, &mut body);
    let mut frame = call(
        u64::from(number) + 1,
        InterfaceId::of("Clerk"),
        MethodId::of("Clerk", "note"),
        body,
    );
    frame.send = send;
    frame.target = Target::Keyed(&key);
    frame.epoch = epoch;
    loop {
        let appended = link.append(0, |out| frame.encode(out));
        match appended {
            Ok(_) => return,
            Err(crate::net::AppendError::Full) => link.writable(0).await,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Waits for the answer to a call, which the other peers may be linked with meanwhile.
async fn answered(raw: &mut Raw) -> Result<(), CallError> {
    loop {
        let Event::Frame(frame) = raw.next().await else {
            continue;
        };
        match Frame::decode(&frame) {
            Ok(Frame::Reply(Reply { outcome, .. })) => return outcome.map(|_| ()),
            other => panic!("{other:?} is no reply"),
        }
    }
}

/// Writes a number as the wire does: seven bits a byte.
fn postcard_of(mut number: u32, out: &mut [u8; 5]) -> &[u8] {
    let mut len = 0;
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        out[len] = low | if number == 0 { 0 } else { 0x80 };
        len += 1;
        if number == 0 {
            return &out[..len];
        }
    }
}

fn number_of(body: &[u8]) -> u32 {
    let digits = body.iter().rev();
    digits.fold(0, |number, byte| number << 7 | u32::from(byte & 0x7f))
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for the parcels from this number on, of which none may be missing; returns the numbers of the notes. What
/// has not been acknowledged in time comes again.
async fn notes_from(raw: &mut Raw, link: &Link, from: u64, count: u64) -> Vec<u32> {
    let mut notes = Vec::new();
    let mut next = from;
    while next < from + count {
        let (sequence, number) = handed(raw).await;
        assert!(sequence <= next, "{sequence} before {next}");
        if sequence == next {
            notes.push(number);
            next += 1;
        }
        acknowledge(link, next);
    }
    notes
}

/// Waits for the next parcel; returns its number, and that of the note in it.
async fn handed(raw: &mut Raw) -> (u64, u32) {
    loop {
        let Event::Heard(message) = raw.next().await else {
            continue;
        };
        let Ok(Message::Hand {
            id,
            epoch,
            sequence,
            parcel,
            ..
        }) = decode_message(&message)
        else {
            continue;
        };
        assert_eq!((id, epoch), (ID, EPOCH));
        match parcel {
            Parcel::Send(send) => return (sequence.0, number_of(&send.body)),
            other => panic!("{other:?} is no send"),
        }
    }
}

fn acknowledge(link: &Link, before: u64) {
    let (id, epoch, before) = (ID, EPOCH, SequenceNumber(before));
    say(link, &Message::Handed { id, epoch, before });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_of_a_peer_of_an_earlier_version_go_along_in_order() {
    let mut scene = Scene::new().await;
    let (mut two, to_two) = scene.peer("two", PeerKind::Node, true).await;
    let (far, of_far) = scene.peer("far", PeerKind::Client, false).await;
    scene.hold().await;
    note(&of_far, 1).await;
    eventually("it waits", || scene.waiting() == 1).await;
    scene.moves();
    // It knows of no tables, so it goes on sending here.
    note(&of_far, 2).await;
    scene.let_go().await;
    assert_eq!(handed(&mut two).await, (0, 1));
    assert!(
        !scene.has_stopped(),
        "the next owner has not said that it has it"
    );
    acknowledge(&to_two, 1);
    assert_eq!(notes_from(&mut two, &to_two, 1, 1).await, [2]);
    eventually("it has stopped", || scene.has_stopped()).await;
    scene.arrives();
    eventually("both are counted", || scene.forwarded() == 2).await;
    // It is as before there was anything that goes along: nobody can have it run in its order.
    note(&of_far, 3).await;
    eventually("it is refused", || scene.refused() == 1).await;
    assert!(scene.desk.notes.lock().expect("whole").is_empty());
    two.stop().await;
    far.stop().await;
    scene.one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_it_does_not_know_goes_to_a_node_of_an_earlier_version() {
    let mut scene = Scene::new().await;
    let (mut two, _to_two) = scene.peer("two", PeerKind::Node, false).await;
    let (far, of_far) = scene.peer("far", PeerKind::Client, true).await;
    scene.hold().await;
    for number in 1..=3 {
        note(&of_far, number).await;
    }
    eventually("they wait", || scene.waiting() == 3).await;
    scene.moves();
    scene.let_go().await;
    eventually("it has stopped", || scene.has_stopped()).await;
    assert_eq!(
        (scene.refused(), scene.forwarded()),
        (3, 0),
        "all are counted"
    );
    scene.arrives();
    // What it sends by the new tables goes there as it always did.
    let clerk = scene.one.actor::<Clerk>(KEY);
    clerk
        .note(4)
        .timeout(PATIENCE)
        .send()
        .await
        .expect("it leaves");
    loop {
        match two.next().await {
            Event::Frame(frame) => match Frame::decode(&frame) {
                Ok(Frame::Call(call)) if call.send => break,
                other => panic!("{other:?} is nothing that it knows"),
            },
            Event::Heard(message) => {
                let message = decode_message(&message);
                assert!(!matches!(message, Ok(Message::Hand { .. })), "{message:?}");
            }
            // The other peer has heard of it.
            Event::Up(_) => {}
        }
    }
    two.stop().await;
    far.stop().await;
    scene.one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_another_node_had_the_slot_does_not_run() {
    let mut scene = Scene::new().await;
    let (two, _to_two) = scene.peer("two", PeerKind::Node, false).await;
    let (mut far, of_far) = scene.peer("far", PeerKind::Client, false).await;
    scene.moves();
    eventually("it has stopped", || scene.has_stopped()).await;
    scene.arrives();
    let (id, epoch, to, by) = (ID, Epoch(2), owner("one"), owner("two"));
    scene.decide(&Command::Move { id, epoch, to });
    scene.decide(&Command::Stopped { id, epoch, by });
    noted(&of_far, 1, 1, true).await;
    eventually("the send is refused", || scene.refused() == 1).await;
    // By that of the next owner as well, which this node was when it was sent.
    for (number, epoch) in [(2, 3), (3, 2), (4, 0)] {
        noted(&of_far, number, epoch, true).await;
    }
    let notes = || scene.desk.notes.lock().expect("whole").clone();
    eventually("others run", || notes() == [2, 3, 4]).await;

    noted(&of_far, 5, 1, false).await;
    let code = answered(&mut far).await.map_err(|error| error.code());
    assert_eq!(code, Err(Code::Moved), "so that it is made again");
    noted(&of_far, 6, 3, false).await;
    assert_eq!(answered(&mut far).await, Ok(()));
    assert_eq!(notes(), [2, 3, 4, 6]);
    two.stop().await;
    far.stop().await;
    scene.one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_above_the_limit_are_refused_and_counted() {
    let mut scene = Scene::new().await;
    let (mut two, to_two) = scene.peer("two", PeerKind::Node, true).await;
    let (far, of_far) = scene.peer("far", PeerKind::Client, false).await;
    scene.hold().await;
    scene.moves();
    let most = u32::try_from(FORWARDED_MAX).expect("few");
    for number in 0..most + 3 {
        note(&of_far, number).await;
    }
    eventually("those above it are refused", || scene.refused() == 3).await;
    scene.let_go().await;
    let notes = notes_from(&mut two, &to_two, 0, u64::from(most)).await;
    assert!(notes.into_iter().eq(0..most), "in order");
    eventually("it has stopped", || scene.has_stopped()).await;
    scene.arrives();
    eventually("all are counted", || scene.forwarded() == FORWARDED_MAX).await;
    assert_eq!(scene.refused(), 3);
    two.stop().await;
    far.stop().await;
    scene.one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_on_its_way_when_the_link_was_lost_goes_again_and_no_more() {
    let mut scene = Scene::new().await;
    let (mut two, to_two) = scene.peer("two", PeerKind::Node, true).await;
    let (far, of_far) = scene.peer("far", PeerKind::Client, false).await;
    scene.hold().await;
    for number in 0..3 {
        note(&of_far, number).await;
    }
    eventually("they wait", || scene.waiting() == 3).await;
    scene.moves();
    scene.let_go().await;
    assert_eq!(notes_from(&mut two, &to_two, 0, 1).await, [0]);
    two.stop().await;
    let (mut two, to_two) = scene.peer("two", PeerKind::Node, true).await;
    // The word for the first one may have been lost with the link.
    let (first, _) = handed(&mut two).await;
    assert!(
        first <= 1,
        "from the first one that it has not said to have"
    );
    acknowledge(&to_two, first + 1);
    assert_eq!(
        notes_from(&mut two, &to_two, first + 1, 2 - first).await,
        (0..3)
            .skip(usize::try_from(first).expect("few") + 1)
            .collect::<Vec<_>>()
    );
    eventually("it has stopped", || scene.has_stopped()).await;
    scene.arrives();
    eventually("all are counted", || scene.forwarded() == 3).await;
    assert_eq!(scene.refused(), 0);
    assert!(scene.desk.notes.lock().expect("whole").is_empty());
    two.stop().await;
    far.stop().await;
    scene.one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_does_not_take_because_its_link_is_lost_is_counted_when_it_has_the_slot() {
    let mut scene = Scene::new().await;
    let (mut two, to_two) = scene.peer("two", PeerKind::Node, true).await;
    let (far, of_far) = scene.peer("far", PeerKind::Client, false).await;
    scene.hold().await;
    for number in 0..3 {
        note(&of_far, number).await;
    }
    eventually("they wait", || scene.waiting() == 3).await;
    scene.moves();
    scene.let_go().await;
    assert_eq!(handed(&mut two).await, (0, 0));
    acknowledge(&to_two, 1);
    two.stop().await;
    // It is given up before the move is.
    eventually("it has stopped", || scene.has_stopped()).await;
    scene.arrives();
    eventually("what was lost is counted", || scene.refused() >= 2).await;
    assert_eq!(
        scene.refused() + scene.forwarded(),
        3,
        "each is counted once"
    );
    assert!(scene.desk.notes.lock().expect("whole").is_empty());
    far.stop().await;
    scene.one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_its_way_with_a_slot_that_goes_back_runs_once_and_in_order() {
    let mut scene = Scene::new().await;
    let (mut two, to_two) = scene.peer("two", PeerKind::Node, true).await;
    let (far, of_far) = scene.peer("far", PeerKind::Client, false).await;
    scene.hold().await;
    note(&of_far, 0).await;
    note(&of_far, 1).await;
    eventually("they wait", || scene.waiting() == 2).await;
    scene.moves();
    scene.let_go().await;
    assert_eq!(notes_from(&mut two, &to_two, 0, 1).await, [0]);
    note(&of_far, 2).await;
    assert_eq!(notes_from(&mut two, &to_two, 1, 2).await, [1, 2]);
    let (id, epoch) = (ID, EPOCH);
    scene.decide(&Command::Abort { id, epoch });
    let notes = || scene.desk.notes.lock().expect("whole").clone();
    eventually("all have run", || notes().len() == 3).await;
    // Nobody is asked what it has: the epoch says that it has not run there.
    scene
        .one
        .actor::<Clerk>(KEY)
        .note(3)
        .await
        .expect("answers");
    assert_eq!(notes(), [0, 1, 2, 3]);
    assert_eq!((scene.refused(), scene.forwarded()), (0, 0));
    two.stop().await;
    far.stop().await;
    scene.one.stop().await;
}

/// Moves the slot away and lets it stay after all; returns how long this node took to stop.
async fn moves_in_vain(scene: &mut Scene) -> Duration {
    let epoch = scene.state.entry(ID).expect("known").epoch;
    let (id, to) = (ID, owner("two"));
    let since = Instant::now();
    scene.decide(&Command::Move { id, epoch, to });
    let stopped = Word::Stopped { id, epoch };
    let has_stopped = || scene.ownership.words().contains(&stopped);
    eventually("it has stopped", has_stopped).await;
    let took = since.elapsed();
    scene.decide(&Command::Abort { id, epoch });
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_say_what_it_has_seen_holds_slots_once_and_again_when_it_has_said_more()
 {
    let mut scene = Scene::new().await;
    let (two, _to_two) = scene.peer("two", PeerKind::Node, false).await;
    let (far, of_far) = scene.peer("far", PeerKind::Client, true).await;
    let wait = Duration::from_millis(100);
    assert!(moves_in_vain(&mut scene).await >= wait, "it is waited for");
    // The machine may be slow in one of them.
    let mut times = Vec::new();
    for _ in 0..10 {
        times.push(moves_in_vain(&mut scene).await);
    }
    let least = times.iter().min().expect("ten");
    assert!(*least < wait, "{times:?}");
    let version = scene.ownership.version();
    let said = of_far.append(0, |out| {
        callboard_protocol::wire::header::encode_seen(version.0, out);
        Ok::<_, std::convert::Infallible>(())
    });
    said.expect("there is room");
    // What comes behind it has run, so it was heard.
    note(&of_far, 1).await;
    let notes = || scene.desk.notes.lock().expect("whole").len();
    eventually("it has run", || notes() == 1).await;
    assert!(moves_in_vain(&mut scene).await >= wait, "it is back");
    two.stop().await;
    far.stop().await;
    scene.one.stop().await;
}
