//! Methods of a ref that never run. Those for handlers that were refused are found by their calls, so
//! that a mistake is told once, where it was made, and not at each call too. Those for methods that
//! are no handlers cannot be called, and say so where they are.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{GenericParam, Path, PathArguments, Type, Visibility, parse_quote, visit_mut::VisitMut};

use super::{WithoutSelf, interface, travel, without_self};
use crate::{
    check::Target,
    model::{Refused, Reply, Withheld},
};

/// Emits the methods of the ref.
pub(super) fn ref_methods(
    target: &Target,
    reference: &Path,
    refused: &[Refused<'_>],
    p: &TokenStream,
) -> Option<TokenStream> {
    let methods = refused.iter().map(|refused| ref_method(target, refused, p));
    (!refused.is_empty()).then(|| {
        quote! {
            #[automatically_derived]
            impl #reference {
                #(#methods)*
            }
        }
    })
}

/// Emits methods of the ref that cannot be called, for what a caller may take for a handler: the
/// words are those of their bound.
///
/// They are there in programs that compile. So they name no type of the user's but one that every
/// program has, and the user's visibilities and generics are not theirs.
pub(super) fn withheld(
    target: &Target,
    reference: &Path,
    withheld: &[Withheld<'_>],
    p: &TokenStream,
) -> Option<TokenStream> {
    let methods = withheld.iter().map(|withheld| {
        let method = withheld.method;
        let (cfgs, ident, path) = (&method.kept.cfgs, &method.sig.ident, &target.path);
        let params = (0..withheld.args).map(|position| {
            let name = format_ident!("__arg_{position}");
            quote!(#name: impl ::core::marker::Sized)
        });
        let (generic, output) = match &withheld.reply {
            Reply::Value(ty) | Reply::Fallible(ty) if is_known(ty) => {
                (None, output(target, &withheld.reply, p))
            }
            _ => (
                Some(quote!(<__Reply: ::core::marker::Send + 'static>)),
                quote!(::core::result::Result<__Reply, #p::CallError>),
            ),
        };
        quote! {
            #(#cfgs)*
            #[doc(hidden)]
            pub fn #ident #generic(&self, #(#params),*) -> #p::Call<#p::Refused<#path, #output>>
            where
                for<'__any> #path: #p::Offers,
            {
                ::core::unreachable!()
            }
        }
    });
    (!withheld.is_empty()).then(|| {
        quote! {
            #[automatically_derived]
            #[allow(clippy::wrong_self_convention, clippy::too_many_arguments)]
            impl #reference {
                #(#methods)*
            }
        }
    })
}

/// Returns whether a type surely travels: it is made of known ones, and is no alias that hides another.
fn is_known(ty: &Type) -> bool {
    let is_alias = matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| {
        let given = match &last.arguments {
            PathArguments::AngleBracketed(given) => given.args.len(),
            _ => 0,
        };
        last.ident == "Result" && given != 2
    }));
    travel::travels(ty) && !is_alias
}

fn ref_method(target: &Target, refused: &Refused<'_>, p: &TokenStream) -> TokenStream {
    let method = refused.method;
    let (cfgs, ident, path) = (&method.kept.cfgs, &method.sig.ident, &target.path);
    let vis = match &method.vis {
        Visibility::Inherited => quote!(pub),
        stated => quote!(#stated),
    };
    let mut generics = method.sig.generics.clone();
    WithoutSelf(path).visit_generics_mut(&mut generics);
    for param in &mut generics.params {
        if let GenericParam::Type(param) = param {
            param.bounds.push(parse_quote!(::core::marker::Send));
            param.bounds.push(parse_quote!('static));
        }
    }
    let params = interface::params(target, &refused.args, p);
    let output = output(target, &refused.reply, p);
    let (params_of_type, _, clause) = generics.split_for_impl();
    let params_of_type = quote!(#params_of_type);
    quote! {
        #(#cfgs)*
        #vis fn #ident #params_of_type(&self, #(#params),*) -> #p::Call<#p::Refused<#path, #output>>
        #clause
        {
            ::core::unreachable!()
        }
    }
}

fn output(target: &Target, reply: &Reply, p: &TokenStream) -> TokenStream {
    match reply {
        Reply::Value(ty) => {
            let ty = without_self(ty, &target.path);
            quote!(::core::result::Result<#ty, #p::CallError>)
        }
        Reply::Fallible(ty) => {
            let ty = without_self(ty, &target.path);
            quote! {
                ::core::result::Result<
                    <#ty as #p::Fallible>::Ok,
                    #p::HandlerError<<#ty as #p::Fallible>::Err>,
                >
            }
        }
        Reply::Stream(item) => {
            let item = without_self(item, &target.path);
            quote!(::core::result::Result<#p::Streaming<#item>, #p::CallError>)
        }
    }
}
