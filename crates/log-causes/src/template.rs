//! A fast path for most patterns: fixed texts with holes between them, which need no automaton.
//!
//! Other patterns use `regex`. A test compares the groups of both for every pattern that becomes a template.

use memchr::memmem::{Finder, FinderRev};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// Maximum bytes examined per byte of the line, and in addition per line; beyond that the regular expression takes over,
/// whose time is linear in the line's length.
const LOOKS_PER_BYTE: usize = 8;
const LOOKS_PER_LINE: usize = 4_096;

/// A pattern as fixed texts and holes.
#[derive(Debug)]
pub(crate) struct Template {
    parts: Vec<Part>,
    /// Whether the line must end where the pattern ends.
    is_to_the_end: bool,
}

#[derive(Debug)]
enum Part {
    Text(Box<Text>),
    Hole { what: Hole, group: Option<usize> },
}

/// A fixed text with searchers for both directions.
#[derive(Debug)]
struct Text {
    forth: Finder<'static>,
    back: FinderRev<'static>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hole {
    /// `.*`
    Longest,
    /// `.*?`
    Shortest,
    /// `\d+`
    Digits,
}

/// Positions of the groups, numbered as in `regex`; of the whole match only the begin is kept.
pub(crate) type Places = Vec<Option<(usize, usize)>>;

impl Template {
    /// The template of this expression; absent when it has more than texts and holes.
    pub(crate) fn of(regex: &str, groups: usize) -> Option<Self> {
        let parsed =
            regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(regex).ok()?;
        let mut template = Self { parts: Vec::new(), is_to_the_end: false };
        template.add(&parsed, None)?;
        let is_text = |part: &Part| matches!(part, Part::Text(_));
        let alternate = template.parts.windows(2).all(|pair| is_text(&pair[0]) != is_text(&pair[1]));
        // Digits must be followed by a text that does not begin with a digit, or the hole could end in several places.
        let digits_end = template.parts.windows(2).all(|pair| match pair {
            [Part::Hole { what: Hole::Digits, .. }, Part::Text(text)] => {
                !text.forth.needle()[0].is_ascii_digit()
            }
            _ => true,
        });
        let begins_well = template.parts.first().is_some_and(is_text);
        (alternate && digits_end && begins_well && groups < 16).then_some(template)
    }

    fn add(&mut self, hir: &Hir, group: Option<usize>) -> Option<()> {
        if self.is_to_the_end {
            return None;
        }
        match hir.kind() {
            HirKind::Literal(text) if group.is_none() => {
                let text = text.0.to_vec();
                let forth = Finder::new(&text).into_owned();
                let back = FinderRev::new(&text).into_owned();
                self.parts.push(Part::Text(Box::new(Text { forth, back })));
            }
            HirKind::Concat(parts) if group.is_none() => {
                parts.iter().try_for_each(|part| self.add(part, None))?;
            }
            HirKind::Capture(capture) if group.is_none() => {
                self.add(&capture.sub, Some(capture.index as usize))?;
            }
            HirKind::Repetition(repeated) => {
                let HirKind::Class(class) = repeated.sub.kind() else { return None };
                let what = hole(class, repeated.min, repeated.max, repeated.greedy)?;
                self.parts.push(Part::Hole { what, group });
            }
            HirKind::Look(Look::End) if group.is_none() => self.is_to_the_end = true,
            _ => return None,
        }
        Some(())
    }

    /// Matches `line`, without its end. `None` when that would examine too many bytes.
    pub(crate) fn matches(&self, line: &[u8], places: &mut Places) -> Option<bool> {
        let [Part::Text(first), rest @ ..] = self.parts.as_slice() else { return None };
        let mut looks = Looks(LOOKS_PER_BYTE * line.len() + LOOKS_PER_LINE);
        let mut from = 0;
        while let Some(found) = looks.find(&first.forth, &line[from..])? {
            let at = from + found;
            if self.rest(rest, line, at + first.forth.needle().len(), places, &mut looks)? {
                places[0] = Some((at, at));
                return Some(true);
            }
            from = at + 1;
        }
        Some(false)
    }

    fn rest(
        &self,
        parts: &[Part],
        line: &[u8],
        at: usize,
        places: &mut Places,
        looks: &mut Looks,
    ) -> Option<bool> {
        let (hole, after) = match parts {
            [] => return Some(!self.is_to_the_end || at == line.len()),
            [hole, after @ ..] => (hole, after),
        };
        let Part::Hole { what, group } = hole else { return None };
        let note = |places: &mut Places, end: usize| {
            if let Some(group) = group {
                places[*group] = Some((at, end));
            }
        };
        let rest = &line[at..];
        let digits = match what {
            Hole::Digits => rest.iter().take_while(|byte| byte.is_ascii_digit()).count(),
            Hole::Longest | Hole::Shortest => 0,
        };
        looks.take(digits + 1)?;
        let [Part::Text(text), behind @ ..] = after else {
            // The last hole.
            let end = match what {
                Hole::Longest => line.len(),
                Hole::Shortest => {
                    if self.is_to_the_end {
                        line.len()
                    } else {
                        at
                    }
                }
                Hole::Digits => at + digits,
            };
            note(places, end);
            let is_enough = *what != Hole::Digits || digits > 0;
            return Some(is_enough && (!self.is_to_the_end || end == line.len()));
        };
        let Text { forth, back } = text.as_ref();
        let length = forth.needle().len();
        match what {
            Hole::Digits => {
                note(places, at + digits);
                if digits == 0 || !rest[digits..].starts_with(forth.needle()) {
                    return Some(false);
                }
                self.rest(behind, line, at + digits + length, places, looks)
            }
            Hole::Longest => {
                let mut room = rest.len();
                while let Some(found) = looks.rfind(back, &rest[..room])? {
                    note(places, at + found);
                    if self.rest(behind, line, at + found + length, places, looks)? {
                        return Some(true);
                    }
                    room = found + length - 1;
                }
                Some(false)
            }
            Hole::Shortest => {
                let mut from = 0;
                while let Some(found) = looks.find(forth, &rest[from..])? {
                    note(places, at + from + found);
                    if self.rest(behind, line, at + from + found + length, places, looks)? {
                        return Some(true);
                    }
                    from += found + 1;
                }
                Some(false)
            }
        }
    }
}

