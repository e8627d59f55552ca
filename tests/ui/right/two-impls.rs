use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self) -> String {
        self.say("hello")
    }

    pub fn goodbye(&self) -> String {
        self.say("goodbye")
    }
}

impl Greeter {
    fn say(&self, word: &str) -> String {
        word.to_string()
    }
}
// ANCHOR_END: right
