//! The scenarios of the catalogue: each is read, named by its file, and printed and read again.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use ungraceful_scenario::{parse, print};

/// The files of the catalogue, in order.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../faults/scenarios");
    let mut files = Vec::new();
    for family in fs::read_dir(root).unwrap() {
        for file in fs::read_dir(family.unwrap().path()).unwrap() {
            files.push(file.unwrap().path());
        }
    }
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn every_scenario_is_read_and_printed_back() {
    let mut mistakes = Vec::new();
    for file in files() {
        let source = fs::read_to_string(&file).unwrap();
        match parse(&source) {
            Err(found) => {
                mistakes.extend(found.iter().map(|mistake| format!("{}: {mistake}", file.display())));
            }
            Ok(scenario) => {
                assert_eq!(file.file_stem().unwrap().to_str(), Some(&*scenario.id), "{}", file.display());
                let printed = print(&scenario);
                let again = parse(&printed)
                    .unwrap_or_else(|found| panic!("{}: {found:?}\n{printed}", file.display()));
                assert_eq!(again, scenario, "{printed}");
            }
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn no_two_scenarios_have_the_same_name() {
    let mut names: Vec<_> = files().iter().map(|file| file.file_stem().unwrap().to_owned()).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}
