//! Properties of the text report, beside the snapshots.

use ungraceful_record::check::Finding;
use ungraceful_record::merge::{MergedRecord, ShardRecord};
use ungraceful_record::phase::Phase;
use ungraceful_record::run::{Completeness, Record};
use ungraceful_record::verdict::Force;
use ungraceful_report::{Context, Format, annotations, render};

use crate::fixture;

fn text(record: &Record) -> String {
    render(record, Format::Text, &Context::default())
}

fn line_with<'a>(text: &'a str, part: &str) -> &'a str {
    let found = text.lines().find(|line| line.contains(part));
    assert!(found.is_some(), "no line with {part:?} in\n{text}");
    found.unwrap_or_default()
}

#[test]
fn the_sum_has_the_attempts_and_times_of_all_cases() {
    let shown = text(&fixture::violated());
    let sum = line_with(&shown, "all ");
    // 120,021 and 47 attempts; figures of the record's own distribution, and no mean of the cases' percentiles.
    assert_eq!(sum.split_whitespace().collect::<Vec<_>>().join(" "), "all 120,068 217 µs 219 µs 222 µs");
}

#[test]
fn a_lone_case_has_no_sum() {
    let mut record = fixture::all_holds();
    record.cases.truncate(1);
    assert!(!text(&record).lines().any(|line| line.starts_with("all")));
}

#[test]
fn cases_of_several_faults_name_their_fault() {
    let mut record = fixture::all_holds();
    record.cases[1].case.fault = "takeover".into();
    let shown = text(&record);
    assert!(line_with(&shown, "MQTT  ").contains("fault"));
    assert!(line_with(&shown, "with-will ").contains("takeover"));
}

#[test]
fn acknowledged_but_lost_messages_come_before_every_table() {
    let shown = text(&fixture::violated());
    let alarm = "!! ACKNOWLEDGED BUT LOST: 22 bystander messages (QoS 1 and 2): 17 in the fault phase and 5 in the recovery phase";
    assert!(line_with(&shown, "ACKNOWLEDGED BUT LOST") == alarm, "{shown}");
    assert!(shown.find(alarm) < shown.find("What the broker did"));
    assert!(line_with(&shown, "lost at QoS 0").ends_with("24         0"), "{shown}");
    assert!(!text(&fixture::all_holds()).contains("ACKNOWLEDGED BUT LOST"));
}

#[test]
fn lost_messages_are_listed_below_the_alarm() {
    let shown = text(&fixture::violated());
    let lost = "Lost          fault, pair 1 (QoS 1): 520–530, 540, 542, 544, 546, 548, 550 · recovery, pair 2 (QoS 2): \
                1600–1604";
    assert_eq!(line_with(&shown, "Lost  "), lost);
    let (alarm, lost) = (shown.find("!! ACKNOWLEDGED BUT LOST").unwrap(), shown.find(lost).unwrap());
    assert!(alarm < lost && lost < shown.find("What the broker did").unwrap(), "{shown}");
    let duplicated = line_with(&shown, "Duplicated  ");
    assert!(duplicated.contains("fault, pair 2 (QoS 2): 700 at 6.10 s DUP 0, 701"), "{duplicated}");
    assert!(duplicated.contains("703 at 6.10 s DUP 1") && !duplicated.contains("708"), "{duplicated}");
    // Two listed but not shown, and those that exceed the record's limit.
    assert!(duplicated.ends_with(" · and 4,323 more, see run.json"), "{duplicated}");
    let reordered = line_with(&shown, "Reordered  ");
    assert!(reordered.ends_with("baseline, pair 0 (QoS 0): 77 at 1.23 s DUP 0"), "{reordered}");
    let bystanders = shown.find("Bystanders: ").unwrap();
    assert!(
        bystanders < shown.find(duplicated).unwrap()
            && shown.find(reordered).unwrap() < shown.find("Findings").unwrap()
    );
}

