//! The file of `--clients-file`: one client a row, as CSV with a header, or as JSON Lines.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use ungraceful_wire::{Pem, Tls};

use crate::broker::target::Secret;
use crate::run::input_file;

/// The columns.
pub const COLUMNS: [&str; 6] = ["client_id", "username", "password", "certificate", "key", "topic"];
/// Largest file, in bytes: a million rows of about 100 bytes.
const BYTES_MAX: usize = 128 << 20;
/// Largest file of a certificate or a key, in bytes.
const PEM_BYTES_MAX: usize = 1 << 20;
/// Mistakes shown at a time.
const MISTAKES_MAX: usize = 10;

/// The clients of a file.
#[derive(Clone, Default)]
pub struct ClientsFile {
    /// At least one.
    pub rows: Vec<Row>,
    /// Whether one row may serve several clients at the same time.
    pub reuse: bool,
}

/// One client. What is absent is as the flags say.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Its ClientID.
    pub client_id: Option<String>,
    /// Its User Name.
    pub user_name: Option<String>,
    /// Its Password.
    pub password: Option<Secret>,
    /// TLS with its certificate.
    pub tls: Option<Tls>,
    /// Its topic root, in place of `--topic-root`.
    pub topic: Option<String>,
}

impl fmt::Debug for ClientsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientsFile").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

/// A row as it stands in the file, by column; empty values are absent.
type Fields = BTreeMap<String, String>;

impl ClientsFile {
    /// Reads `path`. `tls` is that of the run, absent without TLS; certificates are searched beside the file.
    ///
    /// # Errors
    /// What is wrong and how to mend it, each with its line; no value of the file is in it.
    pub fn read(path: &Path, tls: Option<&Tls>, reuse: bool) -> Result<Self, Vec<String>> {
        let bytes = input_file::whole(path, BYTES_MAX).map_err(|what| vec![what])?;
        let text = String::from_utf8(bytes)
            .map_err(|_not_utf8| vec![format!("{} is not UTF-8 text", path.display())])?;
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
        let rows = if text.trim_start().starts_with('{') { json_lines(text) } else { csv(text) };
        let mut reading = Reading { path, tls, mistakes: Vec::new(), ids: HashSet::new() };
        let mut read = Vec::new();
        for (line, fields) in rows {
            match fields.and_then(|fields| reading.row(fields)) {
                Ok(row) => read.push(row),
                Err(what) => reading.mistakes.push(format!("line {line}: {what}")),
            }
        }
        if read.is_empty() && reading.mistakes.is_empty() {
            reading.mistakes.push("it has no rows: put one client in each line".to_owned());
        }
        reading.mistakes.extend(alike(&read, reuse));
        let further = reading.mistakes.len().saturating_sub(MISTAKES_MAX);
        reading.mistakes.truncate(MISTAKES_MAX);
        if further > 0 {
            reading.mistakes.push(format!("and {further} more lines"));
        }
        let mistakes: Vec<String> =
            reading.mistakes.into_iter().map(|what| format!("{}: {what}", path.display())).collect();
        if mistakes.is_empty() { Ok(Self { rows: read, reuse }) } else { Err(mistakes) }
    }
}

struct Reading<'a> {
    path: &'a Path,
    tls: Option<&'a Tls>,
    mistakes: Vec<String>,
    ids: HashSet<String>,
}

impl Reading<'_> {
    fn row(&mut self, mut fields: Fields) -> Result<Row, String> {
        let mut take = |column: &str| fields.remove(column).filter(|value| !value.is_empty());
        let client_id = take("client_id");
        let (certificate, key) = (take("certificate"), take("key"));
        let row = Row {
            user_name: take("username"),
            password: take("password").map(Secret::from),
            topic: take("topic"),
            client_id: client_id.clone(),
            tls: match (certificate, key) {
                (None, None) => None,
                (Some(certificate), Some(key)) => Some(self.own_tls(&certificate, &key)?),
                (Some(_), None) => {
                    return Err("has a certificate without its key; add the column key".to_owned());
                }
                (None, Some(_)) => {
                    return Err("has a key without its certificate; add the column certificate".to_owned());
                }
            },
        };
        if let Some(wrong) = row.topic.as_deref().and_then(wrong_root) {
            return Err(format!("its topic {wrong}"));
        }
        if let Some(client_id) = client_id {
            if client_id.contains('\0') {
                return Err("its client_id contains U+0000".to_owned());
            }
            if !self.ids.insert(client_id) {
                return Err("its client_id stands in an earlier line too, and the two would take over from each other".to_owned());
            }
        }
        Ok(row)
    }

    fn own_tls(&self, certificate: &str, key: &str) -> Result<Tls, String> {
        let tls = self.tls.ok_or("has a certificate, which has an effect only with TLS; add --tls")?;
        let beside = |name: &str| -> Result<Pem, String> {
            let path: PathBuf = self.path.parent().unwrap_or(Path::new("")).join(name);
            let bytes = input_file::whole(&path, PEM_BYTES_MAX)?;
            Ok(Pem { name: path.display().to_string(), bytes })
        };
        tls.with_identity(&beside(certificate)?, &beside(key)?).map_err(|mistake| mistake.to_string())
    }
}

