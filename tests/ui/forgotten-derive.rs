use callboard::prelude::*;

#[derive(Default)]
pub struct Room {
    topic: String,
}

#[handlers]
impl Room {
    pub fn topic(&self) -> String {
        self.topic.clone()
    }

    pub fn set_topic(&mut self, topic: String) {
        self.topic = topic;
    }
}

async fn open(node: &Node) {
    let room = node.spawn::<Room>();
    let _ = room.topic().await;
}

fn main() {}
