//! `#[contract]`: a type without values instead of the trait, with a ref and an interface.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{FnArg, Ident, Path, Token, Type, TypeParamBound};

use super::{
    definition, hidden, implementation,
    interface::{self, plain},
    marker, message, private, ref_ident, reference, refused,
};
use crate::{
    check::{self, Target},
    model::{Contract, Handler, Offered},
};

/// Emits what takes the trait's place.
pub(crate) fn contract(contract: &Contract, offered: &Offered<'_>) -> TokenStream {
    let Offered {
        handlers, refused, ..
    } = offered;
    let p = private(contract.settings.callboard.as_ref());
    let ident = &contract.ident;
    let target = Target {
        path: ident.clone().into(),
        ident: ident.clone(),
    };
    let (attrs, vis) = (&contract.attrs, &contract.vis);
    let reference = reference::reference(vis, ident, None, &p);
    let kind = check::kind(None, &contract.settings);
    let definition = definition::own(ident, kind, &contract.settings, None, None, &p);
    let interface = interface::interface(&target, handlers, &p);
    let ref_path = Path::from(ref_ident(ident));
    let ref_methods = interface::ref_methods(&target, &ref_path, handlers, &p);
    let refused = refused::ref_methods(&target, &ref_path, refused, &p);
    let declares = handlers
        .iter()
        .map(|handler| declares(&target, handler, &p));
    let mentions = handlers.iter().map(mention);
    let hosted = hosted(ident, &p);
    let hidden =
        hidden(&quote!(#hosted #interface #ref_methods #refused #(#declares)* #(#mentions)*));
    let keyword = Token![enum](Span::call_site());
    quote! {
        #(#attrs)*
        #vis #keyword #ident {}

        #[automatically_derived]
        #[allow(deprecated)]
        impl ::core::fmt::Debug for #ident {
            fn fmt(&self, _: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match *self {}
            }
        }

        #reference
        #definition
        #hidden
    }
}

/// Emits that the contract has handlers and a first state under a bound that never holds, which has the words for
/// who writes `host::<Greetings>()`.
fn hosted(ident: &Ident, p: &TokenStream) -> TokenStream {
    quote! {
        #[doc(hidden)]
        #[automatically_derived]
        #[allow(unused_lifetimes)]
        impl #p::Handlers for #ident
        where
            for<'__any> ::core::task::Poll<#ident>: #p::HostedByItself<#ident>,
        {
            type Interface = #ident;
            async fn run_shared<'a>(
                &'a self,
                _: &'a #p::Ctx<Self>,
                _: <#ident as #p::Interface>::Msg,
            ) -> #p::TurnEnd {
                match *self {}
            }
            async fn run_exclusive<'a>(
                &'a mut self,
                _: &'a #p::Ctx<Self>,
                _: <#ident as #p::Interface>::Msg,
            ) -> #p::TurnEnd {
                match *self {}
            }
        }

        #[doc(hidden)]
        #[automatically_derived]
        #[allow(unused_lifetimes)]
        impl ::core::default::Default for #ident
        where
            for<'__any> ::core::task::Poll<#ident>: #p::HostedByItself<#ident>,
        {
            fn default() -> Self {
                <::core::task::Poll<#ident> as #p::HostedByItself<#ident>>::hosted()
            }
        }
    }
}

/// Emits a use of the names that the trait had and its replacement has not, `Inbound` and `Stream`:
/// their imports are not to be reported as unused.
fn mention(handler: &Handler<'_>) -> TokenStream {
    let args = handler
        .method
        .sig
        .inputs
        .iter()
        .filter_map(|input| match input {
            FnArg::Typed(typed) => Some(&typed.ty),
            FnArg::Receiver(_) => None,
        });
    let stream = match handler.method.output() {
        Type::ImplTrait(opaque) => opaque.bounds.into_iter().find_map(|bound| match bound {
            TypeParamBound::Trait(bound) => Some(quote!(_: impl #bound)),
            _ => None,
        }),
        _ => None,
    };
    let (cfgs, ident) = (&handler.method.kept.cfgs, plain(handler));
    quote!(#(#cfgs)* fn #ident(#(_: #args,)* #stream) {})
}

/// Emits how an implementation in another crate finds a method.
fn declares(target: &Target, handler: &Handler<'_>, p: &TokenStream) -> TokenStream {
    let (path, ident, name) = (&target.path, plain(handler), message(&target.ident));
    let (marker, hash) = (
        marker(target, handler),
        implementation::name_hash(handler.ident),
    );
    let cfgs = &handler.method.kept.cfgs;
    quote! {
        #(#cfgs)*
        #[automatically_derived]
        impl #p::Declares<#hash> for #path {
            type Method = #marker;
            fn take(
                message: #name,
            ) -> ::core::result::Result<#p::Envelope<Self::Method>, #name> {
                match message {
                    #name::#ident(envelope) => ::core::result::Result::Ok(envelope),
                    other => ::core::result::Result::Err(other),
                }
            }
        }
    }
}
