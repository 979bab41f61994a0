//! The policies of a script: what can go wrong, by name, one file for each kind. The server's files apply them.

mod name;

use std::num::{NonZeroU16, NonZeroU32};

use ungraceful_mqtt::QoS;

use name::Kind;
pub use name::UnknownName;

/// Declares the kinds of policies, one a line: the field of a script, which is also the name of the file and of the flag; the
/// type; the help of the flag. `cargo fmt` does not reach the files, which hold one declaration each.
macro_rules! kinds {
    ($($field:ident: $kind:ident, $help:tt;)+) => {
        $(
            mod $field;
            pub use $field::$kind;

            impl Kind for $kind {
                const FIELD: &'static str = stringify!($field);
            }
        )+

        /// How a broker behaves; the default conforms. The policies are independent of each other.
        ///
        /// ```
        /// use ungraceful_scripted_broker::{Script, SecondConnect, Wills};
        ///
        /// let script = Script { second_connect: SecondConnect::Ignore, ..Script::default() };
        /// assert_eq!(script.wills, Wills::Publish);
        /// assert_eq!("ignore".parse(), Ok(script.second_connect));
        /// ```
        #[derive(clap::Args, Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        pub struct Script {
            $(
                #[doc = $help]
                #[arg(long, value_name = "NAME", default_value_t)]
                pub $field: $kind,
            )+
            /// The Receive Maximum in the CONNACK, which the broker enforces: absent, none is sent, which means 65,535.
            /// MQTT 5.0 only.
            #[arg(long, value_name = "N")]
            #[arg(help = "The Receive Maximum in the CONNACK; none is sent by default")]
            pub receive_maximum: Option<NonZeroU16>,
            /// The Server Keep Alive in the CONNACK in seconds, which the broker enforces: absent, none is sent, and the
            /// Client's applies. MQTT 5.0 only.
            #[arg(long = "server-keep-alive", value_name = "SECONDS")]
            #[arg(help = "The Server Keep Alive in the CONNACK; none is sent by default")]
            pub server_keep_alive_s: Option<u16>,
            /// The Maximum QoS in the CONNACK, which the broker enforces: absent or QoS 2, none is sent. MQTT 5.0 only.
            #[arg(long, value_name = "0|1", value_parser = maximum_qos)]
            #[arg(help = "The Maximum QoS in the CONNACK; none is sent by default")]
            pub maximum_qos: Option<QoS>,
            /// The Maximum Packet Size in the CONNACK in bytes, which the broker enforces: absent, none is sent, and every
            /// packet is accepted. MQTT 5.0 only.
            #[arg(long, value_name = "BYTES")]
            #[arg(help = "The Maximum Packet Size in the CONNACK; none is sent by default")]
            pub maximum_packet_size: Option<NonZeroU32>,
            /// The Topic Alias Maximum in the CONNACK, which the broker enforces: absent, none is sent, and every Topic Alias is
            /// rejected. MQTT 5.0 only.
            #[arg(long, value_name = "N")]
            #[arg(help = "The Topic Alias Maximum in the CONNACK; none is sent by default")]
            pub topic_alias_maximum: Option<NonZeroU16>,
        }

        impl Script {
            /// Every policy there is: its flag without the dashes, its name, and its meaning.
            pub fn policies() -> impl Iterator<Item = (String, &'static str, &'static str)> {
                let kinds = [$((stringify!($field), $kind::names().collect::<Vec<_>>())),+];
                kinds.into_iter().flat_map(|(field, names)| {
                    let flag = field.replace('_', "-");
                    names.into_iter().map(move |(name, meaning)| (flag.clone(), name, meaning))
                })
            }
        }

        #[cfg(test)]
        mod tests {
            use super::*;
            use name::tests::{every_name_can_be_read, first_name_is_the_default};

            #[test]
            fn every_listed_name_can_be_read_and_is_written_the_same() {
                $(every_name_can_be_read::<$kind>($kind::names());)+
            }

            #[test]
            fn the_first_name_of_each_policy_is_the_conforming_default() {
                $(first_name_is_the_default::<$kind>($kind::names());)+
            }
        }
    };
}

kinds! {
    second_connect: SecondConnect, "What happens on a second CONNECT";
    take_over: TakeOver, "What happens to the older connection when a CONNECT with its ClientID arrives";
    sessions: Sessions, "What happens to a session when its Client reconnects";
    wills: Wills, "When Wills are published";
    retained: Retained, "What happens to retained messages";
    greeting: Greeting, "What happens on the first CONNECT";
    refused: Refused, "What happens to packets behind a CONNECT that was refused";
    malformed: Malformed, "What happens on a malformed packet or a Protocol Error";
    connect_wait: ConnectWait, "How long the broker waits for a CONNECT";
    readmission: Readmission, "Whether a Client that reconnects is accepted again";
    rights: Rights, "What a Client may do with topics, and which QoS is served";
    invalid_filters: InvalidFilters, "What happens on a SUBSCRIBE with an invalid Topic Filter";
    deliveries: Deliveries, "What happens to messages on their way to subscribers";
    flow: Flow, "What happens when a Client exceeds the Receive Maximum in the CONNACK";
    pubacks: Pubacks, "Whether and when QoS 1 is acknowledged";
    subscriber_flow: SubscriberFlow, "How the broker keeps to a Client's Receive Maximum";
    offline_queue: OfflineQueue, "How much is kept for a session without a connection";
    slow_reader: SlowReader, "What happens to a Client that does not read";
    keep_alive: KeepAlive, "When a silent Client is closed";
    stall: Stall, "Whether the whole broker stops for a while";
    removal: Removal, "What happens when an administrator removes a Client's user";
    expiry: Expiry, "What happens when the token in a Client's Password or User Name expires";
    reauthentication: Reauthentication, "What happens when a Client reauthenticates (method JWT)";
}

fn maximum_qos(text: &str) -> Result<QoS, &'static str> {
    match text {
        "0" => Ok(QoS::AtMostOnce),
        "1" => Ok(QoS::AtLeastOnce),
        _ => Err("write 0 or 1"),
    }
}
