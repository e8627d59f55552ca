//! What a hostile peer can do to a node's port, against a node in a process of its own.
//!
//! | topic | attacks |
//! | --- | --- |
//! | [`certificates`] | none, expired, self-signed, of others; a hello that lies |
//! | [`listeners`] | one that is dialled and shows a client's certificate, or another authority's |
//! | [`frames`] | garbage, cut, oversized and doubled ones; unknown versions, methods and types |
//! | [`bodies`] | deep, growing, endless, announced and not sent |
//! | [`storms`] | resets, a byte a second, gaps, a peer that never reads, a million method names |
//! | [`handshakes`] | forged first packets, forged addresses, handshakes that do not go on |
//! | [`memory`] | all of it at once, in 256 MiB |
//!
//! The tools: [`target`] is the node, [`forge`] makes certificates, [`rogue`] is a peer that speaks the
//! protocol and lies, [`initial`] makes first packets by hand, [`fair`] measures what others notice,
//! [`limits`] is the bound on the node's memory.

mod bodies;
mod certificates;
mod fair;
mod forge;
mod frames;
mod handshakes;
mod initial;
mod limits;
mod listeners;
mod memory;
mod rogue;
mod storms;
mod target;
