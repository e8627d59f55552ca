//! Reads `name`, `name = literal` and `name = Type` lists, with a message for each thing that is
//! not one of them.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    Attribute, Ident, Lit, LitStr, Meta, Path, Token, Type,
    ext::IdentExt,
    parse::{ParseStream, Parser},
    parse_quote,
};

use crate::{code::Code, model::Given, problem::Problems};

/// One entry of an attribute's list.
pub(super) struct Setting {
    pub(super) name: Ident,
    value: Option<Value>,
}

enum Value {
    Lit(Lit),
    Type(Box<Type>),
    /// What stands behind the name of an entry that is not in the form of one. That was reported.
    Unread(TokenStream),
}

/// Returns the settings in the parentheses of `#[attribute(…)]`, those of `allowed` only, each once.
pub(super) fn of_attribute(
    attr: &Attribute,
    attribute: &str,
    allowed: &[&str],
    problems: &Problems,
) -> Vec<Setting> {
    match &attr.meta {
        Meta::Path(_) => Vec::new(),
        Meta::List(list) => of_list(list.tokens.clone(), attribute, allowed, problems),
        Meta::NameValue(pair) => {
            let fix = format!(
                "settings go in parentheses: `#[{attribute}({})]`",
                example(allowed)
            );
            problems.under(pair, Code::MalformedAttribute, fix);
            Vec::new()
        }
    }
}

/// Returns the settings of a list, those of `allowed` only, each once.
pub(super) fn of_list(
    tokens: TokenStream,
    attribute: &str,
    allowed: &[&str],
    problems: &Problems,
) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    for entry in entries(tokens) {
        match read_entry.parse2(entry.clone()) {
            Err(_) => {
                problems.under(&entry, Code::MalformedAttribute, malformed(allowed));
                let unread = unread(entry).filter(|unread| {
                    allowed.iter().any(|name| unread.name == name)
                        && settings.iter().all(|earlier| earlier.name != unread.name)
                });
                settings.extend(unread);
            }
            Ok(setting) if !allowed.iter().any(|name| setting.name == name) => {
                let message = unknown(&setting.name, attribute, allowed);
                problems.under(&setting.name, Code::UnknownSetting, message);
            }
            Ok(setting) if settings.iter().any(|earlier| earlier.name == setting.name) => {
                let message = format!("`{}` is stated twice; remove one of them", setting.name);
                problems.under(&setting.name, Code::SettingTwice, message);
            }
            Ok(setting) => settings.push(setting),
        }
    }
    settings
}

impl Setting {
    /// Returns the name for `Given`.
    fn given<T>(&self, value: T) -> Given<T> {
        Given {
            name: self.name.clone(),
            value,
        }
    }

    /// Reads a setting that takes no value.
    pub(super) fn flag(&self, problems: &Problems) -> Option<Given<()>> {
        if matches!(self.value, Some(Value::Lit(_) | Value::Type(_))) {
            let message = format!("`{0}` takes no value; write just `{0}`", self.name);
            problems.under(&self.value, Code::WrongValue, message);
        }
        // What was meant is clear, so the rest of the item is treated as if it had been written.
        Some(self.given(()))
    }

    /// Reads text.
    pub(super) fn text(&self, problems: &Problems) -> Option<Given<LitStr>> {
        match &self.value {
            Some(Value::Lit(Lit::Str(text))) => Some(self.given(text.clone())),
            _ => self.wrong("text in quotes", problems),
        }
    }

    /// Reads a number from 1 to `max`.
    pub(super) fn number(&self, max: u64, problems: &Problems) -> Option<Given<u64>> {
        let Some(Value::Lit(Lit::Int(number))) = &self.value else {
            return self.wrong("a whole number", problems);
        };
        match number.base10_parse::<u64>() {
            Ok(value) if (1..=max).contains(&value) && number.suffix().is_empty() => {
                Some(self.given(value))
            }
            _ => {
                let message = format!(
                    "`{}` has to be a number from 1 to {max}; write `{}`",
                    self.name,
                    form(&self.name.to_string()),
                );
                problems.under(number, Code::NumberOutOfRange, message);
                None
            }
        }
    }

    /// Reads a type. After a mistake it is the one that was meant, or else `String`: that there is
    /// none would be another mistake.
    pub(super) fn ty(&self, problems: &Problems) -> Given<Type> {
        if let Some(Value::Type(ty)) = &self.value {
            return self.given((**ty).clone());
        }
        self.report("a type, without quotes", problems);
        self.given(self.meant().unwrap_or_else(|| parse_quote!(String)))
    }