/// ClientIDs that a client beside another one would have too: the second client of an attempt adds a letter to its ClientID, and a row
/// that is used again adds a number.
fn alike(rows: &[Row], reuse: bool) -> Vec<String> {
    let ids: HashSet<&str> = rows.iter().filter_map(|row| row.client_id.as_deref()).collect();
    let shorter = |id: &str| -> Option<String> {
        let beside = id.strip_suffix(|letter: char| letter.is_ascii_lowercase());
        let again = id.rsplit_once('-').filter(|(_, number)| reuse && number.parse::<u64>().is_ok());
        let shorter = [beside, again.map(|(id, _)| id)].into_iter().flatten().find(|id| ids.contains(id));
        shorter.map(ToOwned::to_owned)
    };
    let mut alike: Vec<String> = ids
        .iter()
        .filter_map(|id| {
            shorter(id).map(|shorter| {
                format!(
                    "the client_id {id:?} is that of {shorter:?} with a letter or number behind it, which a second client beside \
                     {shorter:?} has: leave one of them out"
                )
            })
        })
        .collect();
    alike.sort();
    alike
}

/// What is wrong with a topic root; absent when it is right.
#[must_use]
pub fn wrong_root(root: &str) -> Option<&'static str> {
    if root.is_empty() || root.starts_with('/') || root.ends_with('/') {
        Some("must not be empty, nor begin or end with /")
    } else if root.contains(['+', '#', '\0']) {
        Some("must be a Topic Name, without + and #")
    } else if root.starts_with('$') {
        Some("must not begin with $, which is reserved for the broker")
    } else {
        None
    }
}

fn unknown_column(name: &str) -> String {
    format!("unknown column {name:?}; the columns are {}", COLUMNS.join(", "))
}

/// The rows of a CSV file with their lines.
fn csv(text: &str) -> Vec<(u64, Result<Fields, String>)> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let names: Vec<String> = match reader.headers() {
        Ok(names) => names.iter().map(|name| name.trim().to_lowercase()).collect(),
        Err(error) => return vec![(1, Err(error.to_string()))],
    };
    if let Some(unknown) = names.iter().find(|name| !COLUMNS.contains(&name.as_str())) {
        // It may be the first row of a file without a header, so it is not shown.
        let known = names.iter().filter(|name| COLUMNS.contains(&name.as_str())).count();
        let shown = if known + 1 == names.len() && known > 0 {
            unknown_column(unknown)
        } else {
            format!(
                "does not name the columns, separated by commas; begin the file with a line such as {}",
                COLUMNS[..3].join(",")
            )
        };
        return vec![(1, Err(shown))];
    }
    let distinct: HashSet<&String> = names.iter().collect();
    if distinct.len() < names.len() {
        return vec![(1, Err("names a column twice".to_owned()))];
    }
    let rows = reader.into_records().map(|record| match record {
        Ok(record) => {
            let (line, row) = record.position().map_or((0, ""), |at| beginning(text, at));
            if record.len() != names.len() {
                (line, Err(format!("has {} values for {} columns", record.len(), names.len())))
            } else if let Some(name) = padded(row, &names) {
                let what = format!(
                    "its {name} has a space before or after it; remove the space, or put the value in double quotes if the space \
                     belongs to it"
                );
                (line, Err(what))
            } else {
                let fields = names.iter().cloned().zip(record.iter().map(str::to_owned)).collect();
                (line, Ok(fields))
            }
        }
        // The text of the error may show the row.
        Err(error) => (error.position().map_or(0, csv::Position::line), Err("is no CSV".to_owned())),
    });
    rows.collect()
}

