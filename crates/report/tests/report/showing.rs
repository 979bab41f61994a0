//! What a reader of the text relies on, said as claims and not as snapshots.

use ungraceful_record::check::Finding;
use ungraceful_record::phase::Phase;
use ungraceful_record::run::{Completeness, Record};
use ungraceful_record::verdict::Force;
use ungraceful_report::{Context, Format, render};

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
fn the_sum_counts_the_attempts_of_all_cases_and_shows_the_times_of_all_together() {
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
fn acknowledged_messages_that_were_lost_come_before_every_table_and_those_of_qos_0_are_not_among_them() {
    let shown = text(&fixture::violated());
    let alarm =
        "!! ACKNOWLEDGED BUT LOST: 22 messages of the bystanders, QoS 1 and 2: 17 in fault and 5 in recovery";
    assert!(line_with(&shown, "ACKNOWLEDGED BUT LOST") == alarm, "{shown}");
    assert!(shown.find(alarm) < shown.find("What the broker did"));
    assert!(line_with(&shown, "lost at QoS 0").ends_with("24         0"), "{shown}");
    assert!(!text(&fixture::all_holds()).contains("ACKNOWLEDGED BUT LOST"));
}

#[test]
fn which_messages_were_lost_stands_below_the_alarm_and_other_irregularities_with_the_bystanders() {
    let shown = text(&fixture::violated());
    let lost = "Lost          fault, pair 1 (QoS 1): 520–530, 540, 542, 544, 546, 548, 550 · recovery, pair 2 (QoS 2): \
                1600–1604";
    assert_eq!(line_with(&shown, "Lost  "), lost);
    let (alarm, lost) = (shown.find("!! ACKNOWLEDGED BUT LOST").unwrap(), shown.find(lost).unwrap());
    assert!(alarm < lost && lost < shown.find("What the broker did").unwrap(), "{shown}");
    let duplicated = line_with(&shown, "Duplicated  ");
    assert!(duplicated.contains("fault, pair 2 (QoS 2): 700 at 6.10 s DUP 0, 701"), "{duplicated}");
    assert!(duplicated.contains("703 at 6.10 s DUP 1") && !duplicated.contains("708"), "{duplicated}");
    // Two that are listed and not named, and those that the record has no room for.
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
fn what_the_generator_could_not_do_is_told_before_the_tables() {
    let shown = text(&fixture::broker_down());
    assert!(shown.find("loop lag p99 41 ms is above 10 ms") < shown.find("What the broker did"));
    assert!(line_with(&shown, "Generator").contains("DID NOT KEEP UP"));
}

#[test]
fn an_incomplete_record_says_so_in_its_second_line() {
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
fn no_verdict_and_no_case_is_told_and_is_no_success() {
    let mut record = fixture::all_holds();
    record.verdicts.clear();
    record.cases.clear();
    let shown = text(&record);
    assert!(shown.contains("None: nothing was judged"));
    assert!(shown.contains("No case was run."));
    assert!(shown.ends_with("a planned fault never acted\n") && shown.contains("\nExit 3: "), "{shown}");
    assert_eq!(render(&record, Format::Csv, &Context::default()).lines().count(), 1);
}

#[test]
fn verdicts_with_the_same_evidence_stand_in_one_line_with_all_their_cases() {
    let mut record = fixture::all_holds();
    let verdict = Finding::inconclusive("no Will was due").verdict("will_is_published_once", Force::Must);
    record.verdicts = record.cases.iter().map(|case| verdict.clone().on(&case.case)).collect();
    let line = "double-connect identical on MQTT 5.0 and double-connect with-will on MQTT 3.1.1; in each of them: no Will was due";
    assert_eq!(line_with(&text(&record), "no Will was due").trim(), line);
    for verdict in &mut record.verdicts {
        verdict.case.as_mut().unwrap().version = "5.0".to_owned();
    }
    let line = "double-connect identical and with-will on MQTT 5.0; in each of them: no Will was due";
    assert_eq!(line_with(&text(&record), "no Will was due").trim(), line, "fault and version are named once");
}

#[test]
fn recovery_is_told_for_each_way_it_can_end() {
    let mut record = fixture::all_holds();
    let told = |record: &Record| line_with(&text(record), "fault's end").to_owned();
    assert_eq!(told(&record), "Back 200 ms after the fault's end: 99 % of the messages within 1.31 ms.");
    record.bystanders.as_mut().unwrap().recovery_time_us = Some(0);
    assert_eq!(told(&record), "Back at once after the fault's end: 99 % of the messages within 1.31 ms.");
    record.bystanders.as_mut().unwrap().recovery_time_us = None;
    assert!(text(&record).contains("NOT BACK within the recovery phase of 1.22 s"));
    let mut short = record.clone();
    let recovery = short.phases.iter_mut().find(|phase| phase.phase == Phase::Recovery).unwrap();
    recovery.ended_us = recovery.began_us + 999_999;
    assert!(text(&short).contains("shorter than the second that is looked at"), "{}", text(&short));
    record.phases.truncate(3);
    assert!(text(&record).contains("there was no recovery phase"));
    record.bystanders.as_mut().unwrap().recovery_limit_us = None;
    assert!(text(&record).contains("the baseline gave no limit"));
}

#[test]
fn colour_is_on_the_classes_of_findings_and_nowhere_else() {
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
fn no_line_is_wider_than_the_terminal_but_commands_that_are_to_be_copied() {
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
            for line in shown.lines().filter(|line| !line.contains("reproduce: ")) {
                assert!(line.chars().count() <= usize::from(width), "{width}: {line}");
            }
        }
    }
}

#[test]
fn the_report_says_nothing_about_a_witness_when_no_case_has_a_will() {
    let mut record = fixture::all_holds();
    record.witness = None;
    assert!(text(&record).contains("nothing can be said about Wills"));
    record.cases[1].will = None;
    assert!(!text(&record).contains("Witness"));
    assert!(!line_with(&text(&record), "MQTT  ").contains("Will"));
}

#[test]
fn cases_of_several_faults_are_told_apart_in_every_table() {
    let mut record = fixture::storm();
    // The same variant and version, of another fault.
    let mut other = record.cases[0].clone();
    other.case.fault = "takeover-other".into();
    if let Some(will) = &mut other.will {
        will.more_than_once = 1_234;
    }
    record.cases.push(other);
    let shown = text(&record);
    assert!(shown.contains("1,234 more than once"), "its Wills have a row of their own\n{shown}");
    for section in ["What else was seen", "Wills of the connections", "What was measured", "Messages of"] {
        let (_, after) = shown.split_once(section).unwrap();
        let table = after.split("\n\n").next().unwrap();
        assert!(table.contains("takeover-other resume"), "{section}\n{table}");
        assert!(table.contains("storm resume"), "{section}\n{table}");
    }
}

#[test]
fn a_few_cases_of_which_each_value_was_measured_once_stand_side_by_side_and_many_below_each_other() {
    let mut record = fixture::duel();
    let shown = text(&record);
    let row = line_with(&shown, "takeovers per minute").split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(row, "takeovers per minute 25,926 32,592");
    let lost = line_with(&shown, "lost per 1000 takeovers").split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(lost, "lost per 1000 takeovers 3 –", "a clean session loses nothing that it owes");
    record.cases.extend(record.cases.clone());
    record.cases.extend(record.cases.clone());
    assert_eq!(text(&record).matches("takeovers per minute").count(), 8);
}

#[test]
fn what_several_cases_measured_is_told_over_all_of_them_and_what_one_measured_only_once() {
    let shown = text(&fixture::storm());
    assert_eq!(shown.matches("newcomer connack").count(), 3, "{shown}");
    assert_eq!(shown.matches("  unread  ").count(), 1, "{shown}");
}

#[test]
fn what_it_cost_names_the_process_that_was_measured() {
    let mut record = fixture::all_holds();
    let told = |record: &Record| line_with(&text(record), "without its children").to_owned();
    record.broker.process_name = Some("cat\u{1b}[2J".into());
    assert!(told(&record).starts_with("Of process 4711 (cat\\u{1b}[2J), without"), "{}", told(&record));
    record.broker.process_name = None;
    assert!(told(&record).starts_with("Of process 4711, without"), "{}", told(&record));
    record.broker.pid = None;
    assert!(told(&record).starts_with("Of the broker's own process, without"), "{}", told(&record));
}
