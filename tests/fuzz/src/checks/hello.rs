//! Frames on the control lane: hellos, members, signs of life.
//!
//! Beside what all decoders promise: a decoded frame keeps the limits on its entries, and a hello
//! that is accepted has only values that a link can use.

use callboard_protocol::{
    id::{
        ClusterName, Incarnation, InterfaceId, METHOD_PATH_BYTES_MAX, MethodId, NodeId, NodeName,
    },
    wire::{
        DecodeLimits, Limits,
        control::{Control, MemberInfo},
        frame::LENGTH_BYTES,
        hello::{
            About, CertifiedPeer, FRAME_BYTES_MIN, Hello, HostedInterface, HostedMethod, LANES_MAX,
            PeerKind, ProtocolRange,
        },
    },
};

use super::{Heap, Target};

/// The target.
pub const TARGET: Target = Target {
    name: "hello",
    check,
    seeds,
};

fn check(bytes: &[u8], heap: Heap) -> bool {
    let limits = limits();
    if bytes.len() > limits.control_bytes_max as usize {
        return false;
    }
    let budget = DecodeLimits::for_body(bytes.len(), 16, &limits).budget_bytes;
    let room = usize::try_from(budget).expect("fits") * 2 + bytes.len();
    let control = match heap.within(room, || Control::decode(bytes, &limits)) {
        Ok(control) => control,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    let mut encoded = Vec::new();
    control
        .encode(&mut encoded, &limits)
        .expect("it is no longer than before");
    let encoded = &encoded[LENGTH_BYTES..];
    assert!(encoded.len() <= bytes.len(), "it grew");
    assert_eq!(Control::decode(encoded, &limits).as_ref(), Ok(&control));
    match &control {
        Control::Hello(hello) => check_hello(hello, &limits),
        Control::Members(members) => assert!(members.len() <= limits.members_max),
        _ => {}
    }
    true
}

fn check_hello(theirs: &Hello, limits: &Limits) {
    let about = &theirs.about;
    assert!(about.hosts.len() <= limits.hosts_max);
    for interface in &about.hosts {
        assert!(interface.methods.len() <= limits.methods_max);
        for method in &interface.methods {
            // Their ids can be computed: it panics for longer ones.
            let path = interface.name.len() + 1 + method.name.len();
            assert!(path <= METHOD_PATH_BYTES_MAX);
        }
    }
    let ours = hello("n1", "shop", PeerKind::Node);
    let certified = CertifiedPeer {
        cluster: about.cluster.clone(),
        kind: about.kind,
        name: about.name.clone(),
    };
    match ours.check(theirs, &certified) {
        Ok(accepted) => {
            assert_eq!(about.id, NodeId::of(&about.name));
            assert_eq!(about.cluster, ours.about.cluster);
            assert_ne!(about.name, ours.about.name);
            assert!((1..=LANES_MAX).contains(&accepted.lanes));
            assert!(accepted.frame_bytes_max >= FRAME_BYTES_MIN);
            let spoken = theirs.protocol.min..=theirs.protocol.max;
            assert!(spoken.contains(&accepted.protocol));
        }
        Err(refusal) => assert!(!refusal.detail.is_empty()),
    }
}

/// Low ones for what is counted, so that inputs can be over them.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.hosts_max = 8;
    limits.methods_max = 8;
    limits.members_max = 16;
    limits
}

fn name(name: &str) -> NodeName {
    NodeName::new(name).expect("a name")
}

fn hello(of: &str, cluster: &str, kind: PeerKind) -> Hello {
    let method = |name: &str| HostedMethod {
        name: name.to_owned(),
        id: MethodId::of("Greeter", name),
        args: 0x0102,
        inbound: 0x03,
        reply: 0x04,
        idempotent: true,
    };
    let interface = HostedInterface {
        name: "Greeter".to_owned(),
        id: InterfaceId::of("Greeter"),
        methods: vec![method("say_hello"), method("wave")],
    };
    Hello {
        protocol: ProtocolRange::OURS,
        about: About {
            cluster: ClusterName::new(cluster).expect("a name"),
            name: name(of),
            id: NodeId::of(&name(of)),
            incarnation: Incarnation(1000),
            kind,
            features: 6,
            lanes: 2,
            frame_bytes_max: 65536,
            body_bytes_max: 1 << 20,
            listen: (kind == PeerKind::Node).then(|| "10.0.0.1:7400".parse().expect("an address")),
            hosts: match kind {
                PeerKind::Node => vec![interface],
                PeerKind::Client => Vec::new(),
            },
        },
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let member = |of: &str, addr: &str| MemberInfo {
        id: NodeId::of(&name(of)),
        name: name(of),
        incarnation: Incarnation(1000),
        addr: addr.parse().expect("an address"),
    };
    let members = vec![member("n2", "10.0.0.2:7400"), member("n3", "[::1]:7400")];
    let frames = [
        Control::Hello(Box::new(hello("n2", "shop", PeerKind::Node))),
        Control::Hello(Box::new(hello("c1", "shop", PeerKind::Client))),
        Control::Hello(Box::new(hello("n2", "mall", PeerKind::Node))),
        Control::Members(members),
        Control::Leaving,
        Control::Ping(7),
        Control::Pong(u64::MAX),
    ];
    let encode = |frame: Control| {
        let mut out = Vec::new();
        frame.encode(&mut out, &limits()).expect("it fits");
        out.split_off(LENGTH_BYTES)
    };
    frames.map(encode).to_vec()
}