/// The line of the row that is read at this position, and `text` from the row on. Positions are before the line ends that are skipped.
fn beginning<'a>(text: &'a str, at: &csv::Position) -> (u64, &'a str) {
    let from = usize::try_from(at.byte()).ok().and_then(|at| text.get(at..)).unwrap_or_default();
    let row = from.trim_start_matches(['\r', '\n']);
    let skipped = from[..from.len() - row.len()].matches('\n').count();
    (at.line() + skipped as u64, row)
}

/// The column of the row that `text` begins with whose value has spaces around it outside of quotes: they would be part of a ClientID or a
/// password, and hardly anyone means them. Absent when none has.
fn padded<'a>(text: &str, names: &'a [String]) -> Option<&'a String> {
    let mut rest = text;
    names.iter().find(|_name| {
        let value = &rest[..end_of_value(rest)];
        rest = rest[value.len()..].strip_prefix(',').unwrap_or_default();
        value.trim() != value
    })
}

/// Where the value ends that `text` begins with: at a comma or line end outside of quotes.
fn end_of_value(text: &str) -> usize {
    // Only quotes at the beginning enclose; a doubled one inside ends and begins.
    let mut is_quoted = false;
    let may_quote = text.starts_with('"');
    let ends = |character: char| {
        is_quoted ^= may_quote && character == '"';
        !is_quoted && matches!(character, ',' | '\r' | '\n')
    };
    text.find(ends).unwrap_or(text.len())
}

