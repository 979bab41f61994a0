//! Who each client of a run is: its ClientID, User Name, Password, certificate and topics. One place for attacking clients, those of a
//! load, bystanders and witness.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use ungraceful_flags::Mistake;
use ungraceful_wire::{ConnectOptions, Tls, Transport};

use crate::attempts::companion::Companion;
use crate::broker::clients_file::{ClientsFile, wrong_root};
use crate::broker::target::Credentials;
use crate::measure::clock::RunClock;

/// Most topic roots that the witness subscribes to.
pub const ROOTS_MAX: usize = 64;
/// A line of the broker's log may come so much later than what it is about.
const LOGGED_WITHIN_US: u64 = 1_000_000;
/// The name of the witness among the honest clients.
pub(crate) const WITNESS: &str = "w";
/// The name of the client that reads below `$SYS`.
pub(crate) const SYS_READER: &str = "v";
/// Attempts of one ClientID that are remembered.
const REMEMBERED: usize = 4;

/// How the clients of a run are named, from the flags.
///
/// ClientID, User Name and topics are templates ([`filled_in`]).
#[derive(Clone, Debug, Default)]
pub struct ClientsSettings {
    /// User Name and Password of every client, unless its row has its own.
    pub credentials: Credentials,
    /// ClientID of every client; generated from the prefix when absent.
    pub client_id: Option<String>,
    /// A row for each client; absent when all have the same credentials.
    pub file: Option<Arc<ClientsFile>>,
    /// Prefix of every topic of the run: a Topic Name without a slash at its end.
    pub topic_root: String,
    /// Topic of each pair of bystanders; one below the topic root when absent.
    pub bystander_topic: Option<String>,
}

/// `template` with `%i` (the client's number), `%c` (its ClientID) and `%u` (its User Name) filled in; `%%` is a percent sign.
#[must_use]
pub fn filled_in(template: &str, number: &str, client_id: &str, user_name: &str) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let (value, taken) = match rest.as_bytes().get(at + 1) {
            Some(b'i') => (number, 2),
            Some(b'c') => (client_id, 2),
            Some(b'u') => (user_name, 2),
            Some(b'%') => ("%", 2),
            _ => ("%", 1),
        };
        text.push_str(value);
        rest = &rest[at + taken..];
    }
    text + rest
}

/// Whether `template` differs from client to client.
#[must_use]
pub fn has_placeholder(template: &str) -> bool {
    filled_in(template, "\0", "\0", "\0").contains('\0')
}

/// The filter that matches every topic of `template`: levels with a placeholder become `+`.
#[must_use]
pub fn filter_of_all(template: &str) -> String {
    let level = |level: &str| match has_placeholder(level) {
        true => "+".to_owned(),
        false => filled_in(level, "", "", ""),
    };
    template.split('/').map(level).collect::<Vec<_>>().join("/")
}

impl ClientsSettings {
    /// Whether clients differ in more than a generated ClientID.
    #[must_use]
    pub fn vary(&self) -> bool {
        let user_name = self.credentials.user_name.as_deref().unwrap_or_default();
        self.client_id.is_some()
            || self.file.is_some()
            || has_placeholder(user_name)
            || has_placeholder(&self.topic_root)
    }

    /// Whether ClientIDs are the user's, so that others may use them too.
    #[must_use]
    pub fn names_devices(&self) -> bool {
        let rows = self.file.as_ref().map_or(&[][..], |file| &file.rows);
        self.client_id.is_some() || rows.iter().any(|row| row.client_id.is_some())
    }

