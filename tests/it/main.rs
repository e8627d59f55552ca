//! Integration tests of Callboard, one binary with topics.
#![allow(
    missing_docs,
    reason = "the definitions of tests are read where they are used"
)]

mod admin;
mod attack;
mod bodies;
mod book;
mod builds;
mod busy;
mod calls;
mod clones;
mod corpora;
mod coverage;
mod draining;
mod encodings;
mod ended_streams;
mod errors;
mod evicted;
mod followed;
mod forming;
mod forwarded;
mod hooks;
mod leaks;
mod lost_disk;
mod macros;
mod membership;
mod named;
mod overload;
mod own_end;
mod paused;
mod placed;
mod pressure;
mod processes;
mod recovering;
mod resting;
mod rights;
mod rotation;
mod secrets;
mod shapes;
mod sites;
mod spawning;
mod stalled_disk;
mod streams;
mod supervision;
mod support;
mod telemetry;
mod texts;
mod ui;
mod voters;
