//! Client certificates that a broker with mutual TLS must not take: none, one that signed itself, one of an unknown authority, and one
//! of the user's, such as an expired or revoked one. And a client that asks for a server by another name.
//!
//! The question is whether such a broker lets in a client that it must not. The log of a broker that refuses has a line of its TLS
//! library, such as "certificate verify failed" or "peer did not return a certificate".

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::future::LocalBoxFuture;
use tokio::time::timeout;
use ungraceful_flags::{Mistake, Named, Versions, Wanted, chosen};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::fact::{FactOf, YesNo};
use ungraceful_record::offers::Offers;
use ungraceful_record::reaction::{Outcome, Reaction, ReactionKind};
use ungraceful_rig::attempts::client::{Client, NotConnected};
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::run::input_file;
use ungraceful_wire::clock::now;
use ungraceful_wire::{Arrival, ConnectOptions, OpenError, Pem, StreamEnd, Tls, TlsMistake, Transport};

use crate::ending::{Unfinished, attempted, confirm, end_of_stream, prepared, refusal};
use crate::judging::no_sample;
use crate::mode::{Call, ConnectionsOf, FaultMode, each_case};
use crate::peer::Peer;

/// The fault's name.
pub const ID: &str = "certificate";
/// Fact: the answer to a client with this certificate.
pub const ANSWER: FactOf<Answer> = FactOf::new("answer");
/// Fact: whether the broker refused a client without a certificate, after it had accepted this one.
pub const REQUIRED: FactOf<YesNo> = FactOf::new("certificate_required");

ungraceful_record::words! {
    /// The answer to a client with a bad certificate.
    pub enum Answer {
        /// It was accepted.
        Accepted = "CONNACK",
        /// The connection was closed without an alert.
        Closed = "closed without an alert",
        /// Nothing came.
        Silent = "no answer",
        /// TLS ended by this client, because the broker showed a certificate that it does not accept.
        OtherCertificate = "another certificate, which is not for the broker's name",
    } else {
        /// It was accepted by TLS, and refused by MQTT with this packet.
        RefusedByMqtt = "refused by MQTT: ",
        /// TLS ended, with the alert in words.
        RefusedByTls = "refused by TLS: ",
    }
}

ungraceful_record::words! {
    /// What the client shows.
    pub enum Variant: "variant" {
        /// No certificate.
        None = "none",
        /// A certificate that is signed with its own key.
        SelfSigned = "self-signed",
        /// A certificate of an authority that no broker knows.
        UnknownAuthority = "unknown-authority",
        /// The certificate of `--bad-cert`.
        Given = "given",
        /// The name of another server, in SNI.
        WrongName = "wrong-name",
    }
}

/// The key of both certificates below: it opens nothing, because no broker trusts them.
const STRANGER_KEY: &[u8] = include_bytes!("certificate/stranger.key");
const SELF_SIGNED: &[u8] = include_bytes!("certificate/self-signed.pem");
const UNKNOWN_AUTHORITY: &[u8] = include_bytes!("certificate/unknown-authority.pem");

/// The name in SNI of the variant wrong-name, which no certificate has (RFC 6761 section 6.4).
const WRONG_NAME: &str = "wrong-name.invalid";

/// In the words of the alert that RFC 6066 section 3 has for a name that the server does not know.
const UNRECOGNIZED_NAME: &str = "(alert unrecognized_name)";

/// How long an alert is waited for before CONNECT is sent.
const ALERT_WITHIN: Duration = Duration::from_millis(500);

