//! The command as somebody runs it, against nodes in this process: what it prints, and what it ends
//! with.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use callboard::{
    ClusterName, Node, NodeName, Profile, RoleName,
    net::{Authority, PeerKind},
};
use tempfile::TempDir;

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
            .seeds(self.addrs());
        if let Some(expect) = expect {
            builder = builder.bootstrap_expect(expect);
        }
        builder.start().await.expect("starts")
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
        command.args(["--join", &self.addrs()[0].to_string()]);
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
    for name in names {
        let ran = run(callboard().args([name, "--help"]));
        assert!(
            ran.out.contains(&format!("\n  callboard {name} ")),
            "{ran:?}"
        );
    }
}
