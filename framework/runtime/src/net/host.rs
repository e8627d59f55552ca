//! Where a node is, as a person writes it.
//!
//! A value of this type is not checked when it is made, so that it can be made of whatever was typed;
//! what is wrong with it is told when the node or the client starts. Depends on nothing of `net` but
//! its errors.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use callboard_protocol::code::Code;

use super::StartError;

/// A host and a port: an address such as `127.0.0.1:4001` or `[::1]:4001`, or a name that is looked
/// up, such as `node1.internal:4001`.
///
/// It is made of a [`SocketAddr`], of an [`IpAddr`] and a port, or of text. A name is at most 253 bytes
/// long (RFC 1035, section 2.3.4, without the dot at its end).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort(Written);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Written {
    Addr(SocketAddr),
    /// Not an address; whether it is a name is not known yet.
    Text(String),
}

/// What becomes a [`HostPort`]: text such as `"127.0.0.1:4001"`, a [`SocketAddr`], or an [`IpAddr`] and a port.
///
/// Implemented for every type that meets the bound.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no address of a node",
    label = "not an address",
    note = "an address is given as text, and without `.parse()`: `\"127.0.0.1:4001\"`",
    note = "several seeds are `.seeds([\"127.0.0.1:4001\", \"127.0.0.1:4002\"])`"
)]
pub trait Address: Into<HostPort> {}

#[diagnostic::do_not_recommend]
impl<T: Into<HostPort>> Address for T {}

/// What becomes several [`HostPort`]s: whatever is iterated over and gives an [`Address`].
///
/// Implemented for every type that meets the bound.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no list of addresses of nodes",
    label = "not a list of addresses",
    note = "several are given as `.seeds([\"127.0.0.1:4001\", \"127.0.0.1:4002\"])`, and one as \
            `.seed(\"127.0.0.1:4001\")`",
    note = "an array, a slice, a `Vec` and an iterator will do, of `&str`, of `String`, or of `SocketAddr`"
)]
pub trait Addresses: IntoIterator<Item: Address> {}

#[diagnostic::do_not_recommend]
impl<T: IntoIterator<Item: Address>> Addresses for T {}

impl From<SocketAddr> for HostPort {
    fn from(addr: SocketAddr) -> Self {
        Self(Written::Addr(addr))
    }
}

impl<I: Into<IpAddr>> From<(I, u16)> for HostPort {
    fn from(addr: (I, u16)) -> Self {
        SocketAddr::from(addr).into()
    }
}

impl From<&str> for HostPort {
    fn from(text: &str) -> Self {
        match text.parse::<SocketAddr>() {
            Ok(addr) => addr.into(),
            Err(_) => Self(Written::Text(text.to_owned())),
        }
    }
}

impl From<String> for HostPort {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&String> for HostPort {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<&&str> for HostPort {
    fn from(text: &&str) -> Self {
        (*text).into()
    }
}

impl From<&SocketAddr> for HostPort {
    fn from(addr: &SocketAddr) -> Self {
        (*addr).into()
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Written::Addr(addr) => addr.fmt(f),
            Written::Text(text) => text.fmt(f),
        }
    }
}

impl HostPort {
    /// Returns the address, for a setting that takes no name.
    ///
    /// # Errors
    /// [`Code::ConfigInvalid`] for anything else.
    pub(crate) fn addr(&self, setting: &str) -> Result<SocketAddr, StartError> {
        match &self.0 {
            Written::Addr(addr) => Ok(*addr),
            Written::Text(text) => Err(StartError::new(
                Code::ConfigInvalid,
                format!("setting {setting}"),
            )
            .with_detail(format!("`{text}` is not an IP address and a port"))
            .with_advice(
                "write one such as `127.0.0.1:4001` or `[::1]:4001`; names are looked up for seeds only",
            )),
        }
    }
}

/// Tells addresses and names of seeds apart.
///
/// # Errors
/// [`Code::ConfigInvalid`] for what is neither.
pub(crate) fn seeds(
    written: Vec<HostPort>,
) -> Result<(Vec<SocketAddr>, Vec<Arc<str>>), StartError> {
    let (mut addrs, mut names) = (Vec::new(), Vec::new());
    for seed in written {
        match seed.0 {
            Written::Addr(addr) => addrs.push(addr),
            Written::Text(text) if is_name_and_port(&text) => names.push(text.into()),
            Written::Text(text) => {
                return Err(StartError::new(Code::ConfigInvalid, format!("seed {text}"))
                    .with_detail("it is not a host and a port")
                    .with_advice(
                        "write one such as `127.0.0.1:4001`, `[::1]:4001` or `node1.internal:4001`",
                    ));
            }
        }
    }
    Ok((addrs, names))
}

fn is_name_and_port(text: &str) -> bool {
    let Some((name, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    is_port && (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(fits)
}

const NAME_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_an_address_or_a_name_with_a_port() {
        let written = [
            "127.0.0.1:1",
            "[::1]:2",
            "localhost:3",
            "n_1.a-b.internal:4",
        ];
        let (addrs, names) = seeds(written.map(HostPort::from).to_vec()).expect("all are well");
        assert_eq!(
            addrs,
            [
                HostPort::from(([127, 0, 0, 1], 1)),
                HostPort::from("[::1]:2")
            ]
            .map(|addr| addr.addr("seed").expect("an address"))
        );
        assert_eq!(names, ["localhost:3", "n_1.a-b.internal:4"].map(Arc::from));
    }

    #[test]
    fn a_list_may_be_borrowed() {
        fn list(of: impl Addresses) -> Vec<HostPort> {
            of.into_iter().map(Into::into).collect()
        }
        let (text, addr) = ("127.0.0.1:1", SocketAddr::from(([127, 0, 0, 1], 1)));
        let expected = vec![HostPort::from(addr)];
        let (texts, addrs): (&[&str], &[SocketAddr]) = (&[text], &[addr]);
        let owned: &Vec<String> = &vec![text.to_owned()];
        assert_eq!(list(texts), expected);
        assert_eq!(list(owned), expected);
        assert_eq!(list(addrs), expected);
        assert_eq!(list(owned.iter().filter(|it| !it.is_empty())), expected);
    }

    #[test]
    fn what_is_neither_is_refused_with_what_to_write() {
        let long = format!("{}:1", "n".repeat(NAME_BYTES_MAX + 1));
        for wrong in [
            "",
            "localhost",
            ":1",
            "n1:0",
            "n1:99999",
            "http://n1:80",
            "a b:1",
            &long,
        ] {
            let error = seeds(vec![wrong.into()]).expect_err(wrong);
            assert_eq!(error.code(), Code::ConfigInvalid, "{wrong}");
            assert_eq!(error.subject(), format!("seed {wrong}"));
            assert!(error.advice().contains("node1.internal:4001"), "{error}");
        }
        let error = HostPort::from("localhost:1")
            .addr("listen")
            .expect_err("a name");
        assert_eq!(error.subject(), "setting listen");
        assert!(error.detail().contains("`localhost:1`"), "{error}");
    }
}
