//! `#[derive(Service)]` and `#[derive(Actor)]`: the ref and `Definition`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Ident, Path, ext::IdentExt, spanned::Spanned};

use super::{assertion, hidden, private, ref_ident, reference};
use crate::{
    check,
    model::{Definition, DefinitionSettings, Flavor, Kind, Millis},
};

/// Emits what the derive adds.
pub(crate) fn definition(definition: &Definition) -> TokenStream {
    let settings = &definition.settings;
    let p = private(settings.callboard.as_ref());
    let flavor = definition.flavor;
    let state = assertion::state(&definition.ident, &definition.fields, &p);
    let state = state.map(|state| hidden(&state));
    let kind = one_kind(definition, &p);
    if let Some(contract) = &settings.contract {
        let own = implementation(&definition.ident, flavor, &contract.value, settings, &p);
        return quote!(#kind #state #own);
    }
    let addressing = check::kind(Some(flavor), settings);
    let reference = reference::reference(&definition.vis, &definition.ident, &p);
    let own = own(&definition.ident, addressing, settings, &p);
    quote!(#kind #state #reference #own)
}

/// Emits what one of the two derives says of a type, and the other one asks.
fn one_kind(definition: &Definition, p: &TokenStream) -> TokenStream {
    let ident = &definition.ident;
    match definition.flavor {
        Flavor::Actor => quote! {
            #[automatically_derived]
            impl #p::DerivesActor for #ident {}
        },
        Flavor::Service => hidden(&assertion::one_kind(ident, p)),
    }
}

/// Emits `Definition` for a type with a ref of its own.
pub(super) fn own(
    ident: &Ident,
    kind: Kind,
    settings: &DefinitionSettings,
    p: &TokenStream,
) -> TokenStream {
    let name = match &settings.name {
        Some(given) => given.value.clone(),
        None => ident.unraw().to_string(),
    };
    let key = match &settings.key {
        Some(given) => {
            let ty = check::key_type(&given.value);
            quote!(#ty)
        }
        None => quote!(#p::NoKey),
    };
    let addressing = Ident::new(
        match kind {
            Kind::Service => "IsService",
            Kind::Spawned => "IsSpawned",
            Kind::Keyed => "IsKeyed",
        },
        Span::call_site(),
    );
    let reference = ref_ident(ident);
    let tuning = tuning(kind, settings, p);
    let handover = handover(settings, p);
    quote! {
        #[automatically_derived]
        #[diagnostic::do_not_recommend]
        impl #p::Definition for #ident {
            const NAME: &'static str = #name;
            const SETTINGS: #p::Settings = #tuning;
            type Addressing = #p::#addressing;
            type Key = #key;
            type Ref = #reference;
            #handover
        }
    }
}

/// Emits `Definition` for a type whose name, key and ref are those of its contract.
fn implementation(
    ident: &Ident,
    flavor: Flavor,
    contract: &Path,
    settings: &DefinitionSettings,
    p: &TokenStream,
) -> TokenStream {
    let base = match flavor {
        Flavor::Service => Kind::Service,
        Flavor::Actor => Kind::Spawned,
    };
    let tuning = tuning(base, settings, p);
    let handover = handover(settings, p);
    let of_contract = quote_spanned!(contract.span()=> <#contract as #p::Definition>);
    let kind = hidden(&assertion::contract_kind(flavor, contract, p));
    quote! {
        #[automatically_derived]
        impl #p::Definition for #ident {
            const NAME: &'static str = #of_contract::NAME;
            const SETTINGS: #p::Settings = #tuning;
            type Addressing = #of_contract::Addressing;
            type Key = #of_contract::Key;
            type Ref = #of_contract::Ref;
            #handover
        }
        #kind
    }
}

/// Emits how the state travels. That it does not is an error under `handover`.
fn handover(settings: &DefinitionSettings, p: &TokenStream) -> Option<TokenStream> {
    let span = settings.handover.as_ref()?.name.span();
    let made = quote_spanned!(span=> #p::Handover::<Self>::new());
    Some(quote! {
        fn handover() -> ::core::option::Option<#p::Handover<Self>> {
            ::core::option::Option::Some(#made)
        }
    })
}

fn tuning(kind: Kind, settings: &DefinitionSettings, p: &TokenStream) -> TokenStream {
    let base = match kind {
        Kind::Service => quote!(service),
        Kind::Spawned => quote!(spawned),
        Kind::Keyed => quote!(keyed),
    };
    let mut tokens = quote!(#p::Settings::#base());
    let millis = |Millis(millis): Millis| quote!(#p::millis(#millis));
    for (name, given) in [
        (quote!(mailbox), &settings.mailbox),
        (quote!(readers), &settings.readers),
        (quote!(concurrency), &settings.concurrency),
    ] {
        if let Some(given) = given {
            let value = given.value;
            tokens.extend(quote!(.#name(#value)));
        }
    }
    if settings.persist.is_some() {
        tokens.extend(quote!(.persist(true)));
    }
    if let Some(idle) = &settings.idle {
        let idle = millis(idle.value);
        tokens.extend(quote!(.idle(#idle)));
    }
    if let Some(wait) = &settings.wait {
        let wait = millis(wait.value);
        tokens.extend(quote!(.wait(#wait)));
    }
    if let Some(restart) = &settings.restart {
        let restart = restart.value;
        tokens.extend(quote!(.restart(#restart)));
    }
    if let Some(intensity) = &settings.intensity {
        let (restarts, within) = (intensity.value.0, millis(intensity.value.1));
        tokens.extend(quote!(.intensity(#restarts, #within)));
    }
    if let Some(backoff) = &settings.backoff {
        let (min, max) = (millis(backoff.value.0), millis(backoff.value.1));
        tokens.extend(quote!(.backoff(#min, #max)));
    }
    if let Some(placement) = &settings.placement {
        let placement = &placement.value;
        tokens.extend(quote!(.placement(#placement)));
    }
    if let Some(role) = &settings.role {
        let role = &role.value;
        tokens.extend(quote!(.role(#role)));
    }
    tokens
}
