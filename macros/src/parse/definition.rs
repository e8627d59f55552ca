//! Reads the item of `#[derive(Service)]` and `#[derive(Actor)]`, and the settings that contracts
//! share with them.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Attribute, Data, DeriveInput};

use super::{attribute, duration};
use crate::{
    code::Code,
    model::{Definition, DefinitionSettings, Flavor, Given, Millis, Timeout},
    problem::Problems,
};

/// Reads a definition.
pub(crate) fn definition(
    flavor: Flavor,
    item: TokenStream,
    problems: &Problems,
) -> syn::Result<Definition> {
    let item: DeriveInput = syn::parse2(item)?;
    let not_struct = match &item.data {
        Data::Struct(_) => None,
        Data::Enum(data) => Some(data.enum_token.to_token_stream()),
        Data::Union(data) => Some(data.union_token.to_token_stream()),
    };
    let fields = match &item.data {
        Data::Struct(data) => data.fields.iter().map(|field| field.ty.clone()).collect(),
        Data::Enum(_) | Data::Union(_) => Vec::new(),
    };
    Ok(Definition {
        flavor,
        settings: settings(flavor, &item.attrs, problems),
        vis: item.vis,
        ident: item.ident,
        generics: item.generics,
        not_struct,
        fields,
    })
}

/// Reads `#[contract(…)]`.
pub(super) fn contract_settings(tokens: TokenStream, problems: &Problems) -> DefinitionSettings {
    let list = attribute::of_list(tokens, "contract", CONTRACT, problems);
    interpret(&list, problems)
}

fn settings(flavor: Flavor, attrs: &[Attribute], problems: &Problems) -> DefinitionSettings {
    let (own, other, allowed) = match flavor {
        Flavor::Service => ("service", "actor", SERVICE),
        Flavor::Actor => ("actor", "service", ACTOR),
    };
    let (derived, instead) = match flavor {
        Flavor::Service => ("Service", "Actor"),
        Flavor::Actor => ("Actor", "Service"),
    };
    let mut list = Vec::new();
    for attr in attrs {
        if attr.path().is_ident(own) {
            list.extend(attribute::of_attribute(attr, own, allowed, problems));
        } else if attr.path().is_ident(other) {
            let message = format!(
                "`#[{other}]` belongs to the other derive; this type derives `{derived}`, so write \
                 `#[{own}(…)]`, or derive `{instead}` instead",
            );
            problems.under(attr.path(), Code::WrongAttribute, message);
        }
    }
    interpret(&list, problems)
}

fn interpret(list: &[attribute::Setting], problems: &Problems) -> DefinitionSettings {
    let mut settings = DefinitionSettings::default();
    for setting in list {
        match setting.name.to_string().as_str() {
            "crate" => settings.callboard = setting.path(problems).map(|given| given.value),
            "name" => settings.name = interface_name(setting, problems),
            "contract" => settings.contract = setting.path(problems),
            "key" => settings.key = Some(setting.ty(problems)),
            "spawned" => settings.spawned = setting.flag(problems),
            "persist" => settings.persist = setting.flag(problems),
            "handover" => settings.handover = setting.flag(problems),
            "idle" => settings.idle = time(setting, problems),
            "wait" => settings.wait = time(setting, problems),
            "mailbox" => settings.mailbox = count(setting, problems),
            "readers" => settings.readers = count(setting, problems),
            "concurrency" => settings.concurrency = count(setting, problems),
            "restart" => settings.restart = restart(setting, problems),
            "intensity" => settings.intensity = intensity(setting, problems),
            "backoff" => settings.backoff = backoff(setting, problems),
            "placement" => settings.placement = words(setting, problems),
            "role" => settings.role = role(setting, problems),
            "labels" => settings.labels = labels(setting, problems),
            "zones" => settings.zones = zones(setting, problems),
            _ => {}
        }
    }
    settings
}

