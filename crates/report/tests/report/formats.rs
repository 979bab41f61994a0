//! Snapshots of the reports. Users see every change here: read it before accepting it
//! (`INSTA_UPDATE=always cargo test`, then `git diff`).

use ungraceful_report::{Context, Format, render};

use crate::fixture;

fn context() -> Context {
    Context { record_dir: Some("results/20260203T040506Z-double-connect-12345".into()), ..Context::default() }
}

#[test]
fn every_fixture_in_every_format() {
    for (name, record) in fixture::all() {
        for format in Format::ALL {
            insta::assert_snapshot!(format!("{name}.{format}"), render(&record, format, &context()));
        }
    }
}

#[test]
fn a_partial_record_without_verdicts() {
    insta::assert_snapshot!("partial.text", render(&fixture::partial(), Format::Text, &context()));
}

#[test]
fn text_fits_terminals_from_too_narrow_for_a_table_to_wide() {
    let (all_holds, violated, storm) = (fixture::all_holds(), fixture::violated(), fixture::storm());
    for (name, record, width) in [
        ("all_holds", &all_holds, 60),
        ("violated", &violated, 80),
        ("storm", &storm, 100),
        ("violated", &violated, 120),
        ("violated", &violated, 200),
    ] {
        let context = Context { width: Some(width), ..context() };
        insta::assert_snapshot!(format!("{name}.text_{width}"), render(record, Format::Text, &context));
    }
}
