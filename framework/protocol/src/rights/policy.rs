//! The policy of a node, and what follows from it for one method.

use crate::id::{NameError, RoleName};

use super::{glob::matches, roles::Roles};

/// What a node lets other nodes and clients call.
///
/// The rules are asked in the order they were added; the first whose pattern fits a method decides
/// about it. Where none fits, the default does, unless the method says itself who may call it
/// (`#[handler(allow = "…")]`), which is rule enough. What a method says itself is needed in
/// any case: a rule can take away from it and not add to it.
///
/// Interfaces whose names begin with `callboard.` are the system's own. They are denied unless a rule
/// whose pattern begins with `callboard.` lets the caller in, whatever the default.
///
/// A pattern is `interface/method`, where `*` stands for any text: `Orders/*`, `*/reset`,
/// `shop.*/get_*`. A role is a name from a certificate. Calls that a node makes to what it hosts
/// itself are not asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    denies: bool,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    pattern: String,
    who: Who,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    Anyone,
    /// Those with one of these roles; nobody if there are none.
    Roles(Box<[String]>),
}

/// Who may call a method: those that have a role of each list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant(Vec<Box<[String]>>);

/// Why a policy cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A pattern has not exactly one `/`, or nothing on a side of it.
    #[error("the pattern {0:?} is not `interface/method`, such as `Orders/*`")]
    Pattern(String),
    /// A role can be in no certificate.
    #[error("a role for {pattern:?}: {error}")]
    Role {
        /// The pattern of the rule.
        pattern: String,
        /// What is wrong with the name.
        error: NameError,
    },
}

impl Policy {
    /// Makes a policy that allows what no rule denies: what a node without a policy has.
    #[must_use]
    pub const fn allow_by_default() -> Self {
        Self {
            denies: false,
            rules: Vec::new(),
        }
    }

    /// Makes a policy that denies what no rule allows.
    #[must_use]
    pub const fn deny_by_default() -> Self {
        Self {
            denies: true,
            rules: Vec::new(),
        }
    }

    /// Adds a rule: those with one of `roles` may call the methods that fit, others may not.
    #[must_use]
    pub fn allow<R: Into<String>>(
        self,
        pattern: impl Into<String>,
        roles: impl IntoIterator<Item = R>,
    ) -> Self {
        let roles = roles.into_iter().map(Into::into).collect();
        self.rule(pattern, Who::Roles(roles))
    }

    /// Adds a rule: every node and client of the cluster may call the methods that fit.
    #[must_use]
    pub fn allow_anyone(self, pattern: impl Into<String>) -> Self {
        self.rule(pattern, Who::Anyone)
    }

    /// Adds a rule: no other node or client may call the methods that fit.
    #[must_use]
    pub fn deny(self, pattern: impl Into<String>) -> Self {
        self.rule(pattern, Who::Roles(Box::default()))
    }

    fn rule(mut self, pattern: impl Into<String>, who: Who) -> Self {
        let pattern = pattern.into();
        self.rules.push(Rule { pattern, who });
        self
    }

    /// Checks the patterns and the roles of all rules.
    ///
    /// # Errors
    /// [`PolicyError`] for the first rule that could not fit anything as it is written.
    pub fn validate(&self) -> Result<(), PolicyError> {
        for Rule { pattern, who } in &self.rules {
            let is_whole = pattern.split('/').filter(|part| !part.is_empty()).count() == 2
                && pattern.matches('/').count() == 1;
            if !is_whole {
                return Err(PolicyError::Pattern(pattern.clone()));
            }
            let Who::Roles(roles) = who else { continue };
            for role in roles {
                RoleName::new(role.as_str()).map_err(|error| PolicyError::Role {
                    pattern: pattern.clone(),
                    error,
                })?;
            }
        }
        Ok(())
    }

