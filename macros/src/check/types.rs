//! Finds what keeps a type out of a message: anything that does not own its data, or that is not
//! a value.

use syn::{
    Expr, GenericArgument, Lifetime, Lit, Path, PathArguments, Type, TypeArray, TypeImplTrait,
    TypeParamBound, parse_quote,
    visit::{self, Visit},
};

use super::foreign::{self, Passage};

/// The first part of a type that cannot travel.
pub(super) enum Obstacle {
    /// A reference, anywhere in the type.
    Reference(Type),
    /// A lifetime other than `'static`.
    Lifetime(Lifetime),
    /// `impl Trait`.
    Impl(Box<TypeImplTrait>),
    /// `dyn Trait`, a raw pointer or a function pointer, with what it is called.
    Unsendable(Type, &'static str),
    /// `Inbound` or `Streaming`, by its path.
    Stream(Path),
    /// What another library passes values through.
    Passage(Type, Passage),
    /// An array of more elements than serde reads.
    LongArray(TypeArray),
}

/// Returns the outermost, leftmost obstacle in a type.
pub(super) fn obstacle(ty: &Type) -> Option<Obstacle> {
    let mut search = Search(None);
    search.visit_type(ty);
    search.0.or_else(|| long_array(ty).map(Obstacle::LongArray))
}

/// Returns a type without the invisible brackets around what a macro of the user's was given.
pub(super) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        other => other,
    }
}

/// Returns the last name of a path type.
pub(super) fn last_name(ty: &Type) -> Option<&syn::PathSegment> {
    match ty {
        Type::Path(path) if path.qself.is_none() => path.path.segments.last(),
        Type::Group(group) => last_name(&group.elem),
        Type::Paren(paren) => last_name(&paren.elem),
        _ => None,
    }
}

/// Returns the only type argument of a path segment, as in `Inbound<T>`.
pub(super) fn only_argument(segment: &syn::PathSegment) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return None;
    };
    match (arguments.args.first(), arguments.args.len()) {
        (Some(GenericArgument::Type(ty)), 1) => Some(ty),
        _ => None,
    }
}

/// Returns the `Stream` bound of an `impl` type: its segment.
pub(super) fn stream_bound(ty: &TypeImplTrait) -> Option<&syn::PathSegment> {
    ty.bounds.iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) => bound
            .path
            .segments
            .last()
            .filter(|last| last.ident == "Stream"),
        _ => None,
    })
}

/// Returns what a bound says of an associated type, as in `Stream<Item = T>`.
pub(super) fn associated<'a>(bound: &'a syn::PathSegment, name: &str) -> Option<&'a Type> {
    let PathArguments::AngleBracketed(arguments) = &bound.arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(given) if given.ident == name => Some(&given.ty),
        _ => None,
    })
}

/// Returns an array that is too long, if it is the type or stands in one of the standard library's that travels with
/// what is in it. Of another type nobody knows what it does with its parameter.
fn long_array(ty: &Type) -> Option<TypeArray> {
    match ty {
        Type::Array(array) => is_long(array).then(|| array.clone()),
        Type::Group(group) => long_array(&group.elem),
        Type::Paren(paren) => long_array(&paren.elem),
        Type::Tuple(tuple) => tuple.elems.iter().find_map(long_array),
        Type::Path(_) => {
            let last = last_name(ty).filter(|last| is_container(last))?;
            arguments(last).find_map(long_array)
        }
        _ => None,
    }
}

fn is_container(segment: &syn::PathSegment) -> bool {
    ["Option", "Result", "Vec", "Box"]
        .iter()
        .any(|name| segment.ident == name)
}

fn is_long(array: &TypeArray) -> bool {
    match &array.len {
        Expr::Lit(len) => match &len.lit {
            Lit::Int(len) => len.base10_parse::<usize>().is_ok_and(|len| len > ARRAY_MAX),
            _ => false,
        },
        _ => false,
    }
}

/// Returns the type arguments of a path segment.
pub(super) fn arguments(segment: &syn::PathSegment) -> impl Iterator<Item = &Type> {
    let given = match &segment.arguments {
        PathArguments::AngleBracketed(given) => Some(&given.args),
        _ => None,
    };
    given.into_iter().flatten().filter_map(|arg| match arg {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// Returns what to write instead of a long array.
pub(super) fn without_length(array: &TypeArray) -> String {
    format!(
        "an array travels with at most {ARRAY_MAX} elements: write `Vec<{}>`",
        super::text::text(&array.elem)
    )
}

/// Returns the owned type to write instead of a borrowed one, where there is an obvious one.
pub(super) fn owned(ty: &Type) -> Option<Type> {
    let Type::Reference(reference) = ty else {
        return None;
    };
    match &*reference.elem {
        Type::Path(path) if path.path.is_ident("str") => Some(parse_quote!(String)),
        Type::Slice(slice) => {
            let item = &slice.elem;
            Some(parse_quote!(Vec<#item>))
        }
        Type::TraitObject(_) | Type::ImplTrait(_) | Type::Reference(_) => None,
        other => Some(other.clone()),
    }
}

/// Returns what a borrowed type is to become, if that travels.
pub(super) fn amended(ty: &Type) -> Option<Type> {
    owned(ty).filter(|owned| obstacle(owned).is_none())
}

struct Search(Option<Obstacle>);

impl<'ast> Visit<'ast> for Search {
    fn visit_type(&mut self, ty: &'ast Type) {
        if self.0.is_some() {
            return;
        }
        let whole = || Box::new(ty.clone());
        self.0 = foreign::passage(ty).map(|passage| Obstacle::Passage(*whole(), passage));
        if self.0.is_some() {
            return;
        }
        self.0 = match ty {
            Type::Reference(_) => Some(Obstacle::Reference(*whole())),
            Type::ImplTrait(opaque) => Some(Obstacle::Impl(Box::new(opaque.clone()))),
            Type::TraitObject(_) => Some(Obstacle::Unsendable(*whole(), "a trait object")),
            Type::Ptr(_) => Some(Obstacle::Unsendable(*whole(), "a pointer")),
            Type::FnPtr(_) => Some(Obstacle::Unsendable(*whole(), "a function pointer")),
            Type::Path(path) => path
                .path
                .segments
                .last()
                .filter(|last| last.ident == "Inbound" || last.ident == "Streaming")
                .map(|_| Obstacle::Stream(path.path.clone())),
            _ => None,
        };
        if self.0.is_none() {
            visit::visit_type(self, ty);
        }
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if self.0.is_none() && lifetime.ident != "static" {
            self.0 = Some(Obstacle::Lifetime(lifetime.clone()));
        }
    }

    // What a length or a constant is computed from does not travel.
    fn visit_expr(&mut self, _: &'ast syn::Expr) {}
}

/// The longest array that serde has impls for.
const ARRAY_MAX: usize = 32;