/// The largest file of a certificate or key that is read.
const PEM_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: none, self-signed, unknown-authority, given, wrong-name [default: all; given with --bad-cert]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Variant>>,
    /// A certificate (with its chain, PEM) that the broker must refuse: expired, revoked or another customer's
    #[arg(long, value_name = "FILE")]
    bad_cert: Option<PathBuf>,
    /// The private key of --bad-cert (PEM)
    #[arg(long, value_name = "FILE")]
    bad_key: Option<PathBuf>,
    #[arg(skip)]
    given: Option<(Pem, Pem)>,
    #[command(flatten)]
    versions: Versions,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str = "No, self-signed, foreign or expired client certificates, or another server's name: does TLS let the client in?";
    const LONG_ABOUT: &'static str = "Needs a broker behind TLS that asks for client certificates, and a good one (--cert and --key). \
         Each attempt first connects with the good certificate, and then shows none, one that is signed with its own key, one of an \
         authority that no broker knows, or that of --bad-cert, such as an expired or revoked one. Reports the TLS alert, its time, \
         and whether the broker lets the client in. The variant wrong-name shows the good certificate, if there is one, but asks by SNI for \
         a server of another name, which needs no client certificates; --servername is still what the broker's certificate must have. \
         MQTT leaves certificates to the operator, so nothing here is a violation of the \
         standard; a bad certificate that a broker accepts although it refuses clients without one is a hole in its access control.";
    const CHECKS: &'static [&'static [Check]] = &[CHECKS];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("attempts", "5")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn check(&mut self, _call: &Call<'_>, mistakes: &mut Vec<Mistake>) {
        match (&self.bad_cert, &self.bad_key) {
            (None, None) => {
                if self.variant.contains(&Named::One(Variant::Given)) {
                    mistakes.push(Mistake::new(
                        "--variant",
                        "given needs a certificate; give --bad-cert and --bad-key",
                    ));
                }
            }
            (Some(_), None) => {
                mistakes.push(Mistake::new(
                    "--bad-cert",
                    "needs the private key of the certificate; give --bad-key",
                ));
            }
            (None, Some(_)) => {
                mistakes.push(Mistake::new("--bad-key", "needs its certificate; give --bad-cert"));
            }
            (Some(certificate), Some(key)) => {
                let mut read = |flag, file: &Path| match input_file::whole(file, PEM_BYTES_MAX) {
                    Ok(bytes) => Some(Pem { name: file.display().to_string(), bytes }),
                    Err(what) => {
                        mistakes.push(Mistake::new(flag, what));
                        None
                    }
                };
                let (certificate, key) = (read("--bad-cert", certificate), read("--bad-key", key));
                self.given = certificate.zip(key);
            }
        }
    }

    fn connections(&self) -> ConnectionsOf {
        // The connection before may not be closed yet.
        ConnectionsOf::EachClient(2)
    }

    fn longest_pause(&self) -> Duration {
        // The bad client, and one without a certificate.
        2 * ALERT_WITHIN
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        let newest = spoken.iter().max().copied();
        each_case(&chosen(&Variant::ALL, &self.variant), spoken, |variant, version| {
            let shown = match variant {
                Variant::None => Shown::NoCertificate,
                Variant::SelfSigned => stranger(SELF_SIGNED),
                Variant::UnknownAuthority => stranger(UNKNOWN_AUTHORITY),
                Variant::Given => {
                    let (certificate, key) = self.given.clone()?;
                    Shown::Certificate(certificate, key)
                }
                Variant::WrongName => Shown::WrongName,
            };
            // TLS comes before the version.
            (Some(version) == newest).then_some(BadCertificate { variant, version, shown })
        })
    }
}

/// A certificate that no broker trusts, with its key.
fn stranger(certificate: &[u8]) -> Shown {
    let pem = |name: &str, bytes: &[u8]| Pem { name: name.to_owned(), bytes: bytes.to_vec() };
    Shown::Certificate(pem("the unknown certificate", certificate), pem("its key", STRANGER_KEY))
}

/// What is wrong with the client's side of TLS.
#[derive(Clone, Debug)]
enum Shown {
    NoCertificate,
    /// This certificate, with its key.
    Certificate(Pem, Pem),
    /// The run's own certificate, and [`WRONG_NAME`] in SNI.
    WrongName,
}

impl Shown {
    /// The run's TLS, changed so.
    fn instead_of(&self, tls: &Tls) -> Result<Tls, TlsMistake> {
        match self {
            Self::NoCertificate => Ok(tls.without_identity()),
            Self::Certificate(certificate, key) => tls.with_identity(certificate, key),
            Self::WrongName => tls.with_sni(WRONG_NAME),
        }
    }
}

