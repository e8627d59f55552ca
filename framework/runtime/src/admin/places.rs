//! Where actors are: answers about one key.
//!
//! Depends on `desk` and `place_report`.

use std::collections::BTreeSet;

use callboard_protocol::{
    id::InterfaceId, placement::Reason, slots::Owner, wire::header::KEY_BYTES_MAX,
};

use super::{
    desk::Desk,
    place_report::{
        ActorName, ActorReport, ActorState, CandidateReport, KeyName, PlaceReason, PlaceReport,
    },
    service::AdminError,
};
use crate::{
    call::{Hosted, InMemory},
    cluster::{PlacedBy, group_of},
};

impl Desk {
    /// Says where an actor is placed, and why.
    pub(super) fn why(&self, of: &ActorName) -> Result<PlaceReport, AdminError> {
        let kind = self.known_kind(&of.kind)?;
        if self.ownership.placed_by() != PlacedBy::Group {
            return Err(AdminError::NotPlaced);
        }
        let key = self.key_bytes(kind, of)?;
        let place = self.ownership.why(group_of(kind), &key);
        let (id, why) = place.ok_or_else(|| self.unknown(&of.kind))?;
        let name = |owner: Owner| self.name_of(owner.node);
        let candidates = why.candidates.iter().map(|it| CandidateReport {
            node: name(it.owner),
            why_not: it.why_not.as_ref().map(ToString::to_string),
            slots: it.load as u64,
            share_min: it.share.0 as u64,
            share_max: it.share.1 as u64,
        });
        let tallies = self.ownership.tallies();
        let slots = tallies.iter().find(|it| it.types.contains(&kind));
        Ok(PlaceReport {
            by: self.hub.me().name.clone(),
            version: self.ownership.version().0,
            lease_left_ms: self.lease_left_ms(),
            key,
            slot: id.slot.0,
            slots: slots.map_or(0, |it| it.slots),
            epoch: why.entry.epoch.0,
            owner: why.entry.owner.map(name),
            moving_to: why.entry.moving.map(name),
            candidates: candidates.collect(),
            reason: reason(why.reason),
        })
    }

    /// Says what this node has of an actor.
    pub(super) fn actor(&self, of: &ActorName) -> Result<ActorReport, AdminError> {
        let kind = self.known_kind(&of.kind)?;
        let key = self.key_bytes(kind, of)?;
        let host = self.hub.host(kind);
        let keys = host.as_deref().and_then(Hosted::keys);
        let found = match keys {
            Some(keys) => keys.in_memory(&key).map_err(|error| AdminError::BadKey {
                why: error.to_string(),
            })?,
            None => None,
        };
        let (state, waiting, waiting_max, epoch) = match found {
            None => (ActorState::Inactive, 0, 0, None),
            Some(InMemory {
                failure,
                is_stopping,
                waiting,
                waiting_max,
                epoch,
            }) => {
                let state = match failure {
                    Some(why) => ActorState::Quarantined(why),
                    None if is_stopping => ActorState::Stopping,
                    None => ActorState::Active,
                };
                (state, waiting as u64, waiting_max as u64, epoch)
            }
        };
        Ok(ActorReport {
            by: self.hub.me().name.clone(),
            state,
            waiting,
            waiting_max,
            epoch: epoch.map(|it| it.0),
        })
    }

    /// Returns the id of a type that somebody hosts as far as is known here.
    fn known_kind(&self, name: &str) -> Result<InterfaceId, AdminError> {
        let kind = InterfaceId::of(name);
        let is_placed = self
            .ownership
            .tallies()
            .iter()
            .any(|it| it.types.contains(&kind));
        let here = self.hub.directories();
        let is_here = here.iter().any(|it| it.interface() == kind);
        match is_placed || is_here {
            true => Ok(kind),
            false => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> AdminError {
        let placed = self.cluster().types.into_iter().map(|it| it.name);
        let here = self.hub.directories();
        let here = here.iter().map(|it| it.name().to_owned());
        let known: BTreeSet<String> = placed.chain(here).collect();
        AdminError::UnknownType {
            name: name.to_owned(),
            known: known.into_iter().collect(),
        }
    }

    /// Returns the encoding of a key. That it is one of the type is checked where the type is hosted.
    fn key_bytes(&self, kind: InterfaceId, of: &ActorName) -> Result<Vec<u8>, AdminError> {
        let bad = |why: String| AdminError::BadKey { why };
        let host = self.hub.host(kind);
        let keys = host.as_deref().and_then(Hosted::keys);
        match (&of.key, keys) {
            (KeyName::Bytes(bytes), _) if bytes.len() > KEY_BYTES_MAX => {
                let len = bytes.len();
                Err(bad(format!(
                    "it has {len} bytes, at most {KEY_BYTES_MAX} are allowed"
                )))
            }
            (KeyName::Bytes(bytes), Some(keys)) => match keys.in_memory(bytes) {
                Ok(_) => Ok(bytes.clone()),
                Err(error) => Err(bad(error.to_string())),
            },
            (KeyName::Bytes(bytes), None) => Ok(bytes.clone()),
            (KeyName::Text(text), Some(keys)) => keys.key_of_text(text).map_err(bad),
            (KeyName::Text(_), None) => Err(AdminError::NotHostedHere {
                name: of.kind.clone(),
            }),
        }
    }
}

fn reason(reason: Reason) -> PlaceReason {
    match reason {
        Reason::Moving => PlaceReason::Moving,
        Reason::NobodyEligible => PlaceReason::NobodyEligible,
        Reason::NeverOwned => PlaceReason::NeverOwned,
        Reason::OwnerLost => PlaceReason::OwnerLost,
        Reason::OwnerLeaves(why) => PlaceReason::OwnerLeaves(why.to_string()),
        Reason::FirstChoice => PlaceReason::FirstChoice,
        Reason::OthersFull => PlaceReason::OthersFull,
        Reason::Stays => PlaceReason::Stays,
        Reason::OutOfBalance => PlaceReason::OutOfBalance,
    }
}
