//! The kick: an operator removes a client while it works. How soon is it cut, with which word, what is still delivered to
//! it, and may it come back?
//!
//! No numbered statement obliges a broker to cut a client whose user was removed. What an operator finds in the log is
//! "disconnected by administrative action", or nothing, and a client that goes on.

use std::cell::RefCell;

use futures_util::future::LocalBoxFuture;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::scale::micros;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::attempts::observe::Watch;
use ungraceful_rig::bystanders::witness::WitnessWatch;

use super::at_work::{Served, Workplace};
use super::judged::{self, Cut};
use super::removal::{Admitted, Confirmed, Means, Removal};
use super::shown::Shown;
use crate::ending::{interrupted, not_acted};

/// The fault's id in the catalogue.
pub const ID: &str = "auth-revoked-live";
/// Measure: from asking for the removal until whoever carries it out says that it is done.
pub const CONFIRMED: &str = "kick_confirmed_us";

/// A client that is removed.
#[derive(Clone, Debug)]
pub struct Kick {
    /// The version its clients speak.
    pub version: ProtocolVersion,
    /// Who removes them, and how.
    pub removal: Removal,
}

impl Fault for Kick {
    fn case(&self) -> Case {
        Case {
            fault: ID.to_owned(),
            variant: self.removal.means.name().to_owned(),
            version: self.version.to_string(),
        }
    }

    fn version(&self) -> ProtocolVersion {
        self.version
    }

    fn describe(&self) -> String {
        let how = match self.removal.means {
            Means::Disable => "its user is disabled".to_owned(),
            Means::Delete => "its user is deleted".to_owned(),
            Means::Password => "its user gets another password".to_owned(),
            Means::Group => "its user leaves the group that gives it its rights".to_owned(),
            Means::Command => {
                let program = self.removal.command.as_ref().map_or("nothing", |command| command.program());
                format!("{program} is run (--kick-cmd)")
            }
        };
        format!(
            "CONNECT with a Will, SUBSCRIBE, publish and be published to; {how}; then CONNECT again with the same \
             credentials"
        )
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        Box::pin(self.carry_out(stage, log))
    }
}

impl Kick {
    async fn carry_out(&self, stage: &Stage, log: AttemptLog<'_>) -> Attempt {
        let client_id = log.client_id().to_owned();
        // To its end, even when the run stops: a user that is half made could not be taken away again.
        let mut admitted = match self.removal.admit(stage, self.version, &client_id).await {
            Ok(admitted) => admitted,
            Err(trouble) => return not_acted(stage, log, self.version, &trouble).await,
        };
        let attempt = self.remove_at_work(stage, log, &mut admitted).await;
        admitted.undo().await;
        attempt
    }

    async fn remove_at_work(
        &self,
        stage: &Stage,
        mut log: AttemptLog<'_>,
        admitted: &mut Admitted,
    ) -> Attempt {
        let will = stage.watch_will(log.client_id());
        let shown = Shown::from(admitted.credentials.clone());
        let open = Workplace::open(stage, &mut log, self.version, &shown, will.as_ref());
        let place = match stage.unless_stopped(open).await {
            Some(Ok(place)) => place,
            Some(Err(trouble)) => return not_acted(stage, log, self.version, &trouble).await,
            None => return interrupted(log),
        };
        let kicked_at = match admitted.remove(stage).await {
            Ok(at) => at,
            Err(trouble) => {
                place.leave().await;
                return not_acted(stage, log, self.version, &trouble).await;
            }
        };
        log.provoked(kicked_at);
        let watch = Watch {
            provoked_at: kicked_at,
            within: self.removal.limit(stage) + stage.reaction_timeout,
            connacks_due: 0,
            subscribed: true,
        };
        let confirmed: RefCell<Option<Result<Confirmed, String>>> = RefCell::new(None);
        let until = place.until();
        let confirm = async {
            let told = stage.unless_stopped(admitted.confirmed()).await;
            let told = told.unwrap_or_else(|| Err("the run was stopped".to_owned()));
            // Once it is known that nobody was removed, there is nothing to wait for.
            until.set(Some(
                told.as_ref().map_or(kicked_at, |confirmed| confirmed.at + stage.reaction_timeout),
            ));
            confirmed.replace(Some(told));
        };
        let (cut, ()) = tokio::join!(judged::watch_at_work(stage, place, watch), confirm);
        match confirmed.into_inner() {
            Some(Ok(confirmed)) => {
                log.measure(CONFIRMED, micros(confirmed.at.saturating_duration_since(kicked_at)));
                self.conclude(stage, log, cut, will, &confirmed, &shown).await
            }
            Some(Err(trouble)) if stage.stop.reason().is_none() => {
                cut.place.leave().await;
                not_acted(stage, log, self.version, &trouble).await
            }
            _ => {
                cut.place.leave().await;
                interrupted(log)
            }
        }
    }

    async fn conclude(
        &self,
        stage: &Stage,
        mut log: AttemptLog<'_>,
        cut: Cut,
        will: Option<WitnessWatch>,
        confirmed: &Confirmed,
        shown: &Shown,
    ) -> Attempt {
        let served = Served::after(confirmed.at, &cut.place.work, &cut.place.beside);
        if !cut.is_ended() && !confirmed.said.is_empty() {
            log.trouble(format!("the command succeeded, and its last line was: {}", confirmed.said));
        }
        let (log, beside) = judged::conclude(stage, log, cut, will, served, Some(shown)).await;
        match beside {
            Some(beside) => judged::part(stage, log, beside).await,
            None => log.end(),
        }
    }
}