/// A client that shows this.
#[derive(Clone, Debug)]
struct BadCertificate {
    variant: Variant,
    version: ProtocolVersion,
    shown: Shown,
}

impl Fault for BadCertificate {
    fn case(&self) -> Case {
        Case::new(ID, self.variant, self.version)
    }

    fn describe(&self) -> String {
        let what = match self.variant {
            Variant::None => "no client certificate",
            Variant::SelfSigned => "a client certificate that is signed with its own key",
            Variant::UnknownAuthority => "a client certificate of an unknown authority",
            Variant::Given => "the client certificate of --bad-cert",
            Variant::WrongName => {
                return format!(
                    "TLS to a server of the name {WRONG_NAME} (SNI), CONNECT; before it, TLS with its own name"
                );
            }
        };
        format!("TLS with {what}, CONNECT; before it, TLS with the certificate of --cert")
    }

    fn unsupported_reason(&self, _offers: Offers, transport: &Transport) -> Option<String> {
        match &transport.tls {
            None => Some(
                "the connections are without TLS; give --tls, or a URL with mqtts:// or wss://".to_owned(),
            ),
            Some(tls) if !tls.has_identity() && self.variant != Variant::WrongName => {
                Some("there is no good client certificate to compare with; give --cert and --key".to_owned())
            }
            Some(_) => None,
        }
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

/// What became of a client.
struct Seen {
    answer: Answer,
    /// The end of the connection, in words where TLS gave some; absent without an end.
    end: Option<(ReactionKind, Option<String>)>,
}

impl BadCertificate {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let client_id = log.client_id().to_owned();
        let connect = Client::honest_connect(&client_id, &stage.credentials);
        let good = prepared(stage, Peer::connect(stage, self.version, &connect)).await;
        let good = good.map_err(|why| match why {
            Unfinished::Trouble(why) if self.variant == Variant::WrongName => {
                Unfinished::Trouble(format!("with the broker's own name: {why}"))
            }
            Unfinished::Trouble(why) => Unfinished::Trouble(format!("with the good certificate: {why}")),
            stopped @ Unfinished::Stopped => stopped,
        })?;
        good.0.client.leave_and_await_close().await;
        let started = now();
        log.provoked(started);
        let seen = prepared(stage, self.connect(stage, &client_id, &self.shown)).await?;
        let ended_at = now();
        let is_accepted = seen.answer == Answer::Accepted;
        let outcome = match &seen.end {
            // It answered, which is all that is asked.
            None if seen.answer != Answer::Silent => Outcome::Left,
            None => Outcome::NoReaction,
            Some((ReactionKind::Closed, _)) => Outcome::Closed,
            Some(_) => Outcome::Reset,
        };
        let at_us = stage.clock.us(ended_at);
        let reaction = |(kind, detail)| Reaction { kind, code: None, at_us, detail, connection: None };
        let reactions = seen.end.map(reaction).into_iter().collect();
        let confirmed = confirm(stage, log, self.version, (reactions, Some(outcome))).await;
        if !confirmed.outcome.is_evidence() {
            return Ok(());
        }
        log.fact(ANSWER, seen.answer);
        if is_accepted && matches!(self.shown, Shown::Certificate(..)) {
            let without = self.connect(stage, &client_id, &Shown::NoCertificate);
            let without = prepared(stage, without).await?;
            log.fact(REQUIRED, if without.answer == Answer::Accepted { YesNo::No } else { YesNo::Yes });
        }
        Ok(())
    }

    /// Connects with this in TLS.
    ///
    /// # Errors
    /// A message for the user when the connection fails for another reason than TLS.
    async fn connect(&self, stage: &Stage, client_id: &str, shown: &Shown) -> Result<Seen, String> {
        let tls = stage.options.transport.tls.as_ref().ok_or("the connections are without TLS")?;
        let tls = shown.instead_of(tls).map_err(|mistake| mistake.to_string())?;
        let transport = Transport { tls: Some(tls), ..stage.options.transport.clone() };
        let options = ConnectOptions { transport, ..stage.options.clone() };
        let mut client = match stage.open_with(self.version, &options).await {
            Ok((client, _)) => client,
            Err(OpenError::Tls(why)) => return Ok(Seen::refused_by_tls(why.to_string())),
            Err(OpenError::Untrusted(_)) if matches!(shown, Shown::WrongName) => {
                return Ok(Seen { answer: Answer::OtherCertificate, end: None });
            }
            Err(OpenError::TlsCut) => return Ok(Seen::closed(ReactionKind::Closed)),
            // With TLS 1.3, the certificate is looked at while WebSocket begins.
            Err(OpenError::WebSocket(why)) if stage.options.transport.websocket.is_some() => {
                return Ok(Seen::refused_by_tls(why.to_string()));
            }
            Err(error) => return Err(format!("cannot connect: {error}")),
        };
        // With TLS 1.3, the broker looks at the certificate after the client's handshake is complete. Bytes that it does not read would
        // make its kernel reset the connection, and the alert be lost.
        if let Ok(Arrival::End(end)) = timeout(ALERT_WITHIN, client.connection.next()).await {
            return Ok(match end.why {
                Some(why) => Seen::refused_by_tls(why.into()),
                None => Seen::closed(end_of_stream(end.how).0),
            });
        }
        let connect = Client::honest_connect(client_id, &stage.credentials);
        Ok(match client.connect(&connect, stage.reaction_timeout).await {
            Ok(_) => {
                client.leave_and_await_close().await;
                Seen { answer: Answer::Accepted, end: None }
            }
            Err(NotConnected::Broken(why) | NotConnected::Closed(why)) => Seen::refused_by_tls(why.into()),
            // An alert that came before CONNECT was refused can still be read.
            Err(NotConnected::Ended(how)) => match timeout(ALERT_WITHIN, client.connection.next()).await {
                Ok(Arrival::End(StreamEnd { why: Some(why), .. })) => Seen::refused_by_tls(why.into()),
                _ => Seen::closed(end_of_stream(how).0),
            },
            Err(NotConnected::Silent(_)) => Seen { answer: Answer::Silent, end: None },
            Err(refused @ NotConnected::Refused { .. }) => Seen {
                answer: Answer::RefusedByMqtt(refusal(&refused)),
                end: Some((ReactionKind::Closed, None)),
            },
            Err(other) => return Err(other.to_string()),
        })
    }
}

impl Seen {
    fn refused_by_tls(why: String) -> Self {
        Self { answer: Answer::RefusedByTls(why.clone()), end: Some((ReactionKind::Closed, Some(why))) }
    }

