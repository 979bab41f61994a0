//! The programs named after a tool are thin: `ungraceful` contains every tool and acts as the one whose name it is called by.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;
use ungraceful_record::exit::Exit;

use crate::support::{binary, program};

/// Every program named after a tool.
fn tools() -> Vec<&'static str> {
    let names: Vec<_> =
        ungraceful::front::binaries().into_iter().filter(|name| *name != "ungraceful").collect();
    assert!(names.len() > 1);
    names
}

/// A folder with these binaries in it, and nothing else. They are hard links: a file that was just written can't be started
/// while another test's child, not yet at its own program, still has it open.
fn folder_with(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for name in names {
        std::fs::hard_link(binary(name).get_program(), folder.path().join(name)).unwrap();
    }
    folder
}

/// The output of this program with `path` as its PATH.
fn output_of(file: &Path, path: &Path, arguments: &[&str]) -> Output {
    program(file).args(arguments).env("PATH", path).output().unwrap()
}

/// A PATH without programs.
fn nowhere() -> &'static Path {
    Path::new("/no/such/folder")
}

#[test]
fn ungraceful_alone_is_every_tool_under_its_name() {
    let folder = folder_with(&["ungraceful"]);
    let alone = folder.path().join("ungraceful");
    for name in tools() {
        let linked = folder.path().join(name);
        symlink(&alone, &linked).unwrap();
        for arguments in [&["--help"][..], &["--no-such-flag"]] {
            let by_name = output_of(&linked, nowhere(), arguments);
            let thin = binary(name).args(arguments).output().unwrap();
            assert!(by_name == thin, "{name} {arguments:?} differs under a link's name");
            let subcommand = [&[name.trim_start_matches("ungraceful-")], arguments].concat();
            assert!(output_of(&alone, nowhere(), &subcommand) == thin, "{subcommand:?} differs from {name}");
        }
    }
    // Renamed, with an embedded broker, which is this file again.
    let renamed = folder.path().join("renamed").join("ungraceful-double-connect");
    std::fs::create_dir(renamed.parent().unwrap()).unwrap();
    std::fs::rename(&alone, &renamed).unwrap();
    let record = folder.path().join("record");
    let quick = "--attempts 1 --variant identical --warmup 100ms --baseline 1s --slip-limit 1h --output";
    let arguments: Vec<&str> = quick.split(' ').chain([record.to_str().unwrap()]).collect();
    let output = output_of(&renamed, nowhere(), &arguments);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("ungraceful-double-connect") && text.contains("embedded broker"), "{output:?}");
}

#[test]
fn a_thin_program_finds_ungraceful_beside_it_or_on_path() {
    let thin = "ungraceful-flood";
    let (together, apart, links) =
        (folder_with(&[thin, "ungraceful"]), folder_with(&[thin]), folder_with(&[]));
    let link = links.path().join("flood");
    symlink(together.path().join(thin), &link).unwrap();
    let expected = binary(thin).arg("--help").output().unwrap();
    assert!(expected.status.success());
    for (file, path) in [
        (together.path().join(thin), nowhere()),
        (link, nowhere()),
        (apart.path().join(thin), together.path()),
    ] {
        assert!(output_of(&file, path, &["--help"]) == expected, "{file:?} with PATH {path:?}");
    }
}

#[test]
fn a_thin_program_without_ungraceful_names_the_cure() {
    let apart = folder_with(&["ungraceful-flood"]);
    let file = apart.path().join("ungraceful-flood");
    let refused = |file: &Path| {
        let output = output_of(file, nowhere(), &["--help"]);
        assert_eq!(output.status.code(), Some(i32::from(Exit::Environment.code())));
        String::from_utf8(output.stderr).unwrap()
    };
    let text = refused(&file);
    let folder = apart.path().to_str().unwrap();
    for part in ["ungraceful-flood: ", folder, "PATH", "-p ungraceful`"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    // It does not start itself for ever.
    let copied = folder_with(&["ungraceful-flood"]);
    let thin = copied.path().join("ungraceful-flood");
    std::fs::hard_link(&thin, copied.path().join("ungraceful")).unwrap();
    let text = refused(&thin);
    assert!(text.contains("is only a launcher"), "{text}");
    // An `ungraceful` that can't be started is an error.
    std::fs::write(apart.path().join("ungraceful"), "").unwrap();
    let text = refused(&file);
    assert!(text.contains("cannot start") && text.contains("Permission denied"), "{text}");
}
