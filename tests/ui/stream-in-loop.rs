use callboard::prelude::*;

#[derive(Default, Actor)]
pub struct Board;

#[handlers]
impl Board {
    #[handler(timeout = "none")]
    pub fn watch(&self) -> impl Stream<Item = String> + use<> {
        futures_util::stream::empty()
    }
}

// ANCHOR: wrong
pub async fn watch(board: &BoardRef) -> Result<(), CallError> {
    for line in board.watch().await? {
        println!("{}", line?);
    }
    Ok(())
}
// ANCHOR_END: wrong

fn main() {}