    fn closed(kind: ReactionKind) -> Self {
        Self { answer: Answer::Closed, end: Some((kind, None)) }
    }
}

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::prose("lets_no_bad_certificate_in", lets_no_bad_certificate_in),
    Check::prose("refuses_in_tls", refuses_in_tls),
    Check::prose("aborts_for_an_unknown_name", aborts_for_an_unknown_name),
];

fn has_wrong_name(case: &Judged<'_>) -> bool {
    case.case.variant == Variant::WrongName.name()
}

/// No statement of MQTT is about certificates: what the broker requires is the operator's choice, and a hole where it differs.
fn lets_no_bad_certificate_in(case: &Judged<'_>) -> Option<Finding> {
    if has_wrong_name(case) {
        return None;
    }
    let (all, accepted) = (case.total(ANSWER), case.count(ANSWER, Answer::Accepted));
    let required = case.count(REQUIRED, YesNo::Yes);
    let evidence =
        format!("the broker accepted {accepted} of {all} clients; answers: {}", case.in_words(ANSWER));
    let is_none = case.case.variant == Variant::None.name();
    Some(match (all, accepted) {
        (0, _) => Finding::inconclusive(no_sample(case)),
        (_, 0) if case.count(ANSWER, Answer::Silent) > 0 => {
            Finding::inconclusive(format!("{evidence}; try a longer --reaction-timeout"))
        }
        (_, 0) => Finding::holds(all, evidence),
        _ if is_none => Finding::differs(all, "clients without a certificate are let in", evidence),
        _ if required > 0 => {
            let note = format!(
                "a hole in access control: {required} clients with this certificate are let in, although the broker refuses \
                 clients without one"
            );
            Finding::differs(all, note, evidence)
        }
        _ => {
            let note = "the broker lets clients in with this certificate as without any: it requires none";
            Finding::differs(all, note, evidence)
        }
    })
}

