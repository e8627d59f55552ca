//! The table of error codes: the only place where a code, its facts and its advice are written.
//!
//! Numbers are on the wire and in dashboards: one that was published keeps its meaning, and a code
//! that is no longer used leaves a hole. Depends on nothing.
//!
//! | range | for |
//! | --- | --- |
//! | `CB0xxx` | mistakes in a definition, reported by the macros while compiling |
//! | `CB1xxx` | calls |
//! | `CB2xxx` | joining, connecting and links |
//! | `CB3xxx` | starting a node or a client |

use super::{Fault, Ran, Retry};

/// Makes the enum, its list and its look-ups from one table.
macro_rules! codes {
    ($(
        $variant:ident = $number:literal $name:literal, $fault:ident, $ran:ident, $retry:ident,
        $meaning:literal, $advice:literal;
    )*) => {
        /// What went wrong, as a stable number shared by the wire, logs and metrics.
        ///
        /// Written on the wire as a `u16` and shown as `CB1001`. A number that this version does
        /// not know decodes as [`Code::Unrecognised`].
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum Code {
            $(
                #[doc = concat!("`CB", $number, "` ", $name, ": ", $meaning, ".")]
                #[doc = ""]
                #[doc = concat!("What to do: ", $advice, ".")]
                $variant = $number,
            )*
        }

        impl Code {
            /// Every code, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the number that is on the wire.
            #[must_use]
            pub const fn number(self) -> u16 {
                self as u16
            }

            /// Returns the code with this number, if this version knows one.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Returns the number as text: `CB1001`.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => concat!("CB", $number),)* }
            }

            /// Returns the name in kebab case: `deadline-exceeded`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Says who is at fault.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self { $(Self::$variant => Fault::$fault,)* }
            }

            /// Says whether the handler may have run.
            #[must_use]
            pub const fn ran(self) -> Ran {
                match self { $(Self::$variant => Ran::$ran,)* }
            }

            /// Says whether and when the same call may be tried again.
            #[must_use]
            pub const fn retry(self) -> Retry {
                match self { $(Self::$variant => Retry::$retry,)* }
            }

            /// Returns one line that says what happened.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// Returns one line that says what to do about it.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)* }
            }
        }
    };
}

