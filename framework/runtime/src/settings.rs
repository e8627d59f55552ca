//! What nodes and clients have in common: their settings, and the first steps of starting either.
//!
//! [`new_hub`] finds out who it is, [`open`] opens its port; what a node does between and after is
//! in `node`. It may depend on `env`, `task`, `net`, `data_dir`, `cluster` and
//! `call`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use callboard_protocol::{
    code::Code,
    id::{Incarnation, NodeId, NodeName},
    membership::Profile,
    rights::Policy,
    wire::hello::{
        FEATURE_CHOICES, FEATURE_CLUSTER, FEATURE_EPOCHS, FEATURE_FORWARDS, FEATURE_NAMESAKES,
        FEATURE_WITHDRAWS, PeerKind,
    },
};

use crate::{
    call::{CallLimits, Gate, Hub, Me},
    cluster::Inbox,
    data_dir::{DataDir, incarnation_by_clock},
    env::Env,
    net::{self, Authority, DenyList, HostPort, Identity, Net, StartError},
    task::Tasks,
};

/// What nodes and clients have in common.
pub(crate) struct Settings {
    pub(crate) name: Option<String>,
    /// Nothing: a free port of what reaches the seeds.
    pub(crate) listen: Option<HostPort>,
    pub(crate) advertise: Option<HostPort>,
    pub(crate) seeds: Vec<HostPort>,
    pub(crate) identity: Option<Identity>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) config: net::Config,
    pub(crate) limits: CallLimits,
    pub(crate) env: Env,
    pub(crate) trace_share: f64,
    pub(crate) policy: Policy,
    pub(crate) denied: DenyList,
    /// What a version before this one did not understand, which it is to be like.
    pub(crate) features_lacking: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: None,
            listen: None,
            advertise: None,
            seeds: Vec::new(),
            identity: None,
            data_dir: None,
            config: net::Config::default(),
            limits: CallLimits::default(),
            env: Env::real(),
            trace_share: 0.0,
            policy: Policy::default(),
            denied: DenyList::default(),
            features_lacking: 0,
        }
    }
}

/// A hub, and what it was made with.
pub(crate) struct Identified {
    pub(crate) hub: Arc<Hub>,
    pub(crate) identity: Identity,
    /// Keeps the data folder locked.
    pub(crate) data_dir: Option<DataDir>,
    /// The life before this one, in the data folder.
    pub(crate) last_life: Option<Incarnation>,
}

/// Makes the hub of a node or a client.
pub(crate) fn new_hub(settings: &Settings, kind: PeerKind) -> Result<Identified, StartError> {
    if !Tasks::can_run() {
        return Err(StartError::new(Code::ConfigInvalid, "runtime")
            .with_detail(format!("a {kind} is started outside of a Tokio runtime, which runs its tasks"))
            .with_advice("start it inside `#[tokio::main] async fn main`, or by `block_on` of a Tokio runtime with `enable_all`"));
    }
    settings.config.validate()?;
    settings.limits.validate()?;
    net::within("trace_share", settings.trace_share, 0.0, 1.0)?;
    settings.policy.validate().map_err(|error| {
        StartError::new(Code::ConfigInvalid, "policy").with_detail(error.to_string())
    })?;
    let folder = settings.data_dir.as_deref();
    let mut data_dir = folder
        .map(|folder| DataDir::open(&settings.env, folder))
        .transpose()?;
    let identity = match &settings.identity {
        Some(identity) => identity.clone(),
        None => development_identity(settings, data_dir.as_ref(), kind)?,
    };
    check_kind(&identity, kind)?;
    check_name(settings, &identity)?;
    let name = identity.name().to_string();
    let last_life = data_dir.as_ref().and_then(DataDir::last);
    let incarnation = match (&mut data_dir, folder) {
        (Some(data_dir), Some(folder)) => data_dir.begin(&settings.env, folder, &name)?,
        _ => incarnation_by_clock(&settings.env),
    };
    let me = Me {
        id: NodeId::of(identity.name()),
        name,
        kind,
        incarnation,
    };
    let tasks = Tasks::new(&me.name);
    let (limits, call_limits) = (settings.config.limits, settings.limits.clone());
    let peer_timeout = settings.config.peer_timeout;
    let hub = Hub::new(
        me,
        settings.env.clone(),
        tasks,
        limits,
        call_limits,
        settings.policy.clone(),
        peer_timeout,
    );
    hub.metrics().set_sampled(settings.trace_share);
    Ok(Identified {
        hub,
        identity,
        data_dir,
        last_life,
    })
}

