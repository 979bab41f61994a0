//! The page of a rate search: what it shows is what the text shows, with a picture and a link for each trial.

use std::path::Path;

use ungraceful_record::exit::Exit;
use ungraceful_record::rate_search::{RateSearch, TrialResult};
use ungraceful_record::testing::every;
use ungraceful_report::{Context, Format, Search, render_search, render_search_page};

use crate::fixture;
use crate::loading::search;
use crate::paging::visible;

fn page(search: &Search) -> String {
    render_search_page(search, Path::new("results/load")).replace("&#x2f;", "/")
}

fn promising(promise: &str) -> Search {
    Search { promise: promise.parse().expect("it is a promise"), ..search(TrialResult::Broken) }
}

/// The texts of the marks along the axes.
fn marks(page: &str) -> Vec<&str> {
    let texts = page.split("<text").skip(1).filter_map(|rest| rest.split_once('>')?.1.split_once('<'));
    texts.map(|(text, _)| text.trim()).collect()
}

#[test]
fn the_page_has_every_word_of_the_text() {
    for search in [
        promising("e2e p(99)<50ms,loss==0"),
        search(TrialResult::Unknown),
        search(TrialResult::GeneratorLate),
    ] {
        let context = Context { record_dir: Some("results/load".into()), ..Context::default() };
        let text = render_search(&search, Format::Text, &context).replace("Reproduce ", " ");
        let shown = visible(&page(&search));
        let words: Vec<&str> = text.split_whitespace().collect();
        assert!(every(&words, |word| shown.contains(*word)), "{words:?}\n{shown}");
    }
}

#[test]
fn the_answer_comes_before_the_picture_and_each_trial_has_its_page() {
    let search = search(TrialResult::Broken);
    let page = page(&search);
    let places = ["1,500/s; at 1,550/s the promise was broken", "<svg viewBox", "The trials"]
        .map(|what| page.find(what));
    assert!(places.is_sorted() && places.iter().flatten().count() == 3, "{places:?}");
    for number in 0..search.trials.len() {
        assert!(page.contains(&format!("<a href=\"./{number}/report.html\">")), "{number}");
    }
    assert_eq!(page.matches("<a href").count(), search.trials.len());
    assert!(
        page.contains("<span>ungraceful-bench</span> <span>--threshold</span>"),
        "a command that can be copied"
    );
    assert!(
        !page.contains("Verdicts of each cause") && !page.contains("id=\"findings\""),
        "there is none of it"
    );
}

#[test]
fn the_picture_is_of_the_promised_time_first() {
    let page = page(&promising("loss==0,e2e p(99)<50ms"));
    assert!(page.contains("what it measured of e2e p(99)&lt;50ms. Result: 1,500/s; at"), "{page}");
    assert!(visible(&page).contains("The promise is also loss==0; the table has"));
    assert_eq!(marks(&page).iter().filter(|mark| mark.ends_with("ms")).count(), 3, "{:?}", marks(&page));
    assert!(marks(&page).contains(&"2,000/s"), "{:?}", marks(&page));
    for label in ["promise kept", "promise broken", "the promise"] {
        assert!(visible(&page).contains(label), "{label}");
    }
    assert!(!visible(&page).contains("generator late or inconclusive"), "there is no such trial");
}

#[test]
fn numbers_and_shares_have_pictures_too() {
    assert!(page(&promising("loss==0")).contains("what it measured of loss==0."));
    let shares = page(&promising("loss<2%"));
    assert!(marks(&shares).iter().any(|mark| mark.ends_with(" %")), "{:?}", marks(&shares));
}

#[test]
fn without_samples_there_is_no_picture_and_no_number() {
    let mut few = promising("e2e p(99)<50ms");
    for trial in &mut few.trials {
        trial.record.load.as_mut().expect("a load").delivery_response_time = fixture::times(19, 500);
    }
    let shown = page(&few);
    assert!(shown.contains("No trial has enough samples of what was promised."), "{shown}");
    assert!(!shown.contains("<svg viewBox"), "{shown}");
    few.trials[0].record.load.as_mut().expect("a load").delivery_response_time = fixture::times(1_000, 500);
    assert!(visible(&page(&few)).contains("10 trials without enough samples."));
    let none = Search {
        rates: RateSearch::new(5.0, 1.0, 9.0),
        trials: Vec::new(),
        ended_by: Some(Exit::Interrupted),
        ..search(TrialResult::Broken)
    };
    assert!(visible(&page(&none)).contains("unknown: no trial was conclusive"), "{}", page(&none));
}

#[test]
fn hostile_texts_are_texts() {
    const HOSTILE: &str = "\"'><script>alert(1)</script></style>{{ 7*7 }}\u{1b}[2J";
    let mut search = search(TrialResult::Broken);
    for trial in &mut search.trials {
        trial.why.insert_str(0, HOSTILE);
        trial.command.insert_str(0, HOSTILE);
        trial.directory = format!("results/{}", HOSTILE.replace('/', "")).into();
    }
    search.tool.insert_str(0, HOSTILE);
    let page = page(&search);
    assert!(
        !page.contains("<script") && !page.contains('\u{1b}') && page.matches("</style>").count() == 1,
        "{page}"
    );
    assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("{{ 7*7 }}"), "{page}");
}
