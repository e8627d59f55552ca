//! The rules of `#[derive(Service)]` and `#[derive(Actor)]`.

use syn::{Ident, Type, parse_quote};

use super::{
    text::text,
    types::{self, Obstacle},
};
use crate::{
    code::Code,
    model::{Definition, DefinitionSettings, Flavor, Kind},
    problem::Problems,
};

/// Checks a definition. Returns whether code can be emitted for it.
pub(crate) fn definition(definition: &Definition, problems: &Problems) -> bool {
    if let Some(keyword) = &definition.not_struct {
        let message = "a service or an actor is a struct: its fields are its state; put this type \
                       into a field";
        problems.under(keyword, Code::NotAStruct, message);
    }
    settings(definition.flavor, &definition.settings, problems);
    key(&definition.settings, problems);
    if definition.generics.params.is_empty() {
        return true;
    }
    let message = "a service or an actor cannot be generic: its name on the wire stands for one \
                   set of messages; write the types out, or wrap them in an enum";
    problems.under(&definition.generics, Code::GenericDefinition, message);
    false
}

/// Reports a key that borrows, and one that cannot be compared.
pub(super) fn key(settings: &DefinitionSettings, problems: &Problems) {
    let Some(given) = &settings.key else {
        return;
    };
    if let Some(Obstacle::Reference(borrowed)) = types::obstacle(&given.value) {
        let fix = match types::owned(&borrowed) {
            Some(owned) => format!("write `key = {}`", text(&owned)),
            None => "write a type that owns its data".to_string(),
        };
        let message = format!("a key travels with every call, so it owns what it carries: {fix}");
        problems.under(&given.value, Code::BorrowedArgument, message);
    }
    if is_float(&given.value) {
        let message = "a key is compared and hashed, and floating-point numbers are not: write `key \
                       = u64`, or a struct of your own with a number and its scale";
        problems.under(&given.value, Code::WrongValue, message);
    }
}

fn is_float(ty: &Type) -> bool {
    let name = types::last_name(ty);
    name.is_some_and(|last| last.ident == "f64" || last.ident == "f32")
}

/// Returns the type of a key, or what it is to become where it cannot be one.
pub(crate) fn key_type(given: &Type) -> Type {
    if is_float(given) {
        return parse_quote!(::core::primitive::u64);
    }
    types::amended(given).unwrap_or_else(|| given.clone())
}

/// Returns how a definition or a contract is addressed.
pub(crate) fn kind(flavor: Option<Flavor>, settings: &DefinitionSettings) -> Kind {
    match (flavor, &settings.key, &settings.spawned) {
        (Some(Flavor::Service), ..) | (None, None, None) => Kind::Service,
        (_, Some(_), _) => Kind::Keyed,
        (Some(Flavor::Actor), None, _) | (None, None, Some(_)) => Kind::Spawned,
    }
}

fn settings(flavor: Flavor, settings: &DefinitionSettings, problems: &Problems) {
    contract(settings, problems);
    if settings.contract.is_none() {
        let kind = kind(Some(flavor), settings);
        if kind == Kind::Spawned {
            needs_key(settings.persist.as_ref().map(|given| &given.name), problems);
            needs_key(
                settings.handover.as_ref().map(|given| &given.name),
                problems,
            );
            needs_key(settings.idle.as_ref().map(|given| &given.name), problems);
            needs_key(settings.role.as_ref().map(|given| &given.name), problems);
            needs_key(settings.labels.as_ref().map(|given| &given.name), problems);
            needs_key(settings.zones.as_ref().map(|given| &given.name), problems);
        }
        placement(Some(kind), settings, problems);
    } else {
        placement(None, settings, problems);
    }
}

fn contract(settings: &DefinitionSettings, problems: &Problems) {
    if settings.contract.is_none() {
        return;
    }
    let key = settings.key.as_ref().map(|given| &given.name);
    for name in key
        .into_iter()
        .chain(settings.name.as_ref().map(|given| &given.name))
    {
        let message =
            format!("the contract states the `{name}` for all its callers; remove it here");
        problems.under(name, Code::StatedByContract, message);
    }
}

fn needs_key(name: Option<&Ident>, problems: &Problems) {
    if let Some(name) = name {
        let message = format!(
            "`{name}` needs a key: only an actor with a key can go to sleep, be found again, and be placed; \
             add `key = String`, or remove `{name}`"
        );
        problems.under(name, Code::NeedsKey, message);
    }
}

/// Reports a placement that the kind has not; nothing is known of the kind of a contract's implementation.
fn placement(kind: Option<Kind>, settings: &DefinitionSettings, problems: &Problems) {
    let Some(given) = &settings.placement else {
        return;
    };
    let (what, allowed): (&str, &[&str]) = match kind {
        Some(Kind::Keyed) => ("a keyed actor", &["hash"]),
        Some(Kind::Spawned | Kind::Service) => {
            ("a spawned actor", &["local", "least_loaded", "pinned"])
        }
        None => ("an actor", &["hash", "local", "least_loaded", "pinned"]),
    };
    if !allowed.contains(&given.value.as_str()) {
        let list = allowed
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect::<Vec<_>>();
        let message = format!(
            "`placement` of {what} is {}, not \"{}\"",
            list.join(" or "),
            given.value
        );
        problems.under(&given.name, Code::UnknownChoice, message);
    }
}
