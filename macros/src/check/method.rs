//! The rules of one method: its signature and its options.

use quote::ToTokens;
use syn::{FnArg, Ident, Pat, PatType, Receiver, ReceiverKind, Safety, Type, ext::IdentExt};

use super::{
    foreign, reply,
    text::text,
    types::{self, Obstacle},
};
use crate::{
    code::Code,
    model::{Arg, ArgRole, Handler, Method, Reply, Timeout},
    problem::Problems,
};

/// Where a method stands.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// In the `impl` of the type with this name.
    Impl(&'a Ident),
    /// In the trait of a contract.
    Contract,
}

/// Checks a method that is offered to callers. Returns nothing when it cannot be emitted.
pub(super) fn method<'a>(
    method: &'a Method,
    place: Place<'_>,
    problems: &Problems,
) -> Option<Handler<'a>> {
    let sig = &method.sig;
    options(method, problems);
    // Reported and emitted all the same: the calls of the ref that were meant for it then find it.
    name(&sig.ident, problems);
    let before = problems.len();
    function_kind(method, problems);
    generics(method, problems);
    let receiver = receiver(method, problems);
    let (args, amended) = args(method, place, problems);
    let reply = reply::reply(method, problems);
    endless(method, reply.as_ref(), problems);
    if problems.len() > before + amended {
        return None;
    }
    let receiver = receiver?;
    let declared = method
        .options
        .name
        .as_ref()
        .map(|given| given.value.clone());
    Some(Handler {
        method,
        ident: &sig.ident,
        receiver,
        exclusive: is_exclusive(receiver),
        wire_name: declared.unwrap_or_else(|| sig.ident.unraw().to_string()),
        is_async: sig.asyncness.is_some(),
        args,
        reply: reply?,
        amended: amended > 0,
    })
}

/// Reports a call without a deadline that is not a stream.
fn endless(method: &Method, reply: Option<&Reply>, problems: &Problems) {
    let is_value = matches!(reply, Some(Reply::Value(_) | Reply::Fallible(_)));
    if let Some(timeout) = &method.options.timeout
        && timeout.value == Timeout::Never
        && is_value
    {
        let message = "only a call that is answered with a stream can be without a deadline; this \
                       one would wait for ever where its handler hangs: write how long a call may \
                       take, such as `timeout = \"10m\"`";
        problems.under(&timeout.name, Code::EndlessCall, message);
    }
}

fn options(method: &Method, problems: &Problems) {
    let options = &method.options;
    if let (Some(_), Some(once)) = (&options.idempotent, &options.once) {
        let message = "`idempotent` says that running twice is harmless, `once` that it must not \
                       happen; keep one of them";
        problems.under(once, Code::IdempotentAndOnce, message);
    }
    let is_shared = method
        .sig
        .receiver()
        .is_some_and(|receiver| !is_exclusive(receiver));
    if let (Some(abort), true) = (&options.abort, is_shared) {
        let message = "`abort` is for `&mut self` handlers; a `&self` handler always ends when its \
                       call is dropped, so remove `abort`";
        problems.under(abort, Code::AbortOfReader, message);
    }
}

/// Returns whether a ref needs the name for a trait.
pub(super) fn is_reserved(ident: &Ident) -> bool {
    reserved(ident).is_some()
}

fn reserved(ident: &Ident) -> Option<&'static str> {
    let found = RESERVED.iter().find(|(name, _)| ident.unraw() == *name);
    found.map(|(_, owner)| *owner)
}

fn name(ident: &Ident, problems: &Problems) {
    let Some(owner) = reserved(ident) else {
        return;
    };
    let message = format!(
        "a handler cannot be called `{ident}`: on the ref it would hide `{owner}` or be hidden by \
         it; choose another name, or write `#[handler(skip)]` to keep it an ordinary method"
    );
    problems.under(ident, Code::ReservedName, message);
}

fn function_kind(method: &Method, problems: &Problems) {
    let sig = &method.sig;
    let refuse = |tokens: &dyn ToTokens, word: &str| {
        let message = format!(
            "a handler cannot be `{word}`: it is called by the runtime from a mailbox; remove \
             `{word}`, or write `#[handler(skip)]`"
        );
        problems.under(tokens, Code::FunctionKind, message);
    };
    if let Some(constness) = &sig.constness {
        refuse(constness, "const");
    }
    if let Safety::Unsafe(unsafety) = &sig.safety {
        refuse(unsafety, "unsafe");
    }
    if let Some(abi) = &sig.abi {
        refuse(abi, "extern");
    }
    if let Some(variadic) = &sig.variadic {
        refuse(variadic, "variadic");
    }
}