/// Reads a name as it may appear on the wire: see [`is_name`].
pub(super) fn name(setting: &attribute::Setting, problems: &Problems) -> Option<Given<String>> {
    let given = setting.text(problems)?;
    if !is_name(&given.value.value()) {
        let message = format!(
            "`{name}` has to be 1 to 64 letters, digits, `_`, `-` or `.`, with a letter first: \
             write `{name} = \"{fit}\"`",
            name = given.name,
            fit = fitting(&given.value.value()),
        );
        problems.under(&given.value, Code::BadName, message);
        return None;
    }
    Some(Given {
        name: given.name,
        value: given.value.value(),
    })
}

/// Reads the name of an interface: one that is not of the system's own, unless it is read there.
fn interface_name(setting: &attribute::Setting, problems: &Problems) -> Option<Given<String>> {
    let text = setting.text(problems)?.value;
    let is_own = || matches!(crate_name("callboard"), Ok(FoundCrate::Itself));
    if let Some(rest) = text.value().strip_prefix(RESERVED_PREFIX)
        && !is_own()
    {
        let message = format!(
            "names that begin with `{RESERVED_PREFIX}` are for Callboard itself: write `name = \"{}\"`",
            fitting(rest)
        );
        problems.under(&text, Code::ReservedInterface, message);
        return None;
    }
    name(setting, problems)
}

/// Reads the names of roles, with commas between.
pub(super) fn roles(
    setting: &attribute::Setting,
    problems: &Problems,
) -> Option<Given<Vec<String>>> {
    let expected = "is a role, or several with commas between, of which a caller needs one; a role \
                    is 1 to 63 letters, digits, `_`, `-` or `.`, with a letter or digit first: \
                    write `allow = \"admin, ops\"`";
    let read = |text: &str| {
        let roles = text.split(',').map(|role| role.trim().to_string());
        let roles = roles.collect::<Vec<_>>();
        roles.iter().all(|role| is_role(role)).then_some(roles)
    };
    small_language(setting, Code::BadRole, expected, read, problems)
}

fn role(setting: &attribute::Setting, problems: &Problems) -> Option<Given<String>> {
    let expected = "is the role that a node needs in its certificate to own keys of the actor: 1 to 63 \
                    letters, digits, `_`, `-` or `.`, with a letter or digit first: write \
                    `role = \"storage\"`";
    let read = |text: &str| is_role(text).then(|| text.to_string());
    small_language(setting, Code::BadRole, expected, read, problems)
}

fn labels(
    setting: &attribute::Setting,
    problems: &Problems,
) -> Option<Given<Vec<(String, String)>>> {
    let expected = "is the labels that a node needs to own keys of the actor, up to 32 with commas between, \
                    each a name and a value of at most 63 bytes: write `labels = \"disk=ssd, gpu=yes\"`";
    let read = |text: &str| {
        let labels = text.split(',').map(|label| {
            let (name, value) = label.split_once('=')?;
            let (name, value) = (name.trim(), value.trim());
            (is_label(name) && is_label(value)).then(|| (name.to_string(), value.to_string()))
        });
        let labels = labels.collect::<Option<Vec<_>>>()?;
        (labels.len() <= LABELS_MAX).then_some(labels)
    };
    small_language(setting, Code::BadSite, expected, read, problems)
}

fn zones(setting: &attribute::Setting, problems: &Problems) -> Option<Given<Vec<String>>> {
    let expected = "is the zones of which a node has to be in one to own keys of the actor, up to 64 with commas \
                    between, each of at most 63 bytes: write `zones = \"eu-1, eu-2\"`";
    let read = |text: &str| {
        let zones = text.split(',').map(|zone| zone.trim().to_string());
        let zones = zones.collect::<Vec<_>>();
        (zones.len() <= ZONES_MAX && zones.iter().all(|zone| is_label(zone))).then_some(zones)
    };
    small_language(setting, Code::BadSite, expected, read, problems)
}

/// Reads a duration.
pub(super) fn time(setting: &attribute::Setting, problems: &Problems) -> Option<Given<Millis>> {
    let expected = "is a duration: a whole number above zero and one of ms, s, m, h, d, in quotes, \
                    such as \"500ms\" or \"10m\"";
    small_language(
        setting,
        Code::BadDuration,
        expected,
        duration::duration,
        problems,
    )
}

