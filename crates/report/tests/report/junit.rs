//! JUnit XML, read back by an independent parser.

use proptest::prelude::*;
use roxmltree::{Document, Node};
use ungraceful_record::accepted::{Accepted, accept};
use ungraceful_record::check::Finding;
use ungraceful_record::exit::Exit;
use ungraceful_record::run::{Completeness, LeftOutRecord, Record};
use ungraceful_record::testing::every;
use ungraceful_record::verdict::{Conclusion, Force, Verdict, exit_of};
use ungraceful_report::escape::plain;
use ungraceful_report::{Context, Format, render, render_junit_without_run};

use crate::fixture;

fn written(record: &Record) -> String {
    render(record, Format::Junit, &Context::default())
}

fn elements<'a, 'x>(document: &'a Document<'x>, name: &str) -> Vec<Node<'a, 'x>> {
    document.descendants().filter(|node| node.has_tag_name(name)).collect()
}

/// The number in this attribute.
fn number(node: Node<'_, '_>, attribute: &str) -> usize {
    node.attribute(attribute).and_then(|value| value.parse().ok()).expect("it is a number")
}

/// Whether the document has neither failures nor errors.
pub(crate) fn is_clean(xml: &str) -> bool {
    let document = Document::parse(xml).expect("it is XML");
    let root = document.root_element();
    let counted = |name: &str| number(root, name);
    assert!(counted("tests") > 0, "{xml}");
    let found = ["failure", "error"].map(|name| elements(&document, name).len());
    assert_eq!(["failures", "errors"].map(counted), found, "{xml}");
    found == [0, 0]
}

