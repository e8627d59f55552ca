//! The rules of `#[handlers]`: the `impl` as a whole, and which of its methods are handlers.

use syn::{Ident, Path, PathArguments, Type, Visibility};

use super::{
    hook,
    method::{self, Place},
    refused,
};
use crate::{
    code::Code,
    model::{Handler, HandlerOptions, HandlerSet, Method, Offered},
    problem::Problems,
};

/// The type whose handlers these are.
pub(crate) struct Target {
    /// As written in the `impl` line.
    pub(crate) path: Path,
    pub(crate) ident: Ident,
}

/// Checks the `impl`. Returns nothing when no code can be emitted for it.
pub(crate) fn handlers<'a>(
    set: &'a HandlerSet,
    problems: &Problems,
) -> Option<(Target, Offered<'a>)> {
    let target = target(set, problems)?;
    if set.trait_path.is_some() {
        // Nothing in it can be a handler, but the type gets its interface, so that the derive does
        // not report the lack of one too.
        return set
            .settings
            .contract
            .is_none()
            .then(|| (target, Offered::default()));
    }
    let Offered {
        mut handlers,
        mut refused,
        mut withheld,
        mut hooks,
    } = Offered::default();
    for method in set.methods.iter() {
        if let Some(kind) = method.hook() {
            hooks.extend(hook::hook(method, kind, &target.ident, &hooks, problems));
        } else {
            stray_options(set, method, problems);
        }
        if !method.is_offered() || !is_meant(method) {
            withheld.extend(refused::withheld(method));
            continue;
        }
        if is_repeated(method, &handlers) {
            // The compiler says of the user's own `impl` that it has two methods of one name.
            continue;
        }
        let is_callable = is_callable(method, problems);
        let place = Place::Impl(&target.ident);
        let handler = is_callable.then(|| method::method(method, place, problems));
        if let Some(handler) = handler.flatten() {
            same_name(&handler, &handlers, problems);
            handlers.push(handler);
        } else {
            refused.push(refused::refused(method));
        }
    }
    let is_unmarked = set.methods.iter().all(|method| method.marks.is_empty());
    if handlers.is_empty() && refused.is_empty() && is_unmarked {
        let message = "nothing here can be called: a handler is a `pub` method with `&self` or \
                       `&mut self`; write `pub async fn name(&self) { … }`";
        problems.under(&set.self_ty, Code::NoHandlers, message);
    }
    let offered = Offered {
        handlers,
        refused,
        withheld,
        hooks,
    };
    Some((target, offered))
}

fn target(set: &HandlerSet, problems: &Problems) -> Option<Target> {
    if let Some(path) = &set.trait_path {
        let message = "handlers are the type's own methods: write `#[handlers] impl Type { … }`, \
                       without a trait; for an interface of its own there is `#[contract]`, which is \
                       implemented by `#[handlers(contract = Greets)] impl Greeter`";
        problems.under(path, Code::NotAnInherentImpl, message);
    }
    let before = problems.len();
    if !set.generics.params.is_empty() {
        generic(&set.generics, problems);
    }
    let path = match &set.self_ty {
        Type::Path(path) if path.qself.is_none() => &path.path,
        other => {
            let message = "handlers belong to a struct with a name: write `#[handlers] impl Type \
                           { … }`";
            problems.under(other, Code::NotAnInherentImpl, message);
            return None;
        }
    };
    let last = path.segments.last()?;
    let has_arguments = !matches!(last.arguments, PathArguments::None);
    if has_arguments && set.generics.params.is_empty() {
        generic(&last.arguments, problems);
    }
    let target = Target {
        path: path.clone(),
        ident: last.ident.clone(),
    };
    (problems.len() == before).then_some(target)
}

fn generic(tokens: impl quote::ToTokens, problems: &Problems) {
    let message = "a service or an actor cannot be generic: its name on the wire stands for one \
                   set of messages; write the types out, or wrap them in an enum";
    problems.under(tokens, Code::GenericDefinition, message);
}

/// Returns whether a method is meant for callers: it has a `self`, or says so.
fn is_meant(method: &Method) -> bool {
    method.sig.receiver().is_some() || !method.marks.is_empty()
}

/// Reports a `#[handler]` on what cannot be called.
fn is_callable(method: &Method, problems: &Problems) -> bool {
    let ident = &method.sig.ident;
    let is_marked = !method.marks.is_empty();
    if method.sig.receiver().is_none() {
        if is_marked {
            let message = format!(
                "`{ident}` has no `self`, so there is no instance to call it on: add `&self` or \
                 `&mut self`, or remove `#[handler]`"
            );
            problems.under(ident, Code::HandlerWithoutSelf, message);
        }
        return false;
    }
    if is_marked && matches!(method.vis, Visibility::Inherited) {
        let message = format!(
            "`{ident}` is marked as a handler, but private: write `pub`, or remove `#[handler]`"
        );
        problems.under(ident, Code::PrivateHandler, message);
        return false;
    }
    true
}

/// Returns the options that say how a method is called.
pub(super) fn call_options(options: &HandlerOptions) -> impl Iterator<Item = &Ident> {
    [&options.idempotent, &options.once, &options.abort]
        .into_iter()
        .flatten()
        .chain(options.timeout.as_ref().map(|given| &given.name))
        .chain(options.name.as_ref().map(|given| &given.name))
        .chain(options.allow.as_ref().map(|given| &given.name))
}

fn stray_options(set: &HandlerSet, method: &Method, problems: &Problems) {
    let options = &method.options;
    for option in call_options(options) {
        if options.skip.is_some() {
            let message = format!(
                "`skip` keeps this an ordinary method, so `{option}` has no effect; remove one of \
                 them"
            );
            problems.under(option, Code::SkipWithOptions, message);
        } else if set.settings.contract.is_some() {
            let message = format!(
                "callers know the contract only: move `{option}` to the method in the contract"
            );
            problems.under(option, Code::ContractOptions, message);
        }
    }
}

/// Returns whether an earlier handler has the name too, and no `cfg` can make the two alternatives.
pub(super) fn is_repeated(method: &Method, earlier: &[Handler<'_>]) -> bool {
    earlier.iter().any(|other| {
        let cfgs = [&other.method.kept.cfgs, &method.kept.cfgs];
        *other.ident == method.sig.ident && cfgs.iter().all(|cfgs| cfgs.is_empty())
    })
}

/// Reports a wire name that an earlier method has.
pub(super) fn same_name(handler: &Handler<'_>, earlier: &[Handler<'_>], problems: &Problems) {
    let Some(other) = earlier.iter().find(|other| {
        // Two methods of the same name under different `cfg` are alternatives.
        other.wire_name == handler.wire_name && other.ident != handler.ident
    }) else {
        return;
    };
    let message = format!(
        "`{}` and `{}` have the same name on the wire, `{}`; give one of them another `name`",
        other.ident, handler.ident, handler.wire_name
    );
    match &handler.method.options.name {
        Some(given) => problems.under(&given.name, Code::SameName, message),
        None => problems.under(handler.ident, Code::SameName, message),
    }
}
