//! The hooks of an actor: the items of `Handlers` that run them.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::under;
use crate::{
    check::Target,
    model::{Hook, HookArg, HookKind},
};

/// Emits the items of `Handlers` for the hooks. Without any the trait's own do nothing.
pub(super) fn hooks(target: &Target, hooks: &[Hook<'_>], p: &TokenStream) -> TokenStream {
    let owner = &target.path;
    let ctx = under(owner.span(), quote!(#p::Ctx<Self>));
    hooks.iter().map(|it| hook(it, &ctx, p)).collect()
}

fn hook(hook: &Hook<'_>, ctx: &TokenStream, p: &TokenStream) -> TokenStream {
    let (cfgs, sig) = (&hook.method.kept.cfgs, &hook.method.sig);
    let args = hook.args.iter().map(|arg| match arg {
        HookArg::Ctx => quote!(ctx),
        HookArg::Reason => quote!(reason),
    });
    let ident = &sig.ident;
    let mut call = quote!(self.#ident(#(#args),*));
    if sig.asyncness.is_some() {
        call.extend(quote!(.await));
    }
    let future = |output: TokenStream| {
        quote! {
            impl ::core::future::Future<Output = #output> + ::core::marker::Send + 'a
        }
    };
    match hook.kind {
        HookKind::Activate => {
            // That its error cannot be displayed is said under what it returns.
            let span = match &sig.output {
                syn::ReturnType::Type(_, ty) => ty.span(),
                syn::ReturnType::Default => ident.span(),
            };
            let told = quote_spanned!(span=> #p::activated(reply));
            let future = future(quote!(#p::Told));
            quote! {
                #(#cfgs)*
                const ACTIVATES: bool = true;
                #(#cfgs)*
                fn run_activate<'a>(&'a mut self, ctx: &'a #ctx) -> #future {
                    async move {
                        let reply = #call;
                        #told
                    }
                }
            }
        }
        HookKind::Deactivate => {
            let future = future(quote!(()));
            quote! {
                #(#cfgs)*
                const DEACTIVATES: bool = true;
                #(#cfgs)*
                fn run_deactivate<'a>(
                    &'a mut self,
                    ctx: &'a #ctx,
                    reason: #p::Deactivation,
                ) -> #future {
                    async move { #call }
                }
            }
        }
    }
}
