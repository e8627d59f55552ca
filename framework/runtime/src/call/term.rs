//! How long a streamed reply may last: to the deadline of its call, for its reader as for its host.
//!
//! A stream without a deadline has no term. It ends with its last item, or when either side, its
//! actor or the link goes away.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use callboard_protocol::{
    code::{CallError, Code},
    time::Time,
};

use crate::env::Bug;

use super::{
    attempts::span,
    deadline::{Alarm, Wait},
    hub::Hub,
    interface::MethodSpec,
};

/// The deadline of a call whose streamed reply has begun.
#[doc(hidden)]
pub struct Term {
    hub: Arc<Hub>,
    spec: &'static MethodSpec,
    at: Time,
    /// How long the whole call was allowed to take, which its host does not know.
    within: Option<Duration>,
    wait: Wait,
}

impl Term {
    /// Makes the term of a call that ends at a time; nothing if the call has no deadline.
    pub(super) fn new(hub: &Arc<Hub>, spec: &'static MethodSpec, at: Time) -> Option<Self> {
        let is_forgotten = hub.env().plant.strikes(Bug::ForgottenDeadline);
        (at < Time::MAX && !is_forgotten).then(|| Self {
            hub: hub.clone(),
            spec,
            at,
            within: None,
            wait: Wait::default(),
        })
    }

    /// Says when the call began.
    pub(super) fn since(mut self, began: Time) -> Self {
        self.within = Some(self.at.saturating_since(began));
        self
    }

    /// Becomes ready with the error that the stream ends with.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<CallError> {
        if !self.wait.has_begun() && self.is_past() {
            return Poll::Ready(self.error());
        }
        let waited = self.wait.poll(self.hub.deadlines(), self.at, cx);
        waited.map(|()| self.error())
    }

    /// Returns whether the deadline has passed, which the wheel may not have told yet.
    pub(super) fn is_past(&self) -> bool {
        self.hub.now() >= self.at
    }

    /// Waits for the error that the stream ends with.
    pub(super) async fn over(&self) -> CallError {
        Alarm::new(self.hub.deadlines(), self.at).await;
        self.error()
    }

    /// Makes an error of the call, which runs on this node.
    pub(super) fn error_here(&self, code: Code) -> CallError {
        let node = format!("node {}", self.hub.me().name);
        self.spec.error_on(code, &node)
    }

    /// Makes the error that the stream ends with.
    pub(super) fn error(&self) -> CallError {
        if self.hub.deadlines().is_over() {
            let detail = self.hub.over().unwrap_or_default();
            return self.spec.error(Code::StreamBroken).with_detail(detail);
        }
        let within = match self.within {
            Some(within) => format!("within {}", span(within)),
            None => "by then".to_owned(),
        };
        let error = self.spec.error(Code::DeadlineExceeded);
        error.with_detail(format!(
            "its stream did not end {within}; `timeout = \"none\"` on the handler lets it last"
        ))
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        self.wait.end(self.hub.deadlines());
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Term")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
