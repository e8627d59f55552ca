//! Command lines: of an example that has no flags of its own, and what several examples read.

use std::net::SocketAddr;

use clap::Command;

/// Answers `--help` with what the example is about, and ends the program with an error that shows
/// how it is called when anything else was typed.
pub fn none(name: &'static str, about: &'static str) {
    Command::new(name).about(about).get_matches();
}

/// Reads the address of a node.
///
/// # Errors
///
/// A sentence that says how an address is written, if it is not an IP address and a port.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write an IP address and a port from 0 to 65535, such as 127.0.0.1:4001 or [::1]:4001; this example \
         looks no names up, as `.seed(\"node1.internal:4001\")` of a node or a client does"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_read_is_refused_with_one_that_can() {
        for wrong in [
            "localhost:4001",
            "127.0.0.1",
            "127.0.0.1:99999",
            "::1:4001:",
        ] {
            let said = address(wrong).expect_err(wrong);
            assert!(said.contains("such as 127.0.0.1:4001"), "{said}");
        }
        assert!(address("127.0.0.1:4001").is_ok() && address("[::1]:4001").is_ok());
    }
}
