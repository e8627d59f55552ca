//! The book: its links lead somewhere, its Rust is compiled, its commands do what it says, and its
//! pages of error codes agree with the tables.

mod beside;
/// The program of a tutorial; readers put it into a crate of their own.
#[allow(dead_code, reason = "its `main` is for readers")]
#[path = "../../book/board/main.rs"]
mod board;
mod codes;
mod limits;
mod links;
mod markdown;
mod methods;
mod replay;
mod rights;
mod snippets;
