//! What a merged record says of its shards.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run::{HostRecord, Setting};
use crate::scale::time;

/// The shards of a merged record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MergedRecord {
    /// Number of shards of the run, with the missing ones.
    pub expected: u64,
    /// The merged shards.
    pub shards: Vec<ShardRecord>,
    /// The shards that are in no figure.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub missing: Vec<MissingShardRecord>,
    /// What makes the shards unlike, where the user merged them anyway.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unlike: Vec<String>,
    /// The time in which the faults or the load of at least one shard acted, from the first to the last.
    pub acted_us: u64,
    /// The part of it in which those of all merged shards acted.
    pub together_us: u64,
    /// The shortest recovery phase of a shard: bystanders of all of them were watched that long. Absent without one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shortest_recovery_us: Option<u64>,
}

impl MergedRecord {
    /// Number of shards that are in no figure.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.expected.saturating_sub(self.shards.len() as u64)
    }

    /// How many shards were merged, such as `3 shards` or `2 of 3 shards`.
    #[must_use]
    pub fn counted(&self) -> String {
        let there = self.shards.len();
        match self.missing() {
            0 if there == 1 => "1 shard".to_owned(),
            0 => format!("{there} shards"),
            _ => format!("{there} of {} shards", self.expected),
        }
    }

    /// How far the shards were at the same time, as text.
    #[must_use]
    pub fn course(&self) -> String {
        let within_us = self.shards.iter().map(|shard| shard.offset_us).max().unwrap_or(0);
        format!(
            "started within {} of each other; all acted together for {} of {}",
            time(within_us),
            time(self.together_us),
            time(self.acted_us)
        )
    }

    /// Why the record lacks shards; absent when all are there.
    #[must_use]
    pub fn lacks(&self) -> Option<String> {
        if self.missing() == 0 {
            return None;
        }
        let mut parts: Vec<String> =
            self.missing.iter().map(|shard| format!("{}: {}", shard.folder, shard.why)).collect();
        let not_given = self.missing().saturating_sub(self.missing.len() as u64);
        if not_given > 0 {
            parts.push(format!("{not_given} not given"));
        }
        Some(format!("{}; missing: {}", self.counted(), parts.join("; ")))
    }
}

/// A merged shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShardRecord {
    /// The folder of its record, as given.
    pub folder: String,
    /// Its start in UTC (RFC 3339), by the clock of its machine.
    pub started_utc: String,
    /// From the start of the first shard to its own.
    pub offset_us: u64,
    /// Its duration.
    pub duration_us: u64,
    /// Its seed.
    pub seed: u64,
    /// Its machine.
    pub host: HostRecord,
    /// Its command line, without secrets.
    pub command: Vec<String>,
    /// Its settings that other shards do not share.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub settings: BTreeMap<String, Setting>,
    /// The number of its attempt 0 in the merged record.
    pub first_attempt: u64,
    /// The number of its pair 0 of bystanders in the merged record.
    pub first_pair: u64,
}

/// A shard that could not be merged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MissingShardRecord {
    /// The folder, as given.
    pub folder: String,
    /// Why.
    pub why: String,
}
