//! The page of a run: what it shows is what the text and the summary show, and what was not measured is not shown as a number.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use ungraceful_record::metric::Percentiles;
use ungraceful_record::run::Record;
use ungraceful_record::testing::empty_record;
use ungraceful_record::verdict::{Conclusion, Verdict};
use ungraceful_report::{Context, Format, render, render_page, render_tour_page};

use crate::{fixture, touring};

const NOWHERE: &str = "/nonexistent/record";

/// The page of a record without files beside it.
fn page(record: &Record) -> String {
    render_page(record, Path::new(NOWHERE))
}

/// The texts that a reader of the page sees, without markup, with a space between words.
pub(crate) fn visible(page: &str) -> String {
    let (head, rest) = page.split_once("<style>").unwrap();
    let (_, body) = rest.split_once("</style>").unwrap();
    let mut text = String::new();
    for part in format!("{head}{body}").split('<') {
        let (_, shown) = part.split_once('>').unwrap_or(("", part));
        text.extend(shown.split_whitespace().flat_map(|word| [" ", word]));
    }
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#x2f;", "/"), ("&amp;", "&")];
    entities.into_iter().fold(text, |text, (entity, character)| text.replace(entity, character))
}

/// How often each word occurs.
fn words(text: &str) -> BTreeMap<&str, usize> {
    let mut words = BTreeMap::new();
    for word in text.split_whitespace() {
        *words.entry(word).or_default() += 1;
    }
    words
}

/// The words of the text report that the page must have, too: not the marks of the terminal, nor the line that sums up what holds, nor
/// the commands, of which the page has one for each finding.
fn words_of_text(text: &str) -> BTreeMap<&str, usize> {
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with("holds ") && !line.contains(" reproduce==")) {
        for (word, times) in words(line) {
            *all.entry(word).or_default() += times;
        }
    }
    all.remove("!!");
    all
}

/// The words of the text report that are missing on the page.
fn missing(record: &Record) -> Vec<String> {
    let context = Context { record_dir: Some(NOWHERE.into()), ..Context::default() };
    // The colon of an alarm is a word of its own on the page.
    let without_colons = |text: &str| text.replace(':', " ");
    let text = without_colons(&render(record, Format::Text, &context).replace(" reproduce:", " reproduce=="));
    let page = without_colons(&visible(&page(record)));
    let (text, shown) = (words_of_text(&text), words(&page));
    assert!(text.len() > 20, "{text:?}");
    let is_missing = |(word, times): &(&&str, &usize)| shown.get(**word).is_none_or(|shown| shown < times);
    text.iter().filter(is_missing).map(|(word, times)| format!("{word} ×{times}")).collect()
}

fn fixtures() -> Vec<(&'static str, Record)> {
    fixture::all().into_iter().chain([("partial", fixture::partial())]).collect()
}

#[test]
fn the_page_shows_every_number_and_sentence_of_the_text() {
    for (name, record) in fixtures() {
        assert_eq!(missing(&record), [""; 0], "{name}");
    }
}

#[test]
fn a_page_has_its_sections_in_the_order_of_their_weight() {
    for (name, record) in fixtures() {
        let page = page(&record);
        let order = [
            "id=\"verdicts\"",
            "id=\"findings\"",
            "id=\"pictures\"",
            "id=\"tables\"",
            "id=\"circumstances\"",
            "id=\"generator\"",
        ];
        let places: Vec<usize> = order.iter().map(|id| page.find(id).unwrap()).collect();
        assert!(places.is_sorted(), "{name}: {places:?}");
        assert!(page.ends_with("</html>\n") || page.ends_with("</html>"), "{name}");
        for forbidden in ["<script", "http://", "https://", "<link", "<img", "url("] {
            assert!(!page.contains(forbidden), "{name}: {forbidden}");
        }
    }
}

#[test]
fn a_record_without_observations_shows_none() {
    let shown = visible(&page(&empty_record()));
    assert!(shown.contains("nothing was judged, so nothing is proved"), "{shown}");
    assert!(shown.contains("No reaction was timed in this run."), "{shown}");
    assert!(shown.contains("timeline.csv can't be read"), "{shown}");
    assert!(!page(&empty_record()).contains("<polyline"), "no picture is drawn empty");
}

#[test]
fn a_known_deviation_is_no_violation_and_has_its_reason() {
    let mut record = fixture::violated();
    let violated = |verdict: &&mut Verdict| verdict.conclusion == Conclusion::Violated;
    let mut accepted = 0;
    for verdict in record.verdicts.iter_mut().filter(violated) {
        verdict.accepted = Some("reported <upstream>".into());
        accepted += 1;
    }
    assert!(accepted > 0);
    let page = page(&record);
    let shown = visible(&page);
    assert!(
        shown.contains("known: reported <upstream>") && shown.contains(&format!("{accepted} accepted")),
        "{shown}"
    );
    assert!(
        page.contains("<b class=\"word accepted\">accepted</b>") && !shown.contains("VIOLATED"),
        "{shown}"
    );
}

