//! What happens when a Client exceeds the Receive Maximum in the CONNACK (MQTT 5.0 sections 3.3.4 and 4.9).

use super::name::policy;

policy! {
    /// What happens when a Client exceeds the Receive Maximum in the CONNACK. MQTT 3.1.1 has none.
    enum Flow {
        #[default]
        Disconnect => "disconnect", "DISCONNECT E0 02 93 00, then FIN: conforms";
        Refuse(code: u8) => "refuse-0xNN", "PUBACK or PUBREC with this Reason Code; the message is dropped, the connection stays";
        Fin => "fin", "FIN alone";
        Rst => "rst", "RST alone";
        Silence => "silence", "no more answers, and no close";
        Tolerate => "tolerate", "every message is accepted";
        /// Whatever was acknowledged, the broker closes at the first QoS 1 or QoS 2 PUBLISH of a connection after as many as the
        /// Receive Maximum.
        Leak => "leak", "DISCONNECT E0 02 93 00, then FIN, once a connection has sent more QoS 1 and 2 in total: quota is never returned";
        LeakThenFin => "leak-then-fin", "as `leak`, with FIN alone";
    }
}