    /// Whether the file has enough rows for `clients` at the same time, beside `honest` bystanders and the like; the mistake names the
    /// cure.
    #[must_use]
    pub fn shortage(&self, clients: u64, honest: u64) -> Option<Mistake> {
        let file = self.file.as_ref()?;
        let rows = file.rows.len() as u64;
        let (needed, cure) = match file.reuse {
            true => (1 + honest, "add rows, or have fewer bystanders"),
            false => (
                clients + honest,
                "add rows, allow --reuse-clients, or have fewer clients (--count, --bystanders)",
            ),
        };
        let attacking = if file.reuse { 1 } else { clients };
        (rows < needed).then(|| {
            let what = format!(
                "the file has {rows} clients, and this run needs {needed} at the same time ({attacking} that misbehave or load, and \
                 {honest} for bystanders, witness and $SYS): {cure}"
            );
            Mistake::new("--clients-file", what)
        })
    }

    /// The filters that match `levels` below every topic root of the run `of_run`.
    #[must_use]
    pub fn filters(&self, of_run: &str, levels: &str) -> Vec<String> {
        let of_all = filter_of_all(&self.topic_root);
        let rows = self.file.as_ref().map_or(&[][..], |file| &file.rows);
        let mut roots: BTreeSet<&str> =
            rows.iter().map(|row| row.topic.as_deref().unwrap_or(&of_all)).collect();
        if roots.is_empty() {
            roots.insert(&of_all);
        }
        roots.into_iter().map(|root| format!("{root}/{of_run}/{levels}")).collect()
    }

    /// A topic root that a ClientID or a User Name makes illegal; absent when all are legal.
    fn wrong_root(&self) -> Option<String> {
        if wrong_root(&self.topic_root).is_some() {
            return None;
        }
        let rows = self.file.as_ref().map_or(1, |file| file.rows.len());
        let counts = (rows as u64, 0);
        let clients = Clients::new(self.clone(), String::new(), String::new(), counts, RunClock::start());
        // Generated ClientIDs have only letters and digits.
        let mut all = (0..rows).map(|number| clients.at_work(number, "generated"));
        all.find_map(|who| {
            Some(clients.named_root(&who).to_owned()).filter(|root| wrong_root(root).is_some())
        })
    }

    /// What can't work, whatever the broker is.
    pub fn check(&self, mistakes: &mut Vec<Mistake>) {
        let user_name = self.credentials.user_name.as_deref().unwrap_or_default();
        let of_client_id = self.client_id.as_deref().unwrap_or_default();
        if let Some(template) = &self.client_id {
            let user_name_differs = filled_in(user_name, "\0", "", "").contains('\0');
            let of_user_name = if user_name_differs { "\0" } else { "" };
            let has_own_names =
                self.file.as_ref().is_some_and(|file| file.rows.iter().any(|row| row.user_name.is_some()));
            if !has_own_names
                && filled_in(template, "\0", "", of_user_name) == filled_in(template, "", "", "")
            {
                let what = "all clients would have one ClientID and take over from each other; add %i, the client's number";
                mistakes.push(Mistake::new("--client-id", what));
            }
            if template.contains('\0') {
                mistakes
                    .push(Mistake::new("--client-id", "must not contain U+0000 (MQTT 5.0 [MQTT-1.5.4-2])"));
            }
            if filled_in(template, "", "\0", "").contains('\0') {
                mistakes.push(Mistake::new("--client-id", "%c is the ClientID itself; use %i or %u"));
            }
            if self.file.as_ref().is_some_and(|file| file.rows.iter().any(|row| row.client_id.is_some())) {
                let what = "the file of --clients-file has ClientIDs already; leave out one of them";
                mistakes.push(Mistake::new("--client-id", what));
            }
        }
        let names_each_other = filled_in(user_name, "", "\0", "").contains('\0')
            && filled_in(of_client_id, "", "", "\0").contains('\0');
        if names_each_other {
            let what = "%c is the ClientID, which has the User Name by %u; use %i in one of them";
            mistakes.push(Mistake::new("--username", what));
        }
        if let Some(root) = self.wrong_root() {
            let what = format!(
                "is {root:?} for one of the clients, and {}; leave out the placeholder, or such clients",
                wrong_root(&root).unwrap_or_default()
            );
            mistakes.push(Mistake::new("--topic-root", what));
        }
        let roots = self.filters("", "").len();
        if roots > ROOTS_MAX {
            let what = format!(
                "its topics need {roots} subscriptions of the witness, and {ROOTS_MAX} is the most; leave the column out, and give \
                 --topic-root with %c or %u"
            );
            mistakes.push(Mistake::new("--clients-file", what));
        }
    }
}