#[test]
fn a_known_deviation_is_a_success_with_its_reason() {
    let mut record = fixture::violated();
    let known: Vec<Accepted> = record
        .verdicts
        .iter()
        .map(|of| of.check.clone())
        .map(|check| Accepted { check, case: None, reason: "ticket <7>".to_owned(), covers: 0 })
        .collect();
    assert!(!is_clean(&written(&record)));
    accept(&mut record, &known);
    record.verdicts.retain(|verdict| verdict.conclusion != Conclusion::Inconclusive);
    assert!(is_clean(&written(&record)), "{}", written(&record));
    assert!(written(&record).contains("known: ticket &lt;7&gt;"), "{}", written(&record));
    let text = render(&record, Format::Text, &Context::default());
    assert!(text.contains("accepted ") && text.contains(": known: ticket <7>"), "{text}");
    assert!(text.contains("Exit 0: every check holds, but for 2 known deviations"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&render(&record, Format::Json, &Context::default())).unwrap();
    let reasons: Vec<_> =
        json["verdicts"].as_array().unwrap().iter().filter_map(|of| of["accepted"].as_str()).collect();
    assert_eq!(reasons, ["ticket <7>"; 2]);
}

/// The only element of this name.
#[track_caller]
fn only<'a, 'x>(document: &'a Document<'x>, name: &str) -> Node<'a, 'x> {
    let all = elements(document, name);
    assert_eq!(all.len(), 1, "{name} in {}", document.input_text());
    all[0]
}

fn all_holds_but(verdict: Verdict) -> Record {
    let mut record = fixture::all_holds();
    record.verdicts.insert(0, verdict);
    record
}

/// Suites and their counts agree with the test cases in them, and with the record; there are failures or errors exactly if the exit
/// code is not 0.
#[track_caller]
fn assert_agrees(record: &Record) {
    let xml = written(record);
    let document = Document::parse(&xml).expect("it is XML");
    let suite = only(&document, "testsuite");
    let counted = |name: &str| number(suite, name);
    assert_eq!(counted("tests"), elements(&document, "testcase").len());
    assert_eq!(counted("failures"), elements(&document, "failure").len());
    assert_eq!(counted("errors"), elements(&document, "error").len());
    assert_eq!(counted("skipped"), elements(&document, "skipped").len());
    let of = |conclusion| record.verdicts.iter().filter(|verdict| verdict.conclusion == conclusion).count();
    let is_incomplete = usize::from(record.completeness != Completeness::Complete);
    let is_unjudged = usize::from(record.verdicts.is_empty());
    assert_eq!(counted("failures"), of(Conclusion::Violated));
    assert_eq!(counted("errors"), of(Conclusion::Inconclusive) + is_incomplete + is_unjudged);
    assert_eq!(counted("skipped"), record.cases_left_out.len());
    let successes = of(Conclusion::Holds);
    assert_eq!(counted("tests"), successes + counted("failures") + counted("errors") + counted("skipped"));
    let is_clean = counted("failures") + counted("errors") == 0;
    assert_eq!(is_clean, exit_of(record) == Exit::Holds, "{xml}");
    let names = elements(&document, "testcase").into_iter().skip(is_incomplete + is_unjudged);
    for (case, verdict) in names.zip(&record.verdicts) {
        let name = match &verdict.case {
            Some(case) => format!("{} {} MQTT {}", verdict.check, case.variant, case.version),
            None => verdict.check.clone(),
        };
        let class_name = verdict.case.as_ref().map_or("run", |case| &*case.fault);
        assert_eq!(case.attribute("name"), Some(&*plain(&name)));
        assert_eq!(case.attribute("classname"), Some(&*plain(class_name)));
    }
}

#[test]
fn suites_agree_with_every_fixture() {
    for record in [
        fixture::all_holds(),
        fixture::violated(),
        fixture::storm(),
        fixture::duel(),
        fixture::herd(),
        fixture::interrupted(),
        fixture::partial(),
        fixture::broker_down(),
        fixture::hostile(),
    ] {
        assert_agrees(&record);
    }
}

#[test]
fn the_suite_names_tool_and_mode_broker_and_time() {
    let mut record = fixture::violated();
    record.tool.mode = Some("storm".into());
    let xml = written(&record);
    let document = Document::parse(&xml).unwrap();
    let suite = only(&document, "testsuite");
    for (attribute, value) in [
        ("name", "ungraceful-double-connect storm"),
        ("hostname", "broker.example:1884"),
        ("timestamp", "2026-02-03T04:05:06Z"),
        ("time", "17.400"),
    ] {
        assert_eq!(suite.attribute(attribute), Some(value), "{attribute}");
    }
    let property = |name: &str| {
        let all = elements(&document, "property");
        let found = all.iter().find(|property| property.attribute("name") == Some(name));
        found.and_then(|property| property.attribute("value")).unwrap().to_owned()
    };
    assert_eq!((property("version"), property("seed")), ("0.1.0".into(), "12345".into()));
    assert!(property("broker").contains("mosquitto version 2.0.18"), "{xml}");
    assert!(property("exit").starts_with("1: "), "{xml}");
}

#[test]
fn a_violated_verdict_is_a_failure_with_statement_evidence_and_command() {
    let violated = &fixture::violated().verdicts[1];
    let xml = written(&all_holds_but(violated.clone()));
    let document = Document::parse(&xml).unwrap();
    let failure = only(&document, "failure");
    let message = "MQTT 3.1.1 [MQTT-3.1.0-2]: 120,018 of 120,021 are still served";
    assert_eq!(failure.attribute("message"), Some(message));
    let text = failure.text().unwrap();
    for words in [
        "statement: MQTT 3.1.1 [MQTT-3.1.0-2]\n",
        "evidence: 120,018 of 120,021 are still served\n",
        "such as: attempts 3 and 4 in attempts.ndjson\n",
        "reproduce: ungraceful-double-connect --variant identical -V 3.1.1 ",
    ] {
        assert!(text.contains(words), "{words:?} is not in {text:?}");
    }
    let case = failure.parent().unwrap();
    assert_eq!(case.attribute("classname"), Some("double-connect"));
    assert_eq!(case.attribute("name"), Some("closes_on_second_connect identical MQTT 3.1.1"));
}

#[test]
fn a_violated_threshold_needs_no_statement() {
    let verdict = Finding::violated("p(99) is 7 ms").verdict("response p(99)<5ms", Force::Threshold);
    let xml = written(&all_holds_but(verdict));
    let document = Document::parse(&xml).unwrap();
    assert_eq!(only(&document, "failure").attribute("message"), Some("p(99) is 7 ms"));
    assert_eq!(only(&document, "failure").parent().unwrap().attribute("classname"), Some("run"));
}

#[test]
fn an_inconclusive_verdict_is_an_error_with_its_reason() {
    let case = fixture::case_of("identical", "5.0");
    let verdict = Finding::inconclusive("no sample").verdict("closes", Force::Must).on(&case);
    let xml = written(&all_holds_but(verdict));
    let document = Document::parse(&xml).unwrap();
    let error = only(&document, "error");
    assert_eq!(
        (error.attribute("type"), error.attribute("message")),
        (Some("inconclusive"), Some("no sample"))
    );
    assert_eq!(error.parent().unwrap().attribute("classname"), Some("double-connect"));
}

#[test]
fn a_verdict_that_differs_is_a_success_with_its_note() {
    let verdict = Finding::differs(2, "closes without a word", "2 of 2 by FIN alone");
    let xml = written(&all_holds_but(verdict.verdict("says_why", Force::Prose)));
    let document = Document::parse(&xml).unwrap();
    let output = only(&document, "system-out");
    let text = output.text().unwrap();
    assert!(text.starts_with("differs: closes without a word\nevidence: 2 of 2 by FIN alone\n"), "{text}");
    assert!(elements(&document, "failure").is_empty() && elements(&document, "error").is_empty(), "{xml}");
}

#[test]
fn a_broker_that_went_down_is_an_error_of_its_own() {
    let xml = written(&fixture::broker_down());
    let document = Document::parse(&xml).unwrap();
    let errors = elements(&document, "error");
    assert_eq!(errors[0].attribute("type"), Some("BROKER DOWN"));
    let message =
        "the broker refused 3 connections in a row; the broker's process ended: signal 11 (SIGSEGV)";
    assert_eq!(errors[0].attribute("message"), Some(message));
    assert_eq!(errors[0].parent().unwrap().attribute("name"), Some("completes"));
}

#[test]
fn a_record_without_verdicts_is_no_success() {
    let record = Record { verdicts: Vec::new(), ..fixture::all_holds() };
    let xml = written(&record);
    let document = Document::parse(&xml).unwrap();
    assert_eq!(only(&document, "error").parent().unwrap().attribute("name"), Some("is_judged"));
    assert_agrees(&record);
}

#[test]
fn a_case_that_was_left_out_is_skipped_with_its_reason() {
    let mut record = fixture::all_holds();
    let why = "the broker does not support MQTT 5.0".to_owned();
    record.cases_left_out =
        vec![LeftOutRecord { case: fixture::case_of("identical", "5.0"), why: why.clone() }];
    let xml = written(&record);
    let document = Document::parse(&xml).unwrap();
    let skipped = only(&document, "skipped");
    assert_eq!(skipped.attribute("message"), Some(&*why));
    assert_eq!(skipped.parent().unwrap().attribute("name"), Some("identical MQTT 5.0"));
    assert_agrees(&record);
}

#[test]
fn a_run_without_a_record_is_an_error() {
    let xml = render_junit_without_run("ungraceful-violate", "connection \u{1b}[1mrefused\0 ]]>");
    let document = Document::parse(&xml).unwrap();
    let message = only(&document, "error").attribute("message").map(ToOwned::to_owned);
    assert_eq!(message.as_deref(), Some("connection \\u{1b}[1mrefused\\0 ]]>"));
}

#[test]
fn a_megabyte_of_evidence_is_kept() {
    let evidence = "]]>&<é\0".repeat(1 << 17);
    let verdict = Finding::violated(&*evidence).verdict("closes", Force::Must);
    let xml = written(&all_holds_but(verdict));
    let document = Document::parse(&xml).unwrap();
    assert_eq!(only(&document, "failure").attribute("message"), Some(&*plain(&evidence)));
}

/// A text with what XML can't contain, or only escaped.
fn evil() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        any::<String>(),
        "[\\x00-\\x1f\\x7f-\\x9f\u{fffe}\u{ffff}\u{fdd0}\u{feff}\u{2028}]{1,4}",
        Just("]]>".to_owned()),
        Just("<!--&#0;\"'<![CDATA[\u{1b}]0;".to_owned()),
    ];
    prop::collection::vec(one, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_gives_xml_that_agrees_with_the_record(texts in prop::collection::vec(evil(), 9)) {
        let mut record = fixture::violated();
        record.completeness = Completeness::BrokerDown;
        record.incomplete_because = Some(texts[0].clone());
        record.broker.exit = Some(texts[1].clone());
        record.broker.name = Some(texts[2].clone());
        record.broker.target = texts[3].clone();
        record.tool.name = texts[4].clone();
        record.started_utc = texts[5].clone();
        record.verdicts[1].evidence = texts[6].clone();
        record.verdicts[2].citation = Some(texts[7].clone());
        record.verdicts[3].differs = Some(texts[8].clone());
        record.verdicts[5].evidence = texts[0].clone();
        for (verdict, text) in record.verdicts.iter_mut().zip(&texts) {
            verdict.check.push_str(text);
            if let Some(case) = &mut verdict.case {
                case.fault = text.clone();
                case.variant = texts[1].clone();
            }
        }
        let case = record.verdicts[1].case.clone().unwrap();
        record.cases_left_out = vec![LeftOutRecord { case, why: texts[2].clone() }];
        assert_agrees(&record);
        let xml = written(&record);
        let document = Document::parse(&xml).unwrap();
        let outputs = elements(&document, "system-out");
        prop_assert!(every(&outputs, |output| output.text().is_some_and(|text| text.contains("reproduce: "))));
        prop_assert!(!xml.contains(|c: char| c.is_control() && c != '\n'), "{:?}", xml);
    }
}
