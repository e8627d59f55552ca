//! A user's package of another edition that knows the framework as `board`.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unreachable_pub)]

use board::prelude::*;

/// A message.
#[derive(Debug, Wire)]
pub struct Name(pub String);

/// A service.
#[derive(Debug, Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    /// Says hello.
    pub async fn hello(&self, _ctx: &Ctx<Self>, name: Name) -> String {
        name.0
    }
}

/// A contract.
#[contract]
pub trait Greetings {
    /// Says hello.
    fn hello(&self, name: Name) -> Result<String, Name>;
}

mod inside {
    use board::prelude::*;

    #[derive(Default, Service)]
    pub(crate) struct Clock;

    #[handlers]
    impl Clock {
        pub fn ticks(&self) -> u64 {
            1
        }
    }
}

/// Calls both.
pub fn calls(node: &Node) {
    let _ = node.service::<Greeter>().hello(Name(String::new()));
    let _ = node.service::<inside::Clock>().ticks();
    let _ = node.service::<Greetings>().hello(Name(String::new()));
}
