//! Which actor a command is about, and who can say where it is.

use callboard::admin::{ActorName, AdminRef, ClusterReport, KeyName, PlaceReport, Placement};
use clap::Args;

use crate::{
    args::Common,
    connect::Connected,
    failure::{Failure, Kind},
};

/// The actor, as the command line names it.
#[derive(Debug, Args)]
pub(crate) struct Actor {
    /// The type and the key, such as Cart/alice; with --key-hex the type alone
    #[arg(value_name = "TYPE/KEY")]
    name: String,
    /// The key in the encoding of the wire, for keys that cannot be written as text
    #[arg(long, value_name = "HEX", value_parser = hex)]
    key_hex: Option<Bytes>,
}

/// What `--key-hex` gives.
#[derive(Clone, Debug)]
struct Bytes(Vec<u8>);

impl Actor {
    /// Returns the type and the key.
    ///
    /// # Errors
    /// The key is missing, or given twice.
    pub(crate) fn name(&self) -> Result<ActorName, Failure> {
        let (kind, key) = match (self.name.split_once('/'), &self.key_hex) {
            (Some((kind, key)), None) => (kind, KeyName::Text(key.to_owned())),
            (None, Some(Bytes(bytes))) => (&*self.name, KeyName::Bytes(bytes.clone())),
            (None, None) => {
                let text = format!(
                    "`{0}` has no key; write {0}/KEY, such as {0}/alice",
                    self.name
                );
                return Err(Failure::new(Kind::Usage, text));
            }
            (Some(_), Some(_)) => {
                let text = "the key is given twice; with --key-hex write the type alone";
                return Err(Failure::new(Kind::Usage, text));
            }
        };
        Ok(ActorName {
            kind: kind.to_owned(),
            key,
        })
    }
}

/// What is known of where an actor is.
pub(crate) enum Place {
    /// The control group has placed it.
    Placed(Box<PlaceReport>),
    /// Nobody places keys: it is where it is asked for.
    WhoAsks(ClusterReport),
}

/// Asks a node that hosts the type where the actor is.
///
/// # Errors
/// Nobody hosts the type, it does not read the key, or nobody answers.
pub(crate) async fn find(
    connected: &Connected,
    common: &Common,
    actor: &ActorName,
) -> Result<Place, Failure> {
    let report = connected.any().cluster().timeout(common.timeout).await?;
    if report.placement == Placement::WhoAsks {
        return Ok(Place::WhoAsks(report));
    }
    let of_type = report.types.iter().find(|it| it.name == actor.kind);
    let of_type = of_type.ok_or_else(|| {
        let known = report.types.iter().map(|it| it.name.as_str());
        no_such_type(&actor.kind, &known.collect::<Vec<_>>())
    })?;
    let asked = host(connected, common, &report, &of_type.hosts).await?;
    let place = asked.why(actor.clone()).timeout(common.timeout).await;
    place
        .map(|it| Place::Placed(Box::new(it)))
        .map_err(Failure::from)
}

/// Returns the admin service of one of these nodes.
async fn host(
    connected: &Connected,
    common: &Common,
    report: &ClusterReport,
    hosts: &[String],
) -> Result<AdminRef, Failure> {
    let linked = connected.linked(report, common.timeout).await;
    let host = linked.iter().find(|it| hosts.contains(&it.name));
    host.map(|it| connected.of(it)).ok_or_else(|| {
        let text = match hosts {
            [] => "no live node hosts the type; start one that does".to_owned(),
            hosts => format!(
                "no link with {} came up, which host the type; see whether the processes run",
                hosts.join(", ")
            ),
        };
        Failure::new(Kind::Unreachable, text)
    })
}

/// The failure for a type that there is not.
pub(crate) fn no_such_type(name: &str, known: &[&str]) -> Failure {
    let known = match known {
        [] => "no node hosts a keyed actor type".to_owned(),
        known => format!("there are: {}", known.join(", ")),
    };
    let text = format!("no node hosts a keyed actor type `{name}`; {known}");
    Failure::new(Kind::NotFound, text)
}

/// Reads bytes that are written as pairs of hexadecimal digits.
fn hex(text: &str) -> Result<Bytes, String> {
    let wrong = || "write pairs of hexadecimal digits, such as 05616c696365".to_owned();
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return Err(wrong());
    }
    let pairs = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]);
    let bytes = pairs.map(|pair| match pair.starts_with('+') {
        true => Err(wrong()),
        false => u8::from_str_radix(pair, 16).map_err(|_| wrong()),
    });
    bytes.collect::<Result<_, _>>().map(Bytes)
}

/// Writes bytes as pairs of hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes an actor as the command line names it.
pub(crate) fn written(actor: &ActorName) -> String {
    match &actor.key {
        KeyName::Text(key) => format!("{}/{key}", actor.kind),
        KeyName::Bytes(bytes) => format!("{} (key {})", actor.kind, to_hex(bytes)),
        _ => actor.kind.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str, key_hex: Option<&str>) -> Result<ActorName, Failure> {
        let actor = Actor {
            name: name.to_owned(),
            key_hex: key_hex.map(|it| hex(it).expect("digits")),
        };
        actor.name()
    }

    #[test]
    fn an_actor_is_a_type_and_a_key() {
        let of_text = name("Cart/a/b", None).expect("both");
        assert_eq!(of_text.kind, "Cart");
        assert_eq!(of_text.key, KeyName::Text("a/b".to_owned()));
        assert_eq!(written(&of_text), "Cart/a/b");
        let of_bytes = name("Cart", Some("05FF")).expect("both");
        assert_eq!(of_bytes.key, KeyName::Bytes(vec![5, 255]));
        assert_eq!(written(&of_bytes), "Cart (key 05ff)");
        let missing = name("Cart", None).expect_err("no key").to_string();
        assert!(missing.contains("write Cart/KEY"), "{missing}");
        name("Cart/a", Some("05")).expect_err("twice");
    }

    #[test]
    fn bytes_are_pairs_of_digits() {
        for wrong in ["0", "0g", "+1", "ä0", "0x01"] {
            let said = hex(wrong).expect_err(wrong);
            assert!(said.contains("such as 05616c696365"), "{said}");
        }
        assert_eq!(hex("").expect("none").0, Vec::<u8>::new());
    }
}