/// The rows of a file of JSON Lines with their lines.
fn json_lines(text: &str) -> Vec<(u64, Result<Fields, String>)> {
    let lines = (1_u64..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let rows = lines.map(|(number, line)| {
        let Ok(serde_json::Value::Object(object)) = serde_json::from_str(line) else {
            return (number, Err("is no JSON object; write one client in each line".to_owned()));
        };
        let fields: Result<Fields, String> = object
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| match value {
                _ if !COLUMNS.contains(&name.as_str()) => Err(unknown_column(&name)),
                serde_json::Value::String(text) => Ok((name, text)),
                serde_json::Value::Number(number) => Ok((name, number.to_string())),
                _ => Err(format!("{name} must be a text")),
            })
            .collect();
        (number, fields)
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::ClientsFile;
    use crate::broker::target::Secret;

    fn read(text: &str) -> Result<ClientsFile, Vec<String>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        ClientsFile::read(file.path(), None, false)
    }

    fn mistakes(text: &str) -> String {
        read(text).unwrap_err().join("\n")
    }

    #[test]
    fn csv_and_json_lines_mean_the_same() {
        let csv = read("client_id,username,password,topic\nα/1,me,\"a,\"\"b\"\"\",t/1\ntwo,,,\n").unwrap();
        let json = read(
            "{\"client_id\":\"α/1\",\"username\":\"me\",\"password\":\"a,\\\"b\\\"\",\"topic\":\"t/1\"}\n\n{\"client_id\":\"two\"}\n",
        )
        .unwrap();
        for file in [csv, json] {
            let [first, second] = &file.rows[..] else { panic!("two rows: {file:?}") };
            assert_eq!((first.client_id.as_deref(), first.user_name.as_deref()), (Some("α/1"), Some("me")));
            assert_eq!(
                (first.password.clone(), first.topic.as_deref()),
                (Some(Secret::new("a,\"b\"")), Some("t/1"))
            );
            assert_eq!((second.client_id.as_deref(), second.user_name.clone()), (Some("two"), None));
            assert!(second.password.is_none() && second.topic.is_none());
        }
    }

    #[test]
    fn every_mistake_has_its_line_and_shows_no_value() {
        let said = mistakes("client_id,password\na,hunter2\na,hunter2\nb\nc,hunter2,hunter2\n");
        assert!(said.contains("line 3: its client_id stands in an earlier line"), "{said}");
        assert!(said.contains("line 4: has 1 values for 2 columns"), "{said}");
        assert!(said.contains("line 5: has 3 values for 2 columns"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        let said =
            mistakes("{\"client_id\":\"a\"}\nhunter2\n{\"pass\":\"hunter2\"}\n{\"password\":[\"hunter2\"]}");
        assert!(
            said.contains("line 2: is no JSON object") && said.contains("line 3: unknown column"),
            "{said}"
        );
        assert!(said.contains("line 4: password must be a text") && !said.contains("hunter2"), "{said}");
    }

    #[test]
    fn a_space_around_a_csv_value_is_refused_with_line_and_column_unless_it_is_quoted() {
        for (row, column) in [
            ("d1, me,x", "username"),
            ("d1\t,me,x", "client_id"),
            ("\"d,1\",\"m\"\"e\",x ", "password"),
            ("d1,me, ", "password"),
            ("d1,\"me\" ,x", "username"),
            ("d1, \"me\",x", "username"),
            ("\"d\n1\",me ,x", "username"),
        ] {
            for end in ["\n", "\r\n"] {
                let header = format!("client_id,username,password{end}");
                for (before, line, after) in [("", 2, ""), (end, 3, end), ("d0,me,x", 3, "d2,me,x")] {
                    let before = if before.len() > 2 { format!("{before}{end}") } else { before.to_owned() };
                    let said = mistakes(&format!("{header}{before}{row}{end}{after}"));
                    let found = format!("line {line}: its {column} has a space before or after it");
                    assert!(said.contains(&found) && said.lines().count() == 1, "{row:?}{end:?}: {said}");
                }
            }
        }
        let rows = "client_id , username,password\r\n\r\n\" d,1\",\"\"\"me\"\" \",a b\r\nd2,,\" \"\r\n";
        let file = read(rows).unwrap();
        assert_eq!(file.rows[0].client_id.as_deref(), Some(" d,1"));
        assert_eq!(file.rows[0].user_name.as_deref(), Some("\"me\" "));
        assert_eq!(file.rows[0].password, Some(Secret::new("a b")));
        assert_eq!(file.rows[1].password, Some(Secret::new(" ")));
        let json = read("{\"client_id\":\" d1 \"}").unwrap();
        assert_eq!(json.rows[0].client_id.as_deref(), Some(" d1 "));
    }

    #[test]
    fn a_file_without_a_header_or_rows_is_refused() {
        let said = mistakes("dev1,hunter2\n");
        assert!(said.contains("line 1: does not name the columns") && !said.contains("hunter2"), "{said}");
        assert!(mistakes("client_id,pasword\na,b\n").contains("unknown column \"pasword\""));
        let said = mistakes("key,hunter2,foo\n");
        assert!(said.contains("does not name the columns") && !said.contains("hunter2"), "{said}");
        assert!(mistakes("client_id,topic,client_id\na,b,c\n").contains("names a column twice"));
        for empty in ["", "client_id,username\n", "\n\n"] {
            assert!(mistakes(empty).contains("no rows"), "{empty:?}: {}", mistakes(empty));
        }
    }

    #[test]
    fn client_ids_that_a_second_client_would_have_are_refused() {
        let said = mistakes("client_id\nd1\nd1p\nd2\n");
        assert!(said.contains("\"d1p\" is that of \"d1\""), "{said}");
        assert!(read("client_id\nd1\nd1-1\nD1P\n").is_ok());
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"client_id\nd1\nd1-1\n").unwrap();
        let said = ClientsFile::read(file.path(), None, true).unwrap_err().join("\n");
        assert!(said.contains("\"d1-1\" is that of \"d1\""), "{said}");
    }

    #[test]
    fn a_certificate_needs_its_key_and_tls() {
        assert!(mistakes("certificate\nc.pem\n").contains("line 2: has a certificate without its key"));
        assert!(mistakes("key\nk.pem\n").contains("line 2: has a key without its certificate"));
        assert!(mistakes("certificate,key\nc.pem,k.pem\n").contains("add --tls"));
    }

    #[test]
    fn a_topic_with_wildcards_is_refused() {
        assert!(mistakes("topic\na/#\n").contains("line 2: its topic must be a Topic Name"));
    }

    #[test]
    fn only_the_first_mistakes_are_shown() {
        let many = "client_id\n".to_owned() + &"a,b\n".repeat(30);
        let said = read(&many).unwrap_err();
        assert_eq!((said.len(), said[10].ends_with("and 20 more lines")), (11, true), "{said:?}");
    }
}
