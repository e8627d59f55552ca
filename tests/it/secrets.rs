//! Private keys and other secrets are in no log, no `Debug`, no metric and no error.
//!
//! One thread runs everything, so that its subscriber sees all that is said, at every level and by
//! every crate.

use std::{
    fmt::Write as _,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use callboard::{
    Client, Node, NodeName,
    env::{Entropy, Env},
    net::{Authority, Config, DenyList, Identity, IssuedPem, PeerKind},
    prelude::*,
};
use tracing::Level;

use crate::support::{eventually, hears, quick};

#[derive(Default, Service)]
pub struct Desk;

#[handlers]
impl Desk {
    pub fn ask(&self, number: u32) -> u32 {
        number
    }

    pub fn panics(&self) {
        panic!("as it should");
    }

    #[handler(allow = "admin")]
    pub fn locked(&self) {}
}

/// All that was said.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    /// Listens on this thread for as long as the guards live.
    fn listen(&self) -> (tracing::subscriber::DefaultGuard, tracing::Dispatch) {
        let heard = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .with_ansi(false)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_writer(move || heard.clone());
        hears(subscriber.finish())
    }

    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(bytes.clone()).expect("text")
    }
}

impl io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps what it gave out as seeds: the keys of retry tokens are made of such.
#[derive(Debug)]
struct Witness {
    real: Arc<dyn Entropy>,
    seeds: Arc<Mutex<Vec<[u8; 32]>>>,
}

impl Entropy for Witness {
    fn fill(&self, buf: &mut [u8]) {
        self.real.fill(buf);
        if let Ok(seed) = <[u8; 32]>::try_from(&*buf) {
            let mut seeds = self.seeds.lock().unwrap_or_else(PoisonError::into_inner);
            seeds.push(seed);
        }
    }
}

/// The forms in which secrets could show up.
#[derive(Default)]
struct Canaries(Vec<String>);

impl Canaries {
    /// The lines of a PEM text, and the bytes of the key in it.
    fn add_key(&mut self, pem: &str) {
        let lines: Vec<_> = pem.lines().filter(|line| !line.starts_with('-')).collect();
        assert!(!lines.is_empty(), "a key has lines");
        self.0.extend(lines.iter().map(|line| (*line).to_owned()));
        // PKCS #8 of Ed25519 (RFC 8410, section 7): the private key is 32 bytes after the first 16.
        let der = base64(&lines.concat());
        self.add_bytes(&der[16..48]);
    }

    /// Bytes in hexadecimal digits, and as Rust shows a slice. A part of them is too much already.
    fn add_bytes(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(16) {
            let hex = part.iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").expect("a string");
                hex
            });
            self.0.extend([hex.to_uppercase(), hex]);
            let list = format!("{part:?}");
            self.0.push(list.trim_matches(['[', ']']).to_owned());
        }
    }

    fn found_in<'a>(&'a self, text: &str) -> Vec<&'a str> {
        let all = self.0.iter().map(String::as_str);
        all.filter(|canary| text.contains(canary)).collect()
    }
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=').chars();
    let digits = digits.map(|c| DIGITS.find(c).expect("a digit"));
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_usize, 0);
    for digit in digits {
        bits = bits << 6 | digit;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).expect("a byte"));
        }
    }
    bytes
}

/// Issues identities whose keys it keeps for the search.
struct Issuer {
    authority: Authority,
    canaries: Canaries,
}

impl Issuer {
    fn pem(&mut self, name: &str, kind: PeerKind) -> IssuedPem {
        let name = NodeName::new(name).expect("a name");
        let pem = self.authority.issue_pem(name, kind).expect("issued");
        self.canaries.add_key(&pem.key);
        pem
    }

    fn identity(&mut self, name: &str, kind: PeerKind) -> Identity {
        let pem = self.pem(name, kind);
        let authority = self.authority.certificate_pem();
        let (certificate, key) = (pem.certificate.as_bytes(), pem.key.as_bytes());
        Identity::from_pem(authority.as_bytes(), certificate, key).expect("read")
    }

