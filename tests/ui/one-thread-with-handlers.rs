use callboard::prelude::*;
use std::{cell::RefCell, rc::Rc};

#[derive(Default, Actor)]
pub struct Room {
    topic: Rc<String>,
}

#[handlers]
impl Room {
    pub fn topic(&self) -> String {
        self.topic.to_string()
    }

    pub fn set_topic(&mut self, topic: String) {
        self.topic = Rc::new(topic);
    }

    pub async fn wait(&self) -> u32 {
        1
    }
}

#[derive(Default, Service)]
pub struct Desk {
    names: RefCell<Vec<String>>,
    count: Option<Box<u32>>,
}

#[handlers]
impl Desk {
    pub fn names(&self) -> Vec<String> {
        self.names.borrow().clone()
    }
}

pub fn spawn(node: &Node) {
    let _ = node.spawn_with(|_| Room {
        topic: Rc::new("hello".to_string()),
    });
    let _ = Node::builder().host::<Hall>();
}

#[derive(Default, Service)]
pub struct Hall {
    doors: Rc<u32>,
}

#[handlers]
impl Hall {
    pub fn doors(&self) -> u32 {
        *self.doors
    }
}

fn main() {}
