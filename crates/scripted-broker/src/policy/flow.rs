//! What happens past the Receive Maximum in the CONNACK (MQTT 5.0 sections 3.3.4 and 4.9).

use super::name::policy;

policy! {
    /// What happens when a Client exceeds the Receive Maximum in the CONNACK. MQTT 3.1.1 has none.
    enum Flow {
        #[default]
        Disconnect => "disconnect", "DISCONNECT E0 02 93 00, then FIN: conforms";
        Refuse(code: u8) => "refuse-0xNN", "PUBACK or PUBREC with this Reason Code, then serves on without the message";
        Fin => "fin", "FIN without a word";
        Rst => "rst", "RST without a word";
        Silence => "silence", "neither answers nor closes any more";
        Tolerate => "tolerate", "takes everything";
        /// Whatever was acknowledged: it closes at the first QoS 1 or QoS 2 PUBLISH of a connection after as many as the
        /// Receive Maximum.
        Leak => "leak", "quota is never given back: DISCONNECT E0 02 93 00 and FIN after so many QoS 1 and 2 in all";
        LeakThenFin => "leak-then-fin", "the same with FIN alone";
    }
}
