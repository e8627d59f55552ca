//! Actors that end themselves, and actors that end those that they have spawned.

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use callboard::{Code, DownReason, prelude::*};
use futures_util::poll;
use tokio::sync::{Notify, Semaphore};

use crate::support::{DEADLINE, Town, code, eventually};

const LONG: Duration = Duration::from_secs(60);

/// What a test sees of its actors, in order.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn write(&self, event: impl Into<String>) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event.into());
    }

    fn read(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[derive(Actor)]
pub struct Job {
    name: String,
    log: Log,
    began: Arc<Notify>,
    gate: Arc<Semaphore>,
}

#[handlers]
impl Job {
    /// Ends the job, in the middle of the turn.
    pub async fn finish(&mut self, ctx: &Ctx<Self>, grace: Duration) -> String {
        self.began.notify_one();
        let _ = self.gate.acquire().await;
        ctx.stop(grace);
        self.log.write(format!("{} has told", self.name));
        format!("{} is done", self.name)
    }

    pub async fn finish_by_ref(&mut self, ctx: &Ctx<Self>) -> bool {
        ctx.stop_actor(&ctx.this(), LONG).await
    }

    pub fn step(&mut self) -> String {
        self.log.write(format!("{} steps", self.name));
        self.name.clone()
    }

    pub async fn hang(&mut self) {
        std::future::pending::<()>().await;
    }

    pub fn start(&mut self, ctx: &Ctx<Self>, name: String) -> JobRef {
        let job = self.another(name);
        ctx.spawn_with(move |_| job.another(job.name.clone()))
    }

    pub async fn end(&mut self, ctx: &Ctx<Self>, child: JobRef, grace: Duration) -> bool {
        ctx.stop_actor(&child, grace).await
    }

    #[handler(deactivate)]
    async fn ends(&mut self, why: callboard::Deactivation) {
        self.log.write(format!("{} ends: {why:?}", self.name));
    }

    #[handler(skip)]
    fn another(&self, name: String) -> Self {
        Self {
            name,
            log: self.log.clone(),
            began: self.began.clone(),
            gate: self.gate.clone(),
        }
    }
}

/// One job on one node.
struct Stage {
    node: Node,
    _town: Town,
    log: Log,
    began: Arc<Notify>,
    gate: Arc<Semaphore>,
    job: JobRef,
}

impl Stage {
    async fn new() -> Self {
        let town = Town::new();
        let node = town.node("n1").start().await.expect("starts");
        let (log, began, gate) = (
            Log::default(),
            Arc::new(Notify::new()),
            Arc::new(Semaphore::new(0)),
        );
        let (of, by, at) = (log.clone(), Arc::clone(&began), gate.clone());
        let job = node.spawn_with::<Job>(move |_| Job {
            name: "job".into(),
            log: of.clone(),
            began: by.clone(),
            gate: at.clone(),
        });
        Self {
            node,
            _town: town,
            log,
            began,
            gate,
            job,
        }
    }

    async fn one_waits(&self) {
        let waits = "callboard_mailbox_depth{actor=\"Job\"} 1";
        eventually("it waits", || self.node.metrics().contains(waits)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_ends_itself_answers_and_runs_what_waits() {
    let stage = Stage::new().await;
    let job = &stage.job;
    let mut down = pin!(callboard::watch(job));
    assert!(poll!(down.as_mut()).is_pending());
    let finish = tokio::spawn(job.finish(LONG).timeout(LONG));
    stage.began.notified().await;
    let behind = tokio::spawn(job.step().timeout(LONG));
    stage.one_waits().await;
    stage.gate.add_permits(1);
    assert_eq!(finish.await.expect("whole"), Ok("job is done".to_owned()));
    // No race: it takes no call any more from when it has answered.
    assert_eq!(code(job.step().await), Code::ActorStopped);
    assert_eq!(behind.await.expect("whole"), Ok("job".to_owned()));
    assert_eq!(down.await.reason, DownReason::Stopped);
    let told = ["job has told", "job steps", "job ends: Stopped"];
    assert_eq!(stage.log.read(), told);
    stage.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_stops_its_own_ref_does_not_wait_for_itself() {
    let stage = Stage::new().await;
    assert_eq!(stage.job.finish_by_ref().await, Ok(true));
    assert_eq!(code(stage.job.step().await), Code::ActorStopped);
    stage.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_ending_actor_has_not_done_within_its_grace_is_dropped() {
    let stage = Stage::new().await;
    let job = &stage.job;
    let finish = tokio::spawn(job.finish(Duration::from_millis(50)).timeout(LONG));
    stage.began.notified().await;
    let behind = tokio::spawn(job.hang().timeout(LONG));
    stage.one_waits().await;
    stage.gate.add_permits(1);
    assert!(finish.await.expect("whole").is_ok());
    assert_eq!(code(behind.await.expect("whole")), Code::TurnAborted);
    stage.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_ends_its_child_and_its_own_end_comes_after_its_childrens() {
    let stage = Stage::new().await;
    let job = &stage.job;
    let one = job.start("one").await.expect("spawned");
    let two = job.start("two").await.expect("spawned");
    assert_eq!(one.step().await, Ok("one".to_owned()));
    assert_eq!(two.step().await, Ok("two".to_owned()));
    assert_eq!(job.end(one.clone(), LONG).await, Ok(true));
    assert_eq!(code(one.step().await), Code::ActorStopped);
    assert_eq!(job.end(one, LONG).await, Ok(false));
    assert_eq!(two.step().await, Ok("two".to_owned()));
    stage.gate.add_permits(1);
    let mut down = pin!(callboard::watch(job));
    assert!(poll!(down.as_mut()).is_pending());
    assert!(job.finish(LONG).await.is_ok());
    assert_eq!(down.await.reason, DownReason::Stopped);
    let ends: Vec<_> = stage.log.read();
    let ends: Vec<_> = ends.iter().filter(|it| it.contains("ends")).collect();
    assert_eq!(
        ends,
        [
            "one ends: Stopped",
            "two ends: Stopped",
            "job ends: Stopped"
        ]
    );
    stage.node.stop().await;
}

/// A key that lets itself go.
#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Page {
    reads: u32,
}

#[handlers]
impl Page {
    pub fn read(&mut self) -> u32 {
        self.reads += 1;
        self.reads
    }

    pub async fn close(&mut self, ctx: &Ctx<Self>) -> bool {
        ctx.stop_actor(&ctx.this(), LONG).await
    }
}

#[derive(Default, Service)]
pub struct Press;

#[handlers]
impl Press {
    pub async fn close(&self, ctx: &Ctx<Self>) -> bool {
        ctx.stop_actor(&ctx.this(), LONG).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_lets_itself_go_and_a_service_does_not() {
    let town = Town::new();
    let builder = town.node("n1").host::<Page>().host::<Press>();
    let node = builder.start().await.expect("starts");
    let page = node.actor::<Page>("first");
    assert_eq!(page.read().await, Ok(1));
    assert_eq!(page.read().await, Ok(2));
    assert_eq!(page.close().await, Ok(true));
    let anew = async {
        loop {
            match page.read().await {
                Ok(reads) => break reads,
                Err(error) => assert_eq!(error.code(), Code::ActorStopped),
            }
        }
    };
    let reads = tokio::time::timeout(DEADLINE, anew).await;
    assert_eq!(reads, Ok(1), "its state was made anew");
    let press = node.service::<Press>();
    assert_eq!(press.close().await, Ok(false));
    assert_eq!(press.close().await, Ok(false), "it goes on");
    node.stop().await;
}