fn generics(method: &Method, problems: &Problems) {
    let generics = &method.sig.generics;
    if generics.params.is_empty() {
        return;
    }
    let is_lifetimes = generics.lifetimes().count() == generics.params.len();
    let fix = if is_lifetimes {
        "a message owns what it carries, so remove the lifetimes"
    } else {
        "every method has one fixed message; write the types out, or make one handler for each"
    };
    let message = format!("a handler cannot have generic parameters: {fix}");
    problems.under(generics, Code::GenericHandler, message);
}

/// Checks the receiver; a missing one is reported by the callers, who know what was meant.
fn receiver<'a>(method: &'a Method, problems: &Problems) -> Option<&'a Receiver> {
    let receiver = method.sig.receiver()?;
    match &receiver.kind {
        ReceiverKind::Reference(_, None, _) => return Some(receiver),
        ReceiverKind::Reference(_, Some(lifetime), _) => {
            let message = format!(
                "the receiver of a handler has no named lifetime: write `{}`",
                if is_exclusive(receiver) {
                    "&mut self"
                } else {
                    "&self"
                }
            );
            problems.under(lifetime, Code::HandlerReceiver, message);
        }
        _ => {
            let message = "a handler takes `&self` (runs beside other readers) or `&mut self` \
                           (runs alone): the runtime owns the value; write one of them, or \
                           `#[handler(skip)]`";
            problems.under(receiver, Code::HandlerReceiver, message);
        }
    }
    None
}

fn is_exclusive(receiver: &Receiver) -> bool {
    matches!(receiver.kind, ReceiverKind::Reference(_, _, Some(_)))
}

/// Returns the arguments, and of how many the mistake was mended.
fn args(method: &Method, place: Place<'_>, problems: &Problems) -> (Vec<Arg>, usize) {
    let mut args = Vec::new();
    let mut amended = 0;
    let mut inbound = 0;
    let mut values = 0;
    let typed = method.sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    for (position, typed) in typed.enumerate() {
        conditional(typed, problems);
        let before = problems.len();
        let Some(role) = role(typed, position, place, problems) else {
            continue;
        };
        amended += problems.len() - before;
        match &role {
            ArgRole::Inbound(_) => inbound += 1,
            ArgRole::Value(_) => values += 1,
            ArgRole::Ctx => {}
        }
        if inbound > 1 && matches!(role, ArgRole::Inbound(_)) {
            let message = "a handler reads one stream from its caller, this is the second; send \
                           one `Inbound` of an enum with a variant for each kind of item";
            problems.under(&typed.ty, Code::TwoInbounds, message);
        }
        if values == ARGS_MAX + 1 && matches!(role, ArgRole::Value(_)) {
            let message = format!(
                "a handler takes at most {ARGS_MAX} arguments; put some of them into a struct that \
                 derives `Wire`"
            );
            problems.under(typed, Code::TooManyArguments, message);
        }
        if let Some(ident) = ident(typed, &role, problems) {
            args.push(Arg { ident, role });
        }
    }
    (args, amended)
}

fn conditional(typed: &PatType, problems: &Problems) {
    let is_cfg = |name: &str| typed.attrs.iter().find(|attr| attr.path().is_ident(name));
    if let Some(attr) = is_cfg("cfg").or_else(|| is_cfg("cfg_attr")) {
        let message = "an argument of a handler cannot depend on `cfg`: callers and hosts have to \
                       agree on the message; put the `cfg` on the whole handler";
        problems.under(attr, Code::ConditionalArgument, message);
    }
}

/// Returns the argument's name; the context may have none, since nobody passes it.
fn ident(typed: &PatType, role: &ArgRole, problems: &Problems) -> Option<Ident> {
    match &*typed.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => Some(pat.ident.clone()),
        Pat::Wild(wild) if matches!(role, ArgRole::Ctx) => {
            Some(Ident::new("ctx", wild.underscore_token.span))
        }
        pat => {
            let message = format!(
                "an argument of a handler needs a name, which the ref takes over: write \
                 `name: {}` and take it apart in the body",
                text(&typed.ty)
            );
            problems.under(pat, Code::PatternArgument, message);
            None
        }
    }
}

/// Returns what an argument is for. After a mistake that says what was meant, that.
fn role(
    typed: &PatType,
    position: usize,
    place: Place<'_>,
    problems: &Problems,
) -> Option<ArgRole> {
    let ty = types::bare(&typed.ty);
    let inner = match ty {
        Type::Reference(reference) => types::bare(&reference.elem),
        other => other,
    };
    match types::last_name(inner) {
        Some(last) if last.ident == "Ctx" || foreign::is_context(ty, last) => {
            context(ty, last, position, place, problems)
        }
        Some(last) if last.ident == "Inbound" || last.ident == "Streaming" => {
            let item = (last.ident == "Inbound" && std::ptr::eq(ty, inner))
                .then(|| types::only_argument(last))
                .flatten();
            let Some(item) = item else {
                inbound_form(ty, problems);
                return None;
            };
            owned(item, problems).then(|| ArgRole::Inbound(item.clone()))
        }
        _ if owned(ty, problems) => Some(ArgRole::Value(ty.clone())),
        _ => types::amended(ty).map(ArgRole::Value),
    }
}