/// A client's certificate cannot start a node, and the other way round.
fn check_kind(identity: &Identity, kind: PeerKind) -> Result<(), StartError> {
    if identity.kind() == kind {
        return Ok(());
    }
    let (cluster, name) = (identity.cluster(), identity.name());
    let (has, needs) = (identity.kind(), kind);
    let detail = format!(
        "it names spiffe://{cluster}/{has}/{name}; this needs spiffe://{cluster}/{needs}/<name>"
    );
    Err(StartError::new(Code::CertificateInvalid, "certificate").with_detail(detail))
}

fn check_name(settings: &Settings, identity: &Identity) -> Result<(), StartError> {
    match &settings.name {
        Some(name) if name != identity.name().as_str() => {
            let certificate = identity.name();
            let detail = format!("the builder says `{name}`, the certificate `{certificate}`");
            Err(StartError::new(Code::ConfigInvalid, "name").with_detail(detail))
        }
        _ => Ok(()),
    }
}

/// Opens the port of a node or a client.
pub(crate) fn open(
    identity: Identity,
    settings: Settings,
    hub: &Arc<Hub>,
    inbox: Arc<Inbox>,
) -> Result<Arc<Net>, StartError> {
    let (seeds, names) = net::seeds(settings.seeds)?;
    let listen = address("listen", settings.listen.as_ref())?;
    let local = net::Local {
        listen: listen.unwrap_or_else(|| free_port(&identity, &seeds)),
        advertise: address("advertise", settings.advertise.as_ref())?,
        seeds,
        names,
        incarnation: hub.me().incarnation,
        features: FEATURES & !settings.features_lacking,
        hosts: hub.hosted(),
        denied: settings.denied,
    };
    let gate = Arc::new(Gate::new(hub.clone(), inbox));
    let net = Net::start(
        settings.config,
        settings.env,
        &identity,
        local,
        hub.tasks(),
        gate,
    )?;
    hub.set_net(&net);
    Ok(net)
}

/// What every node and client of this version understands.
const FEATURES: u64 = FEATURE_CLUSTER
    | FEATURE_WITHDRAWS
    | FEATURE_FORWARDS
    | FEATURE_NAMESAKES
    | FEATURE_CHOICES
    | FEATURE_EPOCHS;

/// Returns the address that a setting says, if it says one.
pub(crate) fn address(
    setting: &str,
    written: Option<&HostPort>,
) -> Result<Option<SocketAddr>, StartError> {
    written.map(|written| written.addr(setting)).transpose()
}

/// A node of the development authority is called as the builder says, as in its last life, or at
/// random.
fn development_identity(
    settings: &Settings,
    data_dir: Option<&DataDir>,
    kind: PeerKind,
) -> Result<Identity, StartError> {
    let last = data_dir.and_then(|data_dir| data_dir.name.clone());
    let name = settings.name.clone().or(last).unwrap_or_else(|| {
        format!(
            "{}-{:08x}",
            kind_name(kind),
            settings.env.entropy.next_u64() >> 32
        )
    });
    let name = NodeName::new(name).map_err(|error| {
        StartError::new(Code::ConfigInvalid, "name").with_detail(error.to_string())
    })?;
    Authority::development(&settings.env)?.issue(name, kind)
}

/// Returns a free port to listen on, or for a client to send from. A node that says nothing, and
/// whoever the development authority made, stays on loopback.
///
/// Loopback has one address of each family, and a name such as `localhost` may stand for both: then
/// it is that of IPv4, where a node is that says nothing. A port of `[::]` dials both. Seeds that have
/// names are not looked at: what they stand for may change.
fn free_port(identity: &Identity, seeds: &[SocketAddr]) -> SocketAddr {
    let stays = identity.is_development() || identity.kind() == PeerKind::Node;
    let is_v6 = match stays {
        true => !seeds.is_empty() && seeds.iter().all(SocketAddr::is_ipv6),
        false => seeds.iter().any(SocketAddr::is_ipv6),
    };
    let ip: IpAddr = match (stays, is_v6) {
        (true, false) => Ipv4Addr::LOCALHOST.into(),
        (true, true) => Ipv6Addr::LOCALHOST.into(),
        (false, false) => Ipv4Addr::UNSPECIFIED.into(),
        (false, true) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, 0)
}

fn kind_name(kind: PeerKind) -> &'static str {
    match kind {
        PeerKind::Client => "client",
        _ => "node",
    }
}

/// The cluster's settings name a preset.
pub(crate) fn check_profile(profile: &Profile) -> Result<(), StartError> {
    match profile.number() {
        Some(_) => Ok(()),
        None => Err(StartError::new(Code::ConfigInvalid, "profile")
            .with_detail("it is none of the presets")
            .with_advice("take `Profile::lan()`, `Profile::fast()` or `Profile::wan()`")),
    }
}