/// Reads a duration, or that there is none.
pub(super) fn timeout(setting: &attribute::Setting, problems: &Problems) -> Option<Given<Timeout>> {
    let expected = "is a duration: a whole number above zero and one of ms, s, m, h, d, in quotes, \
                    such as \"500ms\" or \"10m\"; or \"none\" for a stream that lasts until one \
                    side ends it";
    let read = |text: &str| match text.trim() {
        "none" => Some(Timeout::Never),
        text => duration::duration(text).map(Timeout::After),
    };
    small_language(setting, Code::BadDuration, expected, read, problems)
}

fn intensity(setting: &attribute::Setting, problems: &Problems) -> Option<Given<(u32, Millis)>> {
    let expected = "is a number of restarts and a duration, such as \"5 in 10s\"";
    small_language(
        setting,
        Code::BadIntensity,
        expected,
        duration::intensity,
        problems,
    )
}

fn backoff(setting: &attribute::Setting, problems: &Problems) -> Option<Given<(Millis, Millis)>> {
    let expected =
        "is the first and the longest wait, the shorter one first, such as \"100ms..10s\"";
    small_language(
        setting,
        Code::BadBackoff,
        expected,
        duration::backoff,
        problems,
    )
}

fn small_language<T>(
    setting: &attribute::Setting,
    code: Code,
    expected: &str,
    read: fn(&str) -> Option<T>,
    problems: &Problems,
) -> Option<Given<T>> {
    let given = setting.text(problems)?;
    match read(&given.value.value()) {
        Some(value) => Some(Given {
            name: given.name,
            value,
        }),
        None => {
            problems.under(&given.value, code, format!("`{}` {expected}", given.name));
            None
        }
    }
}

fn restart(setting: &attribute::Setting, problems: &Problems) -> Option<Given<bool>> {
    let given = setting.text(problems)?;
    let value = match given.value.value().as_str() {
        "always" => true,
        "never" => false,
        _ => {
            let message = "`restart` is \"always\" (a panic restarts the actor) or \"never\" \
                           (a panic stops it)";
            problems.under(&given.value, Code::UnknownChoice, message);
            return None;
        }
    };
    Some(Given {
        name: given.name,
        value,
    })
}

fn words(setting: &attribute::Setting, problems: &Problems) -> Option<Given<String>> {
    let given = setting.text(problems)?;
    Some(Given {
        name: given.name,
        value: given.value.value(),
    })
}

fn count(setting: &attribute::Setting, problems: &Problems) -> Option<Given<usize>> {
    let given = setting.number(COUNT_MAX, problems)?;
    Some(Given {
        name: given.name,
        value: usize::try_from(given.value).ok()?,
    })
}

/// Returns whether a text can be a name on the wire: ids, logs and metric labels are made of it,
/// and `/` separates an interface from its method.
fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// Returns whether a text can be a role in a certificate: the rule of the runtime's `RoleName`.
fn is_role(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// Returns whether a text can be a zone, or the name or the value of a label.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
}

/// Returns the nearest text that can be a name.
fn fitting(text: &str) -> String {
    let text = text.trim_start_matches(|first: char| !first.is_ascii_alphabetic());
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let name = text
        .chars()
        .take(64)
        .map(|c| if fits(c) { c } else { '-' })
        .collect::<String>();
    if name.is_empty() {
        "Name".to_string()
    } else {
        name
    }
}

/// How the names of the system's own interfaces begin.
const RESERVED_PREFIX: &str = "callboard.";

/// A queue of a million messages already costs hundreds of megabytes.
const COUNT_MAX: u64 = 1 << 20;

/// The runtime's own limits of what a node says of itself.
const LABELS_MAX: usize = 32;
const ZONES_MAX: usize = 64;

const SERVICE: &[&str] = &[
    "name",
    "concurrency",
    "mailbox",
    "wait",
    "contract",
    "crate",
];
const ACTOR: &[&str] = &[
    "key",
    "persist",
    "handover",
    "idle",
    "name",
    "mailbox",
    "wait",
    "readers",
    "restart",
    "intensity",
    "backoff",
    "placement",
    "role",
    "labels",
    "zones",
    "contract",
    "crate",
];
const CONTRACT: &[&str] = &["key", "spawned", "name", "crate"];
