use super::*;
use crate::code::Code;
use crate::garbage::{Random, mutate};
use crate::wire::hello::tests::hello;
use crate::wire::hello::{HostedInterface, HostedMethod};

fn encode(control: &Control) -> Vec<u8> {
    let mut out = Vec::new();
    control
        .encode(&mut out, &Limits::default())
        .expect("encodes");
    let field = [out[0], out[1], out[2], out[3]];
    let len = frame::length(field, Limits::default().control_bytes_max).expect("in bounds");
    assert_eq!(len, out.len() - 4);
    out.split_off(4)
}

fn decode(bytes: &[u8]) -> Result<Control, FrameError> {
    Control::decode(bytes, &Limits::default())
}

fn members() -> Control {
    let member = |name: &str, addr: &str| {
        let name = NodeName::new(name).expect("valid");
        let addr = addr.parse().expect("valid");
        MemberInfo {
            id: NodeId::of(&name),
            name,
            incarnation: Incarnation(5),
            addr,
        }
    };
    Control::Members(vec![
        member("n1", "10.0.0.1:7400"),
        member("n2", "[::1]:7401"),
    ])
}

fn namesake() -> Namesake {
    Namesake {
        incarnation: Incarnation(256),
        addr: "10.0.0.1:7400".parse().expect("valid"),
    }
}

fn hello_frame() -> Control {
    Control::Hello(Box::new(hello("n1")))
}

#[test]
fn every_control_frame_survives() {
    for control in [
        hello_frame(),
        members(),
        Control::Leaving,
        Control::Ping(7),
        Control::Pong(u64::MAX),
        Control::Cluster(vec![1, 2, 3]),
        Control::Cluster(Vec::new()),
        Control::Withdrawn(Vec::new()),
        Control::Withdrawn(vec![InterfaceId(7), InterfaceId(u32::MAX)]),
        Control::Namesake(namesake()),
    ] {
        assert_eq!(decode(&encode(&control)).expect("decodes"), control);
    }
}

#[test]
fn golden_hello() {
    let mut golden = vec![32, 1, 0, 1, 0]; // kind, protocol 1 to 1
    golden.extend(b"\x04shop\x02n1");
    golden.extend([0x94, 0xb7, 0xd2, 0xa5, 0xdd, 0xcd, 0xe8, 0x99, 0xd7, 0x01]); // id
    golden.extend([0xe8, 0x07, 0, 0x06, 2]); // incarnation 1000, node, features, lanes
    golden.extend([0x80, 0x80, 0x04, 0x80, 0x80, 0x40]); // frame and body caps
    golden.extend([1, 0, 10, 0, 0, 1, 0xe8, 0x39]); // listens on IPv4, port 7400
    golden.push(1);
    golden.extend(b"\x07Greeter");
    golden.extend([0x9d, 0x9c, 0x84, 0x8f, 0x08, 1]); // interface id, one method
    golden.extend(b"\x09say_hello");
    golden.extend([0x99, 0xb8, 0xab, 0x87, 0x0e]); // method id
    golden.extend([0x82, 0x02, 0x03, 0x04, 1]); // fingerprints, idempotent
    assert_eq!(encode(&hello_frame()), golden);
}

