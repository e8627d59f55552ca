//! From `syn` to the model. Reports what cannot be read; whether what was read makes sense is for
//! `check`.

mod attribute;
mod contract;
mod definition;
mod duration;
mod handlers;
mod method;
mod wire;

pub(crate) use self::{
    contract::contract,
    definition::definition,
    handlers::{RawImpl, handlers},
    wire::wire,
};
