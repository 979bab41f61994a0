//! Generated texts: the pages of the reference in the repository are up to date, and every help text and man page has the flags and
//! exit codes of its command. `UPDATE_REFERENCE=1` writes the pages.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use ungraceful::{front, reference, tools};

use crate::support::{binary, double_connect};

/// The schemas, which tests of their crates write.
const SCHEMAS: [&str; 3] = ["run.schema.json", "scenario.schema.json", "events.schema.json"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference")
}

fn printed(binary_name: &str, arguments: &[&str]) -> String {
    // A fixed width, so that the terminal does not change the wrapping.
    let output = binary(binary_name).args(arguments).env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A command line with a help text and a man page.
struct Documented {
    help: String,
    man_page: String,
    command: Command,
}

/// Every binary, and every mode of those with several.
fn documented() -> Vec<Documented> {
    let of_tools = tools::ALL.into_iter().filter(|tool| tool.has_several_modes());
    let modes = of_tools.flat_map(|tool| tool.modes().map(|mode| (tool.name, Some(mode.name()))));
    let binaries = front::binaries().into_iter().map(|name| (name, None));
    let names: Vec<(&str, Option<&str>)> = binaries.chain(modes).collect();
    let documented = names.into_iter().map(|(name, mode)| {
        let page = mode.map_or_else(|| name.to_owned(), |mode| format!("{name}-{mode}"));
        let command = front::command_of(&page).unwrap();
        // What has few flags has one help text.
        let has_two = command.get_arguments().any(|arg| arg.get_long() == Some("help-all"));
        let help = if has_two { "--help-all" } else { "--help" };
        Documented {
            help: printed(name, &mode.into_iter().chain([help]).collect::<Vec<_>>()),
            man_page: printed("ungraceful", &["man", &page]),
            command,
        }
    });
    documented.collect()
}

#[test]
fn the_pages_in_the_repository_are_up_to_date() {
    let mut files = BTreeSet::from(SCHEMAS.map(str::to_owned));
    for name in reference::names() {
        let file = format!("{name}.md");
        let page = printed("ungraceful", &["reference", name]);
        let path = folder().join(&file);
        if std::env::var_os("UPDATE_REFERENCE").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        assert!(
            std::fs::read_to_string(&path).unwrap_or_default() == page,
            "docs/reference/{file} is not what the code generates: run UPDATE_REFERENCE=1 cargo test -p ungraceful --test e2e reference"
        );
        files.insert(file);
    }
    let entries = std::fs::read_dir(folder()).unwrap();
    let kept: BTreeSet<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(kept, files);
}

#[test]
fn every_link_of_a_page_leads_to_a_file_and_a_heading() {
    let mut links = 0;
    for name in reference::names() {
        let page = reference::page(name).unwrap();
        for link in page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let linked = if file.is_empty() { Some(name) } else { file.strip_suffix(".md") };
            let linked = linked
                .and_then(reference::page)
                .or_else(|| std::fs::read_to_string(folder().join(file)).ok());
            let linked = linked.unwrap_or_else(|| panic!("{link} in {name}.md leads nowhere"));
            let has_heading = linked.lines().any(|line| line == format!("## {heading}"));
            assert!(heading.is_empty() || has_heading, "{link} in {name}.md");
            links += 1;
        }
    }
    assert!(links > 0, "no page has a link");
}

#[test]
fn every_help_text_and_man_page_has_all_flags_and_exit_codes() {
    for Documented { help, man_page, command } in documented() {
        let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
        let mut flags = 0;
        let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
        for long in shown.filter_map(Arg::get_long) {
            // An optional value follows in brackets.
            let is_it = |word: &str| word.split('[').next() == Some(&*format!("--{long}"));
            let in_help = help.split_whitespace().any(is_it);
            assert!(in_help, "--{long} is missing in the help text of {name}");
            // troff has its hyphens escaped.
            let escaped = format!("--{long}").replace('-', "\\-");
            assert!(man_page.contains(&escaped), "--{long} is missing in the man page of {name}");
            flags += 1;
        }
        assert!(flags > 0, "{name} has no flags");
        for code in ["0", "1", "2", "3", "4", "70", "130"] {
            for (text, what) in [(&help, "help text"), (&man_page, "man page")] {
                let has_code = |line: &str| line.split_whitespace().next() == Some(code);
                assert!(text.lines().any(has_code), "{code} is missing in the {what} of {name}");
            }
        }
    }
}

#[test]
fn the_commands_that_print_have_a_help_text() {
    for name in ["list", "completions", "man", "reference"] {
        let help = printed("ungraceful", &[name, "--help"]);
        assert!(help.contains(&format!("Usage: ungraceful {name}")), "{help}");
    }
}

#[test]
fn completions_know_the_flags() {
    let script = printed("ungraceful", &["completions", "bash", "ungraceful-double-connect"]);
    assert!(script.contains("--reaction-timeout") && script.contains("--i-own-this-broker"));
}

#[test]
fn a_record_is_valid_by_its_published_schema() {
    let call = double_connect("--attempts 2 --delay 10ms");
    let schema: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder().join(SCHEMAS[0])).unwrap()).unwrap();
    let text = std::fs::read_to_string(call.folder.join("run.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&record).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn the_readme_has_the_exit_codes_as_they_are() {
    let readme = std::fs::read_to_string(folder().join("../../README.md")).unwrap();
    for exit in ungraceful_record::exit::Exit::ALL {
        let row = format!("| {} | {} |", exit.code(), exit.meaning());
        assert!(readme.contains(&row), "README.md lacks the row {row}");
    }
}
