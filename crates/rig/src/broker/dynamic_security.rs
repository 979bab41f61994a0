//! The dynamic-security plug-in of a Mosquitto started by the run: its location and initial configuration. Faults
//! that need it control it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The plug-in's file name.
pub(crate) const PLUG_IN: &str = "mosquitto_dynamic_security.so";

/// The plug-in, in the folders where distributions and `make install` put it.
pub(crate) fn find_plug_in() -> Option<PathBuf> {
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64"];
    folders.into_iter().find_map(|folder| below(Path::new(folder)))
}

/// The plug-in in this folder, or in one within it: Debian has one for each architecture.
fn below(folder: &Path) -> Option<PathBuf> {
    let direct = folder.join(PLUG_IN);
    if direct.is_file() {
        return Some(direct);
    }
    let mut within: Vec<PathBuf> =
        std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path().join(PLUG_IN)).collect();
    within.sort_unstable();
    within.into_iter().find(|candidate| candidate.is_file())
}

/// The configuration: clients without a User Name may do everything and control the plug-in; users created later may
/// do what their roles allow. It has no password, because the broker serves only this run, on loopback.
pub(crate) fn initial_configuration() -> String {
    let allowed = [
        ("publishClientSend", "#"),
        ("publishClientSend", "$CONTROL/#"),
        ("publishClientReceive", "#"),
        ("publishClientReceive", "$CONTROL/#"),
        ("publishClientReceive", "$SYS/#"),
        ("subscribePattern", "#"),
        ("subscribePattern", "$CONTROL/#"),
        ("subscribePattern", "$SYS/#"),
        ("unsubscribePattern", "#"),
    ];
    let rules: Vec<Value> = allowed
        .into_iter()
        .map(|(kind, topic)| json!({ "acltype": kind, "topic": topic, "allow": true }))
        .collect();
    json!({
        "clients": [],
        "groups": [{ "groupname": "anonymous", "roles": [{ "rolename": "everything" }] }],
        "anonymousGroup": "anonymous",
        "roles": [{ "rolename": "everything", "acls": rules }],
        "defaultACLAccess": {
            "publishClientSend": false,
            "publishClientReceive": false,
            "subscribe": false,
            "unsubscribe": false,
        },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::{PLUG_IN, below, initial_configuration};

    #[test]
    fn the_plug_in_is_found_in_a_folder_and_in_one_within_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(below(folder.path()), None);
        let architecture = folder.path().join("riscv64-linux-gnu");
        std::fs::create_dir(&architecture).unwrap();
        std::fs::write(architecture.join(PLUG_IN), b"").unwrap();
        assert_eq!(below(folder.path()), Some(architecture.join(PLUG_IN)));
        std::fs::write(folder.path().join(PLUG_IN), b"").unwrap();
        assert_eq!(below(folder.path()), Some(folder.path().join(PLUG_IN)));
    }

    #[test]
    fn clients_without_a_role_may_do_nothing() {
        let configuration: serde_json::Value = serde_json::from_str(&initial_configuration()).unwrap();
        let defaults = configuration["defaultACLAccess"].as_object().unwrap();
        assert!(defaults.len() == 4 && defaults.values().all(|allowed| allowed == false));
    }
}
