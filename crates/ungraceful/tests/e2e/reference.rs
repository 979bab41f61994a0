//! What is generated from the code is in the repository as it is generated: help texts, man pages, the plan's and
//! the record's formats. `UPDATE_REFERENCE=1` writes them anew.

use std::path::{Path, PathBuf};

use crate::support::{binary, double_connect};

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name)
}

fn assert_current(name: &str, generated: &str) {
    let path = reference(name);
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, generated).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == generated,
        "docs/reference/{name} is not what the code generates: run UPDATE_REFERENCE=1 scripts/test"
    );
}

fn printed(binary_name: &str, arguments: &[&str]) -> String {
    // Wide enough that no terminal of the machine changes the wrapping.
    let output = binary(binary_name).args(arguments).env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Every binary, and the modes of each; one that has a mode alone does not name it.
fn binaries() -> Vec<(&'static str, Vec<&'static str>)> {
    let of_tools = ungraceful::tools::ALL.into_iter().map(|tool| {
        let modes = tool.modes.iter().map(|mode| mode.name()).filter(|_| tool.modes.len() > 1);
        (tool.name, modes.collect())
    });
    [("ungraceful", Vec::new()), ("ungraceful-explain", Vec::new())].into_iter().chain(of_tools).collect()
}

#[test]
fn help_texts_and_man_pages_are_those_of_the_binaries() {
    for (name, modes) in binaries() {
        assert_current(&format!("{name}.txt"), &printed(name, &["--help"]));
        assert_current(&format!("{name}.1"), &printed("ungraceful", &["man", name]));
        for mode in modes {
            let page = format!("{name}-{mode}");
            assert_current(&format!("{page}.txt"), &printed(name, &[mode, "--help"]));
            assert_current(&format!("{page}.1"), &printed("ungraceful", &["man", &page]));
        }
    }
}

#[test]
fn every_man_page_has_the_exit_codes() {
    let pages = binaries().into_iter().flat_map(|(name, modes)| {
        std::iter::once(name.to_owned()).chain(modes.into_iter().map(move |mode| format!("{name}-{mode}")))
    });
    for name in pages {
        let page = printed("ungraceful", &["man", &name]);
        for code in ["0", "1", "2", "3", "4", "70", "130"] {
            let has_code = |line: &str| line.split_whitespace().next() == Some(code);
            assert!(page.lines().any(has_code), "{code} is missing in the man page of {name}");
        }
    }
}

#[test]
fn completions_know_the_flags() {
    let script = printed("ungraceful", &["completions", "bash", "ungraceful-double-connect"]);
    assert!(script.contains("--reaction-timeout") && script.contains("--i-own-this-broker"));
}

#[test]
fn a_record_is_valid_by_its_published_schema() {
    let call = double_connect(&["--attempts", "2", "--delay", "10ms"]);
    let schema: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(reference("run.schema.json")).unwrap()).unwrap();
    let text = std::fs::read_to_string(call.folder.join("run.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&record).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn the_readme_has_the_exit_codes_as_they_are() {
    let readme = std::fs::read_to_string(reference("../../README.md")).unwrap();
    for exit in ungraceful_record::exit::Exit::ALL {
        let row = format!("| {} | {} |", exit.code(), exit.meaning());
        assert!(readme.contains(&row), "README.md lacks the row {row}");
    }
}
