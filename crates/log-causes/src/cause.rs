//! Causes by name, and the effects of lines on connections.

/// How precisely a line names the cause, when several lines belong to one incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    /// That the connection ended, but not why.
    Closing,
    /// A class of causes, such as "protocol error".
    General,
    /// The cause itself.
    Exact,
}

macro_rules! causes {
    ($($variant:ident = $slug:literal, $precision:ident;)+) => {
        /// Why a connection ended or was refused, what failed on one that lives, or what a line marks. See [`crate::explain`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each is explained in `explanations`")]
        pub enum Cause {
            $($variant,)+
        }

        impl Cause {
            /// Every cause, in the order in which they are listed.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name in files, flags and JSON.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug),+ }
            }

            /// How precise this cause is.
            #[must_use]
            pub const fn precision(self) -> Precision {
                match self { $(Self::$variant => Precision::$precision),+ }
            }
        }
    };
}

causes! {
    TakeOver = "take-over", Exact;
    TakeOverRace = "take-over-race", Exact;
    KeepAlive = "keep-alive", Exact;
    Lost = "lost", Closing;
    Network = "network", General;
    BeforeConnect = "before-connect", Closing;
    NoConnect = "no-connect", Exact;
    SecondConnect = "double-connect", Exact;
    FirstPacket = "first-packet", General;
    EarlyPacket = "early-packet", Exact;
    WrongPort = "wrong-port", Exact;
    Tls = "tls", Exact;
    WebSocket = "websocket", Exact;
    ProxyProtocol = "proxy-protocol", Exact;
    ReceiveMaximum = "receive-maximum", Exact;
    Unacked = "unacked", Exact;
    QueueFull = "queue-full", Exact;
    SlowConsumer = "slow-consumer", Exact;
    PacketTooLarge = "packet-too-large", Exact;
    TooLargeForClient = "too-large-for-client", Exact;
    PacketIdentifier = "packet-identifier", Exact;
    Malformed = "malformed", General;
    ProtocolError = "protocol-error", General;
    Topic = "topic", Exact;
    TopicAlias = "topic-alias", Exact;
    PayloadFormat = "payload-format", Exact;
    NotSupported = "not-supported", Exact;
    ClientId = "client-id", Exact;
    ProtocolVersion = "protocol-version", Exact;
    AuthMethod = "auth-method", Exact;
    BadCredentials = "bad-credentials", Exact;
    NotAuthorized = "not-authorized", General;
    CredentialsExpired = "credentials-expired", Exact;
    Kicked = "kicked", General;
    Extension = "extension", Exact;
    Banned = "banned", Exact;
    Refused = "refused", General;
    ConnectionLimit = "connection-limit", Exact;
    ConnectionRate = "connection-rate", Exact;
    Quota = "quota", Exact;
    Overload = "overload", Exact;
    Descriptors = "descriptors", Exact;
    ServerError = "server-error", General;
    Shutdown = "shutdown", Exact;
    Moved = "moved", Exact;
    Cluster = "cluster", Exact;
    Will = "will", Exact;
    Retained = "retained", Exact;
    SessionExpired = "session-expired", Exact;
    Ended = "ended", Closing;
    NoPingresp = "no-pingresp", Exact;
    PeerClosed = "peer-closed", Closing;
    Unreachable = "unreachable", Exact;
    Bridge = "bridge", Exact;
    KeepAliveEarly = "keep-alive-early", Exact;
    Stall = "stall", Exact;
    ClockJump = "clock-jump", Exact;
    BrokerStart = "broker-start", Exact;
    Accepted = "accepted", Exact;
    Connected = "connected", Exact;
    Left = "left", Exact;
    Note = "note", Closing;
}

impl Cause {
    /// The cause with this slug; absent when there is none.
    #[must_use]
    pub fn find(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|cause| cause.slug() == slug)
    }

    /// Whether it marks an ordinary event and not a problem.
    #[must_use]
    pub const fn is_ordinary(self) -> bool {
        matches!(self, Self::Accepted | Self::Connected | Self::Left | Self::Note | Self::BrokerStart)
    }

    /// The cause for a connection without a ClientID.
    #[must_use]
    pub const fn before_a_client_id(self) -> Self {
        match self {
            Self::Lost => Self::BeforeConnect,
            Self::KeepAlive => Self::NoConnect,
            Self::ProtocolError | Self::Malformed => Self::FirstPacket,
            other => other,
        }
    }
}

/// What a line says about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// A Network Connection was accepted.
    Accepted,
    /// A client was accepted.
    Connected,
    /// A client left by DISCONNECT.
    Left,
    /// A client's connection ended in another way.
    Ended,
    /// The same, in the second line that some brokers log about each end; stands alone when the first is missing.
    Tail,
    /// A connection ended before a client was accepted.
    Refused,
    /// Something was lost or refused, and the connection lives on.
    Lives,
    /// An event of the broker itself, which ends no connection.
    Sign,
    /// Known and insignificant.
    Aside,
    /// The broker's immediate reaction to a take-over; matched only directly after a take-over line.
    Behind,
}

impl Effect {
    const NAMES: [(&'static str, Self); 10] = [
        ("accepted", Self::Accepted),
        ("connected", Self::Connected),
        ("left", Self::Left),
        ("ended", Self::Ended),
        ("tail", Self::Tail),
        ("refused", Self::Refused),
        ("lives", Self::Lives),
        ("sign", Self::Sign),
        ("aside", Self::Aside),
        ("behind", Self::Behind),
    ];

    /// The effect with this name in the patterns; absent when there is none.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, effect)| *effect)
    }

    /// Its name in the patterns and in JSON.
    #[must_use]
    pub fn slug(self) -> &'static str {
        Self::NAMES.iter().find(|(_, effect)| *effect == self).map_or("", |(name, _)| name)
    }

    /// Whether it makes an incident.
    #[must_use]
    pub const fn is_incident(self) -> bool {
        matches!(self, Self::Ended | Self::Tail | Self::Refused | Self::Lives | Self::Sign)
    }
}