/// Where TLS takes the certificate and MQTT refuses the client, each such client reaches the code behind TLS.
fn refuses_in_tls(case: &Judged<'_>) -> Option<Finding> {
    let (all, accepted) = (case.total(ANSWER), case.count(ANSWER, Answer::Accepted));
    let is_by = |answer: &Answer| matches!(answer, Answer::RefusedByMqtt(_));
    let by_mqtt: u64 = case.values(ANSWER).filter(|(answer, _)| is_by(answer)).map(|(_, count)| count).sum();
    let silent = case.count(ANSWER, Answer::Closed);
    let refused = all - accepted - case.count(ANSWER, Answer::Silent);
    if refused == 0 || has_wrong_name(case) {
        return None;
    }
    let evidence =
        format!("of {refused} refused clients, MQTT refused {by_mqtt}; answers: {}", case.in_words(ANSWER));
    Some(if by_mqtt > 0 {
        Finding::differs(refused, "TLS takes the certificate, and only MQTT refuses the client", evidence)
    } else if silent > 0 {
        let note = "no alert arrived, so that the client does not know the reason";
        Finding::differs(refused, note, evidence)
    } else {
        Finding::holds(refused, evidence)
    })
}

/// RFC 6066 section 3 lets a server abort by the alert unrecognized_name, or continue: the second hides a client's wrong name, or a
/// broker that its DNS does not mean.
fn aborts_for_an_unknown_name(case: &Judged<'_>) -> Option<Finding> {
    if !has_wrong_name(case) {
        return None;
    }
    let all = case.total(ANSWER);
    let is_alert =
        |answer: &Answer| matches!(answer, Answer::RefusedByTls(why) if why.ends_with(UNRECOGNIZED_NAME));
    let alerts: u64 =
        case.values(ANSWER).filter(|(answer, _)| is_alert(answer)).map(|(_, count)| count).sum();
    let accepted = case.count(ANSWER, Answer::Accepted);
    let evidence = format!("answers to {all} clients: {}", case.in_words(ANSWER));
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if case.count(ANSWER, Answer::Silent) > 0 {
        Finding::inconclusive(format!("{evidence}; try a longer --reaction-timeout"))
    } else if alerts == all {
        Finding::holds(all, evidence)
    } else if accepted > 0 {
        let note = "the broker serves clients that ask for a server of another name, which RFC 6066 section 3 permits";
        Finding::differs(all, note, evidence)
    } else if case.count(ANSWER, Answer::OtherCertificate) > 0 {
        let note = "the broker shows another certificate to clients that ask for a server of another name";
        Finding::differs(all, note, evidence)
    } else {
        Finding::differs(all, "clients are refused without the alert unrecognized_name", evidence)
    })
}

#[cfg(test)]
mod tests {
    use ungraceful_record::testing::{
        assert_differs, assert_holds, assert_inconclusive, assert_note_contains, case, empty_record,
        with_fact,
    };
    use ungraceful_record::verdict::{Verdict, judge};
    use ungraceful_wire::TlsSettings;

    use super::*;

    const ALERT: &str = "refused by TLS: the broker sent the TLS alert UnknownCA";