/// Who a client is.
#[derive(Debug)]
pub struct Identity {
    /// Its number among the clients of its kind.
    pub number: usize,
    /// The ClientID.
    pub client_id: String,
    /// User Name and Password.
    pub credentials: Credentials,
    /// TLS with its own certificate; that of the run when absent.
    pub tls: Option<Tls>,
    /// The prefix of its topics.
    pub topic_root: Arc<str>,
    /// Its number is free again when it is gone.
    _number: Option<Leased>,
}

impl Identity {
    /// The second client beside it.
    #[must_use]
    pub fn beside(self, companion: Companion) -> Self {
        Self { client_id: companion.client_id(&self.client_id), ..self }
    }

    /// How it connects, where the run's clients connect by `options`.
    #[must_use]
    pub fn options(&self, options: &ConnectOptions) -> ConnectOptions {
        ConnectOptions { transport: self.transport(&options.transport), ..options.clone() }
    }

    /// The layers of its connections, where the run's are `transport`.
    #[must_use]
    pub fn transport(&self, transport: &Transport) -> Transport {
        match &self.tls {
            Some(tls) => Transport { tls: Some(tls.clone()), ..transport.clone() },
            None => transport.clone(),
        }
    }
}

/// What a run found out about its clients, for other processes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SharedClients {
    prefix: String,
    of_run: String,
    honest: usize,
    for_work: usize,
    rows_for_work: usize,
}

/// The clients of a run; cheap to clone.
#[derive(Clone, Debug)]
pub struct Clients(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: ClientsSettings,
    /// Prefix of generated ClientIDs.
    prefix: String,
    /// The last level of every topic root: it tells runs apart.
    of_run: String,
    /// How many honest clients there are.
    honest: usize,
    /// Numbers for the clients of attempts.
    for_work: usize,
    /// Rows for them, from the first on.
    rows_for_work: usize,
    clock: RunClock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Numbers that are free, the longest first: late effects of an attempt have passed when its number comes up again.
    free: VecDeque<usize>,
    /// Numbers that were taken so far.
    taken: usize,
    /// The latest attempts of each ClientID.
    attempts: HashMap<String, VecDeque<Use>>,
}

/// A ClientID in use by an attempt, in µs of the run's clock.
#[derive(Clone, Copy, Debug)]
struct Use {
    attempt: u64,
    from_us: u64,
    /// Absent while it goes on.
    until_us: Option<u64>,
}

/// A number in use.
#[derive(Debug)]
struct Leased {
    clients: Clients,
    number: usize,
    client_id: String,
    attempt: u64,
}

impl Drop for Leased {
    fn drop(&mut self) {
        let now_us = self.clients.0.clock.now_us();
        let mut state = self.clients.state();
        state.free.push_back(self.number);
        let uses = state.attempts.get_mut(&self.client_id);
        if let Some(of) = uses.into_iter().flatten().find(|of| of.attempt == self.attempt) {
            of.until_us = Some(now_us);
        }
    }
}

impl Clients {
    /// The clients of the run that `of_run` names: `at_once` clients of attempts or of a load at the same time, and `honest` others.
    #[must_use]
    pub fn new(
        settings: ClientsSettings,
        prefix: String,
        of_run: String,
        (at_once, honest): (u64, u64),
        clock: RunClock,
    ) -> Self {
        let whole = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let rows = settings.file.as_ref().map_or(0, |file| file.rows.len());
        let honest = whole(honest);
        let rows_for_work = rows.saturating_sub(honest).max(1);
        let for_work = whole(at_once).max(1);
        Self(Arc::new(Shared {
            settings,
            prefix,
            of_run,
            honest,
            for_work,
            rows_for_work,
            clock,
            state: Mutex::default(),
        }))
    }

