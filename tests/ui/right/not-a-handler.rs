use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Service)]
pub struct Porter;

#[handlers]
impl Porter {
    pub fn open(&self) -> u32 {
        1
    }

    pub fn shut(&self, door: String) -> u32 {
        door.len() as u32
    }
}

pub async fn call(node: &Node) -> Result<u32, CallError> {
    node.service::<Porter>().shut("front").await
}
// ANCHOR_END: right
