//! What a refused method would have been, or one that is not offered: the nearest handler that there
//! could be.
//!
//! A refused method is told once, where it stands. Its calls are to find it all the same, or each of
//! them would be told that there is no such method. So what is read here is only for the method of
//! the ref, which never runs: where a type cannot be one of a message, the type that the message
//! about it asks for, or a guess.

use quote::format_ident;
use syn::{
    FnArg, Lifetime, Pat, PatType, Type, TypeImplTrait, TypeParamBound, parse_quote,
    visit_mut::{self, VisitMut},
};

use super::{foreign, method, types};
use crate::model::{Arg, ArgRole, Method, Refused, Reply, Withheld};

/// Reads a method that was refused.
pub(super) fn refused(method: &Method) -> Refused<'_> {
    let typed = method.sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    Refused {
        method,
        args: typed.enumerate().map(arg).collect(),
        reply: reply(method.output()),
    }
}

/// Reads a method that is not for callers, if a ref may have its name.
///
/// Nothing is wrong with it, so nothing about it may be one: of its types only the reply's is read. Who
/// writes `new` means the function without `self` that every ref has.
pub(super) fn withheld(method: &Method) -> Option<Withheld<'_>> {
    let ident = &method.sig.ident;
    let is_constructor = method.sig.receiver().is_none() && ident == "new";
    (!is_constructor && !method::is_reserved(ident)).then(|| {
        let Refused { args, reply, .. } = refused(method);
        let args = args.iter().filter(|arg| !matches!(arg.role, ArgRole::Ctx));
        Withheld {
            method,
            args: args.count(),
            reply,
        }
    })
}

fn arg((position, typed): (usize, &PatType)) -> Arg {
    let ident = match &*typed.pat {
        Pat::Ident(pat) => pat.ident.clone(),
        _ => format_ident!("__arg_{position}"),
    };
    let ty = types::bare(&typed.ty);
    let inner = match ty {
        Type::Reference(reference) => types::bare(&reference.elem),
        other => other,
    };
    let role = match types::last_name(inner) {
        Some(last) if last.ident == "Ctx" || foreign::is_context(ty, last) => ArgRole::Ctx,
        Some(last) if last.ident == "Inbound" || last.ident == "Streaming" => {
            match types::only_argument(last) {
                Some(item) => ArgRole::Inbound(item.clone()),
                None => ArgRole::Value(parse_quote!(impl ::core::marker::Sized)),
            }
        }
        _ => ArgRole::Value(types::amended(ty).unwrap_or_else(|| ty.clone())),
    };
    Arg { ident, role }
}

fn reply(mut ty: Type) -> Reply {
    let mut mending = Mending { stream: None };
    mending.visit_type_mut(&mut ty);
    match mending.stream {
        Some(item) => Reply::Stream(item),
        None if types::last_name(&ty).is_some_and(|last| last.ident == "Result") => {
            Reply::Fallible(ty)
        }
        None => Reply::Value(ty),
    }
}

/// Puts types that a caller can hold in the place of those that no reply can have.
struct Mending {
    /// The items of a stream that was met, which is to be the whole reply.
    stream: Option<Type>,
}

impl Mending {
    fn opaque(&mut self, opaque: &TypeImplTrait) -> Type {
        if let Some(bound) = types::stream_bound(opaque) {
            let item = types::associated(bound, "Item").cloned();
            self.stream = Some(item.unwrap_or_else(|| parse_quote!(())));
            return parse_quote!(());
        }
        let bounds = opaque.bounds.iter().filter_map(|bound| match bound {
            TypeParamBound::Trait(bound) => bound.path.segments.last(),
            _ => None,
        });
        for bound in bounds {
            if let Some(output) = types::associated(bound, "Output") {
                return output.clone();
            }
            if let Some(item) = types::associated(bound, "Item") {
                return parse_quote!(::std::vec::IntoIter<#item>);
            }
        }
        parse_quote!(::std::string::String)
    }
}

impl VisitMut for Mending {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        let mended = match ty {
            Type::Reference(reference) => {
                let elem = (*reference.elem).clone();
                Some(types::owned(ty).unwrap_or(elem))
            }
            Type::ImplTrait(opaque) => Some(self.opaque(opaque)),
            Type::Never(_) | Type::TraitObject(_) | Type::Ptr(_) => Some(parse_quote!(())),
            _ if is_any_error(ty) => Some(parse_quote!(::core::fmt::Error)),
            _ => None,
        };
        if let Some(mended) = mended {
            *ty = mended;
        }
        visit_mut::visit_type_mut(self, ty);
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        *lifetime = Lifetime::new("'static", lifetime.span());
    }
}

/// Returns whether a type is `Box<dyn Error>`, with whatever else the box asks for.
fn is_any_error(ty: &Type) -> bool {
    let object = types::last_name(ty)
        .filter(|last| last.ident == "Box")
        .and_then(types::only_argument);
    match object {
        Some(Type::TraitObject(object)) => object.bounds.iter().any(|bound| match bound {
            TypeParamBound::Trait(bound) => {
                let last = bound.path.segments.last();
                last.is_some_and(|last| last.ident == "Error")
            }
            _ => false,
        }),
        _ => false,
    }
}