/// How many bytes may still be examined.
struct Looks(usize);

impl Looks {
    fn take(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.checked_sub(count)?;
        Some(())
    }

    /// Like [`Finder::find`], within the limit.
    fn find(&mut self, finder: &Finder<'_>, text: &[u8]) -> Option<Option<usize>> {
        let found = finder.find(text);
        self.take(found.map_or(text.len(), |at| at + finder.needle().len()))?;
        Some(found)
    }

    /// Like [`FinderRev::rfind`], within the limit.
    fn rfind(&mut self, finder: &FinderRev<'_>, text: &[u8]) -> Option<Option<usize>> {
        let found = finder.rfind(text);
        self.take(text.len() - found.unwrap_or(0))?;
        Some(found)
    }
}

fn hole(class: &Class, min: u32, max: Option<u32>, greedy: bool) -> Option<Hole> {
    let Class::Bytes(class) = class else { return None };
    let ranges: Vec<(u8, u8)> = class.iter().map(|range| (range.start(), range.end())).collect();
    match (ranges.as_slice(), min, max, greedy) {
        ([(0, 9), (11, 255)], 0, None, true) => Some(Hole::Longest),
        ([(0, 9), (11, 255)], 0, None, false) => Some(Hole::Shortest),
        ([(b'0', b'9')], 1, None, true) => Some(Hole::Digits),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Template;
    use crate::matcher::compile;
    use crate::pattern::patterns;

    fn assert_same(row: usize, line: &[u8]) -> bool {
        let pattern = &patterns()[row];
        let regex = compile(pattern).unwrap();
        let Some(template) = Template::of(pattern.regex, regex.captures_len()) else { return false };
        let mut places = vec![None; regex.captures_len()];
        let Some(matched) = template.matches(line, &mut places) else { return true };
        let captures = regex.captures(line);
        assert_eq!(matched, captures.is_some(), "row {}: {:?}", pattern.row, String::from_utf8_lossy(line));
        let Some(captures) = captures else { return true };
        assert_eq!(places[0].map(|(begin, _)| begin), captures.get(0).map(|found| found.start()));
        for (group, place) in places.iter().enumerate().skip(1) {
            let expected = captures.get(group).map(|found| (found.start(), found.end()));
            assert_eq!(
                *place,
                expected,
                "row {} group {group}: {:?}",
                pattern.row,
                String::from_utf8_lossy(line)
            );
        }
        true
    }

    #[test]
    fn a_line_with_quadratic_cost_is_left_to_the_regular_expression() {
        // Each text of a pattern except the last, repeated: every beginning is tried with every continuation.
        let mut left = 0;
        for pattern in patterns() {
            let regex = compile(pattern).unwrap();
            let Some(template) = Template::of(pattern.regex, regex.captures_len()) else { continue };
            let texts: Vec<&[u8]> = template
                .parts
                .iter()
                .filter_map(|part| match part {
                    super::Part::Text(text) => Some(text.forth.needle()),
                    super::Part::Hole { .. } => None,
                })
                .collect();
            if texts.len() < 3 {
                continue;
            }
            let line = texts[..texts.len() - 1].concat().repeat(2_000);
            let mut places = vec![None; regex.captures_len()];
            left += usize::from(template.matches(&line, &mut places).is_none());
        }
        assert!(left > 10, "{left}");
    }

    #[test]
    fn templates_and_expressions_agree_on_every_example() {
        let rows = 0..patterns().len();
        let templates = rows.filter(|row| assert_same(*row, patterns()[*row].example.as_bytes())).count();
        assert!(templates > 200, "{templates} of {} are templates", patterns().len());
    }

    proptest! {
        #[test]
        fn templates_and_expressions_agree_on_mixed_lines(
            row in 0_usize..400,
            other in 0_usize..400,
            cuts in proptest::collection::vec((0_usize..120, 0_usize..120), 1..5),
            tail in "[ -~]{0,12}",
        ) {
            let texts = [patterns()[row].example.as_bytes(), patterns()[other].example.as_bytes()];
            let mut line = Vec::new();
            for (at, (from, to)) in cuts.iter().enumerate() {
                let text = texts[at % 2];
                let (from, to) = ((*from.min(to)).min(text.len()), (*to.max(from)).min(text.len()));
                line.extend_from_slice(&text[from..to]);
                line.extend_from_slice(texts[0]);
            }
            line.extend_from_slice(tail.as_bytes());
            line.retain(|byte| *byte != b'\n');
            assert_same(row, &line);
        }
    }
}
