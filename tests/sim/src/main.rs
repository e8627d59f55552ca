//! The simulator's binary: `callboard-sim --seeds 0..100`.
//!
//! All the work is in the library of this package; what has to be in the executable itself are the
//! C symbols that [`symbols`] puts in front of the C library's, since only an executable's symbols
//! win over those of a shared library.

#[cfg(target_os = "linux")]
mod symbols;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    callboard_sim::main(symbols::SYMBOLS)
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!(
        "callboard-sim: only Linux is supported, because the C library's symbols are replaced"
    );
    std::process::ExitCode::from(2)
}
