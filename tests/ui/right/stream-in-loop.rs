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

// ANCHOR: right
pub async fn watch(board: &BoardRef) -> Result<(), CallError> {
    let mut lines = board.watch().await?;
    while let Some(line) = lines.next().await {
        println!("{}", line?);
    }
    Ok(())
}
// ANCHOR_END: right
