//! `#[handlers(contract = …)]`: only `Handlers`, over the messages of the contract.
//!
//! The contract's message type and markers are in another crate, under no name. They are found
//! through the contract: `Declares<HASH_OF_NAME>` gives the marker of a method, and takes its
//! envelope out of a message.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Ident, Path, ext::IdentExt, spanned::Spanned};

use super::{
    assertion,
    handlers::{self, Bodies},
    hook, interface, under, without_self,
};
use crate::{
    check::Target,
    code::Code,
    model::{Handler, Offered, Reply},
    problem::said,
};

/// Emits `Handlers` for an implementation of a contract.
pub(super) fn implementation(
    target: &Target,
    contract: &Path,
    offered: &Offered<'_>,
    p: &TokenStream,
) -> TokenStream {
    let Offered {
        handlers, hooks, ..
    } = offered;
    let paths = |name: &str| {
        let paths = handlers
            .iter()
            .map(|handler| declared(contract, handler.ident, name, p));
        paths.collect::<Vec<_>>()
    };
    let (takes, methods) = (paths("take"), paths("Method"));
    let run = |exclusive: bool| {
        let pairs = handlers.iter().zip(takes.iter().zip(&methods));
        let turns = pairs
            .filter(|(handler, _)| handler.exclusive == exclusive)
            .map(|(handler, (take, method))| {
                let cfgs = &handler.method.kept.cfgs;
                let same = Same {
                    owner: &target.path,
                    contract,
                    method,
                };
                let turn = handlers::turn(handler, method, Some(&same), p);
                let message = quote!(message);
                let taken = quote_spanned!(handler.ident.span()=> #take(#message));
                quote! {
                    #(#cfgs)*
                    let message = match #taken {
                        ::core::result::Result::Ok(envelope) => return { #turn },
                        ::core::result::Result::Err(message) => message,
                    };
                }
            });
        quote! {
            #(#turns)*
            // The runtime asks `METHODS` which of the two functions runs a message.
            ::core::mem::drop(message);
            #p::TurnEnd::Done
        }
    };
    let bodies = Bodies {
        shared: run(false),
        exclusive: run(true),
        hooks: hook::hooks(target, hooks, p),
    };
    let turns = handlers::handlers_impl(&target.path, contract, None, &bodies, p);
    let lasting = assertion::lasting(&target.path, hooks, p);
    let receivers = handlers.iter().zip(&methods).map(|(handler, method)| {
        let cfgs = &handler.method.kept.cfgs;
        let assertion = assertion::same_receiver(method, contract, handler, p);
        quote!(#(#cfgs)* #assertion)
    });
    let complete = complete(contract, offered, p);
    let persists = assertion::contract_persists(&target.path, contract, p);
    let comparisons = comparisons();
    quote!(#comparisons #turns #(#receivers)* #complete #persists #lasting)
}

/// Asserts that every method of the contract has its handler. What was refused is not missing too.
fn complete(contract: &Path, offered: &Offered<'_>, p: &TokenStream) -> TokenStream {
    let handled = offered.handlers.iter().map(|handler| handler.method);
    let refused = offered.refused.iter().map(|refused| refused.method);
    let handled = handled.chain(refused).map(|method| {
        let path = declared(contract, &method.sig.ident, "Method", p);
        let cfgs = &method.kept.cfgs;
        quote!(#(#cfgs)* <#path as #p::MethodSignature>::INDEX)
    });
    assertion::complete(contract, &handled.collect::<Vec<_>>(), p)
}

/// Returns the hash under which a contract declares a method (FNV-1a, 64 bits). Both sides of it
/// are emitted by the same build of this package.
pub(super) fn name_hash(method: &Ident) -> u64 {
    let name = method.unraw().to_string();
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Returns the path of what the contract declares for a method.
fn declared(contract: &Path, method: &Ident, name: &str, p: &TokenStream) -> TokenStream {
    let (hash, name) = (name_hash(method), Ident::new(name, Span::call_site()));
    // The error about a method that is not in the contract belongs under the method's name.
    under(
        method.span(),
        quote!(<#contract as #p::Declares<#hash>>::#name),
    )
}

/// The comparison of a handler's types with the contract's.
pub(super) struct Same<'a> {
    owner: &'a Path,
    contract: &'a Path,
    method: &'a TokenStream,
}

impl Same<'_> {
    /// Returns the arguments as the handler's types and the reply as the contract's.
    pub(super) fn convert(
        &self,
        handler: &Handler<'_>,
        call: &TokenStream,
        p: &TokenStream,
    ) -> (TokenStream, TokenStream) {
        let types = interface::args_type(handler, self.owner);
        let first = handler.values().next().map(|(_, ty)| ty.span());
        let span = first.unwrap_or_else(|| handler.ident.span());
        let args = quote_spanned!(span=> __Takes::<#types>::same(args));
        let call = match &handler.reply {
            Reply::Stream(_) => call.clone(),
            Reply::Value(ty) | Reply::Fallible(ty) => {
                let (ty, method) = (without_self(ty, self.owner), self.method);
                quote_spanned!(ty.span()=> {
                    let reply: #ty = #call;
                    __Replies::<<#method as #p::MethodSignature>::Reply>::same(reply)
                })
            }
        };
        (args, call)
    }

    /// Returns the turn that a dropped call interrupts, or the other one: the contract says which.
    pub(super) fn interrupted(
        &self,
        abort: &TokenStream,
        finish: &TokenStream,
        p: &TokenStream,
    ) -> TokenStream {
        let (contract, method) = (self.contract, self.method);
        quote! {
            if <#contract as #p::Interface>::METHODS[<#method as #p::MethodSignature>::INDEX].options.abort {
                #abort
            } else {
                #finish
            }
        }
    }
}

/// Emits the two comparisons. Each is a trait that every type has for itself, so that a difference
/// is an error with our text.
fn comparisons() -> TokenStream {
    let arguments = "the contract sends `{Self}` and this handler takes `{Other}`";
    let reply = "the contract promises `{Other}` and this handler replies with `{Self}`";
    [("__Takes", arguments), ("__Replies", reply)]
        .into_iter()
        .map(|(name, message)| {
            let name = Ident::new(name, Span::call_site());
            let message = said(Code::ContractTypes, message);
            quote! {
                #[diagnostic::on_unimplemented(
                    message = #message,
                    label = "differs from the contract",
                    note = "write the types of the contract, in its order"
                )]
                trait #name<Other> {
                    fn same(self) -> Other;
                }
                impl<T> #name<T> for T {
                    fn same(self) -> T {
                        self
                    }
                }
            }
        })
        .collect()
}