    /// Returns what is said of files that are not what they should be.
    fn mistakes(&mut self) -> String {
        let pem = self.pem("n1", PeerKind::Node);
        let other = self.pem("n1", PeerKind::Node);
        let authority = self.authority.certificate_pem();
        let (ca, cert, key) = (&authority, &pem.certificate, &pem.key);
        let torn = &key[..key.len() / 2];
        let garbled = key.replacen('\n', "\n!!", 1);
        let mut said = String::new();
        for [ca, cert, key] in [
            [key, cert, key],
            [ca, key, key],
            [ca, cert, &torn.to_owned()],
            [ca, cert, &garbled],
            [ca, &format!("{key}{cert}"), &String::new()],
        ] {
            let read = Identity::from_pem(ca.as_bytes(), cert.as_bytes(), key.as_bytes());
            let error = read.expect_err("a mistake");
            writeln!(said, "{error} {error:?}").expect("a string");
        }
        // A key of another certificate is found when it is to be used.
        let swapped = Identity::from_pem(ca.as_bytes(), cert.as_bytes(), other.key.as_bytes());
        write!(said, "{swapped:?} {pem:?}").expect("a string");
        said
    }
}

#[tokio::test]
async fn secrets_are_in_no_log_no_debug_no_metric_and_no_error() {
    let heard = Heard::default();
    let _listening = heard.listen();
    let cluster = "shop".parse().expect("a name");
    let mut issuer = Issuer {
        authority: Authority::throw_away(cluster).expect("an authority"),
        canaries: Canaries::default(),
    };
    let seeds = Arc::<Mutex<Vec<[u8; 32]>>>::default();
    let env = || {
        let mut env = Env::real();
        env.entropy = Arc::new(Witness {
            real: env.entropy,
            seeds: seeds.clone(),
        });
        env
    };
    // Every dialler has to show a token that the node has sealed with its secret.
    let mut config: Config = quick();
    config.retry_above = 0;

    let (own, other) = (PeerKind::Node, PeerKind::Client);
    let identity = issuer.identity("n1", own);
    let mut said = format!("{identity:?} {:?} {config:?}", issuer.authority);
    let builder = Node::builder().identity(identity).config(config).env(env());
    write!(said, "{builder:?}").expect("a string");
    let n1 = builder.host::<Desk>().start().await.expect("n1");
    let n2 = Node::builder()
        .identity(issuer.identity("n2", own))
        .env(env());
    let n2 = n2.seed(n1.local_addr()).start().await.expect("n2");
    let builder = Client::builder().identity(issuer.identity("c1", other));
    let builder = builder.seed(n1.local_addr()).env(env());
    write!(said, "{builder:?}").expect("a string");
    let client = builder.connect().await.expect("connects");
    write!(said, "{n1:?} {client:?}").expect("a string");

    let desk = client.service::<Desk>();
    assert_eq!(desk.ask(1).await, Ok(1));
    for error in [desk.panics().await, desk.locked().await] {
        write!(said, "{:?}", error.expect_err("fails")).expect("a string");
    }
    n1.rotate(&issuer.identity("n1", own)).expect("rotates");
    client
        .rotate(&issuer.identity("c1", other))
        .expect("rotates");
    let error = n1.rotate(&issuer.identity("n9", own)).expect_err("another");
    write!(said, "{error:?}").expect("a string");
    n1.deny(DenyList::of(["n2"]).expect("a list"));
    eventually("it is out", || n1.members().is_empty()).await;
    let foreign = Authority::throw_away("shop".parse().expect("a name")).expect("an authority");
    let foreign = foreign.issue(NodeName::new("c2").expect("a name"), other);
    let foreign = Client::builder()
        .identity(foreign.expect("issued"))
        .env(env());
    let error = foreign.seed(n1.local_addr()).connect().await;
    write!(said, "{:?}", error.expect_err("a stranger")).expect("a string");
    said.push_str(&issuer.mistakes());
    for metrics in [n1.metrics(), n2.metrics(), client.metrics()] {
        said.push_str(&metrics);
    }
    client.close().await;
    n2.stop().await;
    n1.stop().await;

    let mut canaries = issuer.canaries;
    let seeds = seeds.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(seeds.len() >= 4, "seeds were asked for: {}", seeds.len());
    seeds.iter().for_each(|seed| canaries.add_bytes(seed));
    let logged = heard.text();
    for said_by in ["TRACE quinn", "callboard", "identity rotated"] {
        assert!(logged.contains(said_by), "nothing was heard of {said_by}");
    }
    assert_eq!(canaries.found_in(&logged), [""; 0], "in the log");
    assert_eq!(canaries.found_in(&said), [""; 0], "in {said}");
    // The search finds what is there.
    tracing::trace!(seed = ?seeds[0], "the last words");
    assert!(!canaries.found_in(&heard.text()).is_empty());
}
