//! What the macros know of an item: plain values between `parse` and `expand`. No rules here.
//!
//! Where a rule has to point at the user's token, the token is kept beside the value.

use proc_macro2::TokenStream;
use syn::{
    Attribute, Generics, Ident, Path, Receiver, ReturnType, Signature, Type, Visibility,
    punctuated::Punctuated,
};

/// A value that a setting gave, with the setting's name as the user wrote it.
#[derive(Clone)]
pub(crate) struct Given<T> {
    pub(crate) name: Ident,
    pub(crate) value: T,
}

/// Which derive was used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavor {
    Service,
    Actor,
}

/// How an interface is addressed; the runtime's `Kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Service,
    Spawned,
    Keyed,
}

/// The input of `#[derive(Service)]` and `#[derive(Actor)]`.
pub(crate) struct Definition {
    pub(crate) flavor: Flavor,
    pub(crate) vis: Visibility,
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    /// The `enum` or `union` keyword, if it is not a struct.
    pub(crate) not_struct: Option<TokenStream>,
    /// The types of the fields.
    pub(crate) fields: Vec<Type>,
    pub(crate) settings: DefinitionSettings,
}

/// The settings of `#[service(…)]`, `#[actor(…)]` and `#[contract(…)]`.
#[derive(Default)]
pub(crate) struct DefinitionSettings {
    pub(crate) callboard: Option<Path>,
    pub(crate) name: Option<Given<String>>,
    pub(crate) contract: Option<Given<Path>>,
    pub(crate) key: Option<Given<Type>>,
    pub(crate) spawned: Option<Given<()>>,
    pub(crate) persist: Option<Given<()>>,
    pub(crate) handover: Option<Given<()>>,
    pub(crate) idle: Option<Given<Millis>>,
    pub(crate) mailbox: Option<Given<usize>>,
    pub(crate) wait: Option<Given<Millis>>,
    pub(crate) readers: Option<Given<usize>>,
    pub(crate) concurrency: Option<Given<usize>>,
    pub(crate) restart: Option<Given<bool>>,
    pub(crate) intensity: Option<Given<(u32, Millis)>>,
    pub(crate) backoff: Option<Given<(Millis, Millis)>>,
    pub(crate) placement: Option<Given<String>>,
    pub(crate) role: Option<Given<String>>,
    pub(crate) labels: Option<Given<Vec<(String, String)>>>,
    pub(crate) zones: Option<Given<Vec<String>>>,
}

/// A duration in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) u64);

/// What `timeout = "…"` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timeout {
    After(Millis),
    Never,
}

/// The input of `#[handlers]`.
pub(crate) struct HandlerSet {
    pub(crate) settings: HandlersSettings,
    /// The `impl` line without its items, as the user wrote it.
    pub(crate) self_ty: Type,
    pub(crate) generics: Generics,
    /// The trait of `impl Trait for Type`.
    pub(crate) trait_path: Option<Path>,
    /// The user's item without our attributes.
    pub(crate) item: TokenStream,
    pub(crate) methods: Vec<Method>,
}

/// The settings of `#[handlers(…)]`.
#[derive(Default)]
pub(crate) struct HandlersSettings {
    pub(crate) callboard: Option<Path>,
    pub(crate) contract: Option<Given<Path>>,
}

/// The input of `#[contract]`.
pub(crate) struct Contract {
    pub(crate) settings: DefinitionSettings,
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    /// What a contract's trait cannot have: supertraits, `unsafe`, constants, types, bodies.
    pub(crate) foreign: Vec<TokenStream>,
    pub(crate) methods: Vec<Method>,
}

/// A method of an `impl` or of a contract's trait.
pub(crate) struct Method {
    pub(crate) vis: Visibility,
    /// The `#[handler]` attributes, empty without any.
    pub(crate) marks: Vec<Attribute>,
    pub(crate) options: HandlerOptions,
    /// `doc`, `cfg` and `deprecated`, for what is generated.
    pub(crate) kept: KeptAttributes,
    pub(crate) sig: Signature,
}

/// The user's attributes that apply to the generated items too.
#[derive(Default)]
pub(crate) struct KeptAttributes {
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) deprecated: Vec<Attribute>,
}

/// The options of `#[handler(…)]`.
#[derive(Default)]
pub(crate) struct HandlerOptions {
    pub(crate) skip: Option<Ident>,
    pub(crate) idempotent: Option<Ident>,
    pub(crate) once: Option<Ident>,
    pub(crate) abort: Option<Ident>,
    pub(crate) timeout: Option<Given<Timeout>>,
    pub(crate) name: Option<Given<String>>,
    pub(crate) allow: Option<Given<Vec<String>>>,
    pub(crate) activate: Option<Ident>,
    pub(crate) deactivate: Option<Ident>,
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookKind {
    Activate,
    Deactivate,
}

/// A method that the runtime runs when the actor begins or ends, and that passed the checks.
pub(crate) struct Hook<'a> {
    pub(crate) kind: HookKind,
    pub(crate) method: &'a Method,
    /// `activate` or `deactivate` as the user wrote it.
    pub(crate) option: &'a Ident,
    /// The arguments after `self`, in order.
    pub(crate) args: Vec<HookArg>,
}

/// One argument of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookArg {
    /// `ctx: &Ctx<Self>`.
    Ctx,
    /// `reason: Deactivation`.
    Reason,
}

