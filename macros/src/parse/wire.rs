//! Reads the item of `#[derive(Wire)]`.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Attribute, Data, DeriveInput, Fields, Member};

use super::attribute::{self, Setting};
use crate::{
    code::Code,
    model::{FieldStyle, Given, WireBody, WireField, WireFields, WireType, WireVariant},
    problem::Problems,
};

/// Reads a type that derives `Wire`.
pub(crate) fn wire(item: TokenStream, problems: &Problems) -> syn::Result<WireType> {
    let item: DeriveInput = syn::parse2(item)?;
    let mut serde = Vec::new();
    keep_serde(&item.attrs, &mut serde);
    let body = match item.data {
        Data::Struct(data) => WireBody::Struct(fields(data.fields, &mut serde, problems)),
        Data::Union(data) => WireBody::Union(data.union_token.to_token_stream()),
        Data::Enum(data) => WireBody::Enum(
            data.variants
                .into_iter()
                .map(|variant| {
                    keep_serde(&variant.attrs, &mut serde);
                    nothing_allowed(&variant.attrs, problems);
                    let fields = fields(variant.fields, &mut serde, problems);
                    WireVariant {
                        ident: variant.ident,
                        fields,
                    }
                })
                .collect(),
        ),
    };
    let mut wire = WireType {
        ident: item.ident,
        generics: item.generics,
        callboard: None,
        opaque: None,
        depth: None,
        serde,
        body,
    };
    for setting in settings(&item.attrs, TYPE, problems) {
        match setting.name.to_string().as_str() {
            "crate" => wire.callboard = setting.path(problems).map(|given| given.value),
            "opaque" => wire.opaque = opaque(&setting, problems),
            "depth" => wire.depth = depth(&setting, problems),
            _ => {}
        }
    }
    Ok(wire)
}

fn fields(fields: Fields, serde: &mut Vec<Attribute>, problems: &Problems) -> WireFields {
    let style = match &fields {
        Fields::Named(_) => FieldStyle::Named,
        Fields::Unnamed(_) => FieldStyle::Tuple,
        Fields::Unit => FieldStyle::Unit,
    };
    let fields = fields.into_iter().enumerate().map(|(position, field)| {
        keep_serde(&field.attrs, serde);
        let member = match field.ident {
            Some(ident) => Member::Named(ident),
            None => Member::Unnamed(position.into()),
        };
        let list = settings(&field.attrs, FIELD, problems);
        WireField {
            name: match &member {
                Member::Named(ident) => syn::ext::IdentExt::unraw(ident).to_string(),
                Member::Unnamed(_) => position.to_string(),
            },
            member,
            ty: field.ty,
            opaque: list.iter().find_map(|setting| opaque(setting, problems)),
        }
    });
    WireFields {
        style,
        fields: fields.collect(),
    }
}

fn settings(attrs: &[Attribute], allowed: &[&str], problems: &Problems) -> Vec<Setting> {
    attrs
        .iter()
        .filter(|attr| attr.path().is_ident("wire"))
        .flat_map(|attr| attribute::of_attribute(attr, "wire", allowed, problems))
        .collect()
}

fn nothing_allowed(attrs: &[Attribute], problems: &Problems) {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("wire")) {
        let message = "`#[wire]` has no settings for a variant; put it on the type or on a field";
        problems.under(attr.path(), Code::WrongAttribute, message);
    }
}

fn opaque(setting: &Setting, problems: &Problems) -> Option<Given<String>> {
    let given = setting.text(problems)?;
    let text = given.value.value();
    let is_versioned = text.rsplit_once('/').is_some_and(|(name, version)| {
        !name.is_empty() && !name.contains(char::is_whitespace) && version.parse::<u32>().is_ok()
    });
    if !is_versioned {
        let message = "`opaque` is a name and a version that changes with the bytes, such as \
                       \"money/1\"";
        // The type is treated as opaque all the same: that much is clear.
        problems.under(&given.value, Code::OpaqueName, message);
    }
    Some(Given {
        name: given.name,
        value: text,
    })
}

fn depth(setting: &Setting, problems: &Problems) -> Option<Given<u32>> {
    let given = setting.number(DEPTH_MAX, problems)?;
    Some(Given {
        name: given.name,
        value: u32::try_from(given.value).ok()?,
    })
}

fn keep_serde(attrs: &[Attribute], serde: &mut Vec<Attribute>) {
    serde.extend(
        attrs
            .iter()
            .filter(|attr| attr.path().is_ident("serde"))
            .cloned(),
    );
}

/// The cap of the decoder: deeper bodies are refused whatever a type states.
const DEPTH_MAX: u64 = 256;

const TYPE: &[&str] = &["depth", "opaque", "crate"];
const FIELD: &[&str] = &["opaque"];
