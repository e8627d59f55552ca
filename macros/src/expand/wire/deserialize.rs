//! The `Deserialize` half: one visitor for the type, one for each variant with several fields.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Generics, Ident, spanned::Spanned};

use super::{super::under, carrier, declared, locals};
use crate::model::{FieldStyle, WireBody, WireField, WireFields, WireType, WireVariant};

/// The type being built, for all visitors.
struct Context<'a> {
    ident: &'a Ident,
    generics: &'a Generics,
    p: &'a TokenStream,
}

/// Emits `Deserialize` and its visitors.
pub(super) fn deserialize(wire: &WireType, generics: &Generics, p: &TokenStream) -> TokenStream {
    let context = Context {
        ident: &wire.ident,
        generics,
        p,
    };
    let name = declared(&wire.ident);
    let visitor = Ident::new("__Visitor", Span::call_site());
    let construct = construct(&visitor);
    let (call, visitors) = match &wire.body {
        WireBody::Struct(fields) => {
            let visitor = context.visitor(&visitor, &quote!(), fields, &format!("struct {name}"));
            (deserialize_struct(&name, fields, &construct, p), visitor)
        }
        WireBody::Enum(variants) => {
            let names = variants.iter().map(|variant| declared(&variant.ident));
            let call = quote! {
                #p::serde::Deserializer::deserialize_enum(
                    deserializer, #name, &[#(#names),*], #construct,
                )
            };
            (call, context.enum_visitors(&visitor, &name, variants))
        }
        WireBody::Union(_) => return TokenStream::new(),
    };
    let ident = &wire.ident;
    let with_de = context.with_de();
    let (impl_generics, ..) = with_de.split_for_impl();
    let (_, ty_generics, where_clause) = generics.split_for_impl();
    quote! {
        #visitors

        #[automatically_derived]
        impl #impl_generics #p::serde::Deserialize<'de> for #ident #ty_generics #where_clause {
            fn deserialize<__D: #p::serde::Deserializer<'de>>(
                deserializer: __D,
            ) -> ::core::result::Result<Self, __D::Error> {
                #call
            }
        }
    }
}