    /// The verdicts on attempts of one variant with these answers.
    fn verdicts(variant: &str, answers: &[(&str, u64)], required: &str) -> Vec<Verdict> {
        let mut record = empty_record();
        let mut case = case(ID, variant, "5.0", &[(Outcome::Closed, 1)]);
        for (answer, count) in answers {
            with_fact(&mut case, ANSWER, answer, *count);
        }
        if !required.is_empty() {
            with_fact(&mut case, REQUIRED, required, 3);
        }
        record.cases = vec![case];
        judge(&mut record, &crate::find(ID).unwrap().checks());
        record.verdicts.retain(|verdict| verdict.case.is_some());
        record.verdicts
    }

    #[test]
    fn a_bad_certificate_that_is_let_in_is_a_hole_where_one_is_required() {
        for variant in ["self-signed", "unknown-authority", "given"] {
            assert_note_contains(
                &verdicts(variant, &[("CONNACK", 3)], "yes")[0],
                "a hole in access control: 3 clients",
            );
            assert_note_contains(&verdicts(variant, &[("CONNACK", 3)], "no")[0], "it requires none");
            assert_holds(&verdicts(variant, &[(ALERT, 3)], "")[0]);
        }
        assert_differs(
            &verdicts("none", &[("CONNACK", 3)], "")[0],
            "clients without a certificate are let in",
        );
        assert_holds(&verdicts("none", &[(ALERT, 3)], "")[0]);
        assert_inconclusive(&verdicts("none", &[], "")[0], "none of");
        assert_inconclusive(&verdicts("none", &[("no answer", 3)], "")[0], "longer --reaction-timeout");
    }

    #[test]
    fn a_refusal_that_is_not_an_alert_is_a_note() {
        assert_holds(&verdicts("none", &[(ALERT, 3)], "")[1]);
        let by_mqtt = verdicts("none", &[("refused by MQTT: CONNACK 0x05", 3)], "").remove(1);
        assert_differs(&by_mqtt, "TLS takes the certificate, and only MQTT refuses the client");
        let closed = verdicts("none", &[("closed without an alert", 3)], "").remove(1);
        assert_note_contains(&closed, "no alert arrived");
        assert_eq!(verdicts("none", &[("CONNACK", 3)], "").len(), 1, "nothing was refused");
    }

    #[test]
    fn an_unknown_name_is_aborted_or_noted_and_never_violated() {
        const BY_NAME: &str = "refused by TLS: the broker has no certificate for the name that was asked for (alert unrecognized_name)";
        let only = |answers: &[(&str, u64)]| {
            let mut verdicts = verdicts("wrong-name", answers, "");
            assert_eq!(verdicts.len(), 1, "the checks of certificates do not apply: {verdicts:?}");
            verdicts.remove(0)
        };
        assert_holds(&only(&[(BY_NAME, 3)]));
        assert_note_contains(&only(&[("CONNACK", 2), (BY_NAME, 1)]), "RFC 6066 section 3 permits");
        let other = "another certificate, which is not for the broker's name";
        assert_note_contains(&only(&[(other, 3)]), "shows another certificate");
        for refusal in ["closed without an alert", ALERT, "refused by MQTT: CONNACK 0x05"] {
            assert_note_contains(&only(&[(refusal, 3)]), "without the alert unrecognized_name");
        }
        assert_inconclusive(&only(&[("no answer", 3)]), "longer --reaction-timeout");
        assert_inconclusive(&only(&[]), "none of");
        for variant in ["none", "given"] {
            let checks: Vec<String> =
                verdicts(variant, &[("CONNACK", 3)], "").into_iter().map(|verdict| verdict.check).collect();
            assert_eq!(checks, ["lets_no_bad_certificate_in"]);
        }
    }

    #[test]
    fn the_certificates_of_strangers_fit_their_key() {
        let settings =
            TlsSettings { server_name: "localhost".into(), insecure: true, ..TlsSettings::default() };
        let tls = Tls::new(&settings).unwrap();
        assert!(!tls.has_identity());
        for certificate in [SELF_SIGNED, UNKNOWN_AUTHORITY] {
            let stranger = stranger(certificate).instead_of(&tls).unwrap();
            assert!(stranger.has_identity() && !stranger.without_identity().has_identity());
        }
    }
}
