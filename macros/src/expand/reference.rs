//! The ref type: a named wrapper around the runtime's handle, with the traits of a value.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Ident, Visibility};

use super::{is_own, ref_ident, under};

/// Emits `<Type>Ref`, its impls under the bound `one_kind`.
pub(super) fn reference(
    vis: &Visibility,
    owner: &Ident,
    one_kind: Option<&TokenStream>,
    p: &TokenStream,
) -> TokenStream {
    let (name, field) = (ref_ident(owner), field());
    let doc = format!(
        "The handle of [`{owner}`] that callers hold: cheap to clone, and it travels in messages."
    );
    let clause = one_kind.map(|bound| quote!(where #bound));
    let values = values(&name, clause.as_ref(), p);
    let travels = travels(&name, owner, clause.as_ref(), p);
    // The compiler would name the refs of our own services to each user whose type is no definition.
    let named = (!is_own()).then(|| named(&name, owner, one_kind, p));
    // What is missing on the ref, or too private about it, is to be mended where the type is written.
    let item = under(
        owner.span(),
        quote!(struct #name { #field: #p::Ref<#owner> }),
    );
    quote! {
        #[doc = #doc]
        #[allow(deprecated, unreachable_pub, clippy::module_name_repetitions)]
        #vis #item

        #[automatically_derived]
        #[allow(deprecated)]
        #[diagnostic::do_not_recommend]
        impl #p::Reference for #name #clause {
            type Interface = #owner;
            fn from_raw(raw: #p::Ref<#owner>) -> Self {
                Self { #field: raw }
            }
            fn as_raw(this: &Self) -> &#p::Ref<#owner> {
                &this.#field
            }
        }

        #values
        #travels
        #named
    }
}

/// Emits that the ref is a definition under a bound that never holds, which has the words for who
/// writes `service::<GreeterRef>()`.
fn named(
    name: &Ident,
    owner: &Ident,
    one_kind: Option<&TokenStream>,
    p: &TokenStream,
) -> TokenStream {
    let named = quote! {
        #[allow(deprecated, unused_lifetimes)]
        impl #p::Definition for #name
        where
            for<'__any> #name: #p::NamedByItself<#owner>,
            // A key that cannot be one is told by the definition itself.
            for<'__any> <#owner as #p::Definition>::Key: #p::Key,
            #one_kind
        {
            const NAME: &'static str = <#owner as #p::Definition>::NAME;
            const SETTINGS: #p::Settings = <#owner as #p::Definition>::SETTINGS;
            type Addressing = <#owner as #p::Definition>::Addressing;
            type Key = <#owner as #p::Definition>::Key;
            type Ref = #name;
        }
    };
    // Of what a derive has written the compiler would say that it should be written by hand.
    under(owner.span(), named)
}

/// Returns the name of the one field of a ref. The compiler proposes it to who reads a field of the actor through the
/// ref, so it says what to do.
fn field() -> Ident {
    format_ident!("__fields_stay_on_the_node_add_a_handler_that_returns_what_you_need")
}

fn values(name: &Ident, clause: Option<&TokenStream>, p: &TokenStream) -> TokenStream {
    let field = field();
    quote! {
        #[automatically_derived]
        impl ::core::clone::Clone for #name #clause {
            fn clone(&self) -> Self {
                Self { #field: ::core::clone::Clone::clone(&self.#field) }
            }
        }
        #[automatically_derived]
        impl ::core::cmp::PartialEq for #name #clause {
            fn eq(&self, other: &Self) -> bool {
                ::core::cmp::PartialEq::eq(&self.#field, &other.#field)
            }
        }
        #[automatically_derived]
        impl ::core::cmp::Eq for #name #clause {}
        #[automatically_derived]
        impl ::core::hash::Hash for #name #clause {
            fn hash<H: ::core::hash::Hasher>(&self, state: &mut H) {
                ::core::hash::Hash::hash(&self.#field, state);
            }
        }
        #[automatically_derived]
        impl ::core::fmt::Debug for #name #clause {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Debug::fmt(&self.#field, f)
            }
        }
        #[automatically_derived]
        impl #p::serde::Serialize for #name #clause {
            fn serialize<S: #p::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                #p::serde::Serialize::serialize(&self.#field, serializer)
            }
        }
        #[automatically_derived]
        impl<'de> #p::serde::Deserialize<'de> for #name #clause {
            fn deserialize<D: #p::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                ::core::result::Result::map(
                    #p::serde::Deserialize::deserialize(deserializer),
                    |raw| Self { #field: raw },
                )
            }
        }
    }
}

fn travels(
    name: &Ident,
    owner: &Ident,
    clause: Option<&TokenStream>,
    p: &TokenStream,
) -> TokenStream {
    quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl #p::Wire for #name #clause {
            fn describe(shape: &mut #p::WireShape) {
                <#p::Ref<#owner> as #p::Wire>::describe(shape);
            }
        }
    }
}
