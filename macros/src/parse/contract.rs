//! Reads the item of `#[contract]`.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{ItemTrait, TraitItem};

use super::{definition, method};
use crate::{model::Contract, problem::Problems};

/// Reads the trait and the settings of the attribute.
pub(crate) fn contract(settings: TokenStream, item: ItemTrait, problems: &Problems) -> Contract {
    let mut foreign = Vec::new();
    if let Some(unsafety) = &item.unsafety {
        foreign.push(unsafety.to_token_stream());
    }
    if item.modifiers.auto_token.is_some() {
        foreign.push(item.modifiers.auto_token.to_token_stream());
    }
    if !item.supertraits.is_empty() {
        foreign.push(item.supertraits.to_token_stream());
    }
    let mut methods = Vec::new();
    for item in item.items {
        match item {
            TraitItem::Fn(mut function) => {
                if let Some(body) = &function.default {
                    foreign.push(body.to_token_stream());
                }
                // The methods of a trait are as visible as the trait; the ref's are public.
                let vis = syn::Visibility::Public(syn::token::Pub(function.sig.fn_token.span));
                methods.push(method::method(
                    &mut function.attrs,
                    vis,
                    function.sig,
                    problems,
                ));
            }
            other => foreign.push(other.to_token_stream()),
        }
    }
    Contract {
        settings: definition::contract_settings(settings, problems),
        attrs: item.attrs,
        vis: item.vis,
        ident: item.ident,
        generics: item.generics,
        foreign,
        methods,
    }
}