/// A method that passed the checks: everything that is needed to emit its code.
pub(crate) struct Handler<'a> {
    pub(crate) method: &'a Method,
    pub(crate) ident: &'a Ident,
    pub(crate) receiver: &'a Receiver,
    pub(crate) exclusive: bool,
    /// The name on the wire.
    pub(crate) wire_name: String,
    pub(crate) is_async: bool,
    /// The arguments after `self`, in order.
    pub(crate) args: Vec<Arg>,
    pub(crate) reply: Reply,
    /// Whether an argument is not as the method has it, but as it was told to be. Such a handler is
    /// there to be called, so that its mistake is told once; it never runs.
    pub(crate) amended: bool,
}

/// What can be called of an item: the handlers, and the methods that were meant to be some.
#[derive(Default)]
pub(crate) struct Offered<'a> {
    pub(crate) handlers: Vec<Handler<'a>>,
    pub(crate) refused: Vec<Refused<'a>>,
    /// What the type has for itself, and a caller may take for a handler.
    pub(crate) withheld: Vec<Withheld<'a>>,
    pub(crate) hooks: Vec<Hook<'a>>,
}

/// A method that is not for callers, as the handler that it would be.
pub(crate) struct Withheld<'a> {
    pub(crate) method: &'a Method,
    /// How many arguments a caller would pass.
    pub(crate) args: usize,
    pub(crate) reply: Reply,
}

/// A method that did not pass the checks, as the handler that it would be.
pub(crate) struct Refused<'a> {
    pub(crate) method: &'a Method,
    pub(crate) args: Vec<Arg>,
    pub(crate) reply: Reply,
}

/// One argument of a handler.
pub(crate) struct Arg {
    pub(crate) ident: Ident,
    pub(crate) role: ArgRole,
}

/// What an argument is for.
pub(crate) enum ArgRole {
    /// `ctx: &Ctx<Self>`.
    Ctx,
    /// `Inbound<T>`: the type `T`.
    Inbound(Type),
    /// Travels in the call.
    Value(Type),
}

/// What a handler returns.
pub(crate) enum Reply {
    /// `T`; the unit type when nothing is written.
    Value(Type),
    /// A path that ends in `Result`.
    Fallible(Type),
    /// `impl Stream<Item = T> + use<>`: the type `T`.
    Stream(Type),
}

/// The input of `#[derive(Wire)]`.
pub(crate) struct WireType {
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    pub(crate) callboard: Option<Path>,
    pub(crate) opaque: Option<Given<String>>,
    pub(crate) depth: Option<Given<u32>>,
    /// `#[serde(…)]` attributes on the type, its variants and its fields.
    pub(crate) serde: Vec<Attribute>,
    pub(crate) body: WireBody,
}

/// The shape of a type that derives `Wire`.
pub(crate) enum WireBody {
    Struct(WireFields),
    Enum(Vec<WireVariant>),
    /// The `union` keyword.
    Union(TokenStream),
}

/// One variant of an enum.
pub(crate) struct WireVariant {
    pub(crate) ident: Ident,
    pub(crate) fields: WireFields,
}

/// The fields of a struct or a variant.
pub(crate) struct WireFields {
    pub(crate) style: FieldStyle,
    pub(crate) fields: Vec<WireField>,
}

/// How fields are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldStyle {
    Named,
    Tuple,
    Unit,
}

/// One field.
pub(crate) struct WireField {
    /// The name, or the position as text.
    pub(crate) name: String,
    /// How the field is accessed and constructed.
    pub(crate) member: syn::Member,
    pub(crate) ty: Type,
    pub(crate) opaque: Option<Given<String>>,
}

impl Method {
    /// Returns whether the method is for callers: `pub`, or marked, and neither skipped nor a hook.
    pub(crate) fn is_offered(&self) -> bool {
        let is_pub = matches!(self.vis, Visibility::Public(_));
        let stays = self.options.skip.is_some() || self.hook().is_some();
        !stays && (is_pub || !self.marks.is_empty())
    }

    /// Returns when the runtime runs the method by itself, if it does, and the option that says so.
    pub(crate) fn hook(&self) -> Option<(HookKind, &Ident)> {
        let activate = self.options.activate.as_ref();
        let activate = activate.map(|option| (HookKind::Activate, option));
        let deactivate = || Some((HookKind::Deactivate, self.options.deactivate.as_ref()?));
        activate.or_else(deactivate)
    }

    /// Returns the type the method gives, `()` when it names none.
    pub(crate) fn output(&self) -> Type {
        match &self.sig.output {
            ReturnType::Type(_, ty) => (**ty).clone(),
            ReturnType::Default => Type::Tuple(syn::TypeTuple {
                attrs: Vec::new(),
                paren_token: syn::token::Paren(self.sig.ident.span()),
                elems: Punctuated::new(),
            }),
        }
    }
}

impl HookKind {
    /// Returns the option that says so.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Deactivate => "deactivate",
        }
    }
}

impl Handler<'_> {
    /// Returns the types that travel in the call, in order.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&Ident, &Type)> {
        self.args.iter().filter_map(|arg| match &arg.role {
            ArgRole::Value(ty) => Some((&arg.ident, ty)),
            ArgRole::Ctx | ArgRole::Inbound(_) => None,
        })
    }

    /// Returns the item type of the streamed argument.
    pub(crate) fn inbound(&self) -> Option<&Type> {
        self.args.iter().find_map(|arg| match &arg.role {
            ArgRole::Inbound(item) => Some(item),
            ArgRole::Ctx | ArgRole::Value(_) => None,
        })
    }
}
