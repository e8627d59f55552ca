//! `#[derive(Service)]` and `#[derive(Actor)]`: the ref and `Definition`.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Ident, Path, ext::IdentExt, spanned::Spanned};

use super::{assertion, hidden, private, ref_ident, reference};
use crate::{
    check,
    code::Code,
    model::{Definition, DefinitionSettings, Flavor, Kind, Millis},
};

/// Emits what the derive adds.
pub(crate) fn definition(definition: &Definition) -> TokenStream {
    let settings = &definition.settings;
    let p = private(settings.callboard.as_ref());
    let flavor = definition.flavor;
    let checked = assertion::checked(&definition.ident, &definition.fields, &p);
    let (kind, bound) = one_kind(definition, &p);
    if let Some(contract) = &settings.contract {
        let own = implementation(definition, &contract.value, checked, Some(&bound), &p);
        return quote!(#kind #own);
    }
    let addressing = check::kind(Some(flavor), settings);
    let reference = reference::reference(&definition.vis, &definition.ident, Some(&bound), &p);
    let own = own(
        &definition.ident,
        addressing,
        settings,
        checked,
        Some(&bound),
        &p,
    );
    quote!(#kind #reference #own)
}

/// Emits what tells a type that has both derives, and returns the bound of all that both emit.
///
/// Neither sees the other. Both define a name, with the code and what to do in it: the compiler compares the
/// names of a module before all else. Of the rest it would tell each trait that both implement, so each derive's
/// impls are under the bound that the type goes by it, and a type with both goes by `Actor`. The bound is on an
/// associated type: an impl supposes its own bounds, and with this one it finds one impl of everything all the
/// same. `for<'__any>` has the compiler say nothing where the bound does not hold.
fn one_kind(definition: &Definition, p: &TokenStream) -> (TokenStream, TokenStream) {
    let ident = &definition.ident;
    let name = format_ident!(
        "CB0069_keep_either_Service_or_Actor_on_{}",
        ident.unraw(),
        span = Span::call_site()
    );
    debug_assert!(name.to_string().starts_with(Code::TwoKinds.text()));
    let name = quote! {
        #[doc(hidden)]
        #[allow(dead_code, non_camel_case_types)]
        type #name = ();
    };
    let (kind, derives) = match definition.flavor {
        Flavor::Actor => (
            quote!(#p::IsActor),
            Some(quote!(impl #p::DerivesActor for #ident {})),
        ),
        Flavor::Service => (quote!(#p::IsService), None),
    };
    let one = hidden(&quote! {
        use #p::Otherwise as _;

        #derives

        #[automatically_derived]
        impl #p::OneKind for #ident
        where
            for<'__any> #p::Answered<{ <#p::Probe<#ident>>::IS_ACTOR }>: #p::GoesBy<#ident, Kind = #kind>,
        {
            type Kind = #kind;
        }
    });
    // Not the user's own token: of a deprecated type each use of that is told.
    let mut owner = ident.clone();
    owner.set_span(Span::call_site());
    let bound = quote!(for<'__any> #owner: #p::OneKind<Kind = #kind>,);
    (quote!(#name #one), bound)
}

/// Emits `Definition` for a type with a ref of its own.
pub(super) fn own(
    ident: &Ident,
    kind: Kind,
    settings: &DefinitionSettings,
    checked: Option<TokenStream>,
    one_kind: Option<&TokenStream>,
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
            Kind::Spawned => placed(settings).unwrap_or("IsSpawned"),
            Kind::Keyed => "IsKeyed",
        },
        Span::call_site(),
    );
    let reference = ref_ident(ident);
    let tuning = tuning(kind, settings, p);
    let handover = handover(settings, p);
    let clause = one_kind.map(|bound| quote!(where #bound));
    quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        #[diagnostic::do_not_recommend]
        impl #p::Definition for #ident #clause {
            const NAME: &'static str = #name;
            const SETTINGS: #p::Settings = #tuning;
            #checked
            type Addressing = #p::#addressing;
            type Key = #key;
            type Ref = #reference;
            #handover
        }
    }
}

/// Emits `Definition` for a type whose name, key and ref are those of its contract.
fn implementation(
    definition: &Definition,
    contract: &Path,
    checked: Option<TokenStream>,
    one_kind: Option<&TokenStream>,
    p: &TokenStream,
) -> TokenStream {
    let (ident, flavor, settings) = (&definition.ident, definition.flavor, &definition.settings);
    let base = match flavor {
        Flavor::Service => Kind::Service,
        Flavor::Actor => Kind::Spawned,
    };
    let tuning = tuning(base, settings, p);
    let handover = handover(settings, p);
    let of_contract = quote_spanned!(contract.span()=> <#contract as #p::Definition>);
    let addressing = match settings.placement.as_ref().zip(placed(settings)) {
        Some((given, placed)) => {
            let placed = Ident::new(placed, given.name.span());
            quote_spanned! {given.name.span()=>
                <#of_contract::Addressing as #p::Placeable<#p::#placed>>::Placed
            }
        }
        None => quote!(#of_contract::Addressing),
    };
    let kind = hidden(&assertion::contract_kind(flavor, contract, p));
    let clause = one_kind.map(|bound| quote!(where #bound));
    quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl #p::Definition for #ident #clause {
            const NAME: &'static str = #of_contract::NAME;
            const SETTINGS: #p::Settings = #tuning;
            #checked
            type Addressing = #addressing;
            type Key = #of_contract::Key;
            type Ref = #of_contract::Ref;
            #handover
        }
        #kind
    }
}

/// Returns how a spawned actor that says where it is to be is addressed.
fn placed(settings: &DefinitionSettings) -> Option<&'static str> {
    match settings.placement.as_ref()?.value.as_str() {
        "least_loaded" => Some("IsLeastLoaded"),
        "pinned" => Some("IsPinned"),
        _ => None,
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
    if let Some(labels) = &settings.labels {
        let labels = labels
            .value
            .iter()
            .map(|(name, value)| quote!((#name, #value)));
        tokens.extend(quote!(.labels(&[#(#labels),*])));
    }
    if let Some(zones) = &settings.zones {
        let zones = &zones.value;
        tokens.extend(quote!(.zones(&[#(#zones),*])));
    }
    tokens
}
