//! From the checked model to tokens, one function for each generated item.
//!
//! Everything is named by its full path under `callboard::__private`, or `::core`. What users do
//! not need to name is put into a `const _` block, so that it cannot collide with their items.

mod assertion;
mod contract;
mod definition;
mod handlers;
mod hook;
mod implementation;
mod interface;
mod reference;
mod refused;
mod travel;
mod wire;

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{format_ident, quote};
use syn::{Ident, Path, Type, ext::IdentExt, visit_mut::VisitMut};

use crate::{check::Target, model::Handler};

pub(crate) use self::{contract::contract, definition::definition, handlers::handlers, wire::wire};

/// Returns the path of `callboard::__private`: the stated one, the one in the manifest, or
/// `::callboard`.
pub(crate) fn private(stated: Option<&Path>) -> TokenStream {
    if let Some(path) = stated {
        return quote!(#path::__private);
    }
    let name = match crate_name("callboard") {
        Ok(FoundCrate::Name(name)) => Ident::new(&name, Span::call_site()),
        // Inside the package `extern crate self as callboard` makes the name good, in its examples
        // and tests it is the package. Not found: reached through another crate, which either
        // re-exports it under this name or says `crate = path`.
        Ok(FoundCrate::Itself) | Err(_) => Ident::new("callboard", Span::call_site()),
    };
    quote!(::#name::__private)
}

/// Returns whether this is the package of Callboard itself.
fn is_own() -> bool {
    matches!(crate_name("callboard"), Ok(FoundCrate::Itself))
}

/// Returns the name of a definition's ref.
fn ref_ident(ident: &Ident) -> Ident {
    format_ident!("{}Ref", ident.unraw(), span = ident.span())
}

/// Returns the path of the ref beside the type: `a::GreeterRef` for `a::Greeter`.
fn ref_path(target: &Target) -> Path {
    let mut path = target.path.clone();
    if let Some(last) = path.segments.last_mut() {
        last.ident = ref_ident(&target.ident);
    }
    path
}

/// Returns the name of a handler's marker type, without its parameter.
///
/// Its end is for who forgot the `.await` in a `match`, a typed `let` or a comparison. The compiler's
/// text cannot be changed there, and prints this name: "expected `String`, found
/// `Call<__say_hello_needs_await<Greeter>>`".
fn marker_ident(handler: &Handler<'_>) -> Ident {
    let plain = handler.ident.unraw();
    format_ident!("__{plain}_needs_await", span = Span::call_site())
}

/// Returns a handler's marker type: `__say_hello_needs_await<Greeter>`.
///
/// The marker is `pub`, since the ref's methods name it. With the owner as its parameter it is as
/// private as the owner all the same, which is what the compiler asks of the types in its impls.
fn marker(target: &Target, handler: &Handler<'_>) -> TokenStream {
    let (ident, owner) = (marker_ident(handler), &target.path);
    quote!(#ident<#owner>)
}

/// Returns the name of the message enum.
fn message(owner: &Ident) -> Ident {
    format_ident!("__{}Message", owner.unraw(), span = Span::call_site())
}

/// Returns the type with `Self` written out.
fn without_self(ty: &Type, owner: &Path) -> Type {
    let mut ty = ty.clone();
    WithoutSelf(owner).visit_type_mut(&mut ty);
    ty
}

/// Writes `Self` out, as the path of the owner.
struct WithoutSelf<'a>(&'a Path);

impl VisitMut for WithoutSelf<'_> {
    fn visit_path_mut(&mut self, path: &mut Path) {
        let first = path.segments.first();
        if path.leading_colon.is_none() && first.is_some_and(|first| first.ident == "Self") {
            let rest = std::mem::take(&mut path.segments).into_iter().skip(1);
            *path = self.0.clone();
            path.segments.extend(rest);
        } else {
            syn::visit_mut::visit_path_mut(self, path);
        }
    }
}

/// Returns the tokens with the given span of the user's.
///
/// The compiler merges errors that are equal in text and span. So wherever several places of the
/// emitted code ask for the same thing of the same user's token, they all get that token's span.
fn under(span: Span, tokens: TokenStream) -> TokenStream {
    tokens
        .into_iter()
        .map(|mut token| match &mut token {
            TokenTree::Group(group) => {
                let inner = under(span, group.stream());
                let mut group = Group::new(group.delimiter(), inner);
                group.set_span(span);
                group.into()
            }
            TokenTree::Ident(ident) if ident == "$crate" => token,
            _ => {
                token.set_span(span);
                token
            }
        })
        .collect()
}

/// Returns a bound that holds whenever the derive has made the ref. Where it was forgotten, the
/// compiler says once that there is no such type, and nothing of an impl with this bound: without it
/// each emitted impl repeats the error.
fn with_ref(target: &Target) -> TokenStream {
    let reference = ref_path(target);
    quote!(for<'__any> #reference: ::core::marker::Sized)
}

/// Puts items into a block of their own. The lints are about items that users neither see nor
/// wrote; their own code is outside of the block.
fn hidden(items: &TokenStream) -> TokenStream {
    quote! {
        #[doc(hidden)]
        #[allow(
            dead_code,
            deprecated,
            missing_debug_implementations,
            non_camel_case_types,
            private_interfaces,
            unreachable_patterns,
            unreachable_pub,
            unused_variables,
            clippy::all,
            clippy::nursery,
            clippy::pedantic
        )]
        const _: () = { #items };
    }
}
