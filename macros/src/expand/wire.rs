//! `#[derive(Wire)]`: `Serialize`, `Deserialize` and the description, field by field.
//!
//! The serde impls are written here and not by serde's own derive, so that a field that cannot
//! travel gives one message (see `field` in the runtime's `derived.rs`), and so that users need no
//! `serde` in their manifest.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{
    Generics, Ident, Path, ext::IdentExt, parse_quote, spanned::Spanned, visit_mut::VisitMut,
};

use super::{WithoutSelf, hidden, private, under};
use crate::model::{FieldStyle, WireBody, WireField, WireFields, WireType};

mod deserialize;

/// Emits what the derive adds.
pub(crate) fn wire(mut wire: WireType) -> TokenStream {
    let p = private(wire.callboard.as_ref());
    write_self_out(&mut wire);
    let wire = &wire;
    let mut bounded = wire.generics.clone();
    for param in bounded.type_params_mut() {
        param.bounds.push(parse_quote!(#p::Wire));
    }
    let describe = describe(wire, &bounded, &p);
    if wire.opaque.is_some() {
        return hidden(&describe);
    }
    let serialize = serialize(wire, &bounded, &p);
    let deserialize = deserialize::deserialize(wire, &bounded, &p);
    hidden(&quote!(#describe #serialize #deserialize))
}

/// Writes `Self` out in the types of the fields: they stand in the impls of visitors too, whose `Self` is another.
fn write_self_out(wire: &mut WireType) {
    let ident = &wire.ident;
    let (_, arguments, _) = wire.generics.split_for_impl();
    let arguments = arguments.as_turbofish();
    let owner: Path = parse_quote!(#ident #arguments);
    let mut writer = WithoutSelf(&owner);
    let mut write = |fields: &mut WireFields| {
        for field in &mut fields.fields {
            writer.visit_type_mut(&mut field.ty);
        }
    };
    match &mut wire.body {
        WireBody::Struct(fields) => write(fields),
        WireBody::Enum(variants) => {
            variants
                .iter_mut()
                .for_each(|variant| write(&mut variant.fields));
        }
        WireBody::Union(_) => {}
    }
    writer.visit_generics_mut(&mut wire.generics);
}

/// Returns the name that bytes of other nodes and of later versions go by.
fn declared(ident: &Ident) -> String {
    ident.unraw().to_string()
}

fn describe(wire: &WireType, generics: &Generics, p: &TokenStream) -> TokenStream {
    let ident = &wire.ident;
    let name = declared(ident);
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    let depth = match &wire.depth {
        Some(given) => {
            let depth = given.value;
            quote!(::core::option::Option::Some(#depth))
        }
        None => quote!(::core::option::Option::None),
    };
    let body = match (&wire.opaque, &wire.body) {
        (Some(opaque), _) => {
            let text = &opaque.value;
            quote!(shape.opaque(#text);)
        }
        (None, WireBody::Struct(fields)) => {
            let fields = describe_fields(fields, p);
            quote!(shape.record::<Self>(#name, #depth, |fields| { #fields });)
        }
        (None, WireBody::Enum(variants)) => {
            let variants = variants.iter().map(|variant| {
                let (name, fields) = (
                    declared(&variant.ident),
                    describe_fields(&variant.fields, p),
                );
                quote!(variants.variant(#name, |fields| { #fields });)
            });
            quote!(shape.choice::<Self>(#name, #depth, |variants| { #(#variants)* });)
        }
        (None, WireBody::Union(_)) => TokenStream::new(),
    };
    quote! {
        #[automatically_derived]
        impl #impl_generics #p::Wire for #ident #ty_generics #where_clause {
            fn describe(shape: &mut #p::WireShape) { #body }
        }
    }
}

fn describe_fields(fields: &WireFields, p: &TokenStream) -> TokenStream {
    let calls = fields.fields.iter().map(|field| {
        let (name, ty) = (&field.name, &field.ty);
        match &field.opaque {
            Some(opaque) => {
                let text = &opaque.value;
                quote!(fields.opaque(#name, #text);)
            }
            None => {
                let describe = under(ty.span(), quote!(#p::Field::describe));
                let (carrier, fields) = (carrier(field, p), quote!(fields));
                quote_spanned!(ty.span()=> #describe(#carrier, #fields, #name);)
            }
        }
    });
    quote!(#(#calls)*)
}

fn serialize(wire: &WireType, generics: &Generics, p: &TokenStream) -> TokenStream {
    let ident = &wire.ident;
    let name = declared(ident);
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    let arms = match &wire.body {
        WireBody::Struct(fields) => {
            let pattern = pattern(fields);
            let body = serialize_struct(&name, fields, p);
            quote!(Self #pattern => { #body })
        }
        WireBody::Enum(variants) => {
            let arms = variants.iter().enumerate().map(|(position, variant)| {
                let (ident, pattern) = (&variant.ident, pattern(&variant.fields));
                let body = serialize_variant(&name, position, ident, &variant.fields, p);
                quote!(Self::#ident #pattern => { #body })
            });
            quote!(#(#arms)*)
        }
        WireBody::Union(_) => TokenStream::new(),
    };
    quote! {
        #[automatically_derived]
        impl #impl_generics #p::serde::Serialize for #ident #ty_generics #where_clause {
            fn serialize<__S: #p::serde::Serializer>(
                &self,
                serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                match *self { #arms }
            }
        }
    }
}

/// Returns `{ member: ref local, … }`.
fn pattern(fields: &WireFields) -> TokenStream {
    let members = fields.fields.iter().map(|field| &field.member);
    let locals = locals(fields);
    quote!({ #(#members: ref #locals),* })
}

/// Returns one local name for each field, which the user's own names cannot meet.
fn locals(fields: &WireFields) -> Vec<Ident> {
    (0..fields.fields.len())
        .map(|position| format_ident!("field_{position}", span = Span::mixed_site()))
        .collect()
}

/// Returns an expression that serde can serialise.
fn leaving(field: &WireField, local: &Ident, p: &TokenStream) -> TokenStream {
    let ty = &field.ty;
    match field.opaque {
        Some(_) => local.to_token_stream(),
        None => {
            let leaves = under(ty.span(), quote!(#p::Field::leaves));
            let carrier = carrier(field, p);
            quote_spanned!(ty.span()=> &#leaves(#carrier, #local))
        }
    }
}

/// Returns what can do things with a field's values; the only place that asks for `Wire`.
fn carrier(field: &WireField, p: &TokenStream) -> TokenStream {
    let ty = &field.ty;
    under(ty.span(), quote!(#p::field::<#ty>()))
}

fn serialize_struct(name: &str, fields: &WireFields, p: &TokenStream) -> TokenStream {
    let len = fields.fields.len();
    let serializer = quote!(#p::serde::Serializer);
    match (fields.style, fields.fields.as_slice()) {
        (FieldStyle::Unit, _) => quote!(#serializer::serialize_unit_struct(serializer, #name)),
        (FieldStyle::Tuple, [field]) => {
            let value = leaving(field, &locals(fields)[0], p);
            let function = under(
                field.ty.span(),
                quote!(#serializer::serialize_newtype_struct),
            );
            quote!(#function(serializer, #name, #value))
        }
        (FieldStyle::Tuple, _) => serialize_fields(
            &quote!(#serializer::serialize_tuple_struct(serializer, #name, #len)),
            &quote!(#p::serde::ser::SerializeTupleStruct),
            fields,
            p,
        ),
        (FieldStyle::Named, _) => serialize_fields(
            &quote!(#serializer::serialize_struct(serializer, #name, #len)),
            &quote!(#p::serde::ser::SerializeStruct),
            fields,
            p,
        ),
    }
}

fn serialize_variant(
    name: &str,
    position: usize,
    ident: &Ident,
    fields: &WireFields,
    p: &TokenStream,
) -> TokenStream {
    let (variant, len) = (declared(ident), fields.fields.len());
    let position = u32::try_from(position).unwrap_or(u32::MAX);
    let serializer = quote!(#p::serde::Serializer);
    let place = quote!(serializer, #name, #position, #variant);
    match (fields.style, fields.fields.as_slice()) {
        (FieldStyle::Unit, _) => quote!(#serializer::serialize_unit_variant(#place)),
        (FieldStyle::Tuple, [field]) => {
            let value = leaving(field, &locals(fields)[0], p);
            let function = under(
                field.ty.span(),
                quote!(#serializer::serialize_newtype_variant),
            );
            quote!(#function(#place, #value))
        }
        (FieldStyle::Tuple, _) => serialize_fields(
            &quote!(#serializer::serialize_tuple_variant(#place, #len)),
            &quote!(#p::serde::ser::SerializeTupleVariant),
            fields,
            p,
        ),
        (FieldStyle::Named, _) => serialize_fields(
            &quote!(#serializer::serialize_struct_variant(#place, #len)),
            &quote!(#p::serde::ser::SerializeStructVariant),
            fields,
            p,
        ),
    }
}

/// Emits the calls between the opening and the end of a compound.
fn serialize_fields(
    open: &TokenStream,
    compound: &TokenStream,
    fields: &WireFields,
    p: &TokenStream,
) -> TokenStream {
    let locals = locals(fields);
    let calls = fields.fields.iter().zip(&locals).map(|(field, local)| {
        let value = leaving(field, local, p);
        let function = under(field.ty.span(), quote!(#compound::serialize_field));
        let name = match fields.style {
            FieldStyle::Named => Some(&field.name),
            FieldStyle::Tuple | FieldStyle::Unit => None,
        };
        let name = name.map(|name| quote!(#name,));
        quote!(#function(&mut compound, #name #value)?;)
    });
    // Without fields nothing is added to the compound.
    let mutability = (!fields.fields.is_empty()).then(|| quote!(mut));
    quote! {
        let #mutability compound = #open?;
        #(#calls)*
        #compound::end(compound)
    }
}
