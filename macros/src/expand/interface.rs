//! What handlers and contracts share: the message type, one marker for each method, `Interface`,
//! and the methods of the ref.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Ident, Path, Type, Visibility, ext::IdentExt, spanned::Spanned};

use super::{marker, marker_ident, message, travel, under, with_ref, without_self};
use crate::{
    check::Target,
    model::{Arg, ArgRole, Handler, Millis, Reply, Timeout},
};

/// Emits the message type, the markers and `Interface` for `target`.
pub(super) fn interface(target: &Target, handlers: &[Handler<'_>], p: &TokenStream) -> TokenStream {
    let index = index(handlers);
    let message_type = message_type(target, handlers, p);
    let interface = interface_impl(target, handlers, p);
    let methods = handlers.iter().map(|handler| method(target, handler, p));
    quote!(#index #message_type #interface #(#methods)*)
}

/// Numbers the methods that `cfg` leaves, in order.
fn index(handlers: &[Handler<'_>]) -> TokenStream {
    let variants = handlers.iter().map(|handler| {
        let (cfgs, ident) = (&handler.method.kept.cfgs, plain(handler));
        quote!(#(#cfgs)* #ident)
    });
    quote!(enum __Index { #(#variants,)* })
}

/// Emits the enum that the mailbox holds.
fn message_type(target: &Target, handlers: &[Handler<'_>], p: &TokenStream) -> TokenStream {
    let name = message(&target.ident);
    let variants = handlers.iter().map(|handler| {
        let (cfgs, ident) = (&handler.method.kept.cfgs, plain(handler));
        let marker = marker(target, handler);
        quote!(#(#cfgs)* #ident(#p::Envelope<#marker>))
    });
    quote!(pub enum #name { #(#variants,)* })
}

fn interface_impl(target: &Target, handlers: &[Handler<'_>], p: &TokenStream) -> TokenStream {
    let (path, name) = (&target.path, message(&target.ident));
    let specs = handlers.iter().map(|handler| spec(target, handler, p));
    let arms = |make: &dyn Fn(&Ident, &TokenStream) -> TokenStream| {
        let arms = handlers.iter().map(|handler| {
            let cfgs = &handler.method.kept.cfgs;
            let arm = make(&plain(handler), &marker(target, handler));
            quote!(#(#cfgs)* #arm)
        });
        quote!(#(#arms)*)
    };
    let open = arms(&|ident, marker| {
        quote! {
            <#marker as #p::MethodSignature>::INDEX => {
                ::core::result::Result::map(call.open::<#marker>(), #name::#ident)
            }
        }
    });
    let refuse = arms(&|ident, _| quote!(#name::#ident(envelope) => envelope.refuse(error),));
    let index =
        arms(&|ident, marker| quote!(#name::#ident(_) => <#marker as #p::MethodSignature>::INDEX,));
    let abandoned = arms(&|ident, _| quote!(#name::#ident(ref envelope) => envelope.abandoned(),));
    let with_ref = with_ref(target);
    quote! {
        #[automatically_derived]
        #[diagnostic::do_not_recommend]
        impl #p::Interface for #path where #with_ref {
            type Msg = #name;
            const METHODS: &'static [#p::MethodSpec] = &[#(#specs,)*];
            fn open(
                index: usize,
                call: #p::Incoming<'_>,
            ) -> ::core::result::Result<Self::Msg, #p::CallError> {
                match index {
                    #open
                    _ => ::core::result::Result::Err(call.unknown()),
                }
            }
            fn refuse(message: Self::Msg, error: #p::CallError) {
                match message { #refuse }
            }
            fn index(message: &Self::Msg) -> usize {
                match *message { #index }
            }
            fn abandoned(message: &Self::Msg) -> bool {
                match *message { #abandoned }
            }
        }
    }
}

/// Emits the row of a method in `METHODS`.
fn spec(target: &Target, handler: &Handler<'_>, p: &TokenStream) -> TokenStream {
    let options = &handler.method.options;
    let (path, marker) = (&target.path, marker(target, handler));
    let (cfgs, name) = (&handler.method.kept.cfgs, &handler.wire_name);
    let exclusive = handler.exclusive;
    let idempotent = options.idempotent.is_some();
    let once = options.once.is_some();
    let abort = options.abort.is_some();
    let timeout = match options.timeout.as_ref().map(|given| given.value) {
        Some(Timeout::After(Millis(millis))) => quote!(::core::option::Option::Some(#millis)),
        Some(Timeout::Never) => {
            quote!(::core::option::Option::Some(::core::primitive::u64::MAX))
        }
        None => quote!(::core::option::Option::None),
    };
    let allow = options.allow.iter().flat_map(|given| &given.value);
    let streams_reply = matches!(handler.reply, Reply::Stream(_));
    let streams_args = handler.inbound().is_some();
    quote! {
        #(#cfgs)*
        #p::MethodSpec::new(
            <#path as #p::Definition>::NAME,
            #name,
            #p::Options {
                exclusive: #exclusive,
                idempotent: #idempotent,
                once: #once,
                abort: #abort,
                timeout_ms: #timeout,
                streams_reply: #streams_reply,
                streams_args: #streams_args,
                allow: &[#(#allow),*],
            },
            #p::shapes_of::<#marker>,
        )
    }
}

/// Emits a method's marker and `Method`.
fn method(target: &Target, handler: &Handler<'_>, p: &TokenStream) -> TokenStream {
    let (path, marker, name) = (
        &target.path,
        marker(target, handler),
        message(&target.ident),
    );
    let (cfgs, ident) = (&handler.method.kept.cfgs, plain(handler));
    let (args, marker_ident) = (args_type(handler, path), marker_ident(handler));
    let inbound = match handler.inbound() {
        Some(item) => {
            let item = without_self(item, path);
            quote!(#item)
        }
        None => quote!(()),
    };
    let (reply, shape) = match &handler.reply {
        Reply::Value(ty) | Reply::Fallible(ty) => (without_self(ty, path), quote!(Unary)),
        Reply::Stream(item) => (without_self(item, path), quote!(Streamed)),
    };
    let (output, merge) = match &handler.reply {
        Reply::Fallible(_) => {
            // That it is only called so is an error about the type.
            let fallible = under(reply.span(), quote!(<#reply as #p::Fallible>));
            let output = quote! {
                ::core::result::Result<#fallible::Ok, #p::HandlerError<#fallible::Err>>
            };
            (output, quote!(#p::flatten(result)))
        }
        Reply::Value(_) | Reply::Stream(_) => (
            quote!(::core::result::Result<#p::Answer<Self>, #p::CallError>),
            quote!(result),
        ),
    };
    let with_ref = with_ref(target);
    // That a type is more private than the handler is an error about these lines.
    let span = args_span(handler);
    let args = quote_spanned!(span=> type Args = #args;);
    let replied = quote_spanned!(reply.span()=> type Reply = #reply; type Output = #output;);
    let checked = travel::under_type(handler, quote!(#p::Method));
    quote! {
        #(#cfgs)*
        pub struct #marker_ident<__Owner>(::core::marker::PhantomData<fn() -> __Owner>);

        #(#cfgs)*
        #[automatically_derived]
        impl #checked for #marker where #with_ref {}

        #(#cfgs)*
        #[automatically_derived]
        impl #p::MethodSignature for #marker where #with_ref {
            type Interface = #path;
            #args
            type Inbound = #inbound;
            #replied
            type Shape = #p::#shape;
            const INDEX: usize = __Index::#ident as usize;
            fn message(envelope: #p::Envelope<Self>) -> #name {
                #name::#ident(envelope)
            }
            fn output(
                result: ::core::result::Result<#p::Answer<Self>, #p::CallError>,
            ) -> Self::Output {
                #merge
            }
        }
    }
}

/// Returns the tuple of the arguments that travel. An error about the only one points at it, an
/// error about one of several at the handler's name, and names the type.
pub(super) fn args_type(handler: &Handler<'_>, owner: &Path) -> TokenStream {
    let types = handler
        .values()
        .map(|(_, ty)| without_self(ty, owner))
        .collect::<Vec<_>>();
    let span = args_span(handler);
    quote_spanned!(span=> (#(#types,)*))
}

fn args_span(handler: &Handler<'_>) -> Span {
    let mut values = handler.values();
    match (values.next(), values.next()) {
        (Some((_, only)), None) => only.span(),
        _ => handler.ident.span(),
    }
}

/// Emits the methods of the ref: the user's names, argument names and documentation.
pub(super) fn ref_methods(
    target: &Target,
    reference: &Path,
    handlers: &[Handler<'_>],
    p: &TokenStream,
) -> TokenStream {
    let methods = handlers
        .iter()
        .map(|handler| ref_method(target, handler, p));
    quote! {
        #[automatically_derived]
        impl #reference {
            #(#methods)*
        }
    }
}

fn ref_method(target: &Target, handler: &Handler<'_>, p: &TokenStream) -> TokenStream {
    let kept = &handler.method.kept;
    let (cfgs, deprecated) = (&kept.cfgs, &kept.deprecated);
    let (vis, ident) = (&handler.method.vis, handler.ident);
    let marker = marker(target, handler);
    let vis = match vis {
        Visibility::Inherited => quote!(pub),
        stated => quote!(#stated),
    };
    let docs = if kept.docs.is_empty() {
        let doc = format!("Calls `{}::{}`.", target.ident, ident.unraw());
        quote!(#[doc = #doc])
    } else {
        let docs = &kept.docs;
        quote!(#(#docs)*)
    };
    let params = params(target, &handler.args, p);
    let values = handler.values().map(|(ident, ty)| {
        if is_string(ty) {
            quote!(::core::convert::Into::into(#ident))
        } else {
            quote!(#ident)
        }
    });
    let raw = quote!(#p::Reference::as_raw(self));
    let stream = handler.args.iter().find_map(|arg| match arg.role {
        ArgRole::Inbound(_) => Some(&arg.ident),
        ArgRole::Ctx | ArgRole::Value(_) => None,
    });
    let call = match stream {
        Some(stream) => quote!(#p::call_streaming(#raw, (#(#values,)*), #stream)),
        None => quote!(#p::call(#raw, (#(#values,)*))),
    };
    quote! {
        #(#cfgs)* #docs #(#deprecated)*
        #vis fn #ident(&self, #(#params),*) -> #p::Call<#marker> {
            #call
        }
    }
}

/// Returns the parameters of a method of the ref.
pub(super) fn params(target: &Target, args: &[Arg], p: &TokenStream) -> Vec<TokenStream> {
    let params = args.iter().filter_map(|arg| {
        let ident = &arg.ident;
        match &arg.role {
            ArgRole::Ctx => None,
            ArgRole::Value(ty) => {
                let ty = without_self(ty, &target.path);
                Some(if is_string(&ty) {
                    quote!(#ident: impl ::core::convert::Into<#ty>)
                } else {
                    quote!(#ident: #ty)
                })
            }
            ArgRole::Inbound(item) => {
                let item = without_self(item, &target.path);
                Some(quote! {
                    #ident: impl #p::StreamOf<Item = #item> + ::core::marker::Send + 'static
                })
            }
        }
    });
    params.collect()
}

/// Returns the handler's name as the name of a variant.
pub(super) fn plain(handler: &Handler<'_>) -> Ident {
    let mut ident = handler.ident.clone();
    ident.set_span(Span::call_site());
    ident
}

/// Returns whether a type is `String`, written in one of the usual ways.
fn is_string(ty: &Type) -> bool {
    let path = match ty {
        Type::Path(path) => path,
        // What a `$ty` of the user's own macro becomes.
        Type::Group(group) => return is_string(&group.elem),
        _ => return false,
    };
    let names = path
        .path
        .segments
        .iter()
        .map(|segment| segment.ident.to_string());
    let names = names.collect::<Vec<_>>().join("::");
    matches!(
        names.as_str(),
        "String" | "std::string::String" | "alloc::string::String"
    )
}
