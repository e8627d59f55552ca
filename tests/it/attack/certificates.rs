//! Who shows the wrong certificate, or says that it is somebody else, is refused by name on both sides.

use callboard::{Code, NodeName, net::PeerKind};
use callboard_protocol::{
    id::{ClusterName, NodeId},
    wire::hello::{Hello, ProtocolRange},
};

use super::{
    fair::Others,
    forge::{self, Forge, Shown},
    rogue::{Dial, Seen, hello},
    target::{CLUSTER, Target},
};

/// Handshakes that a rogue begins each second.
const DIALS_A_SECOND: u32 = 40;

fn refused(code: Code) -> String {
    format!("callboard_links_refused{{code=\"{}\"}}", code.text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_none_of_the_clusters_is_refused() {
    let target = Target::start().await;
    let others = Others::new(&target).await;
    let uri = format!("spiffe://{CLUSTER}/client/mallory");
    let foreign = Forge::new("another authority").issue(&uri);
    // It has the name of ours, and another key.
    let namesake = Forge::new("the authority of the bank").issue(&uri);
    let expired = target.forge.issue_for_years(&uri, 1990, 2000);
    let early = target.forge.issue_for_years(&uri, 3000, 4000);
    let itself = forge::self_signed(&uri);
    // The alerts of TLS: RFC 8446, section 6.2.
    let cases: [(&str, Option<&Shown>, &[u8], Code); 6] = [
        ("no certificate", None, &[116], Code::AuthorityUnknown),
        (
            "a foreign authority",
            Some(&foreign),
            &[48],
            Code::AuthorityUnknown,
        ),
        (
            "an authority's namesake",
            Some(&namesake),
            &[48, 51],
            Code::AuthorityUnknown,
        ),
        (
            "an expired certificate",
            Some(&expired),
            &[45],
            Code::HandshakeFailed,
        ),
        (
            "a certificate of tomorrow",
            Some(&early),
            &[42, 45],
            Code::HandshakeFailed,
        ),
        (
            "a certificate signed by itself",
            Some(&itself),
            &[48],
            Code::AuthorityUnknown,
        ),
    ];
    for (what, shown, alerts, code) in cases {
        let series = refused(code);
        let before = target.counted(&series);
        let blow = async |_| {
            let dial = Dial {
                shown,
                alpn: b"callboard/1",
                window: 1 << 20,
            };
            match dial.refused(target.addr).await {
                Seen::Alert(alert) if alerts.contains(&alert) => {}
                other => panic!("{what}: {other:?}"),
            }
        };
        let blows = others.endure(what, DIALS_A_SECOND, blow).await;
        target.counts(&series, before + blows).await;
    }
    target.bound.check(target.process());
    others.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_that_is_not_the_certificates_is_refused_by_name() {
    let target = Target::start().await;
    let others = Others::new(&target).await;
    let ours = |kind: &str| {
        target
            .forge
            .issue(&format!("spiffe://{CLUSTER}/{kind}/mallory"))
    };
    let (client, node) = (ours("client"), ours("node"));
    let elsewhere = target.forge.issue("spiffe://mint/client/mallory");
    let nameless = target.forge.issue_nameless();
    let orderly = hello("mallory", PeerKind::Client);
    let of = |change: &dyn Fn(&mut Hello)| {
        let mut hello = orderly.clone();
        change(&mut hello);
        hello
    };
    let mint = |hello: &mut Hello| hello.about.cluster = ClusterName::new("mint").expect("a name");
    let as_node = |hello: &mut Hello| hello.about.kind = PeerKind::Node;
    let teller = NodeName::new("teller").expect("a name");
    let other_id = |hello: &mut Hello| hello.about.id = NodeId::of(&teller);
    let other_name = |hello: &mut Hello| {
        hello.about.id = NodeId::of(&teller);
        hello.about.name = teller.clone();
    };
    let future = |hello: &mut Hello| hello.protocol = ProtocolRange { min: 900, max: 901 };
    let cases = [
        (
            "another cluster",
            &elsewhere,
            of(&mint),
            Code::ClusterMismatch,
        ),
        (
            "a client as a node",
            &client,
            of(&as_node),
            Code::KindMismatch,
        ),
        (
            "a node as a client",
            &node,
            orderly.clone(),
            Code::KindMismatch,
        ),
        (
            "an id that is not the name's",
            &client,
            of(&other_id),
            Code::IdentityMismatch,
        ),
        (
            "a name that is not the certificate's",
            &client,
            of(&other_name),
            Code::IdentityMismatch,
        ),
        (
            "a certificate without a name",
            &nameless,
            orderly.clone(),
            Code::IdentityMismatch,
        ),
        (
            "an unknown protocol version",
            &client,
            of(&future),
            Code::ProtocolMismatch,
        ),
    ];
    for (what, shown, hello, code) in cases {
        let series = refused(code);
        let before = target.counted(&series);
        let blow = async |_| {
            let rogue = Dial::with(shown).to(target.addr).await.expect("TLS");
            let seen = match rogue.link(hello.clone()).await {
                Ok(link) => link.rogue.closed().await,
                Err(seen) => seen,
            };
            match seen {
                Seen::Closed(closed, text) if closed == code && !text.is_empty() => {}
                other => panic!("{what}: {other:?}"),
            }
        };
        let blows = others.endure(what, DIALS_A_SECOND, blow).await;
        target.counts(&series, before + blows).await;
    }
    target.bound.check(target.process());
    others.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_protocol_is_refused_in_the_handshake() {
    let target = Target::start().await;
    let others = Others::new(&target).await;
    let shown = target.client("mallory");
    let series = refused(Code::ProtocolMismatch);
    let blow = async |_| {
        let dial = Dial {
            alpn: b"callboard/2",
            ..Dial::with(&shown)
        };
        // The alert no_application_protocol.
        assert_eq!(dial.refused(target.addr).await, Seen::Alert(120));
    };
    let blows = others
        .endure("another major version", DIALS_A_SECOND, blow)
        .await;
    target.counts(&series, blows).await;
    target.bound.check(target.process());
    others.leave().await;
}