fn construct(visitor: &Ident) -> TokenStream {
    quote!(#visitor(::core::marker::PhantomData))
}

fn deserialize_struct(
    name: &str,
    fields: &WireFields,
    visitor: &TokenStream,
    p: &TokenStream,
) -> TokenStream {
    let (len, names) = (fields.fields.len(), names(fields));
    let deserializer = quote!(#p::serde::Deserializer);
    match (fields.style, len) {
        (FieldStyle::Unit, _) => {
            quote!(#deserializer::deserialize_unit_struct(deserializer, #name, #visitor))
        }
        (FieldStyle::Tuple, 1) => {
            quote!(#deserializer::deserialize_newtype_struct(deserializer, #name, #visitor))
        }
        (FieldStyle::Tuple, _) => {
            quote!(#deserializer::deserialize_tuple_struct(deserializer, #name, #len, #visitor))
        }
        (FieldStyle::Named, _) => {
            quote!(#deserializer::deserialize_struct(deserializer, #name, #names, #visitor))
        }
    }
}

fn names(fields: &WireFields) -> TokenStream {
    let names = fields.fields.iter().map(|field| &field.name);
    quote!(&[#(#names),*])
}

impl Context<'_> {
    /// Returns the generics with `'de` in front.
    fn with_de(&self) -> Generics {
        let mut generics = self.generics.clone();
        generics.params.insert(0, syn::parse_quote!('de));
        generics
    }

    /// Emits the visitor that builds a struct, or a variant when `variant` is `::Name`.
    fn visitor(
        &self,
        visitor: &Ident,
        variant: &TokenStream,
        fields: &WireFields,
        expected: &str,
    ) -> TokenStream {
        let ident = self.ident;
        let path = quote!(#ident #variant);
        let visits = match (fields.style, fields.fields.as_slice()) {
            (FieldStyle::Unit, _) => quote! {
                fn visit_unit<__E>(self) -> ::core::result::Result<Self::Value, __E> {
                    ::core::result::Result::Ok(#path {})
                }
            },
            (FieldStyle::Tuple, [field]) => {
                let newtype = self.visit_newtype(&path, field);
                let seq = self.visit_seq(&path, fields, expected);
                quote!(#newtype #seq)
            }
            (FieldStyle::Tuple, _) => self.visit_seq(&path, fields, expected),
            (FieldStyle::Named, _) => {
                let seq = self.visit_seq(&path, fields, expected);
                let map = self.visit_map(&path, fields);
                quote!(#seq #map)
            }
        };
        self.visitor_frame(visitor, expected, &visits)
    }

    fn visitor_frame(&self, visitor: &Ident, expected: &str, visits: &TokenStream) -> TokenStream {
        let (p, ident) = (self.p, self.ident);
        let with_de = self.with_de();
        let (de_generics, ..) = with_de.split_for_impl();
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        quote! {
            struct #visitor #impl_generics (
                ::core::marker::PhantomData<fn() -> #ident #ty_generics>,
            ) #where_clause;

            #[automatically_derived]
            impl #de_generics #p::serde::de::Visitor<'de> for #visitor #ty_generics #where_clause {
                type Value = #ident #ty_generics;
                fn expecting(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    f.write_str(#expected)
                }
                #visits
            }
        }
    }

    fn visit_newtype(&self, path: &TokenStream, field: &WireField) -> TokenStream {
        let p = self.p;
        let seed = self.seed(field);
        let function = under(
            field.ty.span(),
            quote!(#p::serde::de::DeserializeSeed::deserialize),
        );
        quote! {
            fn visit_newtype_struct<__D: #p::serde::Deserializer<'de>>(
                self,
                deserializer: __D,
            ) -> ::core::result::Result<Self::Value, __D::Error> {
                let value = #function(#seed, deserializer)?;
                ::core::result::Result::Ok(#path { 0: value })
            }
        }
    }

    fn visit_seq(&self, path: &TokenStream, fields: &WireFields, expected: &str) -> TokenStream {
        let p = self.p;
        let (locals, members) = (
            locals(fields),
            fields.fields.iter().map(|field| &field.member),
        );
        let reads = fields
            .fields
            .iter()
            .zip(&locals)
            .enumerate()
            .map(|(at, (field, local))| {
                let seed = self.seed(field);
                let next = under(
                    field.ty.span(),
                    quote!(#p::serde::de::SeqAccess::next_element_seed),
                );
                quote! {
                    let ::core::option::Option::Some(#local) = #next(&mut seq, #seed)?
                    else {
                        return ::core::result::Result::Err(
                            #p::serde::de::Error::invalid_length(#at, &#expected),
                        );
                    };
                }
            });
        let mutability = (!fields.fields.is_empty()).then(|| quote!(mut));
        quote! {
            fn visit_seq<__A: #p::serde::de::SeqAccess<'de>>(
                self,
                #mutability seq: __A,
            ) -> ::core::result::Result<Self::Value, __A::Error> {
                #(#reads)*
                ::core::result::Result::Ok(#path { #(#members: #locals),* })
            }
        }
    }

    fn visit_map(&self, path: &TokenStream, fields: &WireFields) -> TokenStream {
        let p = self.p;
        let (locals, names) = (locals(fields), names(fields));
        let members = fields.fields.iter().map(|field| &field.member);
        let types = fields.fields.iter().map(|field| &field.ty);
        let arms = fields
            .fields
            .iter()
            .zip(&locals)
            .enumerate()
            .map(|(at, (field, local))| {
                let (seed, name) = (self.seed(field), &field.name);
                let next = under(
                    field.ty.span(),
                    quote!(#p::serde::de::MapAccess::next_value_seed),
                );
                quote! {
                    #at => {
                        if ::core::option::Option::is_some(&#local) {
                            return ::core::result::Result::Err(
                                #p::serde::de::Error::duplicate_field(#name),
                            );
                        }
                        #local = ::core::option::Option::Some(#next(&mut map, #seed)?);
                    }
                }
            });
        let taken = fields.fields.iter().zip(&locals).map(|(field, local)| {
            let name = &field.name;
            quote! {
                let ::core::option::Option::Some(#local) = #local else {
                    return ::core::result::Result::Err(#p::serde::de::Error::missing_field(#name));
                };
            }
        });
        quote! {
            fn visit_map<__A: #p::serde::de::MapAccess<'de>>(
                self,
                mut map: __A,
            ) -> ::core::result::Result<Self::Value, __A::Error> {
                #(let mut #locals: ::core::option::Option<#types> = ::core::option::Option::None;)*
                while let ::core::option::Option::Some(name) =
                    #p::serde::de::MapAccess::next_key_seed(&mut map, #p::Names(#names))?
                {
                    match name {
                        #(#arms)*
                        _ => {
                            #p::serde::de::MapAccess::next_value::<#p::serde::de::IgnoredAny>(
                                &mut map,
                            )?;
                        }
                    }
                }
                #(#taken)*
                ::core::result::Result::Ok(#path { #(#members: #locals),* })
            }
        }
    }

    /// Returns what deserialises one field.
    fn seed(&self, field: &WireField) -> TokenStream {
        let (p, ty) = (self.p, &field.ty);
        match field.opaque {
            Some(_) => quote!(::core::marker::PhantomData::<#ty>),
            None => {
                let arrives = under(ty.span(), quote!(#p::Field::arrives));
                let carrier = carrier(field, p);
                quote_spanned!(ty.span()=> #arrives(#carrier))
            }
        }
    }

    fn enum_visitors(&self, visitor: &Ident, name: &str, variants: &[WireVariant]) -> TokenStream {
        let p = self.p;
        let names = variants
            .iter()
            .map(|variant| declared(&variant.ident))
            .collect::<Vec<_>>();
        let mut inner = TokenStream::new();
        let arms = variants.iter().enumerate().map(|(at, variant)| {
            let of_variant = format_ident!("__Visitor{at}");
            let read = self.read_variant(variant, &of_variant);
            if needs_visitor(variant) {
                let ident = &variant.ident;
                let expected = format!("variant {name}::{ident}");
                inner.extend(self.visitor(
                    &of_variant,
                    &quote!(::#ident),
                    &variant.fields,
                    &expected,
                ));
            }
            quote!(#at => { #read })
        });
        let visit = quote! {
            fn visit_enum<__A: #p::serde::de::EnumAccess<'de>>(
                self,
                data: __A,
            ) -> ::core::result::Result<Self::Value, __A::Error> {
                let (name, variant) =
                    #p::serde::de::EnumAccess::variant_seed(data, #p::Names(&[#(#names),*]))?;
                match name {
                    #(#arms)*
                    _ => ::core::result::Result::Err(
                        #p::serde::de::Error::custom("unknown variant"),
                    ),
                }
            }
        };
        let outer = self.visitor_frame(visitor, &format!("enum {name}"), &visit);
        quote!(#inner #outer)
    }

    fn read_variant(&self, variant: &WireVariant, visitor: &Ident) -> TokenStream {
        let (p, ident) = (self.p, self.ident);
        let (name, fields) = (&variant.ident, &variant.fields);
        let access = quote!(#p::serde::de::VariantAccess);
        match (fields.style, fields.fields.as_slice()) {
            (FieldStyle::Unit, _) => quote! {
                #access::unit_variant(variant)?;
                ::core::result::Result::Ok(#ident::#name)
            },
            (FieldStyle::Tuple, [field]) => {
                let seed = self.seed(field);
                let function = under(field.ty.span(), quote!(#access::newtype_variant_seed));
                quote! {
                    ::core::result::Result::map(
                        #function(variant, #seed),
                        #ident::#name,
                    )
                }
            }
            (FieldStyle::Tuple, _) => {
                let (len, visitor) = (fields.fields.len(), construct(visitor));
                quote!(#access::tuple_variant(variant, #len, #visitor))
            }
            (FieldStyle::Named, _) => {
                let (names, visitor) = (names(fields), construct(visitor));
                quote!(#access::struct_variant(variant, #names, #visitor))
            }
        }
    }
}

/// Whether a variant has more than serde reads by itself.
fn needs_visitor(variant: &WireVariant) -> bool {
    match variant.fields.style {
        FieldStyle::Unit => false,
        FieldStyle::Tuple => variant.fields.fields.len() != 1,
        FieldStyle::Named => true,
    }
}