#[test]
fn generator_bottlenecks_come_before_the_tables() {
    let shown = text(&fixture::broker_down());
    assert!(shown.find("loop lag p99 41 ms is above 10 ms") < shown.find("What the broker did"));
    assert!(line_with(&shown, "Generator").contains("DID NOT KEEP UP"));
}

#[test]
fn an_incomplete_record_is_marked_in_its_second_line() {
    for (completeness, word) in [
        (Completeness::Partial, "PARTIAL RECORD"),
        (Completeness::Interrupted, "INTERRUPTED"),
        (Completeness::BrokerDown, "BROKER DOWN"),
        (Completeness::RecordFailed, "RECORD NOT WRITTEN"),
    ] {
        let mut record = fixture::all_holds();
        record.completeness = completeness;
        for reason in [None, Some("the reason")] {
            record.incomplete_because = reason.map(str::to_owned);
            let shown = text(&record);
            let second = shown.lines().nth(1).unwrap();
            assert!(second.starts_with(&format!("!! {word}: ")), "{shown}");
            assert!(reason.is_none_or(|reason| second.ends_with(reason)), "{shown}");
        }
    }
}

#[test]
fn a_record_without_cases_and_verdicts_is_no_success() {
    let mut record = fixture::all_holds();
    record.verdicts.clear();
    record.cases.clear();
    let shown = text(&record);
    assert!(shown.contains("None: nothing was judged"));
    assert!(shown.contains("No case was run."));
    assert!(shown.ends_with("inconclusive: nothing was judged\n") && shown.contains("\nExit 3: "), "{shown}");
    assert_eq!(render(&record, Format::Csv, &Context::default()).lines().count(), 1);
}

#[test]
fn verdicts_with_the_same_evidence_share_a_line() {
    let mut record = fixture::all_holds();
    let verdict = Finding::inconclusive("no Will was due").verdict("will_is_published_once", Force::Must);
    record.verdicts = record.cases.iter().map(|case| verdict.clone().on(&case.case)).collect();
    let line = "double-connect identical on MQTT 5.0 and double-connect with-will on MQTT 3.1.1; each: no Will was due";
    assert_eq!(line_with(&text(&record), "no Will was due").trim(), line);
    for verdict in &mut record.verdicts {
        verdict.case.as_mut().unwrap().version = "5.0".to_owned();
    }
    let line = "double-connect identical and with-will on MQTT 5.0; each: no Will was due";
    assert_eq!(line_with(&text(&record), "no Will was due").trim(), line, "fault and version are named once");
}

#[test]
fn recovery_is_reported_for_each_outcome() {
    let mut record = fixture::all_holds();
    let told = |record: &Record| line_with(&text(record), "after the fault").to_owned();
    assert_eq!(told(&record), "Recovered 200 ms after the fault: 99 % of the messages within 1.31 ms.");
    record.bystanders.as_mut().unwrap().recovery_time_us = Some(0);
    assert_eq!(told(&record), "Recovered immediately after the fault: 99 % of the messages within 1.31 ms.");
    record.bystanders.as_mut().unwrap().recovery_time_us = None;
    assert!(text(&record).contains("NOT RECOVERED within the recovery phase of 1.22 s"));
    let mut short = record.clone();
    let recovery = short.phases.iter_mut().find(|phase| phase.phase == Phase::Recovery).unwrap();
    recovery.ended_us = recovery.began_us + 999_999;
    assert!(text(&short).contains("shorter than the one-second window it is judged by"), "{}", text(&short));
    record.phases.truncate(3);
    assert!(text(&record).contains("there was no recovery phase"));
    record.bystanders.as_mut().unwrap().recovery_limit_us = None;
    assert!(text(&record).contains("the baseline gave no limit"));
}