    /// Reads a path. After a mistake it is the one that was meant, if that can be seen.
    pub(super) fn path(&self, problems: &Problems) -> Option<Given<Path>> {
        if let Some(Value::Type(ty)) = &self.value
            && let Type::Path(path) = &**ty
            && path.qself.is_none()
        {
            return Some(self.given(path.path.clone()));
        }
        self.report("a path, without quotes", problems);
        match self.meant()? {
            Type::Path(meant) => Some(self.given(meant.path)),
            _ => None,
        }
    }

    fn wrong<T>(&self, expected: &str, problems: &Problems) -> Option<T> {
        self.report(expected, problems);
        None
    }

    fn report(&self, expected: &str, problems: &Problems) {
        let name = self.name.unraw();
        let message = format!(
            "`{name}` takes {expected}: write `{}`",
            form(&name.to_string())
        );
        match &self.value {
            Some(Value::Unread(_)) => {}
            Some(value) => problems.under(value, Code::WrongValue, message),
            None => problems.under(&self.name, Code::WrongValue, message),
        }
    }

    /// Returns the type that stands in quotes, in parentheses or behind another sign than `=`. It
    /// has to be written like one: of anything else the compiler would say that there is no such
    /// type.
    fn meant(&self) -> Option<Type> {
        let tokens = match &self.value {
            Some(Value::Lit(Lit::Str(text))) => text.parse().ok()?,
            Some(Value::Unread(tokens)) => bare(tokens.clone()),
            _ => return None,
        };
        let ty: Type = syn::parse2(tokens).ok()?;
        let is_written_so = match &ty {
            Type::Path(path) => path.path.segments.last().is_some_and(|last| {
                let name = last.ident.to_string();
                name.starts_with(char::is_uppercase) || PRIMITIVES.contains(&name.as_str())
            }),
            _ => false,
        };
        is_written_so.then_some(ty)
    }
}

impl ToTokens for Value {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Lit(lit) => lit.to_tokens(tokens),
            Self::Type(ty) => ty.to_tokens(tokens),
            Self::Unread(unread) => unread.to_tokens(tokens),
        }
    }
}

/// Cuts a list at the commas that are not inside brackets of any kind, `<…>` included.
fn entries(tokens: TokenStream) -> Vec<TokenStream> {
    let mut entries = vec![TokenStream::new()];
    let mut depth = 0_usize;
    for token in tokens {
        if let TokenTree::Punct(punct) = &token {
            match punct.as_char() {
                '<' => depth += 1,
                '>' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    entries.push(TokenStream::new());
                    continue;
                }
                _ => {}
            }
        }
        if let Some(entry) = entries.last_mut() {
            entry.extend([token]);
        }
    }
    entries.retain(|entry| !entry.is_empty());
    entries
}

fn read_entry(input: ParseStream<'_>) -> syn::Result<Setting> {
    let name = input.call(Ident::parse_any)?;
    let value = if input.peek(Token![=]) {
        input.parse::<Token![=]>()?;
        Some(if input.peek(Lit) {
            Value::Lit(input.parse()?)
        } else {
            Value::Type(input.parse()?)
        })
    } else {
        None
    };
    Ok(Setting { name, value })
}

/// Takes an entry apart that is not in the form of one, if it begins with a name.
fn unread(entry: TokenStream) -> Option<Setting> {
    let mut tokens = entry.into_iter();
    let TokenTree::Ident(name) = tokens.next()? else {
        return None;
    };
    Some(Setting {
        name,
        value: Some(Value::Unread(tokens.collect())),
    })
}

/// Returns what stands in parentheses or quotes, or behind signs.
fn bare(tokens: TokenStream) -> TokenStream {
    let mut tokens = tokens
        .into_iter()
        .skip_while(|token| matches!(token, TokenTree::Punct(_)))
        .peekable();
    match tokens.peek() {
        Some(TokenTree::Group(group)) => bare(group.stream()),
        Some(TokenTree::Literal(literal)) => {
            let text: Option<LitStr> = syn::parse2(literal.to_token_stream()).ok();
            text.and_then(|text| text.parse().ok()).unwrap_or_default()
        }
        _ => tokens.collect(),
    }
}

fn malformed(allowed: &[&str]) -> String {
    format!(
        "expected `name` or `name = value`, separated by commas, such as `{}`",
        example(allowed)
    )
}

