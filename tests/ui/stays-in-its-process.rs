use callboard::prelude::*;
use futures_util::stream::BoxStream;
use std::pin::Pin;
use tokio::sync::{mpsc, oneshot};

#[derive(Wire)]
pub struct Digest {
    bytes: [u8; 64],
}

#[derive(Default, Service)]
pub struct Desk;

#[handlers]
impl Desk {
    pub fn later(&self) -> Pin<Box<dyn Future<Output = u32> + Send>> {
        todo!()
    }

    pub fn boxed(&self) -> BoxStream<'static, u32> {
        todo!()
    }

    pub fn channel(&self) -> mpsc::Receiver<String> {
        todo!()
    }

    pub fn read(&self, items: Pin<Box<dyn Stream<Item = u32> + Send>>) {
        drop(items);
    }

    pub fn answer(&self, to: oneshot::Sender<u32>) {
        drop(to);
    }

    pub fn task(&self) -> tokio::task::JoinHandle<u32> {
        todo!()
    }

    pub fn digest(&self, salt: Option<[u8; 64]>) -> u32 {
        salt.map_or(0, |salt| salt.len() as u32)
    }
}

fn main() {}
