//! Incidents over time, as a small table with bars.

use ungraceful_log_causes::Cause;
use ungraceful_log_causes::story::CauseSummary;

use super::Explained;
use super::document::Block;

/// Rows of the table, and the length of its longest bar.
const ROWS_OVER_TIME: usize = 12;
const BAR_MAX: u64 = 13;
/// With fewer incidents than this, their list is enough.
const INCIDENTS_OVER_TIME_MIN: u64 = 10;
/// Causes with their own column.
const COLUMNS_OVER_TIME: usize = 2;

/// Incidents over time, with columns for the most frequent causes; empty for few incidents or a single row.
pub(super) fn blocks(causes: &[(Cause, &CauseSummary)], explained: &Explained) -> Vec<Block> {
    let (row_s, rows) = explained.story.picture().rates.rows(ROWS_OVER_TIME);
    if rows.len() < 2 || explained.story.picture().incidents < INCIDENTS_OVER_TIME_MIN {
        return Vec::new();
    }
    let columns: Vec<Cause> = causes.iter().take(COLUMNS_OVER_TIME).map(|(cause, _)| *cause).collect();
    let totals: Vec<u64> = rows.iter().map(|row| row.incidents.values().sum()).collect();
    let most = totals.iter().copied().max().unwrap_or(0).max(1);
    let mut head = vec!["from", "incidents", "share of peak"];
    head.extend(columns.iter().map(|cause| cause.slug()));
    head.extend((causes.len() > columns.len()).then_some("others"));
    let cells = rows.iter().zip(&totals).map(|(row, total)| {
        let of = |cause: &Cause| row.incidents.get(cause).copied().unwrap_or(0);
        let bar = usize::try_from((total * BAR_MAX).div_ceil(most)).unwrap_or(0);
        let mut cells = vec![row.from.to_string(), total.to_string(), "#".repeat(bar)];
        cells.extend(columns.iter().map(|cause| of(cause).to_string()));
        if causes.len() > columns.len() {
            cells.push((total - columns.iter().map(of).sum::<u64>()).to_string());
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
