//! The rules of `#[derive(Wire)]`.

use syn::{
    GenericParam, Ident, Type,
    visit::{self, Visit},
};

use super::{
    text::text,
    types::{self, Obstacle},
};
use crate::{
    code::Code,
    model::{WireBody, WireField, WireType},
    problem::Problems,
};

/// Checks a type. Returns whether code can be emitted for it.
pub(crate) fn wire(wire: &WireType, problems: &Problems) -> bool {
    let before = problems.len();
    if let WireBody::Union(keyword) = &wire.body {
        let message = "a union does not know which of its fields is set, so it has no bytes to \
                       send: use an enum";
        problems.under(keyword, Code::WireUnion, message);
    }
    lifetimes(wire, problems);
    if wire.opaque.is_some() {
        opaque(wire, problems);
        return problems.len() == before;
    }
    let is_emitted = fields(wire, problems);
    // What follows is reported, but the code is emitted as if it had been right.
    for attr in &wire.serde {
        let message = "`Wire` writes the serde impls itself, and this would change the bytes behind \
                       its back: remove it; or write `#[wire(opaque = \"name/1\")]` and derive \
                       `serde::Serialize` and `serde::Deserialize` yourself";
        problems.under(attr, Code::SerdeAttribute, message);
    }
    recursion(wire, problems);
    is_emitted && !matches!(wire.body, WireBody::Union(_))
}

fn lifetimes(wire: &WireType, problems: &Problems) {
    for param in &wire.generics.params {
        if let GenericParam::Lifetime(lifetime) = param {
            let message = "a message owns what it carries, so its type has no lifetimes: use \
                           `String`, `Vec<T>` and the like in its fields";
            problems.under(lifetime, Code::WireBorrows, message);
        }
    }
}

fn opaque(wire: &WireType, problems: &Problems) {
    let inner = all_fields(wire)
        .filter_map(|field| field.opaque.as_ref())
        .map(|given| &given.name);
    let depth = wire.depth.as_ref().map(|given| &given.name);
    for name in inner.chain(depth) {
        let message = format!(
            "the whole type is `opaque`: `Wire` does not look inside, so `{name}` here has no \
             effect; remove one of them"
        );
        problems.under(name, Code::OpaqueConflict, message);
    }
}

fn fields(wire: &WireType, problems: &Problems) -> bool {
    let has_lifetimes = wire.generics.lifetimes().next().is_some();
    let mut is_emitted = !has_lifetimes;
    for field in all_fields(wire) {
        match types::obstacle(&field.ty) {
            None => {}
            // Reported once, where the lifetime is declared.
            Some(Obstacle::Lifetime(_) | Obstacle::Reference(_)) if has_lifetimes => {}
            Some(Obstacle::Reference(reference)) => {
                let fix = match types::owned(&reference) {
                    Some(owned) => format!("write `{}`", text(&owned)),
                    None => "write a type that owns its data".to_string(),
                };
                let message = format!("a message owns what it carries, this is borrowed: {fix}");
                problems.under(reference, Code::WireBorrows, message);
                is_emitted = false;
            }
            // Left to the compiler, which says it well: an undeclared lifetime, `impl` in a field.
            Some(Obstacle::Lifetime(_) | Obstacle::Impl(_)) => is_emitted = false,
            Some(Obstacle::Unsendable(unsendable, what)) => {
                let message = format!(
                    "{what} has no bytes that another node could read: use an enum of the cases, \
                     or a type that derives `Wire`"
                );
                problems.under(unsendable, Code::CannotTravel, message);
                is_emitted = false;
            }
            Some(Obstacle::Passage(passed, _)) => {
                let message = format!(
                    "`{}` stays in its process: send the values, as an argument of its own `items: \
                     Inbound<T>`, or as a reply `impl Stream<Item = T> + use<>`",
                    text(&passed)
                );
                problems.under(passed, Code::CannotTravel, message);
                is_emitted = false;
            }
            Some(Obstacle::LongArray(array)) => {
                problems.under(&array, Code::CannotTravel, types::without_length(&array));
                is_emitted = false;
            }
            Some(Obstacle::Stream(path)) => {
                let message = "a stream is not part of a message: take `Inbound<T>` as an argument \
                               of its own, or reply with `impl Stream<Item = T> + use<>`";
                problems.under(path, Code::InboundForm, message);
                is_emitted = false;
            }
        }
    }
    is_emitted
}

/// Reports a type that names itself without a depth. A cycle over several types is found when the
/// node starts.
fn recursion(wire: &WireType, problems: &Problems) {
    if wire.depth.is_some() {
        return;
    }
    let own = all_fields(wire)
        .filter(|field| field.opaque.is_none())
        .find_map(|field| mention(&wire.ident, &field.ty));
    if let Some(ident) = own {
        let message = format!(
            "`{}` contains itself, and bytes from the network could nest it until the stack \
             overflows: state how deep it may go, `#[wire(depth = 32)]` on the type",
            wire.ident
        );
        problems.under(ident, Code::RecursionWithoutDepth, message);
    }
}

fn all_fields(wire: &WireType) -> Box<dyn Iterator<Item = &WireField> + '_> {
    match &wire.body {
        WireBody::Struct(fields) => Box::new(fields.fields.iter()),
        WireBody::Enum(variants) => {
            Box::new(variants.iter().flat_map(|variant| &variant.fields.fields))
        }
        WireBody::Union(_) => Box::new(std::iter::empty()),
    }
}

fn mention(own: &Ident, ty: &Type) -> Option<Ident> {
    struct Search<'a> {
        own: &'a Ident,
        found: Option<Ident>,
    }
    impl<'ast> Visit<'ast> for Search<'_> {
        fn visit_path(&mut self, path: &'ast syn::Path) {
            let ident = path
                .get_ident()
                .or_else(|| (path.segments.len() == 1).then(|| &path.segments[0].ident));
            match ident {
                Some(ident) if ident == "Self" || ident == self.own => {
                    self.found.get_or_insert_with(|| ident.clone());
                }
                _ => visit::visit_path(self, path),
            }
        }
    }
    let mut search = Search { own, found: None };
    search.visit_type(ty);
    search.found
}
