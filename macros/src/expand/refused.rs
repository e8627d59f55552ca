//! Methods of a ref for handlers that were refused: their calls find them, so that a mistake is told
//! once, where it was made, and not at each call too. The program does not compile, so none of them
//! runs.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{GenericParam, Path, Visibility, parse_quote, visit_mut::VisitMut};

use super::{WithoutSelf, interface, without_self};
use crate::{
    check::Target,
    model::{Refused, Reply},
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
