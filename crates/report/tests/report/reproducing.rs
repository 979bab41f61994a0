//! The command that reproduces a verdict.

use ungraceful_record::run::{
    BrokerOrigin, Record, Setting, SettingSource, TlsRecord, WITHHELD, WebSocketRecord,
};
use ungraceful_report::{Context, Format, render, reproduce_command};

use crate::fixture;

fn flag(value: &str) -> Setting {
    Setting::new(value, SettingSource::Flag)
}

#[test]
fn the_command_has_the_broker_the_verdicts_case_and_the_settings() {
    for (record, verdict, command) in [
        (
            fixture::violated(),
            2,
            "ungraceful-double-connect --host broker.example -p 1884 --variant other-client-id -V 3.1.1 --attempts 790 \
             --insecure --threshold 'p99 < 5ms' --seed 12345",
        ),
        // An embedded broker needs no flag, and settings of the report are skipped.
        (
            fixture::all_holds(),
            1,
            "ungraceful-double-connect --variant with-will -V 3.1.1 --attempts 790 --seed 12345",
        ),
        (
            fixture::broker_down(),
            0,
            "ungraceful-double-connect --spawn mosquitto --attempts 790 --seed 12345",
        ),
    ] {
        assert_eq!(reproduce_command(&record, &record.verdicts[verdict]), command);
    }
}

#[test]
fn a_verdict_on_the_run_keeps_the_users_choice_of_cases() {
    let mut record = fixture::all_holds();
    record.settings.insert("variant".into(), flag("identical"));
    record.settings.insert("protocol_version".into(), flag("5.0"));
    assert_eq!(
        reproduce_command(&record, &record.verdicts[2]),
        "ungraceful-double-connect --attempts 790 --protocol-version 5.0 --variant identical --seed 12345"
    );
    assert!(!reproduce_command(&record, &record.verdicts[1]).contains("--protocol-version"));
}

#[test]
fn a_flag_that_was_repeated_is_repeated_and_gates_are_left_out() {
    let mut record = fixture::all_holds();
    let further = vec!["-b=3".to_owned()];
    record.settings.insert("user-property".into(), Setting { further, ..flag("a=1,2") });
    record.settings.insert("accept".into(), flag("claim=reason"));
    let command = reproduce_command(&record, &record.verdicts[1]);
    assert!(command.contains(" --user-property a=1,2 --user-property=-b=3 "), "{command}");
    assert!(!command.contains("--accept"), "{command}");
}

#[test]
fn an_ipv6_target_loses_its_brackets() {
    let mut record = fixture::violated();
    record.broker.target = "[2001:db8::1]:8883".into();
    let command = reproduce_command(&record, &record.verdicts[1]);
    assert!(command.contains(" --host 2001:db8::1 -p 8883 "), "{command}");
    record.broker.target = "broker.example".into();
    let command = reproduce_command(&record, &record.verdicts[1]);
    assert!(command.contains(" --host broker.example --variant "), "{command}");
}

#[test]
fn tls_is_reproduced_and_named() {
    let mut record = fixture::violated();
    record.broker.tls = Some(TlsRecord { insecure: true });
    let text = render(&record, Format::Text, &Context::default());
    assert!(text.contains(" over TLS, certificate not verified (--insecure)"), "{text}");
    record.settings.insert("url".into(), flag("mqtts://broker.example"));
    let command = reproduce_command(&record, &record.verdicts[1]);
    assert!(command.contains(" --tls "), "{command}");
    record.settings.insert("tls".into(), flag("true"));
    assert_eq!(reproduce_command(&record, &record.verdicts[1]).matches("--tls").count(), 1);
}

#[test]
fn websocket_is_reproduced_and_named() {
    let mut record = fixture::violated();
    record.broker.websocket = Some(WebSocketRecord { path: "/mqtt".into() });
    let text = render(&record, Format::Text, &Context::default());
    assert!(text.contains(" over WebSocket (path /mqtt)"), "{text}");
    record.broker.tls = Some(TlsRecord { insecure: false });
    let text = render(&record, Format::Text, &Context::default());
    assert!(text.contains(" over WebSocket and TLS (path /mqtt)"), "{text}");
    let command = |record: &Record| reproduce_command(record, &record.verdicts[1]);
    assert!(command(&record).contains(" --tls --ws --ws-path /mqtt "), "{}", command(&record));
    record.settings.insert("ws".into(), flag("true"));
    record.settings.insert("ws-path".into(), flag("/mqtt"));
    for word in ["--ws ", "--ws-path /mqtt"] {
        assert_eq!(command(&record).matches(word).count(), 1, "{}", command(&record));
    }
    record.settings.insert("ws-path".into(), flag(WITHHELD));
    assert!(command(&record).contains("--ws-path '<not recorded>'"), "{}", command(&record));
}

#[test]
fn a_secret_in_a_record_is_never_written() {
    let mut record = fixture::all_holds();
    record.broker.origin = BrokerOrigin::External;
    for name in ["pw", "password"] {
        record.settings.insert(name.into(), Setting::new("hunter2", SettingSource::Environment));
    }
    for verdict in &record.verdicts {
        assert!(!reproduce_command(&record, verdict).contains("hunter2"));
    }
}

#[test]
fn withheld_values_appear_as_placeholders() {
    let mut record = fixture::all_holds();
    let withheld = |source| Setting::new("***", source);
    record.settings.insert("kick-cmd".into(), withheld(SettingSource::Flag));
    record.settings.insert("admin-pw".into(), withheld(SettingSource::File));
    record.settings.insert("pw".into(), withheld(SettingSource::Environment));
    let command = reproduce_command(&record, &record.verdicts[1]);
    assert!(command.contains(" --kick-cmd '<not recorded>'"), "{command}");
    assert!(command.contains(" --admin-pw '<not recorded>'"), "{command}");
    assert!(!command.contains("--pw") && !command.contains("***"), "{command}");
    record.settings.insert("url".into(), withheld(SettingSource::Flag));
    let command = reproduce_command(&record, &record.verdicts[1]);
    assert!(command.contains(" --username '<not recorded>' --pw '<not recorded>'"), "{command}");
    assert!(!command.contains("--url"), "{command}");
}

#[test]
fn values_are_quoted_and_flag_like_ones_use_an_equals_sign() {
    let mut record = fixture::all_holds();
    for (name, value) in [("attempts", "-5"), ("topic", "a b/$x"), ("retry", "false")] {
        record.settings.insert(name.into(), flag(value));
    }
    let command = reproduce_command(&record, &record.verdicts[0]);
    assert!(command.ends_with("--attempts=-5 --topic 'a b/$x' --seed 12345"), "{command}");
}

#[test]
fn a_mode_without_variants_gets_no_variant_flag() {
    let mut record = fixture::violated();
    record.tool.chooses_variants = false;
    let command = reproduce_command(&record, &record.verdicts[2]);
    assert!(command.contains(" -p 1884 -V 3.1.1 --attempts 790 "), "{command}");
}

#[test]
fn the_user_name_is_written_but_not_the_password() {
    let mut record = fixture::violated();
    record.settings.insert("username".into(), flag("me"));
    record.settings.insert("pw".into(), flag("hunter2"));
    let command = reproduce_command(&record, &record.verdicts[2]);
    assert!(command.contains(" --username me ") && !command.contains("hunter2"), "{command}");
}
