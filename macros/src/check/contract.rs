//! The rules of `#[contract]`.

use super::{
    definition, handlers,
    method::{self, Place},
    refused,
};
use crate::{
    code::Code,
    model::{Contract, Handler, Kind, Method, Offered},
    problem::Problems,
};

/// Checks a contract. Returns nothing when no code can be emitted for it.
pub(crate) fn contract<'a>(contract: &'a Contract, problems: &Problems) -> Option<Offered<'a>> {
    for tokens in &contract.foreign {
        let message = "a contract has methods without bodies and nothing else: it becomes a type, \
                       not a trait; move this to the implementation";
        problems.under(tokens, Code::ContractItem, message);
    }
    if let (Some(_), Some(spawned)) = (&contract.settings.key, &contract.settings.spawned) {
        let message = "a spawned actor has no key: keep `key` or `spawned`";
        problems.under(&spawned.name, Code::StatedByContract, message);
    }
    definition::key(&contract.settings, problems);
    let kind = definition::kind(None, &contract.settings);
    let Offered {
        mut handlers,
        mut refused,
        withheld,
        hooks,
    } = Offered::default();
    for method in &contract.methods {
        if let Some(skip) = &method.options.skip {
            let message = "every method of a contract is called from elsewhere: remove `skip`, or \
                           the method";
            problems.under(skip, Code::SkipWithOptions, message);
        }
        if is_hook(method, problems) {
            continue;
        }
        if handlers::is_repeated(method, &handlers) {
            let message = format!(
                "the contract has two methods `{0}`; give one of them another name",
                method.sig.ident
            );
            problems.under(&method.sig.ident, Code::SameName, message);
        } else if method.sig.receiver().is_none() {
            let message = format!(
                "`{}` has no `self`, so there is no instance to call it on: add `&self` or `&mut \
                 self`",
                method.sig.ident
            );
            problems.under(&method.sig.ident, Code::HandlerWithoutSelf, message);
            refused.push(refused::refused(method));
        } else if let Some(handler) = method::method(method, Place::Contract, problems) {
            fits_kind(&handler, kind, problems);
            handlers::same_name(&handler, &handlers, problems);
            handlers.push(handler);
        } else {
            refused.push(refused::refused(method));
        }
    }
    if contract.methods.is_empty() {
        let message = "the contract is empty: write `fn name(&self);` for each method that callers \
                       may call";
        problems.under(&contract.ident, Code::NoHandlers, message);
    }
    if contract.generics.params.is_empty() {
        return Some(Offered {
            handlers,
            refused,
            withheld,
            hooks,
        });
    }
    let message = "a contract cannot be generic: its name on the wire stands for one set of \
                   messages; write the types out";
    problems.under(&contract.generics, Code::GenericDefinition, message);
    None
}

/// Reports a method that nobody calls; returns whether it is one.
fn is_hook(method: &Method, problems: &Problems) -> bool {
    let Some((kind, option)) = method.hook() else {
        return false;
    };
    let message = format!(
        "`{}` is what an implementation does by itself, and a contract says what callers send: move the \
         method to the `impl` with `#[handlers(contract = …)]`",
        kind.name()
    );
    problems.under(option, Code::MisplacedHook, message);
    true
}

/// Reports what the instances of the contract cannot do. Elsewhere the derive and the `impl` are
/// compared by the compiler, here one item says both.
fn fits_kind(handler: &Handler<'_>, kind: Kind, problems: &Problems) {
    if kind == Kind::Service && handler.exclusive {
        let message = "a service has no state that a call could change: write `&self`, or make it \
                       the contract of an actor with `#[contract(key = String)]` or \
                       `#[contract(spawned)]`";
        problems.under(handler.receiver, Code::StatelessService, message);
    }
    if let (Some(once), true) = (&handler.method.options.once, kind != Kind::Keyed) {
        let message = "`once` remembers the request ids it has seen with durable state, which only \
                       an actor with a key can have, and no node keeps in this version: write \
                       `idempotent` if running twice is harmless";
        problems.under(once, Code::OnceNeedsPersist, message);
    }
}
