//! The rules of what a handler returns.

use quote::ToTokens;
use syn::{Type, TypeImplTrait, TypeParamBound};

use super::{
    text::text,
    types::{self, Obstacle},
};
use crate::{
    code::Code,
    model::{Method, Reply},
    problem::Problems,
};

/// Tells the kinds of replies apart and reports what cannot be one.
pub(super) fn reply(method: &Method, problems: &Problems) -> Option<Reply> {
    let ty = types::bare(&method.output()).clone();
    if let Type::ImplTrait(opaque) = &ty {
        return stream(opaque, problems).map(Reply::Stream);
    }
    if let Type::Never(never) = &ty {
        let message = "a handler ends, and its caller hears of it: write the type that it replies \
                       with";
        problems.under(never, Code::CannotTravel, message);
        return None;
    }
    if !is_value(&ty, problems) {
        return None;
    }
    if let Some((given, own)) = error_of_a_caller(&ty) {
        let (given_text, own) = (text(given), text(own));
        let message = format!(
            "a caller gets `{given_text}`, and a handler gives the error inside: write `{own}`, and for the `?` on a \
             call that it makes itself, `impl From<{given_text}> for {own}`, with a variant that holds the `CallError`"
        );
        problems.under(given, Code::CannotTravel, message);
        return None;
    }
    let is_result = types::last_name(&ty).is_some_and(|last| last.ident == "Result");
    Some(if is_result {
        Reply::Fallible(ty)
    } else {
        Reply::Value(ty)
    })
}

/// Returns the error of a `Result`, if it is the one that only callers get, and the handler's own error inside it.
fn error_of_a_caller(ty: &Type) -> Option<(&Type, &Type)> {
    let result = types::last_name(ty).filter(|last| last.ident == "Result")?;
    types::arguments(result).find_map(|given| {
        let last = types::last_name(given).filter(|last| last.ident == "HandlerError")?;
        Some((given, types::only_argument(last)?))
    })
}

/// Checks `impl Stream<Item = T> + use<>` and returns `T`.
fn stream(opaque: &TypeImplTrait, problems: &Problems) -> Option<Type> {
    let Some(bound) = types::stream_bound(opaque) else {
        opaque_reply(opaque, problems);
        return None;
    };
    let Some(item) = types::associated(bound, "Item") else {
        let message = "the stream has to name its items: write `impl Stream<Item = T> + use<>`";
        problems.under(bound, Code::StreamWithoutItem, message);
        return None;
    };
    let is_value = is_value(item, problems);
    let borrows = opaque.bounds.iter().find(|bound| borrows_self(bound));
    let is_free = opaque.bounds.iter().any(owns_everything);
    if let Some(tokens) = borrows
        .map(ToTokens::to_token_stream)
        .or_else(|| (!is_free).then(|| opaque.to_token_stream()))
    {
        let message = format!(
            "the stream outlives the turn, so it must not borrow `self`: write `impl Stream<Item = \
             {}> + use<>`, and clone what it needs before it is made",
            text(item)
        );
        problems.under(tokens, Code::StreamBorrowsSelf, message);
        return None;
    }
    is_value.then(|| item.clone())
}

fn owns_everything(bound: &TypeParamBound) -> bool {
    matches!(bound, TypeParamBound::PreciseCapture(capture) if capture.params.is_empty())
}

fn borrows_self(bound: &TypeParamBound) -> bool {
    match bound {
        TypeParamBound::Lifetime(lifetime) => lifetime.ident != "static",
        TypeParamBound::PreciseCapture(capture) => !capture.params.is_empty(),
        _ => false,
    }
}

/// Reports why a type cannot be a reply or an item of one.
fn is_value(ty: &Type, problems: &Problems) -> bool {
    let Some(obstacle) = types::obstacle(ty) else {
        return true;
    };
    match obstacle {
        Obstacle::Reference(Type::Reference(reference)) if is_context(&reference.elem) => {
            let message = "the context belongs to the turn, and does not leave it: reply with a value, or with \
                           a ref to this actor, `ctx.this()`, which is a `TillRef` for a `Till`";
            problems.under(reference, Code::BorrowedReply, message);
        }
        Obstacle::Reference(reference) => {
            let fix = match types::owned(&reference) {
                Some(owned) => format!("write `{}`", text(&owned)),
                None => "write a type that owns its data".to_string(),
            };
            let message = format!("a reply leaves the node, so it cannot borrow: {fix}");
            problems.under(reference, Code::BorrowedReply, message);
        }
        Obstacle::Lifetime(lifetime) => {
            let message = "a reply leaves the node, so it cannot borrow: write `'static`, or a \
                           type that owns its data";
            problems.under(lifetime, Code::BorrowedReply, message);
        }
        Obstacle::Impl(opaque) if types::stream_bound(&opaque).is_some() => {
            nested(opaque, problems)
        }
        Obstacle::Impl(opaque) => opaque_reply(&opaque, problems),
        Obstacle::Unsendable(unsendable, what) => {
            let message = format!(
                "{what} has no bytes that another node could read: reply with a struct or an enum \
                 that derives `Wire`, or with `impl Stream<Item = T> + use<>`"
            );
            problems.under(unsendable, Code::CannotTravel, message);
        }
        Obstacle::Stream(path) => nested(path, problems),
        Obstacle::Passage(passed, passage) => {
            let message = format!(
                "`{}` stays in its process: {}",
                text(&passed),
                passage.replied()
            );
            problems.under(passed, Code::CannotTravel, message);
        }
        Obstacle::LongArray(array) => {
            problems.under(&array, Code::CannotTravel, types::without_length(&array));
        }
    }
    false
}

fn is_context(ty: &Type) -> bool {
    types::last_name(ty).is_some_and(|last| last.ident == "Ctx")
}

fn nested(tokens: impl ToTokens, problems: &Problems) {
    let message = "a streamed reply is the whole return type: write `impl Stream<Item = T> + \
                   use<>`; items that can fail are `Item = Result<T, E>`";
    problems.under(tokens, Code::NestedStream, message);
}

fn opaque_reply(opaque: &TypeImplTrait, problems: &Problems) {
    let is_future = opaque.bounds.iter().any(|bound| match bound {
        TypeParamBound::Trait(bound) => bound
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == "Future"),
        _ => false,
    });
    let message = if is_future {
        "write the handler as `async fn` that returns the value itself"
    } else {
        "callers have to know the type of a reply: write it out; only `impl Stream<Item = T> + \
         use<>` is understood"
    };
    problems.under(opaque, Code::OpaqueReply, message);
}
