//! The rules. Each takes the model, reports every mistake it sees, and returns what can still be
//! emitted.

mod contract;
mod definition;
mod foreign;
mod handlers;
mod hook;
mod method;
mod refused;
mod reply;
mod text;
mod types;
mod wire;

pub(crate) use self::{
    contract::contract,
    definition::{definition, key_type, kind},
    handlers::{Target, handlers},
    wire::wire,
};

#[cfg(test)]
mod tests;