#[test]
fn only_the_classes_of_findings_are_coloured() {
    let record = fixture::violated();
    let coloured = render(&record, Format::Text, &Context { colour: true, ..Context::default() });
    for word in
        ["\u{1b}[31mVIOLATED\u{1b}[0m", "\u{1b}[33mdiffers\u{1b}[0m", "\u{1b}[33minconclusive\u{1b}[0m"]
    {
        assert!(coloured.contains(word), "{coloured:?}");
    }
    assert!(coloured.contains("\u{1b}[32mholds\u{1b}[0m"));
    let bare = ["31", "32", "33", "0"]
        .iter()
        .fold(coloured, |text, code| text.replace(&format!("\u{1b}[{code}m"), ""));
    assert_eq!(bare, text(&record));
}

#[test]
fn nothing_is_wider_than_the_terminal() {
    let records = [
        fixture::all_holds(),
        fixture::violated(),
        fixture::interrupted(),
        fixture::broker_down(),
        fixture::storm(),
        fixture::duel(),
    ];
    for record in records {
        for width in 80..=200 {
            let shown = render(&record, Format::Text, &Context { width: Some(width), ..Context::default() });
            for line in shown.lines() {
                assert!(line.chars().count() <= usize::from(width), "{width}: {line}");
            }
        }
    }
}

#[test]
fn what_never_varies_is_said_once_and_too_few_is_no_cell() {
    for record in
        [fixture::all_holds(), fixture::storm(), fixture::duel(), fixture::herd(), fixture::interrupted()]
    {
        let shown = text(&record);
        assert_eq!(
            shown.matches("too few").count(),
            shown.matches("percentiles with too few samples").count(),
            "{shown}"
        );
    }
    let mut record = fixture::all_holds();
    for case in &mut record.cases {
        (case.finished, case.reaction_time) = (7, fixture::times(7, 100));
        (case.will, case.sequences) = (None, fixture::counts(&[("FIN", 7)]));
    }
    record.reaction_time = fixture::times(14, 100);
    record.attempts.finished = 14;
    let shown = text(&record);
    let said = "Same in all   attempts: 7 (14 in all) · what the broker did: FIN · reaction time max: 107 µs";
    assert_eq!(line_with(&shown, "Same in all"), said, "{shown}");
    let left_out = "Left out      percentiles with too few samples: p50 needs 20 samples, p99 1,000";
    assert_eq!(line_with(&shown, "Left out"), left_out);
}

#[test]
fn one_reason_for_several_checks_is_one_finding() {
    let mut record = fixture::all_holds();
    let verdict = |check: &str, statement, case: usize| {
        let finding = Finding::inconclusive("the broker was down").by(statement);
        finding.verdict(check, Force::Must).on(&record.cases[case].case)
    };
    let (first, second) = (ungraceful_mqtt::statement::V5_3_1_0_2, ungraceful_mqtt::statement::V311_3_1_0_2);
    record.verdicts = vec![
        verdict("closes", first, 0),
        verdict("closes", second, 1),
        verdict("stays", first, 0),
        verdict("stays", first, 1),
    ];
    let shown = text(&record);
    assert_eq!(shown.matches("the broker was down").count(), 1, "{shown}");
    let claim = "inconclusive  MQTT 5.0 [MQTT-3.1.0-2], MQTT 3.1.1 [MQTT-3.1.0-2]  closes, MQTT 5.0 [MQTT-3.1.0-2]  stays";
    assert_eq!(line_with(&shown, "inconclusive  "), claim);
}

#[test]
fn an_alarm_is_not_said_again_by_its_finding() {
    let mut record = fixture::broker_down();
    let late = record.generator.bottlenecks.join("; ");
    record.verdicts.push(Finding::inconclusive(&*late).verdict("generator_keeps_up", Force::Run));
    let shown = text(&record);
    assert_eq!(shown.matches(&late).count(), 1, "{shown}");
    assert!(
        shown.contains("inconclusive  generator_keeps_up\n              see GENERATOR NOT RELIABLE above\n"),
        "{shown}"
    );
}

