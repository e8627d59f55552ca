//! `#[handlers]` on a type with a ref of its own: the interface, the ref's methods, and `Handlers`.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::{Ident, Path, ext::IdentExt, spanned::Spanned};

use super::{
    assertion, hidden, hook,
    implementation::{self, Same},
    interface::{self, plain},
    marker, message, private, ref_path, refused, under, with_ref,
};
use crate::{
    check::Target,
    code::Code,
    model::{ArgRole, Handler, HandlersSettings, Offered, Reply},
};

/// Emits what `#[handlers]` adds to the user's `impl`.
pub(crate) fn handlers(
    settings: &HandlersSettings,
    target: &Target,
    offered: &Offered<'_>,
) -> TokenStream {
    let p = private(settings.callboard.as_ref());
    let (only, name) = (only(target, &p), once(target));
    let defined = assertion::defined(&target.path, &p);
    if let Some(contract) = &settings.contract {
        let implementation = implementation::implementation(target, &contract.value, offered, &p);
        let implementation = hidden(&quote!(#only #defined #implementation));
        return quote!(#name #implementation);
    }
    let Offered {
        handlers,
        refused,
        withheld,
        hooks,
    } = offered;
    let interface = interface::interface(target, handlers, &p);
    let reference = ref_path(target);
    let ref_methods = interface::ref_methods(target, &reference, handlers, &p);
    let refused = refused::ref_methods(target, &reference, refused, &p);
    let withheld = refused::withheld(target, &reference, withheld, &p);
    let turns = turns(target, handlers, &hook::hooks(target, hooks, &p), &p);
    let lasting = assertion::lasting(&target.path, hooks, &p);
    let stateful = handlers
        .iter()
        .filter(|handler| handler.exclusive)
        .map(|handler| assertion::stateful(&target.path, handler, &p));
    let persists = handlers
        .iter()
        .filter_map(|handler| handler.method.options.once.as_ref())
        .map(|once| assertion::persists(&target.path, once.span(), &p));
    let all = hidden(&quote! {
        #only #defined #interface #ref_methods #refused #withheld #turns
        #(#stateful)* #(#persists)* #lasting
    });
    quote!(#name #all)
}

/// Emits a name that a second `impl` with `#[handlers]` defines too: the compiler compares the names of a module
/// before all else, so it is the first that is told, with the code and what to do in it. Of a path the module may
/// have two types with one last name.
fn once(target: &Target) -> Option<TokenStream> {
    target.path.get_ident()?;
    let ident = target.ident.unraw();
    let name = format_ident!(
        "CB0070_put_all_handlers_of_{ident}_into_one_impl",
        span = Span::call_site()
    );
    debug_assert!(name.to_string().starts_with(Code::TwoImpls.text()));
    Some(quote! {
        #[doc(hidden)]
        #[allow(dead_code, non_camel_case_types)]
        type #name = ();
    })
}

/// Emits what a second `impl` with `#[handlers]` is in conflict with. It is for those in two
/// modules. The conflict cannot be worded, but the compiler names the trait.
fn only(target: &Target, p: &TokenStream) -> TokenStream {
    let path = &target.path;
    quote! {
        #[automatically_derived]
        impl #p::CB0070PutAllHandlersOfATypeIntoOneImpl for #path {}
    }
}

/// Emits `Handlers`.
fn turns(
    target: &Target,
    handlers: &[Handler<'_>],
    hooks: &TokenStream,
    p: &TokenStream,
) -> TokenStream {
    let path = &target.path;
    let arms = |exclusive: bool| {
        let arms = handlers
            .iter()
            .filter(|handler| handler.exclusive == exclusive);
        let arms = arms.map(|handler| {
            let (cfgs, ident) = (&handler.method.kept.cfgs, plain(handler));
            let (name, method) = (message(&target.ident), marker(target, handler));
            let turn = turn(handler, &method, None, p);
            quote!(#(#cfgs)* #name::#ident(envelope) => { #turn })
        });
        quote!(#(#arms)*)
    };
    let run = |exclusive: bool| {
        let arms = arms(exclusive);
        quote! {
            match message {
                #arms
                // The runtime asks `METHODS` which of the two functions runs a message.
                _ => #p::TurnEnd::Done,
            }
        }
    };
    let with_ref = with_ref(target);
    let bodies = Bodies {
        shared: run(false),
        exclusive: run(true),
        hooks: hooks.clone(),
    };
    handlers_impl(path, path, Some(&with_ref), &bodies, p)
}

/// What stands in the frame of `Handlers`.
pub(super) struct Bodies {
    pub(super) shared: TokenStream,
    pub(super) exclusive: TokenStream,
    /// Whole items; nothing without hooks.
    pub(super) hooks: TokenStream,
}

/// Emits the frame of `Handlers` around the code of the two kinds of turns and the hooks.
///
/// A type that may not be on any thread is refused by its derive, under the field. So the impl
/// supposes that it may: `for<'__any>` has the bound checked where the impl is used, and not here; and there
/// it goes through what the derive has computed, so that nothing is said after a refusal.
pub(super) fn handlers_impl(
    owner: &Path,
    interface: &Path,
    with_ref: Option<&TokenStream>,
    bodies: &Bodies,
    p: &TokenStream,
) -> TokenStream {
    let message = quote!(<#interface as #p::Interface>::Msg);
    // A forgotten derive is told once, under the type's name: see `assertion::defined`.
    let ctx = under(owner.span(), quote!(#p::Ctx<Self>));
    let function = |name: &str, receiver: TokenStream, body: &TokenStream| {
        let name = Ident::new(name, Span::call_site());
        quote! {
            fn #name<'a>(
                #receiver,
                ctx: &'a #ctx,
                message: #message,
            ) -> impl ::core::future::Future<Output = #p::TurnEnd> + ::core::marker::Send + 'a {
                async move { #body }
            }
        }
    };
    let checked = under(owner.span(), quote!(<#owner as #p::Definition>::CHECKED));
    let run_shared = function("run_shared", quote!(&'a self), &bodies.shared);
    let run_exclusive = function("run_exclusive", quote!(&'a mut self), &bodies.exclusive);
    let hooks = &bodies.hooks;
    quote! {
        #[automatically_derived]
        #[diagnostic::do_not_recommend]
        impl #p::Handlers for #owner
        where
            for<'__any> <#p::Answered<{ #checked }> as #p::Checked<#owner>>::This:
                ::core::marker::Send + ::core::marker::Sync,
            #with_ref
        {
            type Interface = #interface;
            #run_shared
            #run_exclusive
            #hooks
        }
    }
}

/// Emits one turn: takes the envelope apart, calls the user's method, answers through the port.
///
/// `method` is the marker. It is what the runtime's functions are generic over: nothing here names
/// a port of a concrete type, since each mention of one would repeat an error about that type.
/// With `same`, arguments and reply pass through its conversion, which a contract needs to compare
/// the types.
pub(super) fn turn(
    handler: &Handler<'_>,
    method: &TokenStream,
    same: Option<&Same<'_>>,
    p: &TokenStream,
) -> TokenStream {
    if handler.amended {
        return quote! {
            ::core::mem::drop(envelope);
            #p::TurnEnd::Done
        };
    }
    let names = (0..handler.values().count())
        .map(|position| Ident::new(&format!("arg_{position}"), Span::mixed_site()))
        .collect::<Vec<_>>();
    let mut values = names.iter();
    let passed = handler.args.iter().map(|arg| match arg.role {
        ArgRole::Ctx => quote!(ctx),
        ArgRole::Inbound(_) => quote!(inbound),
        ArgRole::Value(_) => {
            let name = values.next();
            quote!(#name)
        }
    });
    let ident = handler.ident;
    let mut call = quote!(self.#ident(#(#passed),*));
    if handler.is_async {
        call.extend(quote!(.await));
    }
    let mut args = quote!(args);
    if let Some(same) = same {
        (args, call) = same.convert(handler, &call, p);
    }
    let inbound = if handler.inbound().is_some() {
        quote!(inbound)
    } else {
        quote!(_)
    };
    let pattern = if names.is_empty() {
        quote!(())
    } else {
        quote!((#(#names,)*))
    };
    let run = |verb: &str| {
        let is_stream = matches!(handler.reply, Reply::Stream(_));
        let name = if is_stream {
            format!("{verb}_stream")
        } else {
            verb.to_string()
        };
        let name = Ident::new(&name, Span::call_site());
        let stream = is_stream.then(|| quote!(, _));
        quote!(#p::#name::<#method #stream>(port, async move { #call }).await)
    };
    let run = match (handler.exclusive, same) {
        (false, _) => run("race"),
        (true, None) if handler.method.options.abort.is_some() => run("race_abort"),
        (true, None) => run("finish"),
        (true, Some(same)) => same.interrupted(&run("race_abort"), &run("finish"), p),
    };
    quote! {
        let (args, #inbound, port) = envelope.into_parts();
        let #pattern = #args;
        #run
    }
}