#[test]
fn golden_other_control_frames() {
    assert_eq!(encode(&Control::Leaving), [34]);
    assert_eq!(encode(&Control::Ping(0x0102)), [35, 2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(encode(&Control::Pong(1)), [36, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(encode(&Control::Cluster(vec![9, 8])), [37, 9, 8]);
    let withdrawn = Control::Withdrawn(vec![InterfaceId(5), InterfaceId(0x180)]);
    assert_eq!(encode(&withdrawn), [38, 2, 5, 0x80, 3]);
    let golden = [39, 0x80, 2, 0, 10, 0, 0, 1, 0xe8, 0x39];
    assert_eq!(encode(&Control::Namesake(namesake())), golden);
    let golden: Vec<u8> = [
        &[33, 2][..],
        &[0x94, 0xb7, 0xd2, 0xa5, 0xdd, 0xcd, 0xe8, 0x99, 0xd7, 0x01],
        b"\x02n1",
        &[5, 0, 10, 0, 0, 1, 0xe8, 0x39],
    ]
    .concat();
    assert_eq!(encode(&members())[..golden.len()], golden);
}

#[test]
fn a_hello_of_a_newer_version_with_more_fields_is_understood() {
    let mut bytes = encode(&hello_frame());
    bytes[3] = 9; // It also speaks version 9.
    bytes.extend(b"fields of version 9");
    let Ok(Control::Hello(hello)) = decode(&bytes) else {
        panic!("a hello")
    };
    assert_eq!(hello.protocol, ProtocolRange { min: 1, max: 9 });
}

#[test]
fn a_hello_without_a_common_version_is_refused_before_the_rest_is_read() {
    let error = decode(&[32, 2, 0, 3, 0, 0xff]).expect_err("refused");
    assert_eq!(error, FrameError::Protocol { min: 2, max: 3 });
    assert_eq!(error.code(), Code::ProtocolMismatch);
}

#[test]
fn a_hello_that_contradicts_itself_is_refused() {
    let refused = |change: &dyn Fn(&mut Vec<HostedInterface>)| {
        let mut hello = hello("n1");
        change(&mut hello.about.hosts);
        let error = decode(&encode(&Control::Hello(Box::new(hello)))).expect_err("refused");
        assert!(matches!(error, FrameError::BadHello { .. }), "{error}");
        assert_eq!(error.code(), Code::FrameMalformed);
    };
    refused(&|hosts| hosts.push(hosts[0].clone()));
    refused(&|hosts| {
        let method = hosts[0].methods[0].clone();
        hosts[0].methods.push(method);
    });
    refused(&|hosts| hosts[0].methods[0].name = "m".repeat(300));
    refused(&|hosts| {
        let method = hosts[0].methods[0].clone();
        let numbered = |id| HostedMethod {
            id: crate::id::MethodId(id),
            ..method.clone()
        };
        hosts[0].methods = (0..1025).map(numbered).collect();
    });
    refused(&|hosts| {
        let host = HostedInterface {
            methods: Vec::new(),
            ..hosts[0].clone()
        };
        let numbered = |id| HostedInterface {
            id: crate::id::InterfaceId(id),
            ..host.clone()
        };
        *hosts = (0..4097).map(numbered).collect();
    });
}

#[test]
fn of_a_list_of_more_members_than_allowed_the_first_are_kept() {
    let Control::Members(members) = members() else {
        panic!("members")
    };
    let numbered = |incarnation| MemberInfo {
        incarnation: Incarnation(incarnation),
        ..members[0].clone()
    };
    let mut many: Vec<_> = (0..4097).map(numbered).collect();
    let decoded = decode(&encode(&Control::Members(many.clone())));
    many.truncate(4096);
    assert_eq!(decoded, Ok(Control::Members(many)));
}

#[test]
fn a_control_frame_over_the_cap_is_not_built() {
    let limits = Limits {
        control_bytes_max: 20,
        ..Limits::default()
    };
    let mut out = vec![1];
    hello_frame()
        .encode(&mut out, &limits)
        .expect_err("too large");
    assert_eq!(out, [1]);
    Control::Ping(1).encode(&mut out, &limits).expect("fits");
}

#[test]
fn invalid_names_in_a_hello_are_refused() {
    let mut bytes = encode(&hello_frame());
    assert_eq!(bytes[6..10], *b"shop");
    bytes[6] = b'/';
    assert!(matches!(decode(&bytes), Err(FrameError::Body(_))));
}

#[test]
fn damaged_control_frames_never_panic() {
    let valid = [hello_frame(), members(), Control::Leaving, Control::Ping(7)].map(|c| encode(&c));
    let mut random = Random::new(11);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let bytes = mutate(&valid[random.below(valid.len())], &mut random);
        if let Ok(control) = decode(&bytes) {
            let mut out = Vec::new();
            control
                .encode(&mut out, &Limits::default())
                .expect("was in bounds");
            accepted += 1;
        }
        let _ = decode(&random.bytes(80));
    }
    assert!(
        accepted > 1000,
        "only {accepted} mutants were valid: the test tests nothing"
    );
}
