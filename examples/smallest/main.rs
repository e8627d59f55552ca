//! `cargo run --example greeter`: what is in `greeter.rs`, and a command line that answers `--help`.
//!
//! The book shows `greeter.rs` whole, as a program that needs nothing but Callboard and tokio.

use std::error::Error;

use callboard_examples::flags;

mod program {
    include!("../greeter.rs");

    pub(super) fn run() -> Result<(), Box<dyn std::error::Error>> {
        main()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    flags::none(
        "greeter",
        "The smallest program: one node, one service, one call",
    );
    program::run()
}
