//! Incidents over time, as a small table with bars.

use ungraceful_log_causes::Cause;
use ungraceful_log_causes::story::CauseSummary;

use super::Explained;
use super::document::Block;

/// Rows of the table over time, and its bars' longest.
const ROWS_OVER_TIME: usize = 12;
const BAR_MAX: u64 = 20;
/// Incidents below which the list of them says it all.
const INCIDENTS_OVER_TIME_MIN: u64 = 10;
/// Causes with a column of their own.
const COLUMNS_OVER_TIME: usize = 4;

/// Incidents over time, with the most frequent causes apart; nothing where they are few or at once.
pub(super) fn blocks(causes: &[(Cause, &CauseSummary)], told: &Explained) -> Vec<Block> {
    let (row_s, rows) = told.story.picture().rates.rows(ROWS_OVER_TIME);
    if rows.len() < 2 || told.story.picture().incidents < INCIDENTS_OVER_TIME_MIN {
        return Vec::new();
    }
    let apart: Vec<Cause> = causes.iter().take(COLUMNS_OVER_TIME).map(|(cause, _)| *cause).collect();
    let totals: Vec<u64> = rows.iter().map(|row| row.incidents.values().sum()).collect();
    let most = totals.iter().copied().max().unwrap_or(0).max(1);
    let mut head = vec!["from", "incidents", "of the most"];
    head.extend(apart.iter().map(|cause| cause.slug()));
    head.extend((causes.len() > apart.len()).then_some("others"));
    let cells = rows.iter().zip(&totals).map(|(row, total)| {
        let of = |cause: &Cause| row.incidents.get(cause).copied().unwrap_or(0);
        let bar = usize::try_from((total * BAR_MAX).div_ceil(most)).unwrap_or(0);
        let mut cells = vec![row.from.to_string(), total.to_string(), "#".repeat(bar)];
        cells.extend(apart.iter().map(|cause| of(cause).to_string()));
        if causes.len() > apart.len() {
            cells.push((total - apart.iter().map(of).sum::<u64>()).to_string());
        }
        cells
    });
    let rows = cells.collect();
    let numbers = (0..head.len()).filter(|column| *column == 1 || *column > 2).collect();
    vec![
        Block::Heading(format!("Over time: incidents in each {row_s} s")),
        Block::Table { head, numbers, rows },
    ]
}
