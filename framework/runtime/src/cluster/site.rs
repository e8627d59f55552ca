//! What a node says of where it stands, and what it lacks for an actor type that asks for more.
//!
//! Depends on `net`, for the error of a setting.

use std::collections::{BTreeMap, BTreeSet};

use callboard_protocol::{
    code::Code,
    id::RoleName,
    slots::{LABELS_MAX, Lack, TEXT_BYTES_MAX, WEIGHT_MAX},
};

use crate::net::StartError;

/// Where a node stands.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// What is likely to fail together with it. Empty when it does not say.
    pub(crate) zone: String,
    /// The roles of its certificate.
    pub(crate) roles: BTreeSet<RoleName>,
    /// What its operator says of it.
    pub(crate) labels: BTreeMap<String, String>,
    /// How much of the load it takes beside others.
    pub(crate) weight: u32,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            zone: String::new(),
            roles: BTreeSet::new(),
            labels: BTreeMap::new(),
            weight: WEIGHT,
        }
    }
}

impl Site {
    /// Checks what the node's operator has said.
    ///
    /// # Errors
    /// `ConfigInvalid`, with the setting.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let fits = |text: &str| (1..=TEXT_BYTES_MAX).contains(&text.len());
        let refused = |setting: &'static str, detail: String| {
            let error = StartError::new(Code::ConfigInvalid, setting);
            Err(error.with_detail(detail))
        };
        if self.zone.len() > TEXT_BYTES_MAX {
            let len = self.zone.len();
            return refused(
                "zone",
                format!("it has {len} bytes, and may have {TEXT_BYTES_MAX}"),
            );
        }
        if self.labels.len() > LABELS_MAX {
            let count = self.labels.len();
            return refused(
                "label",
                format!("there are {count}, and may be {LABELS_MAX}"),
            );
        }
        let label = self
            .labels
            .iter()
            .find(|(key, value)| !fits(key) || !fits(value));
        if let Some((key, value)) = label {
            let detail =
                format!("{key:?} is {value:?}: each has to have 1 to {TEXT_BYTES_MAX} bytes");
            return refused("label", detail);
        }
        if !(1..=WEIGHT_MAX).contains(&self.weight) {
            let weight = self.weight;
            return refused(
                "weight",
                format!("it is {weight}, and may be 1 to {WEIGHT_MAX}"),
            );
        }
        Ok(())
    }

    /// Returns what this node lacks to own keys of a type that asks for this role, unless it is empty, for
    /// all of these labels, and for one of these zones, if there are any.
    pub(crate) fn lack(&self, role: &str, labels: &[(&str, &str)], zones: &[&str]) -> Option<Lack> {
        let asked = RoleName::new(role).ok();
        if let Some(role) = asked.filter(|it| !self.roles.contains(it)) {
            return Some(Lack::Role(role));
        }
        let lacks = |(key, value): &&(&str, &str)| {
            self.labels.get(*key).map(String::as_str) != Some(*value)
        };
        if let Some((key, value)) = labels.iter().find(lacks) {
            let (key, value) = ((*key).to_owned(), (*value).to_owned());
            return Some(Lack::Label { key, value });
        }
        let is_elsewhere = !zones.is_empty() && !zones.contains(&self.zone.as_str());
        is_elsewhere.then(|| Lack::Zone(zones.iter().map(|it| (*it).to_owned()).collect()))
    }
}

/// The weight of a node that says none.
const WEIGHT: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        Site {
            zone: "eu-1".to_owned(),
            roles: [RoleName::new("storage").expect("valid")].into(),
            labels: [("disk".to_owned(), "ssd".to_owned())].into(),
            ..Site::default()
        }
    }

    #[test]
    fn a_type_that_asks_for_nothing_may_be_anywhere() {
        assert_eq!(Site::default().lack("", &[], &[]), None);
        assert_eq!(
            site().lack("storage", &[("disk", "ssd")], &["eu-2", "eu-1"]),
            None
        );
    }

    #[test]
    fn a_node_tells_the_first_thing_that_it_lacks() {
        let told = |lack: Option<Lack>| lack.map(|it| it.to_string()).unwrap_or_default();
        let nowhere = Site::default();
        assert_eq!(
            told(nowhere.lack("storage", &[("disk", "ssd")], &["eu-1"])),
            "it does not have the role storage"
        );
        for value in ["hdd", ""] {
            assert_eq!(
                told(site().lack("storage", &[("disk", value)], &[])),
                format!("it does not have the label disk={value}")
            );
        }
        assert_eq!(
            told(site().lack("", &[], &["us-1", "us-2"])),
            "its zone is none of us-1, us-2"
        );
        assert!(
            nowhere.lack("", &[], &["eu-1"]).is_some(),
            "it says no zone"
        );
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        let refused = |change: fn(&mut Site)| {
            let mut site = site();
            change(&mut site);
            site.check().expect_err("refused").to_string()
        };
        assert!(site().check().is_ok());
        assert!(refused(|it| it.zone = "x".repeat(64)).contains("zone"));
        assert!(refused(|it| it.weight = 0).contains("weight"));
        assert!(refused(|it| it.weight = 10_001).contains("1 to 10000"));
        assert!(refused(|it| drop(it.labels.insert(String::new(), "x".into()))).contains("label"));
        assert!(refused(|it| drop(it.labels.insert("x".into(), "y".repeat(64)))).contains("label"));
        let many = |it: &mut Site| {
            it.labels = (0..33).map(|it| (it.to_string(), "x".to_owned())).collect();
        };
        assert!(refused(many).contains("32"));
    }
}
