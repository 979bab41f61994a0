//! `ungraceful-report merge`: the shards of one run made one record, which is judged and shown like that of any run.

mod reading;
mod writing;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use ungraceful_flags::Mistake;
use ungraceful_record::exit::Exit;
use ungraceful_record::merge::{Besides, MissingShardRecord, Shard, conflicts, merge, refused};
use ungraceful_record::verdict::exit_of;
use ungraceful_report::compare::shard_differences;
use ungraceful_report::{Format, render};
use ungraceful_rig::error::RunError;

use crate::again::{context, judge_by_current_checks};
use crate::launch;
use crate::page_file::PageFile;

/// The subcommand.
pub(crate) const MERGE: &str = "merge";

/// Its command line.
pub(crate) fn command() -> Command {
    Command::new(MERGE)
        .about("Merges shards of one run: the same call, made at the same time by several machines, into one record")
        .long_about(
            "Merges shards of one run into one record, judges it and prints its report. Shards are the same call, made at the same time \
             by several machines or processes against one broker, each with its own --seed. Counts add up, percentiles come from \
             merged histograms, and nothing is estimated. Shards that are unlike (tool, settings, version) are refused with their \
             differences, and so are runs that were not made at the same time.",
        )
        .disable_help_flag(true)
        .arg(
            Arg::new("dir")
                .value_name("DIR")
                .help("Folders of the shards' records")
                .num_args(1..)
                .required(true)
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            clap::arg!(-o --output <OUT> "Folder of the merged record; a record in it is never overwritten")
                .required(true)
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            Arg::new("of")
                .long("of")
                .value_name("N")
                .help("Number of shards of the run: with fewer, the record is partial, and the exit code 3 [default: the folders given]")
                .value_parser(value_parser!(u64).range(1..=10_000)),
        )
        .arg(
            Arg::new("anyway")
                .long("anyway")
                .help("Merge shards that are unlike, too; the report lists their differences")
                .action(ArgAction::SetTrue),
        )
        .arg(clap::arg!(--help "Print help").action(ArgAction::Help))
}

/// Merges, writes, judges and prints.
pub(crate) fn run(matches: &ArgMatches) -> Result<Exit, RunError> {
    let folders: Vec<&PathBuf> = matches.get_many("dir").expect("the parser requires it").collect();
    let output: &PathBuf = matches.get_one("output").expect("the parser requires it");
    let of: Option<u64> = matches.get_one("of").copied();
    if let Some(of) = of.filter(|of| *of < folders.len() as u64) {
        return Err(mistake("--of", format!("{of} shards, but {} folders are given", folders.len())));
    }
    if let Some(twice) = given_twice(&folders) {
        return Err(mistake(MERGE, format!("{} is given twice, and would count twice", twice.display())));
    }
    let (shards, missing) = read_each(&folders);
    if shards.is_empty() {
        let why: Vec<String> =
            missing.iter().map(|shard| format!("{}: {}", shard.folder, shard.why)).collect();
        return Err(RunError::Environment(format!("no shard can be merged: {}", why.join("; "))));
    }
    if let Some(why) = refused(&shards) {
        return Err(mistake(MERGE, why));
    }
    let unlike = unlike(&shards);
    if !unlike.is_empty() && !matches.get_flag("anyway") {
        let what = format!(
            "these are not shards of one run: {}; --anyway merges them all the same",
            unlike.join("; ")
        );
        return Err(mistake(MERGE, what));
    }
    let besides = Besides { expected: of.unwrap_or(0), missing, unlike };
    let failed = |why: String| RunError::Environment(format!("the shards can't be merged: {why}"));
    let mut record = merge(&shards, besides).map_err(failed)?;
    let confidence = writing::confidence(&record, &shards)?;
    if let Some(load) = &mut record.load {
        load.confidence = confidence;
    }
    judge_by_current_checks(&mut record).map_err(failed)?;
    writing::write(&record, &shards, output)?;
    let page = PageFile::of_run(&record, output);
    let printed = launch::print(&render(&record, Format::Text, &context(output)));
    let done = launch::worse(printed, page.exit());
    Ok(if done == Exit::Holds { exit_of(&record) } else { done })
}

fn mistake(flag: &str, what: String) -> RunError {
    RunError::Usage(vec![Mistake::new(flag, what)])
}

/// The first folder that comes a second time, under any name.
fn given_twice<'f>(folders: &[&'f PathBuf]) -> Option<&'f Path> {
    let mut seen = BTreeSet::new();
    let real = |folder: &Path| folder.canonicalize().unwrap_or_else(|_not_there| folder.to_owned());
    folders.iter().find(|folder| !seen.insert(real(folder))).map(|folder| folder.as_path())
}

/// The shards, and those that can't be merged.
fn read_each(folders: &[&PathBuf]) -> (Vec<Shard>, Vec<MissingShardRecord>) {
    let (mut shards, mut missing) = (Vec::new(), Vec::new());
    for folder in folders {
        match reading::read(folder) {
            Ok(shard) => shards.push(shard),
            Err(why) => missing.push(MissingShardRecord { folder: folder.display().to_string(), why }),
        }
    }
    (shards, missing)
}

/// What makes the shards unlike: each difference to the first, and clients that two of them share.
fn unlike(shards: &[Shard]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (number, one) in shards.iter().enumerate() {
        for other in &shards[number + 1..] {
            let differences =
                if number == 0 { shard_differences(&one.record, &other.record) } else { Vec::new() };
            for what in differences.into_iter().chain(conflicts(&one.record, &other.record)) {
                if !found.contains(&what) {
                    found.push(what);
                }
            }
        }
    }
    found
}