    /// Returns the first rule that names this interface, without a `*`, and none of its methods.
    #[must_use]
    pub fn misses(&self, interface: &str, methods: &[&str]) -> Option<&str> {
        let mut patterns = self.rules.iter().map(|rule| &*rule.pattern);
        patterns.find(|pattern| {
            pattern.split_once('/').is_some_and(|(left, right)| {
                left == interface && !methods.iter().any(|method| matches(right, method))
            })
        })
    }

    /// Returns who may call a method, or nothing if everyone may. `allow` is what the method says
    /// itself, empty if it says nothing.
    #[must_use]
    pub fn grant(&self, interface: &str, method: &str, allow: &[&str]) -> Option<Grant> {
        let mut needed = Vec::new();
        if !allow.is_empty() {
            needed.push(allow.iter().map(|role| (*role).to_owned()).collect());
        }
        let is_reserved = interface.starts_with(RESERVED_PREFIX);
        let rule = self.rules.iter().find(|rule| {
            let in_reach = !is_reserved || rule.pattern.starts_with(RESERVED_PREFIX);
            in_reach && rule.fits(interface, method)
        });
        match rule.map(|rule| &rule.who) {
            Some(Who::Anyone) => {}
            Some(Who::Roles(roles)) => needed.push(roles.clone()),
            None if is_reserved || (self.denies && allow.is_empty()) => {
                needed.push(Box::default());
            }
            None => {}
        }
        // What both say is needed once.
        needed.dedup();
        (!needed.is_empty()).then_some(Grant(needed))
    }
}

impl Rule {
    fn fits(&self, interface: &str, method: &str) -> bool {
        self.pattern
            .split_once('/')
            .is_some_and(|(left, right)| matches(left, interface) && matches(right, method))
    }
}

impl Grant {
    /// Returns whether a caller with these roles may call the method.
    #[must_use]
    pub fn lets(&self, roles: &Roles) -> bool {
        let has_one = |needed: &[String]| needed.iter().any(|role| roles.contains(role));
        self.0.iter().all(|needed| has_one(needed))
    }

    /// Says what a caller with these roles lacks, for the error it gets.
    #[must_use]
    pub fn missing(&self, roles: &Roles) -> String {
        if self.0.iter().any(|needed| needed.is_empty()) {
            return "the node's policy lets nobody else call it".to_owned();
        }
        let lists = self.0.iter().map(|needed| match &**needed {
            [role] => format!("the role {role}"),
            several => format!("one of the roles {}", several.join(", ")),
        });
        let lists = lists.collect::<Vec<_>>().join(" and ");
        let held = roles.to_string();
        if held.is_empty() {
            format!("it needs {lists}; the caller's certificate has no role")
        } else {
            format!("it needs {lists}; the caller's certificate has {held}")
        }
    }
}