pub(super) fn context(
    ty: &Type,
    last: &syn::PathSegment,
    position: usize,
    place: Place<'_>,
    problems: &Problems,
) -> Option<ArgRole> {
    let Place::Impl(name) = place else {
        let message = "a contract says what callers send, and the context is not sent: remove this \
                       argument here; the handlers of the implementation may take `ctx: &Ctx<Self>`";
        problems.under(ty, Code::MisplacedCtx, message);
        return None;
    };
    let of_self = types::only_argument(last).and_then(types::last_name);
    let is_self = of_self.is_some_and(|of| of.ident == "Self" || of.ident == *name);
    let is_shared = matches!(ty, Type::Reference(reference) if reference.mutability.is_none());
    if last.ident != "Ctx" {
        let message = format!(
            "the context of an actor is no `{0}` here: write `ctx: &Ctx<Self>`; a type `{0}` of your own is \
             handed over without the `&`",
            last.ident
        );
        problems.under(ty, Code::CtxForm, message);
        return Some(ArgRole::Ctx);
    }
    if !is_self || !is_shared {
        let reason = match of_self {
            Some(of) if !is_self => {
                format!(
                    "this is the context of `{}`, in a handler of `{name}`",
                    of.ident
                )
            }
            Some(_) => "the context is borrowed".to_string(),
            None => "the context says whose it is".to_string(),
        };
        let message = format!("{reason}: write `ctx: &Ctx<Self>`");
        problems.under(ty, Code::CtxForm, message);
        return Some(ArgRole::Ctx);
    }
    if position > 0 {
        let message = "the context comes first: move `ctx: &Ctx<Self>` to directly after `self`, \
                       and take it once";
        problems.under(ty, Code::MisplacedCtx, message);
        return None;
    }
    Some(ArgRole::Ctx)
}

fn inbound_form(tokens: impl ToTokens, problems: &Problems) {
    let message = "a streamed argument is a whole argument, taken by value: write \
                   `items: Inbound<T>` with the type of its items";
    problems.under(tokens, Code::InboundForm, message);
}

/// Reports why an argument's type cannot travel.
fn owned(ty: &Type, problems: &Problems) -> bool {
    let Some(obstacle) = types::obstacle(ty) else {
        return true;
    };
    match obstacle {
        Obstacle::Reference(reference) => {
            let fix = match types::owned(&reference) {
                Some(owned) => format!("write `{}`", text(&owned)),
                None => "write a type that owns its data".to_string(),
            };
            let message = format!("a message owns what it carries, this is borrowed: {fix}");
            problems.under(reference, Code::BorrowedArgument, message);
        }
        Obstacle::Lifetime(lifetime) => {
            let message = "a message owns what it carries, this type borrows: write `'static`, or \
                           a type that owns its data";
            problems.under(lifetime, Code::BorrowedArgument, message);
        }
        Obstacle::Impl(opaque) => {
            let message = "`impl Trait` makes the handler generic, and every method has one fixed \
                           message: write the type; for a stream from the caller, `Inbound<T>`";
            problems.under(opaque, Code::GenericHandler, message);
        }
        Obstacle::Unsendable(unsendable, what) => {
            let message = format!(
                "{what} has no bytes that another node could read: send a struct or an enum that \
                 derives `Wire`"
            );
            problems.under(unsendable, Code::CannotTravel, message);
        }
        Obstacle::Stream(path) => inbound_form(path, problems),
        Obstacle::Passage(passed, passage) => {
            let message = format!(
                "`{}` stays in its process: {}",
                text(&passed),
                passage.sent()
            );
            problems.under(passed, Code::CannotTravel, message);
        }
        Obstacle::LongArray(array) => {
            problems.under(&array, Code::CannotTravel, types::without_length(&array));
        }
    }
    false
}

/// Names on the ref that are taken: by the traits that every ref has (an inherent method of that
/// name would hide them), or by methods that take `self` (they are found BEFORE an inherent
/// `&self` method, which could then not be called).
const RESERVED: &[(&str, &str)] = &[
    ("clone", "Clone::clone"),
    ("eq", "PartialEq::eq"),
    ("ne", "PartialEq::ne"),
    ("hash", "Hash::hash"),
    ("fmt", "Debug::fmt"),
    ("into", "Into::into"),
    ("try_into", "TryInto::try_into"),
];

/// The longest tuple that has serde impls is 16, the longest that is `Wire` 12.
const ARGS_MAX: usize = 12;
