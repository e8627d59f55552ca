//! What other libraries give an actor and its callers, by the names that they know it by: their contexts, and what
//! they pass values through between tasks.
//!
//! A name alone does not tell: a type of the user's own may have it, and travel. So its module, its lifetime or a `&`
//! has to stand with it, with which no message of a user's is written.

use syn::{GenericArgument, PathArguments, PathSegment, Type, TypeParamBound, TypePath};

use super::{text::text, types};

/// What a foreign type is for, with the type of what goes through it, if that is written.
pub(super) enum Passage {
    /// Many values are read from it: a receiver, a boxed stream.
    Items(Option<Box<Type>>),
    /// One value comes of it: a boxed future, the handle of a task.
    Value,
    /// It is answered through.
    Port,
}

/// Returns whether an argument is the context of an actor by a name of another library.
pub(super) fn is_context(ty: &Type, last: &PathSegment) -> bool {
    let is_of_self = types::only_argument(last)
        .and_then(types::last_name)
        .is_some_and(|of| of.ident == "Self");
    CONTEXTS.iter().any(|name| last.ident == name)
        && (is_of_self || matches!(ty, Type::Reference(_)))
}

/// Returns what a type is for, if it is one that values are passed through.
pub(super) fn passage(ty: &Type) -> Option<Passage> {
    match ty {
        Type::Path(path) => by_path(path),
        Type::TraitObject(object) => object.bounds.iter().find_map(|bound| match bound {
            TypeParamBound::Trait(bound) => by_trait(bound.path.segments.last()?),
            _ => None,
        }),
        _ => None,
    }
}

impl Passage {
    /// Returns what to do about one in a reply.
    pub(super) fn replied(&self) -> String {
        match self {
            Self::Items(item) => format!(
                "reply with a stream, `impl Stream<Item = {}> + use<>`",
                item_text(item.as_deref())
            ),
            Self::Value => "write the handler as `async fn` that returns the value itself".into(),
            Self::Port => {
                "take what the caller sends as an argument, many values as `items: Inbound<T>`"
                    .into()
            }
        }
    }

    /// Returns what to do about one in an argument.
    pub(super) fn sent(&self) -> String {
        match self {
            Self::Items(item) => format!(
                "take the caller's stream as a whole argument, `items: Inbound<{}>`",
                item_text(item.as_deref())
            ),
            Self::Value => "let the caller await it, and send the value".into(),
            Self::Port => {
                "a handler answers by what it returns: remove this argument and return the value, \
                 or `impl Stream<Item = T> + use<>` for many"
                    .into()
            }
        }
    }
}

fn item_text(item: Option<&Type>) -> String {
    item.map_or_else(|| "T".to_string(), text)
}

fn by_trait(bound: &PathSegment) -> Option<Passage> {
    match bound.ident.to_string().as_str() {
        "Stream" => {
            let item = types::associated(bound, "Item").cloned();
            Some(Passage::Items(item.map(Box::new)))
        }
        "Future" => Some(Passage::Value),
        _ => None,
    }
}

fn by_path(path: &TypePath) -> Option<Passage> {
    let mut back = path.path.segments.iter().rev();
    let last = back.next()?;
    let module = back.next().map(|module| module.ident.to_string());
    let module = module.as_deref().unwrap_or_default();
    let items = || Some(Passage::Items(last_argument(last)));
    match last.ident.to_string().as_str() {
        "BoxStream" | "LocalBoxStream" if has_lifetime(last) => items(),
        "BoxFuture" | "LocalBoxFuture" if has_lifetime(last) => Some(Passage::Value),
        "Receiver" | "UnboundedReceiver" if CHANNELS.contains(&module) => items(),
        "Receiver" if module == "oneshot" => Some(Passage::Value),
        "Sender" | "UnboundedSender" if CHANNELS.contains(&module) || module == "oneshot" => {
            Some(Passage::Port)
        }
        "JoinHandle" if TASKS.contains(&module) => Some(Passage::Value),
        "RpcReplyPort" => Some(Passage::Port),
        _ => None,
    }
}

fn has_lifetime(segment: &PathSegment) -> bool {
    match &segment.arguments {
        PathArguments::AngleBracketed(given) => {
            matches!(given.args.first(), Some(GenericArgument::Lifetime(_)))
        }
        _ => false,
    }
}

fn last_argument(segment: &PathSegment) -> Option<Box<Type>> {
    let PathArguments::AngleBracketed(given) = &segment.arguments else {
        return None;
    };
    match given.args.last() {
        Some(GenericArgument::Type(ty)) => Some(Box::new(ty.clone())),
        _ => None,
    }
}

const CONTEXTS: &[&str] = &["Context", "ActorContext"];

const CHANNELS: &[&str] = &["mpsc", "broadcast"];

const TASKS: &[&str] = &["task", "thread"];
