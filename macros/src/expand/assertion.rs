//! Rules over two items, such as a derive and an `impl`: no macro sees both, so the compiler checks
//! a constant, and the message comes from here.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Ident, Path, ReceiverKind, Type, spanned::Spanned};

use super::{under, without_self};
use crate::{
    code::Code,
    model::{Flavor, Handler, Hook},
    problem::said,
};

/// Emits the constant that asserts of each field that it may be on any thread, under the field's type. Nothing
/// for a type without fields; true for one of which its author has said that it may.
pub(super) fn checked(owner: &Ident, fields: &[Type], p: &TokenStream) -> Option<TokenStream> {
    let owner = Path::from(owner.clone());
    let asserted = fields.iter().map(|ty| {
        let ty = without_self(ty, &owner);
        let probe = quote!({ <#p::Probe<#ty>>::FITS || <#p::Probe<#owner>>::FITS });
        under(
            ty.span(),
            quote!(#p::asserted::<#ty, #p::Answered<#probe>>();),
        )
    });
    (!fields.is_empty()).then(|| {
        quote! {
            const CHECKED: bool = {
                use #p::Otherwise as _;
                #(#asserted)*
                true
            };
        }
    })
}

/// Asserts that the type of the handlers has its derive. Without it there is no ref, and the compiler
/// would ask for that alone.
pub(super) fn defined(owner: &Path, p: &TokenStream) -> TokenStream {
    let name = under(owner.span(), quote!(<#owner as #p::Definition>::NAME));
    quote!(const _: &::core::primitive::str = #name;)
}

/// Asserts that an `&mut self` handler is not on a service.
pub(super) fn stateful(owner: &Path, handler: &Handler<'_>, p: &TokenStream) -> TokenStream {
    let span = receiver_span(handler);
    let message = said(
        Code::StatelessService,
        "a service has no state that a call could change, every node that hosts it may answer: \
         write `&self`, or derive `Actor`",
    );
    let condition = quote!(::core::matches!(
        <#owner as #p::Definition>::KIND,
        #p::Kind::Service
    ));
    refuse_if(&condition, span, &message)
}

/// Asserts that hooks are not on a service.
pub(super) fn lasting(owner: &Path, hooks: &[Hook<'_>], p: &TokenStream) -> TokenStream {
    let condition = quote!(::core::matches!(
        <#owner as #p::Definition>::KIND,
        #p::Kind::Service
    ));
    let asserted = hooks.iter().map(|hook| {
        let message = format!(
            "a service is there for as long as its node, and has no `{}`: make what it needs in the closure of \
             `host_with`, or derive `Actor`",
            hook.kind.name()
        );
        let cfgs = &hook.method.kept.cfgs;
        let assertion = refuse_if(
            &condition,
            hook.option.span(),
            &said(Code::MisplacedHook, &message),
        );
        quote!(#(#cfgs)* #assertion)
    });
    asserted.collect()
}

/// Asserts that a handler with `once` is on an actor that persists.
pub(super) fn persists(owner: &Path, span: Span, p: &TokenStream) -> TokenStream {
    let message = said(
        Code::OnceNeedsPersist,
        "`once` remembers the request ids it has seen with durable state, which no node keeps in this \
         version: write `idempotent` if running twice is harmless, or remember in the state what \
         `ctx.request_id()` returns",
    );
    refuse_if(
        &quote!(!<#owner as #p::Definition>::SETTINGS.persist),
        span,
        &message,
    )
}

/// Asserts that the implementation of a contract with `once` in it persists.
pub(super) fn contract_persists(owner: &Path, contract: &Path, p: &TokenStream) -> TokenStream {
    let message = said(
        Code::OnceNeedsPersist,
        "the contract has a method with `once`, which remembers the request ids it has seen with \
         durable state, and no node keeps that in this version: write `idempotent` in the contract if \
         running twice is harmless, or remember in the state what `ctx.request_id()` returns",
    );
    let condition = quote! {{
        let methods = <#contract as #p::Interface>::METHODS;
        let mut index = 0;
        while index < methods.len() && !methods[index].options.once {
            index += 1;
        }
        index < methods.len() && !<#owner as #p::Definition>::SETTINGS.persist
    }};
    refuse_if(&condition, contract.span(), &message)
}

/// Asserts that the derive fits the contract.
pub(super) fn contract_kind(flavor: Flavor, contract: &Path, p: &TokenStream) -> TokenStream {
    let is_service = quote!(::core::matches!(
        <#contract as #p::Definition>::KIND,
        #p::Kind::Service
    ));
    let (condition, message) = match flavor {
        Flavor::Service => (
            quote!(!#is_service),
            "this is the contract of an actor: derive `Actor` instead of `Service`, or remove \
             `key` or `spawned` from the contract",
        ),
        Flavor::Actor => (
            is_service,
            "this is the contract of a service: derive `Service` instead of `Actor`, or add `key = \
             String` (or `spawned`) to the contract",
        ),
    };
    refuse_if(
        &condition,
        contract.span(),
        &said(Code::ContractKind, message),
    )
}

/// Asserts that a handler takes `self` as its contract does.
pub(super) fn same_receiver(
    method: &TokenStream,
    contract: &Path,
    handler: &Handler<'_>,
    p: &TokenStream,
) -> TokenStream {
    let (has, wants) = if handler.exclusive {
        ("&mut self", "&self")
    } else {
        ("&self", "&mut self")
    };
    let message = said(
        Code::ContractReceiver,
        &format!("the contract says `{wants}` and this handler takes `{has}`: write `{wants}`"),
    );
    let exclusive = handler.exclusive;
    let condition = quote! {
        <#contract as #p::Interface>::METHODS[<#method as #p::MethodSignature>::INDEX].options.exclusive
            != #exclusive
    };
    refuse_if(&condition, receiver_span(handler), &message)
}

/// Asserts that every method of the contract is among those with the given indices.
pub(super) fn complete(contract: &Path, handled: &[TokenStream], p: &TokenStream) -> TokenStream {
    let message = said(
        Code::MissingHandler,
        "the contract has a method that is missing here; write it as a `pub` method of this `impl`: ",
    );
    let span = contract.span();
    let panic = quote_spanned!(span=> ::core::panic!("{}", text));
    quote! {
        const _: () = {
            const METHODS: &[#p::MethodSpec] = <#contract as #p::Interface>::METHODS;
            const HANDLED: &[usize] = &[#(#handled),*];
            const MESSAGE: &[u8] = #message.as_bytes();
            const TEXT_MAX: usize = 256;
            const fn is_handled(index: usize) -> bool {
                let mut i = 0;
                while i < HANDLED.len() {
                    if HANDLED[i] == index {
                        return true;
                    }
                    i += 1;
                }
                false
            }
            let mut index = 0;
            while index < METHODS.len() {
                if !is_handled(index) {
                    let name = METHODS[index].name.as_bytes();
                    let mut text = [b' '; TEXT_MAX];
                    let mut len = 0;
                    while len < MESSAGE.len() {
                        text[len] = MESSAGE[len];
                        len += 1;
                    }
                    let mut i = 0;
                    while i < name.len() && len < TEXT_MAX {
                        text[len] = name[i];
                        len += 1;
                        i += 1;
                    }
                    let (text, _) = text.split_at(len);
                    if let ::core::result::Result::Ok(text) = ::core::str::from_utf8(text) {
                        #panic;
                    }
                }
                index += 1;
            }
        };
    }
}

/// Returns where a handler says `mut`, or else `&`.
pub(super) fn receiver_span(handler: &Handler<'_>) -> Span {
    match &handler.receiver.kind {
        ReceiverKind::Reference(_, _, Some(mutability)) => mutability.span,
        _ => handler.receiver.span(),
    }
}

fn refuse_if(condition: &TokenStream, span: Span, message: &str) -> TokenStream {
    let panic = quote_spanned!(span=> ::core::panic!(#message));
    quote! {
        const _: () = {
            if #condition {
                #panic;
            }
        };
    }
}
