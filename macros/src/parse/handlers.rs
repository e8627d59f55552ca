//! Reads the item of `#[handlers]`.
//!
//! Bodies stay tokens: they are passed on untouched, so that half-written code in an editor and
//! syntax that `syn` does not know yet do no harm, and nothing is parsed twice.

use proc_macro2::{Group, TokenStream};
use quote::{ToTokens, quote};
use syn::{
    Attribute, Generics, ImplItem, Path, Signature, Token, Type, Visibility, braced,
    parse::{Parse, ParseStream, discouraged::Speculative},
};

use super::{attribute, method};
use crate::{
    model::{HandlerSet, HandlersSettings},
    problem::Problems,
};

/// An `impl` whose bodies were not parsed.
pub(crate) struct RawImpl {
    attrs: Vec<Attribute>,
    /// From `unsafe` to the end of the `where` clause.
    head: TokenStream,
    generics: Generics,
    trait_path: Option<Path>,
    self_ty: Type,
    inner_attrs: Vec<Attribute>,
    items: Vec<RawItem>,
}

enum RawItem {
    Method(Box<RawMethod>),
    Other(Box<ImplItem>),
}

struct RawMethod {
    attrs: Vec<Attribute>,
    vis: Visibility,
    sig: Signature,
    body: Group,
}

/// Reads the `impl` and the settings of the attribute.
pub(crate) fn handlers(settings: TokenStream, item: RawImpl, problems: &Problems) -> HandlerSet {
    let mut methods = Vec::new();
    let mut items = TokenStream::new();
    for item in item.items {
        match item {
            RawItem::Other(item) => item.to_tokens(&mut items),
            RawItem::Method(raw) => {
                let RawMethod {
                    mut attrs,
                    vis,
                    sig,
                    body,
                } = *raw;
                let method = method::method(&mut attrs, vis, sig, problems);
                let (vis, sig) = (&method.vis, &method.sig);
                // What these lints advise is no handler, or no hook, any more.
                let is_run = method.is_offered() || method.hook().is_some();
                let unadvised = is_run.then(|| {
                    quote! {
                        #[allow(
                            clippy::missing_const_for_fn,
                            clippy::needless_pass_by_value,
                            clippy::unused_self
                        )]
                    }
                });
                items.extend(quote!(#unadvised #(#attrs)* #vis #sig #body));
                methods.push(method);
            }
        }
    }
    let (attrs, head, inner_attrs) = (&item.attrs, &item.head, &item.inner_attrs);
    HandlerSet {
        settings: read_settings(settings, problems),
        item: quote!(#(#attrs)* #head { #(#inner_attrs)* #items }),
        self_ty: item.self_ty,
        generics: item.generics,
        trait_path: item.trait_path,
        methods,
    }
}

fn read_settings(tokens: TokenStream, problems: &Problems) -> HandlersSettings {
    let mut settings = HandlersSettings::default();
    for setting in attribute::of_list(tokens, "handlers", HANDLERS, problems) {
        if setting.name == "contract" {
            settings.contract = setting.path(problems);
        } else {
            settings.callboard = setting.path(problems).map(|given| given.value);
        }
    }
    settings
}

impl Parse for RawImpl {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let unsafety: Option<Token![unsafe]> = input.parse()?;
        let impl_token: Token![impl] = input.parse()?;
        let mut generics: Generics = input.parse()?;
        let first: Type = input.parse()?;
        let for_token: Option<Token![for]> = input.parse()?;
        let (trait_path, self_ty, line) = if for_token.is_some() {
            let self_ty: Type = input.parse()?;
            let line = quote!(#first #for_token #self_ty);
            let trait_path = match first {
                Type::Path(path) => Some(path.path),
                other => Some(syn::parse2(other.to_token_stream())?),
            };
            (trait_path, self_ty, line)
        } else {
            (None, first.clone(), first.to_token_stream())
        };
        generics.where_clause = input.parse()?;
        let where_clause = &generics.where_clause;
        let head = quote!(#unsafety #impl_token #generics #line #where_clause);
        let body;
        braced!(body in input);
        let inner_attrs = body.call(Attribute::parse_inner)?;
        let mut items = Vec::new();
        while !body.is_empty() {
            items.push(body.parse()?);
        }
        Ok(Self {
            attrs,
            head,
            generics,
            trait_path,
            self_ty,
            inner_attrs,
            items,
        })
    }
}

impl Parse for RawItem {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let ahead = input.fork();
        match ahead.parse::<RawMethod>() {
            Ok(method) => {
                input.advance_to(&ahead);
                Ok(Self::Method(Box::new(method)))
            }
            Err(_) => Ok(Self::Other(Box::new(input.parse()?))),
        }
    }
}

impl Parse for RawMethod {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self {
            attrs: input.call(Attribute::parse_outer)?,
            vis: input.parse()?,
            sig: input.parse()?,
            body: input.parse()?,
        })
    }
}

const HANDLERS: &[&str] = &["contract", "crate"];
