//! What this node does while its disk fails: without what it needs the disk for, and until it works again.
//!
//! | what failed | meanwhile |
//! | --- | --- |
//! | the log of the control group | the node acts no more in the group; its lease and its actors go on |
//! | the number of its next life | it stays out of the cluster |
//! | what it has promised on forming | it promises nothing |
//!
//! The log is opened anew, which writes what could be read to another file: what a sync that failed was to
//! write may be in the system's cache only, and look as if it were on the disk. Depends on `driver`.

use std::time::Duration;

use callboard_protocol::{code::Code, time::Time};

use super::{
    driver::Driver,
    handle::{Seats, Trouble},
    seat::Lost,
};

/// What is to be tried again, and when.
#[derive(Debug, Default)]
pub(super) struct Mending {
    log: Option<Time>,
    life: Option<Time>,
    memory: Option<Time>,
}

impl Mending {
    pub(super) fn next_deadline(&self) -> Option<Time> {
        [self.log, self.life, self.memory]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Driver {
    /// This node's member of the control group is no more.
    pub(super) fn handle_seat_lost(&mut self, lost: &Lost, now: Time) {
        // Nobody asks it any more, and the others replace it.
        self.leading.handle_deposed();
        let node = self.owner.node;
        self.leader = self.leader.filter(|it| it.node != node);
        self.seat = None;
        self.disk = None;
        self.status.send_modify(|it| {
            it.control((it.term, it.applied), false, Seats::default(), it.sync);
        });
        self.handle_log_failed(lost, now);
    }

    /// The log cannot be used.
    pub(super) fn handle_log_failed(&mut self, lost: &Lost, now: Time) {
        let advice = match lost.is_of_disk() {
            true => {
                self.mending.log = Some(now + AGAIN);
                "make room on the disk, or mend it: it votes again as soon as the log can be written, \
                 without a restart"
            }
            false => {
                "remove the data folder and start it again: it comes back as another node, and the other \
                 voters replace this one"
            }
        };
        self.set_failed(
            lost.code(),
            format!("{lost}; this node votes no more in the control group; {advice}"),
        );
    }

    /// The log is in use again.
    pub(super) fn handle_log_mended(&mut self) {
        tracing::info!(me = %self.owner, "has its log of the control group");
        let is_of_disk = |it: &Trouble| it.code == Code::Io;
        self.status.send_if_modified(|it| {
            let is_over = it.trouble.as_ref().is_some_and(is_of_disk);
            it.trouble = it.trouble.take().filter(|_| !is_over);
            is_over
        });
    }

    /// The number of the next life could not be written down.
    pub(super) fn handle_life_failed(&mut self, why: &str, now: Time) {
        self.mending.life = Some(now + AGAIN);
        let advice = "make room on the disk, or mend it: it joins then, without a restart";
        self.set_failed(
            Code::Io,
            format!("{why}; this node stays out of the cluster; {advice}"),
        );
    }

    /// What this node promises could not be written down.
    pub(super) fn handle_memory_failed(&mut self, why: &std::io::Error, now: Time) {
        self.mending.memory = Some(now + AGAIN);
        let advice = "make room on the disk, or mend it: it goes on then, without a restart";
        self.set_failed(
            Code::Io,
            format!(
                "the data folder: {why}; this node takes no part in forming the cluster; {advice}"
            ),
        );
    }

    /// Tries again what is due.
    pub(super) fn step_mending(&mut self, now: Time) {
        let is_due = |at: &mut Option<Time>| at.take_if(|it| *it <= now).is_some();
        let Mending { log, life, memory } = &mut self.mending;
        let (log, life, memory) = (is_due(log), is_due(life), is_due(memory));
        if log {
            self.open_log();
        }
        if life {
            self.write_next_life();
        }
        if memory {
            self.store_again();
        }
    }

    fn set_failed(&self, code: Code, detail: String) {
        let trouble = Trouble { code, detail };
        if self.status.borrow().trouble.as_ref() != Some(&trouble) {
            tracing::error!(code = code.text(), detail = %trouble.detail, "the disk failed");
            self.status.send_modify(|it| it.trouble = Some(trouble));
        }
    }
}

/// After what time what the disk has refused is tried again. Long enough that a disk which is full is not kept
/// busy, short enough that nobody starts the node again for it.
const AGAIN: Duration = Duration::from_secs(2);
