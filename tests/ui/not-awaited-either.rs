use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self) -> String {
        "hello".to_string()
    }

    pub fn names(&self) -> impl Stream<Item = String> + use<> {
        futures_util::stream::empty()
    }
}

pub async fn mapped(greeter: GreeterRef) -> Result<usize, String> {
    let hello = greeter.hello().map_err(|error| error.to_string())?;
    Ok(hello.len())
}

pub async fn looked_at(greeter: GreeterRef) -> bool {
    greeter.hello().is_ok()
}

pub async fn or_else(greeter: GreeterRef) -> usize {
    greeter.hello().unwrap_or_else(|error| error.to_string()).len()
}

pub async fn chained(greeter: GreeterRef) -> Option<String> {
    greeter.hello().map(|hello| hello.to_uppercase()).ok()
}

pub async fn one_by_one(greeter: GreeterRef) {
    for letter in greeter.hello() {
        drop(letter);
    }
}

pub fn printed(greeter: GreeterRef) {
    println!("{}", greeter.hello());
}

pub async fn read(greeter: GreeterRef) -> Option<Result<String, CallError>> {
    greeter.names().next().await
}

fn main() {}