#[test]
fn what_a_finding_says_is_not_said_again() {
    let mut record = fixture::violated();
    record.generator.attempts_waited_for_a_client = 8;
    assert!(
        text(&record).contains("Not completed 8 of")
            && text(&record).contains("8 attempts waited for a free")
    );
    let why = "of 120076 attempts, 8 were never started; 8 found all clients busy: raise --count";
    record.verdicts.push(Finding::inconclusive(why).verdict("carries_out_the_plan", Force::Run));
    let shown = text(&record);
    assert!(!shown.contains("Not completed") && !shown.contains("waited for a free"), "{shown}");
    record.witness = None;
    let why = "the witness could not subscribe to the Will topics";
    record.verdicts.push(Finding::inconclusive(why).verdict("publishes_the_will", Force::Must));
    assert!(!text(&record).contains("Witness"), "{}", text(&record));
}

#[test]
fn the_witness_is_only_reported_with_wills() {
    let mut record = fixture::all_holds();
    record.witness = None;
    assert!(text(&record).contains("no conclusion about Wills is possible"));
    record.cases[1].will = None;
    assert!(!text(&record).contains("Witness"));
    assert!(!line_with(&text(&record), "MQTT  ").contains("Will"));
}

#[test]
fn every_table_distinguishes_cases_of_several_faults() {
    let mut record = fixture::storm();
    // The same variant and version, of another fault.
    let mut other = record.cases[0].clone();
    other.case.fault = "takeover-other".into();
    if let Some(will) = &mut other.will {
        will.more_than_once = 1_234;
    }
    record.cases.push(other);
    let shown = text(&record);
    assert!(shown.contains("1,234 received more than once"), "its Wills have a row of their own\n{shown}");
    for section in ["Other observations", "Wills of ended connections", "Measurements", "Messages of"] {
        let (_, after) = shown.split_once(section).unwrap();
        let table = after.split("\n\n").next().unwrap();
        assert!(table.contains("takeover-other resume"), "{section}\n{table}");
        assert!(table.contains("storm resume"), "{section}\n{table}");
    }
}

#[test]
fn few_single_valued_cases_stand_side_by_side() {
    let mut record = fixture::duel();
    let shown = text(&record);
    let row = line_with(&shown, "takeovers per minute").split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(row, "takeovers per minute 25,926 32,592");
    let lost = line_with(&shown, "lost per 1000 takeovers").split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(lost, "lost per 1000 takeovers 3 –", "a clean session loses nothing that it owes");
    record.cases.extend(record.cases.clone());
    record.cases.extend(record.cases.clone());
    let of_many = text(&record);
    assert_eq!(
        of_many.matches("takeovers per minute").count(),
        1,
        "a column, with a row for each case\n{of_many}"
    );
    assert_eq!(of_many.matches("25,926").count(), 4, "{of_many}");
}

#[test]
fn values_of_several_cases_also_have_a_total() {
    let shown = text(&fixture::storm());
    assert_eq!(shown.matches("newcomer connack").count(), 3, "{shown}");
    assert_eq!(shown.matches("\nunread  ").count(), 1, "{shown}");
}

#[test]
fn broker_resources_name_the_process() {
    let mut record = fixture::all_holds();
    let told = |record: &Record| line_with(&text(record), "without child processes").to_owned();
    record.broker.process_name = Some("cat\u{1b}[2J".into());
    assert!(told(&record).starts_with("Of process 4711 (cat\\u{1b}[2J), without"), "{}", told(&record));
    record.broker.process_name = None;
    assert!(told(&record).starts_with("Of process 4711, without"), "{}", told(&record));
    record.broker.pid = None;
    assert!(told(&record).starts_with("Of the broker process, without"), "{}", told(&record));
}

