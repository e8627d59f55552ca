//! The ractor actor of a guardian: the parent of those of its children, whose ends it hears of.
//!
//! It only passes on what it hears. It may depend on `guardian` for that.

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::guardian::Guardian;

/// Tells its guardian.
pub(super) struct Watcher;

impl Actor for Watcher {
    type Msg = ();
    type State = Guardian;
    type Arguments = Guardian;

    async fn pre_start(
        &self,
        _: ActorRef<()>,
        guardian: Guardian,
    ) -> Result<Guardian, ActorProcessingErr> {
        Ok(guardian)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        guardian: &mut Guardian,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(who, failure) => {
                guardian.reported(who.get_id(), Some(failure.to_string()));
            }
            SupervisionEvent::ActorTerminated(who, _, _) => guardian.reported(who.get_id(), None),
            _ => {}
        }
        Ok(())
    }
}
