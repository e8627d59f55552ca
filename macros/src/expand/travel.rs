//! Where an error about a type that cannot travel is shown.
//!
//! All types of a method are checked in one place of the emitted code, so that a type that is both
//! an argument and the reply gives one error. The macro does not know which types travel, but it
//! knows some that do; with one other type left, the error is about that one.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{GenericArgument, PathArguments, Type};

use super::under;
use crate::model::{Handler, Reply};

/// Returns the path of the trait that asks for the method's types to travel, at the place of the
/// error about them.
pub(super) fn under_type(handler: &Handler<'_>, path: TokenStream) -> TokenStream {
    let (first, last) = place(handler);
    let mut tokens: Vec<_> = under(first, path).into_iter().collect();
    // A path reaches from its first token to its last.
    if let Some(end) = tokens.last_mut() {
        end.set_span(last);
    }
    tokens.into_iter().collect()
}

/// Returns where the only type of the method that may not travel begins and ends, where it stands
/// first; with several, the handler's name, because the error has the type's.
fn place(handler: &Handler<'_>) -> (Span, Span) {
    let name = (handler.ident.span(), handler.ident.span());
    let reply = match &handler.reply {
        Reply::Value(ty) | Reply::Fallible(ty) | Reply::Stream(ty) => ty,
    };
    let args = handler.values().map(|(_, ty)| ty).chain(handler.inbound());
    let mut suspects = args.chain([reply]).filter(|ty| !travels(ty));
    let Some(first) = suspects.next() else {
        return name;
    };
    let tokens = first.to_token_stream();
    let text = tokens.to_string();
    if !suspects.all(|other| other.to_token_stream().to_string() == text) {
        return name;
    }
    let mut spans = tokens.into_iter().map(|token| token.span());
    let Some(begin) = spans.next() else {
        return name;
    };
    (begin, spans.last().unwrap_or(begin))
}

/// Returns whether a type is known to travel by its name. Who gives another type such a name gets the
/// error at another place, and the same words.
pub(super) fn travels(ty: &Type) -> bool {
    let path = match ty {
        Type::Tuple(tuple) => return tuple.elems.iter().all(travels),
        Type::Path(path) => path,
        _ => return false,
    };
    let Some(last) = path.path.segments.last() else {
        return false;
    };
    let name = last.ident.to_string();
    match &last.arguments {
        PathArguments::None => PLAIN.contains(&name.as_str()),
        PathArguments::AngleBracketed(given) => {
            CONTAINERS.contains(&name.as_str())
                && given.args.iter().all(|arg| match arg {
                    GenericArgument::Type(ty) => travels(ty),
                    _ => false,
                })
        }
        PathArguments::Parenthesized(_) => false,
    }
}

const PLAIN: &[&str] = &[
    "String", "bool", "char", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32",
    "i64", "i128", "isize", "f32", "f64", "Duration",
];

const CONTAINERS: &[&str] = &[
    "Vec", "VecDeque", "Option", "Box", "Result", "BTreeMap", "BTreeSet", "HashMap", "HashSet",
];