fn unknown(name: &Ident, attribute: &str, allowed: &[&str]) -> String {
    let name = name.to_string();
    let meant = meant(&name, allowed);
    if let Some(meant) = meant {
        return format!(
            "`#[{attribute}]` has no setting `{name}`; did you mean `{}`?",
            form(meant)
        );
    }
    let close = allowed
        .iter()
        .map(|candidate| (distance(&name, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 2.max(candidate.len() / 3));
    match close {
        Some((_, candidate)) => {
            format!(
                "`#[{attribute}]` has no setting `{name}`; did you mean `{}`?",
                form(candidate)
            )
        }
        None => {
            let list = allowed
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>();
            format!(
                "`#[{attribute}]` has no setting `{name}`; it takes {}",
                list.join(", ")
            )
        }
    }
}

/// Returns the setting that other frameworks have by this name.
fn meant(name: &str, allowed: &[&str]) -> Option<&'static str> {
    let mut known = ELSEWHERE.iter().filter(|(_, names)| names.contains(&name));
    let (setting, _) = known.find(|(setting, _)| allowed.contains(setting))?;
    Some(setting)
}

/// Settings, and what they are called elsewhere: in Erlang, Akka, Orleans, actix, ractor and the like.
const ELSEWHERE: &[(&str, &[&str])] = &[
    (
        "intensity",
        &[
            "max_restarts",
            "max_retries",
            "max_failures",
            "restarts",
            "restart_limit",
            "max_seconds",
        ],
    ),
    (
        "idempotent",
        &[
            "retry",
            "retries",
            "retriable",
            "retryable",
            "max_retries",
            "at_least_once",
            "read_only",
        ],
    ),
    ("once", &["exactly_once", "dedup", "deduplicate"]),
    (
        "activate",
        &[
            "started",
            "start",
            "on_start",
            "pre_start",
            "on_activate",
            "init",
            "initialize",
        ],
    ),
    (
        "deactivate",
        &[
            "stopped",
            "stop",
            "on_stop",
            "post_stop",
            "stopping",
            "on_deactivate",
            "terminate",
        ],
    ),
    (
        "restart",
        &["supervision", "supervisor", "strategy", "restart_policy"],
    ),
    (
        "backoff",
        &[
            "delay",
            "restart_delay",
            "restart_backoff",
            "retry_delay",
            "min_backoff",
            "max_backoff",
        ],
    ),
    (
        "mailbox",
        &[
            "capacity",
            "mailbox_size",
            "mailbox_capacity",
            "queue",
            "queue_size",
            "buffer",
            "bounded",
        ],
    ),
    (
        "readers",
        &["concurrency", "max_concurrency", "parallelism", "reentrant"],
    ),
    (
        "concurrency",
        &[
            "readers",
            "max_concurrency",
            "parallelism",
            "workers",
            "max_in_flight",
        ],
    ),
    (
        "idle",
        &[
            "timeout",
            "ttl",
            "idle_timeout",
            "keep_alive",
            "passivate",
            "passivation",
            "collection_age",
        ],
    ),
    ("timeout", &["deadline", "time_limit", "max_duration"]),
    (
        "persist",
        &[
            "persistent",
            "durable",
            "stateful",
            "persistence",
            "storage",
        ],
    ),
    (
        "allow",
        &["role", "roles", "auth", "permission", "requires"],
    ),
    ("skip", &["ignore", "private", "hidden", "internal"]),
    (
        "name",
        &["path", "rename", "id", "service_name", "actor_name"],
    ),
];

/// Returns how a setting is written.
fn form(name: &str) -> String {
    let value = match name {
        "name" => "\"Cart\"",
        "key" => "String",
        "contract" => "Carts",
        "crate" => "my_framework::callboard",
        "mailbox" | "concurrency" => "1024",
        "readers" => "64",
        "depth" => "32",
        "idle" => "\"10m\"",
        "timeout" => "\"2s\"",
        "wait" => "\"20ms\"",
        "restart" => "\"always\"",
        "intensity" => "\"5 in 10s\"",
        "backoff" => "\"100ms..10s\"",
        "placement" => "\"hash\"",
        "role" => "\"storage\"",
        "allow" => "\"admin\"",
        "opaque" => "\"name/1\"",
        _ => return name.to_string(),
    };
    format!("{name} = {value}")
}

fn example(allowed: &[&str]) -> String {
    allowed.first().map(|name| form(name)).unwrap_or_default()
}

/// The types with a name in small letters that a key may be of.
const PRIMITIVES: &[&str] = &[
    "bool", "char", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128",
    "usize",
];

/// Returns the number of single-letter edits between two names (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b = b.chars().collect::<Vec<_>>();
    let mut row = (0..=b.len()).collect::<Vec<_>>();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let edited = (diagonal + usize::from(x != *y))
                .min(*above + 1)
                .min(left + 1);
            diagonal = *above;
            *above = edited;
            left = edited;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("timeuot", "timeout"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn commas_inside_a_type_do_not_end_an_entry() {
        assert_eq!(
            entries(quote!(key = Map<u8, u8>, persist, idle = "1s")).len(),
            3
        );
    }
}
