//! The rules of a hook: what the runtime runs by itself when an actor begins or ends.

use quote::ToTokens;
use syn::{FnArg, Ident, Receiver, ReceiverKind, ReturnType, Safety, Type};

use super::{
    foreign, handlers,
    method::{self, Place},
    text::text,
    types,
};
use crate::{
    code::Code,
    model::{ArgRole, Hook, HookArg, HookKind, Method},
    problem::Problems,
};

/// Checks a method with `activate` or `deactivate`. Returns nothing when it cannot be emitted.
pub(super) fn hook<'a>(
    method: &'a Method,
    (kind, option): (HookKind, &'a Ident),
    owner: &Ident,
    earlier: &[Hook<'_>],
    problems: &Problems,
) -> Option<Hook<'a>> {
    let before = problems.len();
    options(method, kind, problems);
    twice(method, kind, option, earlier, problems);
    function_kind(method, problems);
    receiver(method, kind, problems);
    let args = args(method, kind, owner, problems);
    reply(method, kind, problems);
    (problems.len() == before).then_some(Hook {
        kind,
        method,
        option,
        args,
    })
}

fn options(method: &Method, kind: HookKind, problems: &Problems) {
    let (name, options) = (kind.name(), &method.options);
    if let (HookKind::Activate, Some(deactivate)) = (kind, &options.deactivate) {
        let message = "one method cannot be both `activate` and `deactivate`: write two methods";
        problems.under(deactivate, Code::HookOptions, message);
    }
    if let Some(skip) = &options.skip {
        let message =
            format!("a method with `{name}` is run, and `skip` says that it is not; remove one");
        problems.under(skip, Code::HookOptions, message);
    }
    for option in handlers::call_options(options) {
        let message = format!(
            "`{option}` says how callers call a method, and the runtime alone runs one with `{name}`; remove \
             `{option}`"
        );
        problems.under(option, Code::HookOptions, message);
    }
}

/// Reports a second hook of a kind, unless a `cfg` can make the two alternatives.
fn twice(
    method: &Method,
    kind: HookKind,
    option: &Ident,
    earlier: &[Hook<'_>],
    problems: &Problems,
) {
    let other = earlier.iter().find(|other| {
        let cfgs = [&other.method.kept.cfgs, &method.kept.cfgs];
        other.kind == kind && cfgs.iter().all(|cfgs| cfgs.is_empty())
    });
    if let Some(other) = other {
        let message = format!(
            "`{}` is run at `{1}` already, and an actor has one method for it: call this one from there, and \
             remove `{1}` here",
            other.method.sig.ident,
            kind.name()
        );
        problems.under(option, Code::TwoHooks, message);
    }
}

fn function_kind(method: &Method, problems: &Problems) {
    let sig = &method.sig;
    let refuse = |tokens: &dyn ToTokens, what: &str| {
        let message = format!("a hook is an ordinary `fn` or `async fn`: remove {what}");
        problems.under(tokens, Code::HookForm, message);
    };
    if let Some(constness) = &sig.constness {
        refuse(constness, "`const`");
    }
    if let Safety::Unsafe(unsafety) = &sig.safety {
        refuse(unsafety, "`unsafe`");
    }
    if let Some(abi) = &sig.abi {
        refuse(abi, "`extern`");
    }
    if !sig.generics.params.is_empty() {
        refuse(&sig.generics, "the generic parameters");
    }
}

fn receiver(method: &Method, kind: HookKind, problems: &Problems) {
    let ident = &method.sig.ident;
    let fits = |receiver: &Receiver| matches!(receiver.kind, ReceiverKind::Reference(_, None, _));
    let wrong: &dyn ToTokens = match method.sig.receiver() {
        Some(receiver) if fits(receiver) => return,
        Some(receiver) => receiver,
        None => ident,
    };
    let message = format!(
        "what runs at `{}` borrows the state of the actor: write `fn {ident}(&mut self{})`",
        kind.name(),
        kind.usual()
    );
    problems.under(wrong, Code::HookForm, message);
}

fn args(method: &Method, kind: HookKind, owner: &Ident, problems: &Problems) -> Vec<HookArg> {
    let mut args = Vec::new();
    let typed = method.sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    for (position, typed) in typed.enumerate() {
        let ty = types::bare(&typed.ty);
        let inner = match ty {
            Type::Reference(reference) => types::bare(&reference.elem),
            other => other,
        };
        let last = types::last_name(inner);
        if let Some(last) = last.filter(|last| last.ident == "Ctx" || foreign::is_context(ty, last))
        {
            let place = Place::Impl(owner);
            let role = method::context(ty, last, position, place, problems);
            args.extend(role.and_then(|role| matches!(role, ArgRole::Ctx).then_some(HookArg::Ctx)));
            continue;
        }
        let is_reason =
            std::ptr::eq(ty, inner) && last.is_some_and(|it| it.ident == "Deactivation");
        if is_reason && kind == HookKind::Deactivate && !args.contains(&HookArg::Reason) {
            args.push(HookArg::Reason);
            continue;
        }
        let message = format!(
            "nobody calls a method with `{}`, so nobody passes a `{}`: write `fn {}(&mut self{})`",
            kind.name(),
            text(&typed.ty),
            method.sig.ident,
            kind.usual()
        );
        problems.under(typed, Code::HookForm, message);
    }
    args
}

fn reply(method: &Method, kind: HookKind, problems: &Problems) {
    let ReturnType::Type(_, ty) = &method.sig.output else {
        return;
    };
    let ty = types::bare(ty);
    let is_unit = |ty: &Type| matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty());
    let is_result = types::last_name(ty).filter(|last| last.ident == "Result");
    let of_unit = is_result.is_some_and(|last| types::arguments(last).next().is_none_or(is_unit));
    let (fits, fix) = match kind {
        HookKind::Activate => (
            is_unit(ty) || of_unit,
            "nothing, or `Result<(), E>` with the reason why the actor cannot begin",
        ),
        HookKind::Deactivate => (
            is_unit(ty),
            "nothing: the actor ends whatever comes of it, so log what goes wrong",
        ),
    };
    if !fits {
        let message = format!("what runs at `{}` returns {fix}", kind.name());
        problems.under(ty, Code::HookForm, message);
    }
}

impl HookKind {
    /// Returns what a hook usually takes after `self`.
    const fn usual(self) -> &'static str {
        match self {
            Self::Activate => ", ctx: &Ctx<Self>",
            Self::Deactivate => ", ctx: &Ctx<Self>, reason: Deactivation",
        }
    }
}
