//! Which rows of dumps belong together, and who sends their bytes.

use super::row::{Row, indent};
use super::{Side, Wrong};

/// Where a row belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// It begins what this side sends.
    First(Side),
    /// It continues the last bytes.
    Next,
    /// It has no bytes, or continues a dump with a mistake.
    Nowhere,
}

/// Dumps that may go on in the next line.
#[derive(Debug, Default)]
pub(super) struct Dumps {
    /// White space before the client's rows, if the text is a followed stream: in such a text, the broker's rows are indented.
    client_indent: Option<usize>,
    client: Dump,
    server: Dump,
    last: Option<Side>,
    /// Whether the last row was shorter than the rows of a followed stream, so that its segment is complete.
    is_complete: bool,
}

/// The dump of one side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Dump {
    #[default]
    None,
    /// So many bytes so far.
    Open(u64),
    /// A row had a mistake, so that the next offsets can't be checked.
    Lost,
}

/// Bytes in a row of a followed stream.
const FOLLOWED_ROW: usize = 16;

impl Dumps {
    /// Finds out whether the text is a followed stream.
    pub(super) fn of(text: &str) -> Self {
        let indents = text.lines().filter_map(|line| {
            let start = super::after_spaces(line, 0);
            let (offset, rest) = line[start..].split_once(' ')?;
            let is_offset = offset.len() == 8 && offset.bytes().all(|digit| digit.is_ascii_hexdigit());
            let is_followed = is_offset && rest.starts_with(' ') && !rest.contains('|');
            is_followed.then(|| indent(line, start))
        });
        let indents: Vec<usize> = indents.collect();
        let (least, most) = (indents.iter().min(), indents.iter().max());
        Self { client_indent: least.filter(|least| Some(*least) != most).copied(), ..Self::default() }
    }

    /// Whether a line that looks like a row is one.
    pub(super) fn expects(&self, row: &Row, mark: Option<Side>) -> bool {
        row.is_certain || row.is_first() && !row.bytes.is_empty() || self.continues(row, mark)
    }

    fn continues(&self, row: &Row, mark: Option<Side>) -> bool {
        match self.dump(self.side(row, mark)) {
            Dump::None => false,
            Dump::Open(length) => row.is_at(length),
            Dump::Lost => true,
        }
    }

    /// Finds the place of a row, and remembers it for the next one.
    pub(super) fn place(&mut self, row: &Row, mark: Option<Side>) -> Result<Place, Wrong> {
        let side = self.side(row, mark);
        let length = u64::try_from(row.bytes.len()).unwrap_or(u64::MAX);
        let is_next = self.last == Some(side) && !(self.is_followed() && self.is_complete);
        let before = self.dump(side);
        self.last = Some(side);
        self.is_complete = row.bytes.len() < FOLLOWED_ROW;
        let (place, after) = match before {
            Dump::Lost if !row.is_first() => (Place::Nowhere, Dump::Lost),
            _ if row.bytes.is_empty() => (Place::Nowhere, Dump::None),
            Dump::Open(before) if row.is_at(before) => {
                (if is_next { Place::Next } else { Place::First(side) }, Dump::Open(before + length))
            }
            _ if row.is_first() => (Place::First(side), Dump::Open(length)),
            Dump::Open(before) => {
                *self.dump_mut(side) = Dump::Lost;
                return Err(Wrong::new(
                    row.at,
                    format!(
                        "offset {} follows {before:#x} bytes: rows are missing or cut; paste the whole dump, or remove the \
                         offsets",
                        row.offset
                    ),
                ));
            }
            _ => {
                *self.dump_mut(side) = Dump::Lost;
                return Err(Wrong::new(
                    row.at,
                    format!(
                        "the dump begins at offset {}: paste it from offset 0, or remove the offsets",
                        row.offset
                    ),
                ));
            }
        };
        *self.dump_mut(side) = after;
        Ok(place)
    }

    /// Ends all dumps: a line of another kind follows.
    pub(super) fn close(&mut self) {
        self.client = Dump::None;
        self.server = Dump::None;
    }

    /// Accepts any offset of this side's rows up to the next dump: one of them had a mistake.
    pub(super) fn lose(&mut self, mark: Option<Side>) {
        let side = mark.or(self.last).unwrap_or(Side::Client);
        self.last = Some(side);
        *self.dump_mut(side) = Dump::Lost;
    }

    /// Whose bytes a row has: as marked or indented; otherwise the rows of a dump are of one side.
    fn side(&self, row: &Row, mark: Option<Side>) -> Side {
        match (mark, self.client_indent) {
            (Some(side), _) => side,
            // The first row of a dump may have lost its indent when it was copied.
            (None, Some(_)) if self.server == Dump::None && !row.is_first() => Side::Client,
            (None, Some(indent)) if row.indent > indent => Side::Server,
            (None, Some(_)) => Side::Client,
            (None, None) if row.is_first() => Side::Client,
            (None, None) => self.last.unwrap_or(Side::Client),
        }
    }

    const fn is_followed(&self) -> bool {
        self.client_indent.is_some()
    }

    const fn dump(&self, side: Side) -> Dump {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }

    fn dump_mut(&mut self, side: Side) -> &mut Dump {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}
