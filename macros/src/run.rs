//! One function for each macro: the four steps in order, and what is emitted after mistakes.

use proc_macro2::TokenStream;
use quote::quote;

use crate::{
    check,
    code::Code,
    expand,
    model::Flavor,
    parse::{self, RawImpl},
    problem::Problems,
};

/// Runs `#[derive(Service)]` or `#[derive(Actor)]`.
pub(crate) fn definition(flavor: Flavor, item: TokenStream) -> TokenStream {
    let problems = Problems::default();
    let tokens = defined(flavor, item, &problems);
    with(tokens, problems)
}

/// Runs `#[service]` or `#[actor]` where no derive has read it. What the derive would emit is emitted,
/// so that its lack is told once.
pub(crate) fn without_derive(
    flavor: Flavor,
    settings: TokenStream,
    item: TokenStream,
) -> TokenStream {
    let problems = Problems::default();
    let (attribute, derive) = match flavor {
        Flavor::Service => (quote!(service), "Service"),
        Flavor::Actor => (quote!(actor), "Actor"),
    };
    if !["struct", "enum", "union"]
        .iter()
        .any(|word| has_word(&item, word))
    {
        let message = format!(
            "`#[{attribute}]` has the settings of `#[derive({derive})]`: write it under the derive, \
             on the struct"
        );
        problems.at(first_span(&item), Code::WrongAttribute, message);
        return with(item, problems);
    }
    let message = format!(
        "`#[{attribute}]` has the settings of `#[derive({derive})]`, which is missing: write it \
         above this line"
    );
    problems.at(proc_macro2::Span::call_site(), Code::MissingDerive, message);
    let attributed = quote!(#[#attribute(#settings)] #item);
    let tokens = defined(flavor, attributed, &problems);
    with(quote!(#item #tokens), problems)
}

fn defined(flavor: Flavor, item: TokenStream, problems: &Problems) -> TokenStream {
    match parse::definition(flavor, item, problems) {
        Err(error) => unreadable(&error, problems),
        Ok(definition) if check::definition(&definition, problems) => {
            expand::definition(&definition)
        }
        Ok(_) => TokenStream::new(),
    }
}

/// Runs `#[derive(Wire)]`.
pub(crate) fn wire(item: TokenStream) -> TokenStream {
    let problems = Problems::default();
    let tokens = match parse::wire(item, &problems) {
        Err(error) => unreadable(&error, &problems),
        Ok(wire) if check::wire(&wire, &problems) => expand::wire(wire),
        Ok(_) => TokenStream::new(),
    };
    with(tokens, problems)
}

/// Runs `#[handlers]`.
pub(crate) fn handlers(settings: TokenStream, item: TokenStream) -> TokenStream {
    let problems = Problems::default();
    let raw: RawImpl = match syn::parse2(item.clone()) {
        Ok(raw) => raw,
        Err(error) => {
            if is_impl(&item) {
                unreadable(&error, &problems);
            } else {
                let message = "`#[handlers]` belongs on the `impl` with the methods: write \
                               `#[handlers] impl Type { … }`";
                problems.at(first_span(&item), Code::NotAnInherentImpl, message);
            }
            return with(item, problems);
        }
    };
    let set = parse::handlers(settings, raw, &problems);
    let emitted = check::handlers(&set, &problems)
        .map(|(target, offered)| expand::handlers(&set.settings, &target, &offered));
    let item = &set.item;
    // Handlers are `pub` for their callers, also in a module that exports nothing.
    with(quote!(#[allow(unreachable_pub)] #item #emitted), problems)
}

/// Runs `#[handler]` where no `#[handlers]` has taken it away.
pub(crate) fn stray_handler(_settings: TokenStream, item: TokenStream) -> TokenStream {
    let problems = Problems::default();
    let message = "`#[handler]` works inside an `impl` that has `#[handlers]`: write `#[handlers]` \
                   on the `impl`, and do not hide `#[handler]` in a `cfg_attr`";
    problems.at(proc_macro2::Span::call_site(), Code::StrayHandler, message);
    with(item, problems)
}

/// Runs `#[contract]`.
pub(crate) fn contract(settings: TokenStream, item: TokenStream) -> TokenStream {
    let problems = Problems::default();
    let parsed = match syn::parse2(item.clone()) {
        Ok(parsed) => parsed,
        Err(error) => {
            if has_word(&item, "trait") {
                unreadable(&error, &problems);
            } else {
                let message = "`#[contract]` belongs on a trait that lists the methods: write \
                               `#[contract] pub trait Name { … }`";
                problems.at(first_span(&item), Code::NotATrait, message);
            }
            return with(item, problems);
        }
    };
    let contract = parse::contract(settings, parsed, &problems);
    let tokens = match check::contract(&contract, &problems) {
        Some(offered) => expand::contract(&contract, &offered),
        None => TokenStream::new(),
    };
    with(tokens, problems)
}

fn with(tokens: TokenStream, problems: Problems) -> TokenStream {
    let errors = problems.into_tokens();
    quote!(#tokens #errors)
}

fn unreadable(error: &syn::Error, problems: &Problems) -> TokenStream {
    problems.at(
        error.span(),
        Code::Unreadable,
        format!("this could not be read here: {error}"),
    );
    TokenStream::new()
}

fn is_impl(item: &TokenStream) -> bool {
    has_word(item, "impl")
        && !["fn", "struct", "enum", "trait", "mod"]
            .iter()
            .any(|word| has_word(item, word))
}

/// Returns whether a keyword stands on the top level of the item.
fn has_word(item: &TokenStream, word: &str) -> bool {
    item.clone().into_iter().any(|token| match token {
        proc_macro2::TokenTree::Ident(ident) => ident == word,
        _ => false,
    })
}

fn first_span(item: &TokenStream) -> proc_macro2::Span {
    item.clone()
        .into_iter()
        .next()
        .map_or_else(proc_macro2::Span::call_site, |token| token.span())
}
