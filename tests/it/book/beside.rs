//! Nodes that do something beside waiting for Ctrl-C, as the page on stopping shows them.

use std::{error::Error, future::Future, io, pin::pin, time::Duration};

use callboard::prelude::*;
use tokio::{sync::watch, time::interval};

use crate::support::{Town, soon};

async fn in_a_task<F>(node: Node, ctrl_c: impl FnOnce() -> F) -> Result<(), Box<dyn Error>>
where
    F: Future<Output = io::Result<()>>,
{
    // ANCHOR: task
    let watched = node.clone();
    let watching = tokio::spawn(async move {
        let mut tick = interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                () = watched.stopping() => break,
                _ = tick.tick() => println!("{} others are here", watched.members().len()),
            }
        }
    });
    ctrl_c().await?;
    node.stop().await;
    watching.await?;
    // ANCHOR_END: task
    Ok(())
}

async fn in_main<F>(
    node: Node,
    ctrl_c: impl FnOnce() -> F,
    period: Duration,
    look: impl Fn(&Node),
) -> Result<(), Box<dyn Error>>
where
    F: Future<Output = io::Result<()>>,
{
    // ANCHOR: main
    // Made once, and outside of the loop: one that is made in each round hears nothing of a Ctrl-C between two of them.
    let mut interrupted = pin!(ctrl_c());
    let mut tick = interval(period);
    loop {
        tokio::select! {
            pressed = &mut interrupted => break pressed?,
            _ = tick.tick() => look(&node),
        }
    }
    node.stop().await;
    // ANCHOR_END: main
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_works_in_a_task_and_the_task_ends_with_it() {
    let node = Town::new().node("n1").start().await.expect("starts");
    let ran = in_a_task(node.clone(), || async { Ok(()) });
    soon(ran).await.expect("it ends");
    soon(node.stopping()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_works_in_main_until_it_is_interrupted() {
    let node = Town::new().node("n1").start().await.expect("starts");
    let ticked = watch::Sender::new(0);
    let mut seen = ticked.subscribe();
    let pressed = move || async move {
        seen.wait_for(|count| *count >= 3).await.expect("it ticks");
        Ok(())
    };
    let look = |node: &Node| {
        assert!(node.members().is_empty());
        ticked.send_modify(|count| *count += 1);
    };
    let ran = in_main(node.clone(), pressed, Duration::from_millis(1), look);
    soon(ran).await.expect("it ends");
    soon(node.stopping()).await;
}
