//! Notes the commit that the binaries are built from, for the records they write.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=../../.git/HEAD");
    println!("cargo::rerun-if-changed=../../.git/refs/heads");
    let git = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit = git
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok());
    if let Some(commit) = commit {
        // `cargo run` sets it for the program too, which warns of variables that begin with its own prefix.
        println!("cargo::rustc-env=BUILT_FROM_COMMIT={}", commit.trim());
    }
}