    /// The same clients for another process, which has their settings.
    #[must_use]
    pub fn shared(&self) -> SharedClients {
        let Shared { prefix, of_run, honest, for_work, rows_for_work, .. } = &*self.0;
        SharedClients {
            prefix: prefix.clone(),
            of_run: of_run.clone(),
            honest: *honest,
            for_work: *for_work,
            rows_for_work: *rows_for_work,
        }
    }

    /// The clients of another process with the same settings.
    #[must_use]
    pub fn of_shared(settings: ClientsSettings, shared: &SharedClients, clock: RunClock) -> Self {
        let SharedClients { prefix, of_run, honest, for_work, rows_for_work } = shared.clone();
        let state = Mutex::default();
        Self(Arc::new(Shared { settings, prefix, of_run, honest, for_work, rows_for_work, clock, state }))
    }

    /// Clients that differ only in a generated ClientID, below the topic root `ungraceful`.
    #[must_use]
    pub fn alike(prefix: &str, clock: RunClock) -> Self {
        let settings = ClientsSettings { topic_root: "ungraceful".to_owned(), ..ClientsSettings::default() };
        Self::new(settings, prefix.to_owned(), "1".to_owned(), (1, 1), clock)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether clients differ in more than a generated ClientID.
    #[must_use]
    pub fn vary(&self) -> bool {
        self.0.settings.vary()
    }

    /// Prefix of generated ClientIDs.
    pub(crate) fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &ClientsSettings {
        &self.0.settings
    }

    /// The generated ClientID of an attempt: letters and digits.
    #[must_use]
    pub fn attempt_name(&self, attempt: u64) -> String {
        format!("{}x{attempt:06x}", self.0.prefix)
    }

    /// The client of an attempt. `name` is its generated ClientID; others, of clients that [vary](Clients::vary), come up again in later
    /// attempts, but never in two at the same time.
    #[must_use]
    pub fn of_attempt(&self, name: &str, attempt: u64) -> Identity {
        if !self.vary() {
            let number = usize::try_from(attempt).unwrap_or(usize::MAX);
            return Identity { number, ..self.at_work(0, name) };
        }
        let number = {
            let mut state = self.state();
            let free = if state.taken < self.0.for_work { None } else { state.free.pop_front() };
            free.unwrap_or_else(|| {
                state.taken += 1;
                state.taken - 1
            })
        };
        let identity = self.at_work(number, name);
        let client_id = identity.client_id.clone();
        let mut state = self.state();
        let uses = state.attempts.entry(client_id.clone()).or_default();
        uses.push_back(Use { attempt, from_us: self.0.clock.now_us(), until_us: None });
        if uses.len() > REMEMBERED {
            uses.pop_front();
        }
        Identity { _number: Some(Leased { clients: self.clone(), number, client_id, attempt }), ..identity }
    }

    /// The client with this number, to be tried before the run: first those of attempts or of a load, then the honest ones.
    pub(crate) fn numbered(&self, number: usize) -> Identity {
        match number.checked_sub(self.0.for_work) {
            None => self.at_work(number, &format!("{}n{number}", self.0.prefix)),
            Some(honest) => self.honest_numbered(honest, &format!("n{number}")),
        }
    }

    /// The client of a load with this number among all its clients; `name` is the end of its generated ClientID.
    #[must_use]
    pub fn of_load(&self, number: u32, name: &str) -> Identity {
        self.at_work(number as usize, &format!("{}x{name}", self.0.prefix))
    }

    /// A client beside those of attempts and load: a bystander, the witness. One name is always one client.
    #[must_use]
    pub fn honest(&self, name: &str) -> Identity {
        self.honest_numbered(self.honest_number(name), name)
    }

    /// The number of an honest client.
    pub(crate) fn honest_number(&self, name: &str) -> usize {
        let of_pair =
            |letter: char, first: usize| Some(2 * name.strip_prefix(letter)?.parse::<usize>().ok()? + first);
        let number = match name {
            WITNESS => Some(0),
            SYS_READER => Some(1),
            _ => of_pair('p', 2).or_else(|| of_pair('s', 3)),
        };
        number.unwrap_or(self.0.honest)
    }

    /// The client that tries, before the run, what the witness and the bystanders do in it.
    #[must_use]
    pub fn trying(&self, name: &str) -> Identity {
        self.honest_numbered(0, name)
    }

    fn honest_numbered(&self, number: usize, name: &str) -> Identity {
        let rows = self.0.settings.file.as_ref().map_or(1, |file| file.rows.len().max(1));
        // From the last row upwards.
        let row = (rows - 1 - number % rows, number / rows);
        let shown = (self.0.for_work + number).to_string();
        Identity { number, ..self.identity(row, &shown, &format!("{}{name}", self.0.prefix)) }
    }

    fn at_work(&self, number: usize, generated: &str) -> Identity {
        let rows = self.0.rows_for_work;
        let row = (number % rows, number / rows);
        Identity { number, ..self.identity(row, &number.to_string(), generated) }
    }

    /// A ClientID for a client that only asks whether the broker answers. It may be refused: that is an answer too.
    #[must_use]
    pub fn asking(&self, name: &str) -> String {
        let template = self.0.settings.client_id.as_deref();
        template.map_or_else(
            || format!("{}x{name}", self.0.prefix),
            |template| {
                filled_in(
                    template,
                    name,
                    "",
                    self.0.settings.credentials.user_name.as_deref().unwrap_or_default(),
                )
            },
        )
    }

    /// The attempt that used this ClientID, or one with a letter after it, shortly before `at_us`; absent when none did, or several.
    #[must_use]
    pub fn attempt_of(&self, client_id: &str, at_us: u64) -> Option<u64> {
        let state = self.state();
        let without_letter = client_id.strip_suffix(|letter: char| letter.is_ascii_lowercase());
        let uses = state
            .attempts
            .get(client_id)
            .or_else(|| without_letter.and_then(|client_id| state.attempts.get(client_id)))?;
        let is_meant = |of: &&Use| {
            of.from_us <= at_us && of.until_us.is_none_or(|until_us| at_us <= until_us + LOGGED_WITHIN_US)
        };
        let mut meant = uses.iter().filter(is_meant);
        let only = meant.next()?.attempt;
        meant.next().is_none().then_some(only)
    }

    /// The topic of a pair of bystanders, where its publisher is `publisher`.
    #[must_use]
    pub fn bystander_topic(&self, pair: &str, publisher: &Identity) -> String {
        match &self.0.settings.bystander_topic {
            Some(template) => {
                let user_name = publisher.credentials.user_name.as_deref().unwrap_or_default();
                filled_in(template, pair, &publisher.client_id, user_name)
            }
            None => format!("{}/bystander/{pair}", publisher.topic_root),
        }
    }

    /// The topic root of a client as the user named it, without what tells runs apart.
    #[must_use]
    pub fn named_root<'a>(&self, identity: &'a Identity) -> &'a str {
        let root = identity.topic_root.strip_suffix(&self.0.of_run);
        root.and_then(|root| root.strip_suffix('/')).unwrap_or(&identity.topic_root)
    }

    /// The filters that match `levels` below every topic root of the run.
    #[must_use]
    pub fn filters(&self, levels: &str) -> Vec<String> {
        self.0.settings.filters(&self.0.of_run, levels)
    }

    /// The client of a row, which serves `round` others too; `number` is for the templates.
    fn identity(&self, (row, round): (usize, usize), number: &str, generated: &str) -> Identity {
        let settings = &self.0.settings;
        let row = settings.file.as_ref().and_then(|file| file.rows.get(row));
        let user_name = |client_id: &str| {
            let own = row.and_then(|row| row.user_name.clone());
            own.or_else(|| Some(filled_in(settings.credentials.user_name.as_ref()?, number, client_id, "")))
        };
        let client_id = match (row.and_then(|row| row.client_id.as_ref()), &settings.client_id) {
            // Beyond the rows, by --reuse-clients: two clients must not take over from each other by accident.
            (Some(own), _) if round > 0 => format!("{own}-{round}"),
            (Some(own), _) => own.clone(),
            (None, Some(template)) => filled_in(template, number, "", &user_name("").unwrap_or_default()),
            (None, None) => generated.to_owned(),
        };
        let user_name = user_name(&client_id);
        let root = row.and_then(|row| row.topic.clone()).unwrap_or_else(|| {
            filled_in(&settings.topic_root, number, &client_id, user_name.as_deref().unwrap_or_default())
        });
        let password = row.and_then(|row| row.password.as_ref()).or(settings.credentials.password.as_ref());
        Identity {
            topic_root: format!("{root}/{}", self.0.of_run).into(),
            credentials: Credentials { user_name, password: password.cloned() },
            tls: row.and_then(|row| row.tls.clone()),
            client_id,
            number: 0,
            _number: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Clients, ClientsSettings, WITNESS, filled_in, filter_of_all, has_placeholder};
    use crate::broker::clients_file::{ClientsFile, Row};
    use crate::broker::target::{Credentials, Secret};
    use crate::measure::clock::RunClock;

    fn settings() -> ClientsSettings {
        ClientsSettings { topic_root: "t".to_owned(), ..ClientsSettings::default() }
    }

    fn with_rows(ids: &[&str], reuse: bool) -> ClientsSettings {
        let row = |id: &&str| Row {
            client_id: Some((*id).to_owned()),
            user_name: Some(format!("user of {id}")),
            password: Some(Secret::new(format!("secret of {id}"))),
            ..Row::default()
        };
        ClientsSettings {
            file: Some(Arc::new(ClientsFile { rows: ids.iter().map(row).collect(), reuse })),
            ..settings()
        }
    }

    fn clients(settings: ClientsSettings, at_once: u64, honest: u64) -> Clients {
        let prefix = "ug00001".to_owned();
        Clients::new(settings, prefix, "run".to_owned(), (at_once, honest), RunClock::start())
    }

    fn mistakes(settings: &ClientsSettings) -> Vec<String> {
        let mut mistakes = Vec::new();
        settings.check(&mut mistakes);
        mistakes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn templates_are_filled_in_and_filters_take_in_all_of_them() {
        assert_eq!(filled_in("a/%i/%c/%u/%%i/%x%", "7", "client", "me"), "a/7/client/me/%i/%x%");
        assert_eq!(filled_in("%c", "", "%u", "me"), "%u", "a value is not a template");
        assert_eq!(filter_of_all("a/%i/b/x%c/100%%/é%"), "a/+/b/+/100%/é%");
        assert!(has_placeholder("%u") && !has_placeholder("%%u") && !has_placeholder("100%"));
    }

    #[test]
    fn clients_without_templates_differ_in_a_generated_client_id() {
        let credentials = Credentials { user_name: Some("me".to_owned()), password: None };
        let clients = clients(ClientsSettings { credentials, ..settings() }, 2, 4);
        assert!(!clients.vary());
        let witness = clients.honest(WITNESS);
        assert_eq!((witness.client_id.as_str(), &*witness.topic_root), ("ug00001w", "t/run"));
        assert_eq!(witness.credentials.user_name.as_deref(), Some("me"));
        assert_eq!(clients.attempt_name(255), "ug00001x0000ff");
        assert_eq!(clients.of_load(3, "p00003").client_id, "ug00001xp00003");
        assert_eq!(clients.asking("z1"), "ug00001xz1");
    }

    #[test]
    fn a_number_comes_up_again_only_when_its_attempt_is_over() {
        let client_id = Some("dév %i/%u".to_owned());
        let credentials = Credentials { user_name: Some("u%i".to_owned()), password: None };
        let settings =
            ClientsSettings { client_id, credentials, topic_root: "%u/%c".to_owned(), ..settings() };
        let clients = clients(settings, 2, 4);
        let first = clients.of_attempt("a", 0);
        assert_eq!((first.client_id.as_str(), &*first.topic_root), ("dév 0/u0", "u0/dév 0/u0/run"));
        assert_eq!(first.credentials.user_name.as_deref(), Some("u0"));
        let second = clients.of_attempt("b", 1);
        assert_eq!(second.client_id, "dév 1/u1");
        assert_eq!(clients.of_attempt("c", 2).client_id, "dév 2/u2", "both are in use");
        assert_eq!(clients.numbered(3).client_id, "dév 3/u3");
        drop((second, first));
        let again = [3, 4, 5].map(|attempt| clients.of_attempt("d", attempt));
        let again = again.each_ref().map(|client| client.client_id.as_str());
        assert_eq!(again, ["dév 2/u2", "dév 1/u1", "dév 0/u0"], "the longest free comes first");
        assert_eq!(
            clients.honest(WITNESS).client_id,
            "dév 2/u2",
            "the numbers go on behind those of two at once"
        );
    }

    #[test]
    fn a_row_serves_one_client_at_a_time_and_the_last_rows_serve_the_honest_ones() {
        let clients = clients(with_rows(&["a", "b", "c", "d", "e"], false), 2, 3);
        let honest = [WITNESS, "v", "p0", WITNESS].map(|name| clients.honest(name).client_id);
        assert_eq!(honest, ["e", "d", "c", "e"]);
        let used: Vec<_> = [0, 1].map(|attempt| clients.of_attempt("x", attempt)).into();
        assert_eq!([used[0].client_id.as_str(), used[1].client_id.as_str()], ["a", "b"]);
        assert_eq!(used[1].credentials.user_name.as_deref(), Some("user of b"));
        assert_eq!(used[1].credentials.password, Some(Secret::new("secret of b")));
        drop(used);
        assert_eq!(clients.of_attempt("x", 2).client_id, "a", "the longest free comes first");
        assert_eq!(clients.of_load(1, "p").client_id, "b");
    }

    #[test]
    fn rows_used_again_do_not_take_over_from_each_other() {
        let clients = clients(with_rows(&["a", "b", "c", "w", "p"], true), 9, 2);
        let ids = [0, 1, 2, 3, 4].map(|number| clients.of_load(number, "p").client_id);
        assert_eq!(ids, ["a", "b", "c", "a-1", "b-1"]);
        assert_eq!(clients.of_load(4, "p").credentials.user_name.as_deref(), Some("user of b"));
    }

    #[test]
    fn one_missing_row_is_a_shortage_with_its_cure() {
        let rows = |count: usize, reuse| with_rows(&["x"; 9][..count], reuse);
        assert_eq!(rows(9, false).shortage(5, 4), None);
        let shortage = rows(8, false).shortage(5, 4).unwrap();
        assert!(shortage.what.contains("8 clients") && shortage.what.contains("needs 9"), "{shortage}");
        assert!(shortage.what.contains("--reuse-clients"), "{shortage}");
        assert_eq!(rows(5, true).shortage(1_000, 4), None);
        assert!(rows(4, true).shortage(1_000, 4).unwrap().what.contains("needs 5"));
        assert_eq!(settings().shortage(1_000, 4), None);
    }

    #[test]
    fn a_line_of_the_log_names_the_attempt_that_had_the_client_id() {
        let clients = clients(with_rows(&["a", "b", "c"], false), 1, 2);
        let first = clients.of_attempt("x", 7);
        let now_us = clients.0.clock.now_us();
        assert_eq!(clients.attempt_of("a", now_us), Some(7));
        assert_eq!(clients.attempt_of("ap", now_us), Some(7), "its companion");
        assert_eq!((clients.attempt_of("b", now_us), clients.attempt_of("", now_us)), (None, None));
        drop(first);
        let second = clients.of_attempt("x", 8);
        let now_us = clients.0.clock.now_us();
        assert_eq!(clients.attempt_of("a", now_us), None, "it may be of either");
        assert_eq!(clients.attempt_of("a", now_us + 10_000_000), Some(8));
        drop(second);
        assert_eq!(clients.attempt_of("a", now_us + 10_000_000), None);
    }

    #[test]
    fn client_ids_that_can_not_differ_are_refused() {
        let with = |client_id: &str| ClientsSettings { client_id: Some(client_id.to_owned()), ..settings() };
        assert_eq!(mistakes(&with("dev%i")), [] as [String; 0]);
        assert!(mistakes(&with("dev"))[0].contains("add %i"));
        assert!(mistakes(&with("%i%c"))[0].contains("%c is the ClientID itself"));
        let credentials = |name: &str| Credentials { user_name: Some(name.to_owned()), password: None };
        let of = |client_id: &str, name: &str| ClientsSettings {
            credentials: credentials(name),
            ..with(client_id)
        };
        assert!(mistakes(&of("%u", "me"))[0].contains("add %i"), "all have one User Name");
        assert_eq!(mistakes(&of("%u", "u%i")), [] as [String; 0]);
        let below = ClientsSettings { topic_root: "a/%c".to_owned(), ..settings() };
        assert_eq!(mistakes(&below), [] as [String; 0], "generated ClientIDs fit into topics");
        let below = ClientsSettings { topic_root: "a/%u".to_owned(), ..settings() };
        assert!(mistakes(&below)[0].contains("\"a/\" for one of the clients"), "without a User Name");
        let below = ClientsSettings { topic_root: "a/%c".to_owned(), ..with("b#%i") };
        assert!(mistakes(&below)[0].contains("\"a/b#0\" for one of the clients"));
        let below = ClientsSettings { topic_root: "a/%u".to_owned(), ..with_rows(&["x", "y+"], false) };
        assert!(mistakes(&below)[0].contains("\"a/user of y+\""));
        assert!(mistakes(&of("%i%u", "%c"))[0].contains("--username"));
        let both = ClientsSettings { client_id: Some("%i".to_owned()), ..with_rows(&["a"], false) };
        assert!(mistakes(&both)[0].contains("leave out one of them"));
    }

    #[test]
    fn the_witness_subscribes_to_each_root_once_and_to_so_many_at_most() {
        let rows = |count: usize| {
            let row = |number: usize| Row { topic: Some(format!("r/{}", number % count)), ..Row::default() };
            let file = ClientsFile { rows: (0..2 * count).map(row).collect(), reuse: false };
            ClientsSettings { file: Some(Arc::new(file)), ..settings() }
        };
        assert_eq!(rows(2).filters("run", "will/+"), ["r/0/run/will/+", "r/1/run/will/+"]);
        let root = ClientsSettings { topic_root: "d/%c/x".to_owned(), ..settings() };
        assert_eq!(root.filters("run", "will/+"), ["d/+/x/run/will/+"]);
        assert_eq!(mistakes(&rows(super::ROOTS_MAX)), [] as [String; 0]);
        assert!(mistakes(&rows(super::ROOTS_MAX + 1))[0].contains("65 subscriptions"));
    }

    #[test]
    fn a_pair_has_its_topic_below_its_publishers_root_or_by_the_template() {
        let of = |bystander_topic: Option<&str>| {
            let bystander_topic = bystander_topic.map(ToOwned::to_owned);
            let clients = clients(ClientsSettings { bystander_topic, ..settings() }, 1, 4);
            clients.bystander_topic("3", &clients.honest("p3"))
        };
        assert_eq!(of(None), "t/run/bystander/3");
        assert_eq!(of(Some("by/%i/%c")), "by/3/ug00001p3");
    }
}