/// How the names of the system's own interfaces begin. No definition of a user can have such a one.
pub const RESERVED_PREFIX: &str = "callboard.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_names_an_interface_and_none_of_its_methods_misses() {
        let methods = ["open", "close_all"];
        let misses = |pattern: &str| {
            let policy = Policy::deny_by_default().allow_anyone(pattern);
            policy.misses("Desk", &methods).map(str::to_owned)
        };
        for fits in [
            "Desk/open",
            "Desk/*",
            "Desk/close*",
            "*/nope",
            "Other/nope",
            "D*/nope",
        ] {
            assert_eq!(misses(fits), None, "{fits}");
        }
        for fits_nothing in ["Desk/nope", "Desk/Open", "Desk/open*d"] {
            assert_eq!(misses(fits_nothing).as_deref(), Some(fits_nothing));
        }
    }

    fn roles(names: &[&str]) -> Roles {
        let role = |name: &&str| RoleName::new(*name).expect("a role");
        names.iter().map(role).collect()
    }

    /// Whether a caller with these roles may call `Orders/cancel`.
    fn lets(policy: &Policy, allow: &[&str], held: &[&str]) -> bool {
        let grant = policy.grant("Orders", "cancel", allow);
        grant.is_none_or(|grant| grant.lets(&roles(held)))
    }

    #[test]
    fn without_rules_everyone_may_call_what_says_nothing_itself() {
        let open = Policy::default();
        assert_eq!(open, Policy::allow_by_default());
        assert_eq!(open.grant("Orders", "cancel", &[]), None);
        assert!(!lets(&open, &["admin"], &[]));
        assert!(!lets(&open, &["admin"], &["reader"]));
        assert!(lets(&open, &["admin", "ops"], &["ops", "reader"]));
    }

    #[test]
    fn what_no_rule_allows_is_denied_by_default_if_the_policy_says_so() {
        let strict = Policy::deny_by_default().allow("Orders/c*", ["clerk"]);
        assert!(!lets(&strict, &[], &[]));
        assert!(lets(&strict, &[], &["clerk"]));
        assert!(
            !strict
                .grant("Orders", "get", &[])
                .expect("denied")
                .lets(&roles(&["clerk"]))
        );
        // The method's own word is rule enough where no rule fits, and is needed beside one.
        let none = Policy::deny_by_default();
        assert!(lets(&none, &["admin"], &["admin"]));
        assert!(!lets(&strict, &["admin"], &["admin"]));
        assert!(!lets(&strict, &["admin"], &["clerk"]));
        assert!(lets(&strict, &["admin"], &["admin", "clerk"]));
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let policy = Policy::allow_by_default()
            .allow_anyone("Orders/cancel")
            .deny("Orders/*");
        assert!(lets(&policy, &[], &[]));
        assert!(!lets(&policy, &["admin"], &[]), "a rule does not add to it");
        let denied = policy.grant("Orders", "get", &[]).expect("denied");
        assert!(!denied.lets(&roles(&["admin"])));
        assert_eq!(policy.grant("Greeter", "hello", &[]), None);
    }

    #[test]
    fn the_systems_own_interfaces_are_denied_unless_a_rule_names_them() {
        let own = |policy: &Policy| policy.grant("callboard.admin", "drain", &[]);
        let open = Policy::allow_by_default().allow_anyone("*/*");
        assert!(!own(&open).expect("denied").lets(&roles(&["admin"])));
        let attribute = open.grant("callboard.admin", "drain", &["admin"]);
        assert!(!attribute.expect("denied").lets(&roles(&["admin"])));
        let named = open.allow("callboard.admin/*", ["admin"]);
        let grant = own(&named).expect("restricted");
        assert!(grant.lets(&roles(&["admin"])));
        assert!(!grant.lets(&roles(&[])));
        assert_eq!(named.grant("callboards", "x", &[]), None);
        let twice = named.grant("callboard.admin", "drain", &["admin"]);
        assert_eq!(
            twice.expect("restricted").missing(&roles(&[])),
            "it needs the role admin; the caller's certificate has no role"
        );
    }

    #[test]
    fn a_rule_that_can_fit_nothing_is_found() {
        for bad in ["Orders", "Orders/", "/x", "a/b/c", "/", "", "a//b"] {
            let policy = Policy::default().allow_anyone(bad);
            assert_eq!(policy.validate(), Err(PolicyError::Pattern(bad.to_owned())));
        }
        let policy = Policy::default().allow("Orders/*", ["ad min"]);
        assert!(matches!(policy.validate(), Err(PolicyError::Role { .. })));
        assert_eq!(Policy::default().deny("*/*").validate(), Ok(()));
    }

    #[test]
    fn a_refusal_says_what_is_needed_and_what_is_there() {
        let grant = Policy::default().grant("Orders", "cancel", &["admin", "ops"]);
        let grant = grant.expect("restricted");
        assert_eq!(
            grant.missing(&roles(&["reader"])),
            "it needs one of the roles admin, ops; the caller's certificate has reader"
        );
        let both = Policy::default().allow("*/*", ["clerk"]);
        let both = both
            .grant("Orders", "cancel", &["admin"])
            .expect("restricted");
        assert_eq!(
            both.missing(&roles(&[])),
            "it needs the role admin and the role clerk; the caller's certificate has no role"
        );
    }
}
