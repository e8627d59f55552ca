//! The command line of an example that has no flags of its own.

use clap::Command;

/// Answers `--help` with what the example is about, and ends the program with an error that shows
/// how it is called when anything else was typed.
pub fn none(name: &'static str, about: &'static str) {
    Command::new(name).about(about).get_matches();
}