#[test]
fn a_phase_without_samples_says_so() {
    let mut record = fixture::all_holds();
    let fault = &mut record.bystanders.as_mut().unwrap().phases[1];
    fault.response_time = Percentiles::default();
    let shown = visible(&page(&record));
    assert!(shown.contains("bystanders, fault: no samples."), "{shown}");
    let row = shown.split("bystanders, fault").nth(2).unwrap();
    let cells: Vec<&str> = row.split_whitespace().take(5).collect();
    assert_eq!(cells, ["no", "samples", "–", "–", "–"], "its row in the table");
}

#[test]
fn pictures_show_the_files_beside_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let header = "second,phase,offered,delivered,reactions,connections_open,bystander_response_time_us_p50,broker_cpu_us\n";
    std::fs::write(
        folder.path().join("timeline.csv"),
        format!(
            "{header}1,baseline,301,302,0,5,4321,\n2,baseline,303,304,0,6,,\n7,fault,305,306,9,7,8765,70000\n"
        ),
    )
    .unwrap();
    let reaction = |kind: &str| format!("{{\"reactions\":[{{\"kind\":\"{kind}\",\"at_us\":7000000}}]}}\n");
    std::fs::write(folder.path().join("attempts.ndjson"), [reaction("closed"), reaction("reset")].concat())
        .unwrap();
    let page = render_page(&fixture::all_holds(), folder.path());
    let shown = visible(&page);
    for expected in [
        "Reactions per second",
        "1 1",
        "4.32 ms",
        "8.77 ms",
        "70.0 ms",
        "p99: metrics.hlog can't be read",
        "303 304",
    ] {
        assert!(shown.contains(expected), "{expected} in {shown}");
    }
    assert!(!shown.contains("timeline.csv can't") && !shown.contains("attempts.ndjson can't"), "{shown}");
    let without_memory = "The memory of the broker was not measured";
    assert!(shown.contains(without_memory), "{shown}");
}

#[test]
fn a_tour_has_a_matrix_that_leads_to_the_pages_of_its_runs() {
    let tour = touring::tour_of([fixture::all_holds(), fixture::violated()]);
    let page = render_tour_page(&tour, Path::new("results/tour"));
    assert_eq!(page.matches("href=\".&#x2f;1-cause&#x2f;report.html\"").count(), 2, "{page}");
    let shown = visible(&page);
    for expected in ["run as a whole", "VIOLATED", "to include it: --kick-cmd", "what was done"] {
        assert!(shown.contains(expected), "{expected} in {shown}");
    }
}

/// The numbers of a value by their path.
fn numbers(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(number) if number.is_u64() => found.push(path.to_owned()),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                numbers(item, &format!("{path}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                numbers(field, &format!("{path}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// Numbers that the summary does not have, because run.json has them, or has as a difference: the durations of phases.
const NOT_IN_THE_SUMMARY: [&str; 4] =
    ["/broker/pid", "/bystanders/irregularities", "/bystanders/outages", "/phases"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Text, page and summary have a number from one place, so it can't change in one of them alone.
    #[test]
    fn a_number_that_changes_in_a_record_changes_wherever_it_is_shown(
        which in any::<prop::sample::Index>(),
        fixture in 0_usize..4,
        changed in 1_000_u64..4_000_000,
    ) {
        let before = [fixture::all_holds, fixture::violated, fixture::storm, fixture::herd][fixture]();
        let mut value = serde_json::to_value(&before).unwrap();
        // Read back, so that nothing but the number differs.
        let before: Record = serde_json::from_value(value.clone()).unwrap();
        let mut paths = Vec::new();
        numbers(&value, "", &mut paths);
        prop_assert!(paths.len() > 300);
        let path = &paths[which.index(paths.len())];
        *value.pointer_mut(path).unwrap() = changed.into();
        // Some numbers have a smaller range.
        let Ok(after) = serde_json::from_value::<Record>(value) else { return Ok(()) };
        let missing = missing(&after);
        prop_assert!(missing.is_empty(), "{path}: {missing:?}");
        let of = |record: &Record, format| render(record, format, &Context::default());
        if of(&before, Format::Text) == of(&after, Format::Text) {
            return Ok(());
        }
        prop_assert!(page(&after) != page(&before), "{path}");
        if !NOT_IN_THE_SUMMARY.iter().any(|left_out| path.starts_with(left_out)) {
            let summary = of(&after, Format::Json);
            prop_assert!(summary.contains(&changed.to_string()) && summary != of(&before, Format::Json), "{path}");
        }
    }
}
