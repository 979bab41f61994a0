//! Who writes the known lines: brokers, and clients.

use std::fmt;
use std::str::FromStr;

macro_rules! brokers {
    ($($variant:ident = $slug:literal, $name:literal;)+) => {
        /// A broker with known log lines; or [`Broker::Client`], which stands for the libraries and programs of clients.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Broker {
            $(
                #[doc = $name]
                $variant,
            )+
        }

        impl Broker {
            /// Every broker, in the order in which they are listed.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name in flags, files and JSON.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug),+ }
            }

            /// The patterns of its lines: the file in `corpus`.
            pub(crate) const fn corpus(self) -> &'static str {
                match self { $(Self::$variant => include_str!(concat!("../corpus/", $slug, ".tsv"))),+ }
            }

            /// Its display name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

brokers! {
    HiveMq = "hivemq", "HiveMQ";
    Mosquitto = "mosquitto", "Mosquitto";
    Emqx = "emqx", "EMQX";
    VerneMq = "vernemq", "VerneMQ";
    NanoMq = "nanomq", "NanoMQ";
    FlashMq = "flashmq", "FlashMQ";
    Rumqttd = "rumqttd", "rumqttd";
    Rmqtt = "rmqtt", "RMQTT";
    RabbitMq = "rabbitmq", "RabbitMQ";
    Nats = "nats", "NATS";
    Artemis = "artemis", "Artemis";
    Aedes = "aedes", "aedes";
    AwsIot = "aws-iot", "AWS IoT Core";
    AzureEventGrid = "azure-event-grid", "Azure Event Grid";
    AzureIotHub = "azure-iot-hub", "Azure IoT Hub";
    Mochi = "mochi", "Mochi MQTT";
    Moquette = "moquette", "Moquette";
    Amqtt = "amqtt", "aMQTT";
    Ejabberd = "ejabberd", "ejabberd";
    Client = "client", "an MQTT client";
}

impl Broker {
    /// The broker with this slug; absent when there is none.
    #[must_use]
    pub fn find(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|broker| broker.slug() == slug)
    }
}

impl FromStr for Broker {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::find(text).ok_or_else(|| {
            let slugs: Vec<&str> = Self::ALL.iter().map(|broker| broker.slug()).collect();
            format!("unknown broker {text:?}; choose from {}", slugs.join(", "))
        })
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
