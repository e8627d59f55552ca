//! The command as somebody runs it, against nodes in this process: what it prints, and what it ends
//! with.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use callboard::{
    Actor, ClusterName, Ctx, Node, NodeName, Profile, RoleName, Wire, handlers,
    net::{Authority, PeerKind},
};
use tempfile::TempDir;

/// Counts, in memory that goes along with its slot.
#[derive(Default, Wire, Actor)]
#[actor(key = String, handover)]
pub struct Cart {
    count: u32,
}

#[handlers]
impl Cart {
    /// Counts, and says where.
    pub fn add(&mut self, ctx: &Ctx<Self>) -> (String, u32) {
        self.count += 1;
        (ctx.node_name().to_owned(), self.count)
    }
}

/// Has a number as its key.
#[derive(Default, Actor)]
#[actor(key = u64)]
pub struct Order;

#[handlers]
impl Order {
    /// Does nothing.
    pub fn look(&self) {}
}

/// A place in a shelf.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Wire)]
pub struct Place {
    row: u8,
    column: u8,
}

/// Has a key that cannot be written as text.
#[derive(Default, Actor)]
#[actor(key = Place)]
pub struct Box;

#[handlers]
impl Box {
    /// Does nothing.
    pub fn look(&self) {}
}

/// A cluster, and the files of those who may look into it.
struct Cluster {
    authority: Authority,
    folder: TempDir,
    nodes: Vec<Node>,
}

/// What a run of the command has printed and ended with.
#[derive(Debug)]
struct Ran {
    out: String,
    err: String,
    code: Option<i32>,
}

impl Cluster {
    /// Starts so many nodes, which form a cluster.
    async fn of(count: u32) -> Self {
        let name = ClusterName::new("shop").expect("a name");
        let mut cluster = Self {
            authority: Authority::throw_away(name).expect("an authority"),
            folder: tempfile::tempdir().expect("a folder"),
            nodes: Vec::new(),
        };
        for number in 1..=count {
            let node = cluster.start(&format!("n{number}"), Some(count)).await;
            cluster.nodes.push(node);
        }
        for node in &cluster.nodes {
            node.joined(PATIENCE).await.expect("a member");
        }
        cluster
    }

    async fn start(&self, name: &str, expect: Option<u32>) -> Node {
        let node = NodeName::new(name).expect("a name");
        let identity = self.authority.issue(node, PeerKind::Node);
        let mut builder = Node::builder()
            .identity(identity.expect("an identity"))
            .data_dir(self.folder.path().join(name))
            .profile(Profile::fast())
            .seeds(self.addrs())
            .host::<Cart>();
        if let Some(expect) = expect {
            builder = builder.bootstrap_expect(expect);
        }
        if expect != Some(3) {
            // Where none is drained: the slots of each type take seconds.
            builder = builder.host::<Order>().host::<Box>();
        }
        builder.start().await.expect("starts")
    }