#[test]
fn annotations_are_lines_that_no_text_of_a_broker_can_end() {
    let record = fixture::hostile();
    let lines = annotations(&record);
    assert!(lines.iter().any(|line| line.starts_with("::error title=")), "{lines:?}");
    for line in &lines {
        assert!(!line.contains(['\n', '\r', '\u{1b}']), "{line:?}");
        assert_eq!(line.matches("::").count(), line[2..].matches("::").count() + 1, "{line:?}");
        let property = line.split("::").nth(1).expect("a command");
        assert_eq!(property.matches([',', ':']).count(), 0, "{property}");
    }
}

#[test]
fn each_class_of_finding_has_its_kind_of_annotation() {
    let mut record = fixture::violated();
    let kinds = |record: &_| -> Vec<String> {
        let lines = annotations(record);
        lines.iter().map(|line| line[2..].split(' ').next().expect("a word").to_owned()).collect()
    };
    assert_eq!(kinds(&record), ["error", "notice", "warning"]);
    let violated =
        record.verdicts.iter().find(|verdict| verdict.is_violation()).expect("the fixture has one");
    let known = ungraceful_record::accepted::Accepted {
        check: violated.check.clone(),
        case: None,
        reason: "50% of them, known".to_owned(),
        covers: 0,
    };
    ungraceful_record::accepted::accept(&mut record, &[known]);
    assert_eq!(kinds(&record), ["notice", "notice", "warning"]);
    assert!(annotations(&record)[0].contains("50%25 of them, known"), "{:?}", annotations(&record));
    assert_eq!(kinds(&fixture::all_holds()), Vec::<String>::new());
}

#[test]
fn the_first_line_of_a_merged_record_counts_its_shards() {
    let shard = |offset_us| ShardRecord { offset_us, ..ShardRecord::default() };
    let mut merged = MergedRecord {
        expected: 2,
        shards: vec![shard(0), shard(1_500)],
        acted_us: 4_000_000,
        together_us: 3_000_000,
        ..MergedRecord::default()
    };
    let shown =
        |merged: &MergedRecord| text(&Record { merged: Some(merged.clone()), ..fixture::all_holds() });
    let whole = shown(&merged);
    assert!(whole.lines().next().unwrap().ends_with("· 2 shards"), "{whole}");
    let course = "started within 1.50 ms of each other; all acted together for 3.00 s of 4.00 s";
    assert!(line_with(&whole, "Shards").ends_with(course), "{whole}");
    merged.expected = 3;
    merged.unlike = vec!["--rate: 100 and 50".into()];
    let lacking = shown(&merged);
    assert!(lacking.lines().next().unwrap().ends_with("· 2 of 3 shards"), "{lacking}");
    assert!(line_with(&lacking, "UNLIKE").contains("--rate: 100 and 50"), "{lacking}");
}

#[test]
fn the_summary_has_what_the_text_says_of_bystanders_and_of_the_exit() {
    let summary = |record: &Record| -> serde_json::Value {
        serde_json::from_str(&render(record, Format::Json, &Context::default())).expect("it is JSON")
    };
    let violated = summary(&fixture::violated());
    let bystanders = fixture::violated().bystanders.expect("the fixture has bystanders");
    let listed = violated["bystanders"]["irregularities"].as_array().expect("a list");
    assert_eq!(listed.len(), bystanders.irregularities.len());
    assert!(violated["bystanders"]["irregularities_left_out"].is_object(), "{violated}");
    assert_eq!(summary(&fixture::herd())["bystanders"]["outages"]["connections_lost"], 12);
    assert!(summary(&fixture::all_holds())["bystanders"].get("irregularities").is_none());
    for (name, record) in fixture::all() {
        let json = summary(&record);
        let last = text(&record).lines().last().expect("it has lines").to_owned();
        let told =
            format!("Exit {}: {}", json["exit"]["code"], json["exit"]["meaning"].as_str().expect("words"));
        assert_eq!(told, last, "{name}");
    }
}
