use super::*;

pub(in crate::wire) fn hello(name: &str) -> Hello {
    let name = NodeName::new(name).expect("valid");
    Hello {
        protocol: ProtocolRange { min: 1, max: 1 },
        about: About {
            cluster: ClusterName::new("shop").expect("valid"),
            id: NodeId::of(&name),
            name,
            incarnation: Incarnation(1000),
            kind: PeerKind::Node,
            features: 0b0110,
            lanes: 2,
            frame_bytes_max: 65536,
            body_bytes_max: 1 << 20,
            listen: Some("10.0.0.1:7400".parse().expect("valid")),
            hosts: vec![HostedInterface {
                name: "Greeter".into(),
                id: InterfaceId::of("Greeter"),
                methods: vec![HostedMethod {
                    name: "say_hello".into(),
                    id: MethodId::of("Greeter", "say_hello"),
                    args: 0x0102,
                    inbound: 0x03,
                    reply: 0x04,
                    idempotent: true,
                }],
            }],
        },
    }
}

fn certificate_of(hello: &Hello) -> CertifiedPeer {
    CertifiedPeer {
        cluster: hello.about.cluster.clone(),
        kind: hello.about.kind,
        name: hello.about.name.clone(),
    }
}

/// Checks a peer that differs from a good one, and returns the refusal.
fn refusal(change: impl FnOnce(&mut Hello, &mut CertifiedPeer)) -> LinkRefusal {
    let mut theirs = hello("n2");
    let mut certified = certificate_of(&theirs);
    change(&mut theirs, &mut certified);
    hello("n1").check(&theirs, &certified).expect_err("refused")
}

#[test]
fn two_nodes_of_a_cluster_agree_on_what_both_can() {
    let (ours, mut theirs) = (hello("n1"), hello("n2"));
    theirs.about.features = 0b1100;
    theirs.about.lanes = 1;
    theirs.about.frame_bytes_max = 5000;
    let accepted = ours
        .check(&theirs, &certificate_of(&theirs))
        .expect("accepted");
    assert_eq!(
        accepted,
        Accepted {
            protocol: 1,
            features: 0b0100,
            lanes: 1,
            frame_bytes_max: 5000,
            body_bytes_max: 1 << 20,
        }
    );
}

#[test]
fn a_client_is_accepted_by_a_node_and_not_by_a_client() {
    let (node, mut client) = (hello("n1"), hello("c1"));
    client.about.kind = PeerKind::Client;
    client.about.hosts.clear();
    client.about.listen = None;
    node.check(&client, &certificate_of(&client))
        .expect("accepted");
    let mut other = hello("c2");
    other.about.kind = PeerKind::Client;
    let refusal = other
        .check(&client, &certificate_of(&client))
        .expect_err("refused");
    assert_eq!(refusal.code, Code::KindMismatch);
}

#[test]
fn the_newest_common_protocol_is_chosen() {
    let range = |min, max| ProtocolRange { min, max };
    assert_eq!(range(1, 3).common(range(2, 5)), Some(3));
    assert_eq!(range(2, 5).common(range(1, 3)), Some(3));
    assert_eq!(range(1, 1).common(range(2, 2)), None);
    assert_eq!(range(2, 2).common(range(1, 1)), None);
    assert_eq!(range(3, 1).common(range(1, 3)), None);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let other = |name: &str| ClusterName::new(name).expect("valid");
    let cases = [
        (
            Code::ProtocolMismatch,
            refusal(|theirs, _| theirs.protocol = ProtocolRange { min: 2, max: 3 }),
        ),
        (
            Code::ClusterMismatch,
            refusal(|theirs, _| theirs.about.cluster = other("mall")),
        ),
        (
            Code::ClusterMismatch,
            refusal(|_, certified| certified.cluster = other("mall")),
        ),
        (
            Code::IdentityMismatch,
            refusal(|_, certified| certified.name = NodeName::new("n3").expect("valid")),
        ),
        (
            Code::IdentityMismatch,
            refusal(|theirs, _| theirs.about.id = NodeId(1)),
        ),
        (
            Code::KindMismatch,
            refusal(|_, certified| certified.kind = PeerKind::Client),
        ),
        (
            Code::DuplicateNode,
            refusal(|theirs, certified| {
                *theirs = hello("n1");
                *certified = certificate_of(theirs);
            }),
        ),
        (
            Code::FrameMalformed,
            refusal(|theirs, _| theirs.about.lanes = 0),
        ),
        (
            Code::FrameMalformed,
            refusal(|theirs, _| theirs.about.lanes = 17),
        ),
        (
            Code::FrameMalformed,
            refusal(|theirs, _| theirs.about.frame_bytes_max = 4095),
        ),
        (
            Code::FrameMalformed,
            refusal(|theirs, certified| {
                theirs.about.kind = PeerKind::Client;
                theirs.about.listen = None;
                certified.kind = PeerKind::Client;
            }),
        ),
        (
            Code::FrameMalformed,
            refusal(|theirs, certified| {
                theirs.about.kind = PeerKind::Client;
                theirs.about.hosts.clear();
                certified.kind = PeerKind::Client;
            }),
        ),
    ];
    for (code, refusal) in cases {
        assert_eq!(refusal.code, code, "{refusal}");
    }
    assert_eq!(
        refusal(|theirs, _| theirs.about.cluster = other("mall")).to_string(),
        "CB2003 cluster-mismatch: the hello of node n2 names cluster mall, this is cluster shop"
    );
}
