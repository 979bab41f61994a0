//! The wording that warnings share.

/// How many of many similar things a warning names.
const NAMED_MAX: usize = 3;

/// "1 packet" or "7 packets".
pub(super) fn packets(count: usize) -> String {
    format!("{count} {}", if count == 1 { "packet" } else { "packets" })
}

/// "1 byte" or "7 bytes".
pub(super) fn bytes(count: u64) -> String {
    format!("{count} {}", if count == 1 { "byte" } else { "bytes" })
}

/// The first few of the names, and how many more there are.
pub(super) fn some_of(names: &[String]) -> String {
    let named = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
