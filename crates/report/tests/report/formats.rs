//! The reports of the fixtures, as they are. A change here is a change that users see: read it before accepting it
//! (`INSTA_UPDATE=always cargo test`, then `git diff`).

use ungraceful_record::run::Record;
use ungraceful_report::{Context, Format, render};

use crate::fixture;

fn context() -> Context {
    Context {
        record_dir: Some("results/20260203T040506Z-double-connect-12345".into()),
        colour: false,
        width: None,
    }
}

fn assert_all_formats(name: &str, record: &Record) {
    for format in Format::ALL {
        insta::assert_snapshot!(format!("{name}.{format}"), render(record, format, &context()));
    }
}

#[test]
fn a_run_in_which_every_check_holds() {
    assert_all_formats("all_holds", &fixture::all_holds());
}

#[test]
fn a_broker_that_goes_on_serving_is_violating() {
    assert_all_formats("violated", &fixture::violated());
}

#[test]
fn a_storm_with_facts_wills_measures_and_messages_of_many_situations() {
    assert_all_formats("storm", &fixture::storm());
    let context = Context { width: Some(100), ..context() };
    insta::assert_snapshot!("storm.text_100", render(&fixture::storm(), Format::Text, &context));
}

#[test]
fn a_duel_whose_values_were_each_measured_once() {
    assert_all_formats("duel", &fixture::duel());
}

#[test]
fn herds_that_come_back_wave_by_wave() {
    assert_all_formats("herd", &fixture::herd());
}

#[test]
fn an_interrupted_run() {
    assert_all_formats("interrupted", &fixture::interrupted());
}

#[test]
fn a_partial_record_that_nobody_judged() {
    insta::assert_snapshot!("partial.text", render(&fixture::partial(), Format::Text, &context()));
}

#[test]
fn a_broker_that_went_down_without_bystanders() {
    assert_all_formats("broker_down", &fixture::broker_down());
}

#[test]
fn hostile_names_everywhere() {
    assert_all_formats("hostile", &fixture::hostile());
}

#[test]
fn a_narrow_terminal_a_usual_one_and_a_wide_one() {
    for width in [80, 120, 200] {
        let context = Context { width: Some(width), ..context() };
        insta::assert_snapshot!(
            format!("violated.text_{width}"),
            render(&fixture::violated(), Format::Text, &context)
        );
    }
}

#[test]
fn a_terminal_too_narrow_for_a_table_shows_case_by_case() {
    let context = Context { width: Some(60), ..context() };
    insta::assert_snapshot!("all_holds.text_60", render(&fixture::all_holds(), Format::Text, &context));
}