codes! {
    // Calls.
    DeadlineExceeded = 1001 "deadline-exceeded", Peer, MayHaveRun, IfIdempotent,
        "no reply came before the call's deadline",
        "give the call more time, or look for what is slow on the node that runs the handler, and whether that node \
         still answers at all";
    DeadlineBeforeSend = 1002 "deadline-before-send", Caller, NotSent, Elsewhere,
        "the deadline passed before the call left this node",
        "give the call more time, or send fewer calls at once";
    PeerLost = 1003 "peer-lost", Network, MayHaveRun, IfIdempotent,
        "the link to the node ended after the call may have left",
        "retry when the method is idempotent, and look at the node's health; the actors of one that stops or has started \
         again are gone: get a fresh ref";
    PeerUnreachable = 1004 "peer-unreachable", Network, NotSent, Elsewhere,
        "there is no link to the node that the call is for",
        "wait until the node is back, or look at the network between the two";
    NoHost = 1005 "no-host", Network, NotSent, Elsewhere,
        "no reachable node hosts the interface",
        "host it on a node, with `.host::<…>()` at its builder, or check that this node has joined the right cluster";
    NotHosted = 1006 "not-hosted", Peer, Refused, Elsewhere,
        "the node that was asked does not host the interface",
        "retry, so that another node is chosen";
    UnknownMethod = 1007 "unknown-method", Peer, Refused, Elsewhere,
        "the node that was asked does not know the method",
        "upgrade the node, or call a method that its version has";
    SchemaMismatch = 1008 "schema-mismatch", Caller, NotSent, Elsewhere,
        "the two nodes disagree on the types of the method",
        "build both sides with the same definition of these types and of what they hold, or give the changed method \
         another name until no node has the old one";
    BodyUndecodable = 1009 "body-undecodable", Caller, Refused, Never,
        "the arguments could not be decoded by the node that was asked",
        "check the serde implementations of the argument types for symmetry";
    BodyOverLimit = 1010 "body-over-limit", Caller, Refused, Never,
        "the arguments nest too deep or would take too much memory",
        "send smaller arguments, state a larger depth for the type, or raise the decode limits";
    BodyTooLarge = 1011 "body-too-large", Caller, NotSent, Never,
        "the encoded arguments are over the cap of a body",
        "send less, as the detail says; for long arguments use a stream, or raise `body_bytes_max` on both nodes";
    ReplyUndecodable = 1012 "reply-undecodable", Peer, MayHaveRun, Never,
        "the reply could not be decoded by this node",
        "check the serde implementations of the reply type for symmetry";
    MailboxFull = 1013 "mailbox-full", Peer, Refused, Elsewhere,
        "the mailbox of the target is full, or the wait in it too long",
        "slow down, make the handler faster, or share the work among more nodes or more actors";
    SendBufferFull = 1014 "send-buffer-full", Us, NotSent, Elsewhere,
        "the send buffer of the link had no room until the call's deadline",
        "slow down, or look for why the peer reads slowly";
    TooManyInFlight = 1015 "too-many-in-flight", Us, NotSent, Elsewhere,
        "this node has as many calls in flight as it allows",
        "await earlier calls first, or raise the limit";
    Panicked = 1016 "panicked", Peer, MayHaveRun, Never,
        "the handler panicked",
        "read the log of the node that ran it, and mend what the handler panics for";
    ReplyDropped = 1017 "reply-dropped", Peer, MayHaveRun, Never,
        "the handler ended, and its reply was dropped before it left",
        "read replies faster, ask for less at once, or raise reply_bytes_max on the node that ran it";
    TurnAborted = 1018 "turn-aborted", Peer, MayHaveRun, IfIdempotent,
        "the turn was ended before its end: its actor failed, was restarted or was stopped",
        "read the log of the node that ran it; effects outside the actor may be partial";
    ActorStopped = 1019 "actor-stopped", Peer, Refused, Never,
        "the actor was stopped before the call's turn began",
        "spawn a new actor, or do not use a ref after stopping its actor";
    ActorGone = 1020 "actor-gone", Peer, Refused, Never,
        "the node knows no such actor: it ended, or belongs to an earlier life of the node",
        "get a fresh ref from where this one came from, such as the service that spawned the actor; if its node has \
         started again since, all that it had spawned is gone, and is spawned anew";
    Quarantined = 1021 "quarantined", Peer, Refused, Never,
        "the actor failed too often and is not restarted any more",
        "mend the cause, which the detail and the node's log name; then spawn a new one and hand out its ref; one with a \
         key is released on its node, by `node.stop_actor(&actor, grace).await`, which no client can do";
    CallCycle = 1022 "call-cycle", Caller, NotSent, Never,
        "the call would wait for an actor that waits for this very call",
        "use a send instead of a call, or change which actor asks which";
    ChainTooLong = 1023 "chain-too-long", Caller, NotSent, Never,
        "the chain of calls waiting for each other is at its limit",
        "make the chain of actors shorter, or use a send";
    NodeStopping = 1024 "node-stopping", Us, Refused, Elsewhere,
        "the node is stopping, or the client is closed, and takes no new calls",
        "make the call from or on another node, and get a fresh ref of an actor that was spawned on this one; in place of a closed client, connect a new one";
    Detached = 1025 "detached", Caller, NotSent, Never,
        "the ref is not attached to a node or a client",
        "decode the ref inside a call, or attach it to a node";
    StreamBroken = 1026 "stream-broken", Peer, MayHaveRun, IfIdempotent,
        "the stream ended before its end was announced",
        "start the stream again where the items allow it; if its actor has ended, or its node, by a fresh ref";
    KeyedElsewhere = 1027 "keyed-elsewhere", Caller, NotSent, Never,
        "keyed actors can only be reached on a node that hosts them",
        "make the call on a node that hosts the actor type, or let the nodes form a cluster with `bootstrap_expect`, which finds the owner of a key from everywhere";
    ReplyTooLarge = 1028 "reply-too-large", Peer, MayHaveRun, Never,
        "the encoded reply is over the cap of a body",
        "reply with less, use a stream, or raise `body_bytes_max` on both nodes";
    BodyUnencodable = 1029 "body-unencodable", Caller, NotSent, Never,
        "the arguments have no encoding: their serialiser failed, or a sequence has no length",
        "check the serde implementations of the argument types";
    ReplyUnencodable = 1030 "reply-unencodable", Peer, MayHaveRun, Never,
        "the reply has no encoding: its serialiser failed, or a sequence has no length",
        "check the serde implementations of the reply type";
    ExpiredInQueue = 1031 "expired-in-queue", Peer, Refused, Elsewhere,
        "the deadline passed while the call waited in the target's mailbox",
        "give the call more time, or make the handlers before it faster";
    Forbidden = 1032 "forbidden", Caller, Refused, Never,
        "the caller has no right to call the method",
        "give the caller's certificate a role that the method and the node's policy allow";
    Moved = 1033 "moved", Peer, Refused, Elsewhere,
        "the actor's slot is not this node's now: it has another owner, or is on its way to one",
        "nothing: the call is made again by itself where the slot is; if it persists, look at the node's lease";
    SlotUnowned = 1034 "slot-unowned", Peer, NotSent, Elsewhere,
        "until the call's deadline no node could be found that owns the slot of the actor's key",
        "start the nodes that host the actor type, with `bootstrap_expect` if they have not formed a cluster yet, or look at why none of them holds a lease";
    LeaseLost = 1035 "lease-lost", Peer, MayHaveRun, IfIdempotent,
        "the node's lease on the actor's slot ended before what the turn made could leave",
        "retry when the method is idempotent; another node may own the actor by now";
    ServiceGivenUp = 1036 "service-given-up", Peer, Refused, Elsewhere,
        "the node has given the service up, as it could not be started",
        "mend what the service's constructor fails with, and start the node again; other nodes that host the service take its calls";
    ActivationFailed = 1037 "activation-failed", Peer, Refused, Elsewhere,
        "the actor could not begin: what it does at `activate` failed",
        "mend what the detail tells of; the next call activates an actor with a key anew, and one without begins again by \
         itself";
    NameUnknown = 1038 "name-unknown", Caller, NotSent, Elsewhere,
        "no actor of the nodes that were asked has the name",
        "give an actor the name, with `node.spawn_named` or `node.claim_name`, and look at whether its node is among those \
         in the detail; it may have ended, or not have begun yet";
    NameTaken = 1039 "name-taken", Caller, NotSent, Never,
        "another actor has the name, or gets it now",
        "use that actor, by `named`, or take another name; this one is free again when that actor has ended, has \
         released it or is lost with its node";
    NameLost = 1040 "name-lost", Network, NotSent, Never,
        "the actor has lost its name to another one, which has held it for longer",
        "stop the actor that has lost it, or give it another name; look at why the two nodes were not linked";
    NameOfOtherType = 1041 "name-of-other-type", Caller, NotSent, Never,
        "the actor that has the name is of another type",
        "ask for the type that the detail says, or give the actors of each type names of their own";
    NameInvalid = 1042 "name-invalid", Caller, NotSent, Never,
        "the actor cannot be given the name from here",
        "give a name of 1 to 255 bytes without control characters, on the node that the actor lives on";
    TooManyNames = 1043 "too-many-names", Us, NotSent, Never,
        "the node's actors have as many names as it allows",
        "release names that nobody looks up any more, use a keyed actor where there is one for each name, or raise `names_max`";
    TooManyActors = 1044 "too-many-actors", Peer, Refused, Elsewhere,
        "as many actors were placed on the node as it allows",
        "end actors that nobody needs any more, have more nodes host the type, or raise `placed_max` on the node";
    Unrecognised = 1099 "unrecognised", Peer, MayHaveRun, Never,
        "the peer reported an error that this version does not know",
        "look the code in the detail up in the newer version, and upgrade this node";

    // Joining, connecting and links.
    HandshakeFailed = 2001 "handshake-failed", Network, NotSent, Elsewhere,
        "the TLS handshake failed, for the reason in the detail",
        "check that both certificates are valid now, are for client and server, and are of one authority";
    AuthorityUnknown = 2002 "authority-unknown", Peer, NotSent, Never,
        "the peer's certificate is not signed by a known authority",
        "give both nodes certificates of the same authority";
    ClusterMismatch = 2003 "cluster-mismatch", Peer, NotSent, Never,
        "the peer belongs to another cluster",
        "check the seed addresses and the certificates";
    ProtocolMismatch = 2004 "protocol-mismatch", Peer, NotSent, Never,
        "the two versions have no protocol version in common",
        "upgrade the older node, one step of versions at a time";
    IdentityMismatch = 2005 "identity-mismatch", Peer, NotSent, Never,
        "the peer's hello names another identity than its certificate",
        "start the peer under the name in its certificate";
    DuplicateNode = 2006 "duplicate-node", Peer, NotSent, Never,
        "another node is already linked under this name",
        "give every node a name of its own";
    KindMismatch = 2007 "kind-mismatch", Peer, NotSent, Never,
        "the peer is a client where a node is needed, or the other way round",
        "check which certificate the peer uses and which address was dialled";
    HelloTimeout = 2008 "hello-timeout", Peer, NotSent, Elsewhere,
        "the peer sent no hello in time",
        "look at the load of the peer, or raise the hello timeout";
    FrameMalformed = 2009 "frame-malformed", Peer, NotSent, Never,
        "the peer sent bytes that are no frame",
        "report it: either version has a fault";
    FrameTooLarge = 2010 "frame-too-large", Peer, NotSent, Never,
        "the peer announced a frame over the cap",
        "set the same frame cap on both nodes";
    TooManyPeers = 2011 "too-many-peers", Us, NotSent, Elsewhere,
        "the node has as many peers as it allows",
        "raise the limit of peers, or connect to another node";
    LinkSuperseded = 2012 "link-superseded", Network, NotSent, Elsewhere,
        "another connection to the same peer took this one's place",
        "nothing: the other connection is used";
    NodeLeaving = 2013 "node-leaving", Peer, NotSent, Elsewhere,
        "the peer is leaving the cluster",
        "nothing: another node is used";
    PeerTimeout = 2014 "peer-timeout", Network, NotSent, Elsewhere,
        "nothing was heard from the peer for the peer timeout",
        "check that a node runs at that address and is well, and that UDP gets there";
    PeerDenied = 2015 "peer-denied", Caller, NotSent, Never,
        "one side of the connection is on the deny list of the other",
        "give it another certificate, or take it off the list";
    PeerAbuse = 2016 "peer-abuse", Peer, NotSent, Elsewhere,
        "one side of the connection passed a limit that an orderly peer does not come near",
        "find out what runs there; if it is yours, raise the setting that the detail is about";

    // Starting.
    BindFailed = 3001 "bind-failed", Us, NotSent, Never,
        "the listen address could not be bound",
        "choose a free address of this machine";
    CertificateInvalid = 3002 "certificate-invalid", Us, NotSent, Never,
        "the certificate, its key or the authority is missing, unreadable or does not fit",
        "replace the file in question; a certificate has to fit its key and its authority, and name this node";
    KeyReadable = 3003 "key-readable", Us, NotSent, Never,
        "others on this machine can read the private key",
        "set the key file's mode to 0600";
    DuplicateInterface = 3004 "duplicate-interface", Caller, NotSent, Never,
        "two hosted types have the same interface name, or names of one hash",
        "host a type once; of two types, rename one with the name attribute";
    PersistUnsupported = 3005 "persist-unsupported", Caller, NotSent, Never,
        "the actor asks for durable state, which this version cannot keep",
        "remove `persist`: the state is in memory only, and is lost with the node";
    ShapeUnbounded = 3006 "shape-unbounded", Caller, NotSent, Never,
        "a message type is recursive without a stated depth, or nests deeper than allowed",
        "state the depth with #[wire(depth = N)], or flatten the type";
    DataDirLocked = 3007 "data-dir-locked", Us, NotSent, Never,
        "another process uses the data directory",
        "stop the other process, or choose another directory";
    SeedUnreachable = 3008 "seed-unreachable", Network, NotSent, Elsewhere,
        "none of the seed addresses answered in time",
        "check the addresses, and that a node runs there";
    ConfigInvalid = 3009 "config-invalid", Caller, NotSent, Never,
        "a setting is out of its range",
        "correct the setting that the detail names";
    DevNotLoopback = 3010 "dev-not-loopback", Caller, NotSent, Never,
        "a development node must listen on loopback only",
        "listen on 127.0.0.1 or ::1, or give the node an identity";
    Io = 3011 "io", Us, NotSent, Never,
        "a file could not be read or written",
        "check that the path is right, that this user may use it, and that the disk has room";
    LogUnreadable = 3012 "log-unreadable", Us, NotSent, Never,
        "the log of the control group cannot be read",
        "let the node join with an empty data directory, under another name if it held a voter's seat";
    NotJoined = 3013 "not-joined", Network, NotSent, Elsewhere,
        "the node is not a member of a cluster yet, for the reason in the detail",
        "start the nodes that are to form the cluster, with `.bootstrap_expect(n)` and a `.data_dir(…)` each, and look at what \
         the detail names";
    NotDrained = 3014 "not-drained", Network, NotSent, Elsewhere,
        "the node has not given away all that it has, for the reason in the detail",
        "look at what is left and drain it again, or stop it and let the others wait for its lease";
    NotRecoverable = 3015 "not-recoverable", Caller, NotSent, Never,
        "the data folder is none from which a cluster can be recovered, for the reason in the detail",
        "name the data folder of a voter that survived, whose node does not run";
}