    /// Waits until every slot has an owner, and none is on its way.
    async fn settled(&self) {
        let settled = tokio::time::timeout(PATIENCE, async {
            loop {
                let status = self.json(&["status"]);
                let types = status["types"].as_array().expect("a list").clone();
                let is_settled = |it: &serde_json::Value| it["moving"] == 0 && it["unowned"] == 0;
                let live = status["members"].as_array().expect("a list").clone();
                let have_slots = live.iter().all(|it| it["slots"] != 0);
                let hosted = live[0]["hosts"].as_array().expect("a list").len();
                if types.len() == hosted && types.iter().all(is_settled) && have_slots {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        settled.await.expect("the cluster settles");
    }

    fn addrs(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Node::local_addr).collect()
    }

    /// Runs the command with a certificate that has these roles.
    fn run_as(&self, roles: &[&str], arguments: &[&str]) -> Ran {
        let who = format!("c-{}", roles.join("-"));
        let files = write_identity(&self.authority, self.folder.path(), &who, roles);
        let mut command = callboard();
        command.args(arguments);
        for addr in self.addrs() {
            command.args(["--join", &addr.to_string()]);
        }
        for (flag, file) in ["--ca", "--cert", "--key"].iter().zip(files) {
            command.arg(flag).arg(file);
        }
        run(&mut command)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_as(&["admin"], arguments)
    }

    /// Runs the command for JSON.
    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let ran = self.run(&[arguments, &["-o", "json"]].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        serde_json::from_str(&ran.out).expect("it is JSON")
    }
}

fn callboard() -> Command {
    Command::new(env!("CARGO_BIN_EXE_callboard"))
}

/// Runs the command to its end; the nodes of this process go on meanwhile.
fn run(command: &mut Command) -> Ran {
    let output: Output =
        tokio::task::block_in_place(|| command.output()).expect("it can be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran {
        out: text(output.stdout),
        err: text(output.stderr),
        code: output.status.code(),
    }
}

/// Writes a client's certificate with its authority and its key, each into a file.
fn write_identity(authority: &Authority, folder: &Path, who: &str, roles: &[&str]) -> [PathBuf; 3] {
    let name = NodeName::new(who).expect("a name");
    let roles = roles.iter().map(|it| RoleName::new(*it).expect("a role"));
    let issued = authority.issue_pem_with_roles(name, PeerKind::Client, roles);
    let issued = issued.expect("issued");
    let write = |kind: &str, text: &str| {
        let path = folder.join(format!("{who}.{kind}"));
        write_private(&path, text);
        path
    };
    [
        write("ca", &authority.certificate_pem()),
        write("pem", &issued.certificate),
        write("key", &issued.key),
    ]
}

/// Writes a file that nobody else may read.
fn write_private(path: &Path, text: &str) {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path).expect("made");
    file.write_all(text.as_bytes()).expect("written");
}

/// Far above what any step takes.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_shows_the_cluster_as_text_and_as_json() {
    let cluster = Cluster::of(3).await;
    let id = cluster.nodes[0].cluster_id().expect("formed").to_string();
    let status = cluster.json(&["status"]);
    assert_eq!(status["cluster"], "shop");
    assert_eq!(status["cluster_id"], id);
    assert_eq!(status["placement"], "group");
    assert!(status["lease_left_ms"].is_u64(), "{status}");
    let members = status["members"].as_array().expect("a list");
    let names: Vec<_> = members.iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
    assert!(members.iter().all(|it| it["state"] == "live"), "{status}");

    let ran = cluster.run(&["status"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let first = format!("cluster  shop, formed as {id}");
    assert_eq!(ran.out.lines().next(), Some(&*first));
    assert!(ran.out.contains("\nNODE  STATE  ADDRESS"), "{ran:?}");
    assert!(!ran.out.contains('\u{1b}'), "no codes of a terminal");
    assert_eq!(ran.err, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_asks_each_node_and_says_who_does_not_answer() {
    let mut cluster = Cluster::of(3).await;
    let nodes = cluster.json(&["nodes"]);
    let nodes = nodes["nodes"].as_array().expect("a list").clone();
    assert_eq!(nodes.len(), 3);
    let leaders = nodes.iter().filter(|it| it["says"]["leads"] == true);
    assert_eq!(leaders.count(), 1, "{nodes:?}");
    assert!(nodes.iter().all(|it| it["error"].is_null()), "{nodes:?}");

    // It goes without a word, and is a member until its lease has ended.
    drop(cluster.nodes.pop());
    let ran = cluster.run(&["nodes", "--timeout", "0.3"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(
        ran.err.starts_with("callboard: no answer from n3; "),
        "{ran:?}"
    );
    assert!(ran.out.contains("\nn3: "), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_names_the_owner_and_a_drained_node_has_none_of_its_actors_left() {
    let cluster = Cluster::of(3).await;
    cluster.settled().await;
    let cart = cluster.nodes[0].actor::<Cart>("alice");
    let (home, _) = cart.add().await.expect("answers");
    let stays = cluster.nodes.iter().find(|it| it.name() != home);
    let cart = stays.expect("two others").actor::<Cart>("alice");
    let why = cluster.json(&["why", "Cart/alice"]);
    assert_eq!(why["owner"], home);
    assert_eq!(
        (&why["key_hex"], &why["slots"]),
        (&"05616c696365".into(), &4096.into())
    );
    let candidates = why["candidates"].as_array().expect("a list");
    assert_eq!(candidates.len(), 3);
    assert!(candidates.iter().all(|it| it["eligible"] == true), "{why}");
    let is_first = candidates[0]["node"] == home;
    let reason = if is_first {
        "first-choice"
    } else {
        "others-full"
    };
    assert_eq!(why["reason"], reason, "{why}");
    let text = cluster.run(&["why", "Cart/alice"]).out;
    assert!(
        text.starts_with(&format!("Cart/alice is on {home}\n")),
        "{text}"
    );

    let found = cluster.json(&["actors", "get", "Cart/alice"]);
    assert_eq!(found["owner"], home);
    let on = &found["nodes"][0];
    assert_eq!(
        (&on["node"], &on["state"]),
        (&home.clone().into(), &"active".into())
    );
    assert_eq!(on["epoch"], why["epoch"]);
    let found = cluster.json(&["actors", "get", "Cart/nobody"]);
    assert_eq!(found["nodes"][0]["state"], "inactive");

    let drained = cluster.run(&["drain", &home]);
    assert_eq!(drained.code, Some(0), "{drained:?}");
    let last = format!("{home} is drained, after ");
    assert!(
        drained
            .out
            .lines()
            .last()
            .is_some_and(|it| it.starts_with(&last)),
        "{drained:?}"
    );
    let (after, count) = cart.add().timeout(PATIENCE).await.expect("answers");
    assert_ne!(after, home);
    assert_eq!(count, 2, "its state has gone along");
    let why = cluster.json(&["why", "Cart", "--key-hex", "05616C696365"]);
    assert_eq!(why["owner"], after);
    // It is no member any more, and takes no new links: there is nothing left to ask of it.
    let again = cluster.run(&["drain", &home]);
    assert_eq!(again.code, Some(5), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_types_and_nodes_that_there_are_not_are_told_with_those_that_there_are() {
    let cluster = Cluster::of(1).await;
    cluster.settled().await;
    assert_eq!(cluster.json(&["why", "Order/42"])["key_hex"], "2a");
    let wrong = |arguments: &[&str], code, said: &str| {
        let ran = cluster.run(arguments);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.err.contains(said), "{ran:?}");
        assert_eq!(ran.out, "");
    };
    wrong(
        &["why", "Order/x"],
        2,
        "`x` is not a whole number of 64 bits",
    );
    wrong(&["why", "Box/1"], 2, "--key-hex");
    wrong(&["why", "Order", "--key-hex", "ffff"], 2, "the key");
    wrong(&["why", "Order"], 2, "write Order/KEY");
    wrong(&["why", "Order", "--key-hex", "f"], 2, "hexadecimal");
    wrong(&["why", "Cort/alice"], 5, "there are: Box, Cart, Order");
    wrong(
        &["actors", "get", "Cort/alice"],
        5,
        "there are: Box, Cart, Order",
    );
    wrong(&["drain", "n9"], 5, "there is no node `n9`; there are: n1");
    let ran = cluster.run(&["drain", "n1"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("nothing was changed"), "{ran:?}");
    // It was not changed: it goes on.
    let cart = cluster.nodes[0].actor::<Cart>("alice");
    assert_eq!(cart.add().await, Ok(("n1".to_owned(), 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_control_group_it_says_so_and_looks_on_each_node() {
    let mut cluster = Cluster::of(0).await;
    for name in ["n1", "n2"] {
        let node = cluster.start(name, None).await;
        cluster.nodes.push(node);
    }
    let knows = async {
        while cluster.nodes[1].members().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, knows).await.expect("linked");
    let status = cluster.json(&["status"]);
    assert_eq!(status["placement"], "who-asks");
    let ran = cluster.run(&["why", "Cart/alice"]);
    assert_eq!(ran.code, Some(7), "{ran:?}");
    assert!(ran.err.contains("bootstrap_expect"), "{ran:?}");
    assert_eq!(cluster.run(&["voters"]).code, Some(7));
    cluster.refused(&["voters", "add", "n1"], 7, "bootstrap_expect");
    assert_eq!(cluster.run(&["drain", "n1"]).code, Some(7));
    let ran = cluster.run(&["actors", "get", "Cort/alice"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.err.contains("there are: Box, Cart, Order"), "{ran:?}");

    let cart = cluster.nodes[1].actor::<Cart>("alice");
    cart.add().timeout(PATIENCE).await.expect("answers");
    let found = cluster.json(&["actors", "get", "Cart/alice"]);
    let nodes = found["nodes"].as_array().expect("a list");
    let states: Vec<_> = nodes.iter().map(|it| (&it["node"], &it["state"])).collect();
    let expected = [("n1", "inactive"), ("n2", "active")];
    assert_eq!(states.len(), 2, "{found}");
    for (node, state) in expected {
        let is_one = states.contains(&(&node.into(), &state.into()));
        assert!(is_one, "{found}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voters_shows_the_seats_of_the_control_group() {
    let cluster = Cluster::of(3).await;
    let voters = tokio::time::timeout(PATIENCE, async {
        loop {
            let voters = cluster.json(&["voters"]);
            let seats = voters["seats"].as_array().expect("a list").clone();
            if seats.len() == 3 && seats.iter().all(|it| it["votes"] == true) {
                return voters;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let voters = voters.await.expect("three vote");
    let seats = voters["seats"].as_array().expect("a list");
    let names: Vec<_> = seats.iter().map(|it| &it["node"]).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
    assert_eq!(seats.iter().filter(|it| it["leads"] == true).count(), 1);
    assert!(seats.iter().all(|it| it["live"] == true), "{voters}");
    let text = cluster.run(&["voters"]).out;
    assert!(
        text.starts_with("3 of 3 voters are live, 2 are needed; term "),
        "{text}"
    );
}

impl Cluster {
    /// Returns who votes, as the leader says.
    fn voters(&self) -> Vec<String> {
        let voters = self.json(&["voters"]);
        let seats = voters["seats"].as_array().expect("a list").iter();
        let votes = seats.filter(|it| it["votes"] == true);
        votes
            .map(|it| it["node"].as_str().expect("a member").to_owned())
            .collect()
    }

    async fn all_vote(&self) {
        let vote = async {
            while !self.nodes.iter().all(Node::votes) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let voted = tokio::time::timeout(PATIENCE, vote).await;
        voted.expect("all vote");
    }

    fn refused(&self, arguments: &[&str], code: i32, why: &str) {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.err.contains(why), "{ran:?}");
        assert_eq!(ran.out, "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voters_that_are_chosen_vote_and_the_cluster_does_not_undo_it() {
    let mut cluster = Cluster::of(3).await;
    cluster.all_vote().await;
    let nobody = "no other node could take the seat of n1 now";
    cluster.refused(&["voters", "remove", "n1"], 1, nobody);
    let n4 = cluster.start("n4", None).await;
    n4.joined(PATIENCE).await.expect("let in");
    cluster.nodes.push(n4);
    cluster.refused(
        &["voters", "add", "n1"],
        1,
        "n1 votes already; nothing was changed",
    );
    cluster.refused(&["voters", "remove", "n4"], 1, "n4 does not vote");
    cluster.refused(&["voters", "auto", "n4"], 1, "nothing is chosen for n4");
    let unknown = "there is no node `n9`; there are: n1, n2, n3, n4";
    cluster.refused(&["voters", "add", "n9"], 5, unknown);
    let ran = cluster.run_as(&["clerk"], &["voters", "add", "n4"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert_eq!(cluster.voters(), ["n1", "n2", "n3"], "nothing was changed");

    let ran = cluster.run(&["voters", "add", "n4"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("\nn4 votes, after "), "{ran:?}");
    let added = cluster.voters();
    assert_eq!(added.len(), 3);
    assert!(added.contains(&"n4".to_owned()), "{added:?}");
    let text = cluster.run(&["voters"]).out;
    assert!(text.contains("added"), "{text}");

    // The leader itself goes: another one takes the wish over, and keeps to it.
    let leader = cluster.json(&["status"])["leader"].clone();
    let leader = leader.as_str().expect("one leads");
    let removed = cluster.json(&["voters", "remove", leader]);
    assert_eq!(
        (&removed["done"], &removed["votes"]),
        (&true.into(), &false.into())
    );
    let left = cluster.voters();
    assert_eq!(left.len(), 3);
    assert!(!left.iter().any(|it| it == leader), "{left:?}");
    // The plan of the voters is made every second.
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(2500) {
        assert_eq!(cluster.voters(), left);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let text = cluster.run(&["voters"]).out;
    let row = text.lines().find(|it| it.starts_with(leader));
    let row = row.expect("it is shown").split_whitespace();
    assert_eq!(
        row.collect::<Vec<_>>(),
        [leader, "none", "-", "removed", "-"]
    );
    let choices = cluster.json(&["voters"])["choices"].clone();
    let removed = serde_json::json!({"node": leader, "choice": "removed"});
    assert!(
        choices.as_array().expect("a list").contains(&removed),
        "{choices}"
    );

    let ran = cluster.run(&["voters", "auto", leader]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let again = format!("the cluster decides again whether {leader} votes\n");
    assert!(ran.out.starts_with(&again), "{ran:?}");
    assert_eq!(cluster.voters(), left, "it moves no seat without need");
    let cart = cluster.nodes[3].actor::<Cart>("alice");
    cart.add().timeout(PATIENCE).await.expect("answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_choice_that_is_not_carried_out_in_time_goes_on() {
    let mut cluster = Cluster::of(1).await;
    let only = "n1 is the only voter, and no other node could take its seat";
    cluster.refused(&["voters", "remove", "n1"], 1, only);
    let n2 = cluster.start("n2", None).await;
    n2.joined(PATIENCE).await.expect("let in");
    cluster.nodes.push(n2);
    let ran = cluster.run(&["voters", "add", "n2", "--within", "0.001"]);
    assert_eq!(ran.code, Some(6), "{ran:?}");
    assert!(ran.err.contains("the cluster goes on with it"), "{ran:?}");
    let n2 = &cluster.nodes[1];
    let votes = async {
        while !n2.votes() || cluster.nodes[0].votes() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, votes)
        .await
        .expect("it went on");
    // Two nodes have one voter, so both cannot be chosen.
    let most = "can vote in a cluster of this size, 1: n2; remove";
    cluster.refused(&["voters", "add", "n1"], 1, most);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_each_command_says_that_what_it_tells_is_old() {
    let mut cluster = Cluster::of(3).await;
    cluster.all_vote().await;
    cluster.nodes.truncate(1);
    let lapses = async {
        while !cluster.json(&["status"])["lease_left_ms"].is_null() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, lapses)
        .await
        .expect("lapses");
    let voters = cluster.run(&["voters"]).out;
    assert!(voters.starts_with("3 of 3 voters were live, "), "{voters}");
    assert!(voters.contains("HOLDS NO LEASE"), "{voters}");
    let status = cluster.run(&["status"]).out;
    assert!(!status.contains(" leads\n"), "{status}");
    let add = &["voters", "add", "n1", "--timeout", "0.5"];
    cluster.refused(add, 3, "nothing was changed; see `callboard voters`");

    // One that is started again without the others knows of no members.
    cluster.nodes.pop().expect("n1").stop().await;
    let node = cluster.start("n1", Some(3)).await;
    cluster.nodes.push(node);
    let nodes = cluster.run(&["nodes"]);
    assert_eq!(nodes.code, Some(3), "{nodes:?}");
    assert!(nodes.out.contains("\nn1 "), "{nodes:?}");
    assert!(nodes.err.contains("holds a lease"), "{nodes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_it_from_answering_is_said_with_what_to_do() {
    let cluster = Cluster::of(1).await;
    let ran = cluster.run_as(&["clerk"], &["status"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.err.contains("it needs the role admin"), "{ran:?}");
    assert!(ran.err.contains("--cert"), "{ran:?}");

    // Of another cluster: its authority is another one.
    let other = ClusterName::new("bank").expect("a name");
    let other = Authority::throw_away(other).expect("an authority");
    let files = write_identity(&other, cluster.folder.path(), "stranger", &["admin"]);
    let mut command = callboard();
    command.args(["status", "--timeout", "2", "--join"]);
    command.arg(cluster.addrs()[0].to_string());
    for (flag, file) in ["--ca", "--cert", "--key"].iter().zip(files) {
        command.arg(flag).arg(file);
    }
    let ran = run(&mut command);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("CB2002"), "{ran:?}");
    assert_eq!(ran.out, "");

    let missing = ["--ca", "nowhere", "--cert", "nowhere", "--key", "nowhere"];
    let ran = run(callboard()
        .args(["status", "--join", "127.0.0.1:1"])
        .args(missing));
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("nowhere"), "{ran:?}");
    let ran = run(callboard().args(["status"]));
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("--join <ADDR>"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_has_examples_in_its_help() {
    let ran = run(callboard().arg("--help"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let (_, commands) = ran.out.split_once("Commands:\n").expect("a list");
    let lines = commands.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.split_whitespace().next());
    let names: Vec<&str> = names.filter(|name| *name != "help").collect();
    assert!(names.contains(&"status"), "{names:?}");
    for name in ["add", "remove", "auto"] {
        let ran = run(callboard().args(["voters", name, "--help"]));
        let example = format!("\n  callboard voters {name} ");
        assert!(ran.out.contains(&example), "{ran:?}");
    }
    for name in names {
        let ran = run(callboard().args([name, "--help"]));
        assert!(
            ran.out.contains(&format!("\n  callboard {name} ")),
            "{ran:?}"
        );
    }
}

/// Reads all files below a folder.
fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            let bytes = std::fs::read(&path).expect("read");
            files.push((path, bytes));
        }
    }
    files.sort();
    files
}

fn recover(data: &Path, arguments: &[&str]) -> Ran {
    let mut command = callboard();
    command.arg("recover").arg("--data").arg(data);
    run(command.args(arguments))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recover_only_looks_until_the_loss_is_accepted_and_then_one_voter_goes_on_alone() {
    let mut cluster = Cluster::of(3).await;
    let vote = async {
        while !cluster.nodes.iter().all(Node::votes) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, vote).await.expect("in time");
    let old = cluster.nodes[0].cluster_id().expect("formed").to_string();
    let data = cluster.folder.path().join("n1");
    let ran = recover(&data, &["--i-accept-data-loss"]);
    assert_eq!(ran.code, Some(9), "{ran:?}");
    assert!(ran.err.starts_with("callboard: CB3007 "), "{ran:?}");
    for node in cluster.nodes.drain(..) {
        node.stop().await;
    }

    let before = files_below(&data);
    let ran = recover(&data, &[]);
    assert_eq!(ran.code, Some(8), "{ran:?}");
    assert!(ran.err.contains("nothing was changed; "), "{ran:?}");
    let head = format!("node        n1, which votes\ncluster     {old}\nlast entry  ");
    assert!(ran.out.starts_with(&head), "{ran:?}");
    assert_eq!(ran.out.matches("(this folder)").count(), 1, "{ran:?}");
    let ran = recover(&data, &["-o", "json"]);
    assert_eq!(ran.code, Some(8), "{ran:?}");
    let found: serde_json::Value = serde_json::from_str(&ran.out).expect("it is JSON");
    assert_eq!(found["cluster_id"], old);
    assert_eq!(found["voters"].as_array().map(Vec::len), Some(3), "{found}");
    assert_eq!(found["members"][2]["name"], "n3");
    assert!(found["recovered"].is_null(), "{found}");
    assert_eq!(files_below(&data), before);
    let nobody = cluster.folder.path().join("n9");
    let ran = recover(&nobody, &[]);
    assert_eq!((ran.code, nobody.exists()), (Some(9), false), "{ran:?}");
    assert!(ran.err.starts_with("callboard: CB3015 "), "{ran:?}");

    let ran = recover(&data, &["--i-accept-data-loss", "-o", "json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let done: serde_json::Value = serde_json::from_str(&ran.out).expect("it is JSON");
    let new = done["recovered"]["cluster_id"].as_str().expect("minted");
    assert_ne!(new, old);
    let kept = done["recovered"]["kept"].as_str().expect("it says where");
    for (path, bytes) in &before {
        let name = path.strip_prefix(&data).expect("below it");
        if name.starts_with("cluster") || name.ends_with("log") || name.ends_with("snapshot") {
            let there = std::fs::read(Path::new(kept).join(name)).expect("kept");
            assert_eq!(there, *bytes, "{name:?}");
        }
    }
    let ran = recover(&data, &["--i-accept-data-loss"]);
    assert_eq!(ran.code, Some(9), "{ran:?}");
    assert!(ran.err.contains("is the only voter"), "{ran:?}");
    let node = cluster.start("n1", Some(3)).await;
    node.joined(PATIENCE).await.expect("a majority, alone");
    assert_eq!(
        node.cluster_id().map(|it| it.to_string()).as_deref(),
        Some(new)
    );
    let cart = node.actor::<Cart>("alice");
    let (home, _) = cart.add().timeout(PATIENCE).await.expect("answers");
    assert_eq!(home, "n1");
}
