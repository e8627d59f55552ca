//! Tests over several modules.

mod model;
