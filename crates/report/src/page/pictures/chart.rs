//! Draws lines over two axes as SVG.
//!
//! Colours are classes of the page, so that a picture follows light, dark and print. Every text is ours: a legend may name what a
//! broker sent, and is therefore outside of the picture.

use minijinja::Value;
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::prelude::{ChartBuilder, Color, IntoDrawingArea, IntoFont, RGBColor, SVGBackend, TextStyle};
use plotters::style::TRANSPARENT;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use ungraceful_record::phase::Phase;

use super::axis::Axis;

/// Width and height of a picture in its own units; the page scales it.
pub(super) const SIZE: (u32, u32) = (960, 440);
/// Size of a text, which a page of half the width still shows legibly.
const TEXT: u32 = 28;
/// Maximum number of lines; the page has a class for each.
pub(super) const LINES_AT_MOST: usize = 6;

/// Colours that stand for a class of the page.
const INK: RGBColor = RGBColor(1, 1, 0);
const GRID: RGBColor = RGBColor(1, 1, 1);
/// The page sets the font.
const FAMILY: &str = "sans-serif";

/// The colour that stands for a line, from 1.
const fn of_line(line: u8) -> RGBColor {
    RGBColor(1, 2, line)
}

/// The colour that stands for the background of a phase.
const fn of_phase(phase: u8) -> RGBColor {
    RGBColor(1, 3, phase)
}

/// A chart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chart {
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) shades: Vec<Shade>,
    pub(super) lines: Vec<Line>,
    /// Whether each point has a mark.
    pub(super) has_marks: bool,
}

/// A phase behind the lines.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shade {
    pub(super) phase: Phase,
    pub(super) range: (f64, f64),
    /// Written at the top.
    pub(super) label: String,
}

/// A line: its parts, with a gap between where nothing was measured.
pub(super) type Line = Vec<Vec<(f64, f64)>>;

/// A line of these points, with a gap where a value is absent.
pub(super) fn line(points: impl IntoIterator<Item = (f64, Option<f64>)>) -> Line {
    let mut parts: Line = vec![Vec::new()];
    for (x, y) in points {
        match (y, parts.last_mut()) {
            (Some(y), Some(part)) => part.push((x, y)),
            (None, Some(part)) if part.is_empty() => {}
            _ => parts.push(Vec::new()),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

impl Chart {
    /// The elements of the picture.
    pub(super) fn svg(&self) -> Value {
        let mut drawn = String::new();
        self.draw(&mut drawn).expect("drawing into a string does not fail");
        // The page writes the element itself, with title and description.
        let inner = drawn.split_once('>').and_then(|(_, rest)| rest.rsplit_once("</svg>"));
        let inner = inner.map(|(inner, _)| inner).expect("the drawing is an SVG element");
        Value::from_safe_string(with_classes(inner))
    }

    /// The room that the label of the last mark takes beside the picture, where that mark is at its edge.
    fn room_beside(&self) -> u32 {
        let last = self.x.marks.last().filter(|mark| mark.at >= self.x.range.1);
        last.map_or(0, |mark| width_of(&mark.label) / 2)
    }

    fn draw(&self, drawn: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::with_string(drawn, SIZE).into_drawing_area();
        let (x, y) = (&self.x, &self.y);
        let mut chart = ChartBuilder::on(&area)
            .margin_top(TEXT + 10)
            .margin_right(self.room_beside().max(TEXT))
            .margin_bottom(4)
            .x_label_area_size(TEXT + 12)
            .y_label_area_size(y.marks.iter().map(|mark| width_of(&mark.label)).max().unwrap_or(0) + 16)
            .build_cartesian_2d(x.clone(), y.clone())?;
        let mut names = Vec::new();
        for shade in &self.shades {
            let (from, to) = (shade.range.0.max(x.range.0), shade.range.1.min(x.range.1));
            if from >= to {
                continue;
            }
            let corners = [(from, y.range.0), (to, y.range.1)];
            let colour = of_phase(u8::try_from(shade.phase.index())?);
            chart.draw_series([Rectangle::new(corners, colour.filled())])?;
            let (begin, end) =
                (chart.backend_coord(&(from, y.range.1)), chart.backend_coord(&(to, y.range.1)));
            if u32::try_from(end.0 - begin.0).is_ok_and(|room| room > width_of(&shade.label)) {
                names.push((shade.label.clone(), (begin.0.midpoint(end.0), begin.1 - 6)));
            }
        }
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(2))
            .axis_style(INK.stroke_width(2))
            .label_style(text_style())
            .draw()?;
        for (number, line) in (1..).zip(&self.lines) {
            let style = of_line(number).stroke_width(4);
            for part in line {
                if part.len() > 1 {
                    chart.draw_series([PathElement::new(part.clone(), style)])?;
                }
                if part.len() == 1 || self.has_marks {
                    let marks = part.iter().map(|point| Circle::new(*point, 6, style.filled()));
                    chart.draw_series(marks)?;
                }
            }
        }
        for (name, place) in names {
            area.draw(&Text::new(name, place, text_style().pos(Pos::new(HPos::Center, VPos::Bottom))))?;
        }
        area.present()?;
        Ok(())
    }
}

fn text_style() -> TextStyle<'static> {
    // The library divides by 1.24 for the size of the font.
    (FAMILY, f64::from(TEXT) * 1.24).into_font().color(&INK)
}

/// About the width of a text.
fn width_of(text: &str) -> u32 {
    u32::try_from(text.chars().count()).map_or(u32::MAX, |characters| characters.saturating_mul(TEXT * 3 / 5))
}

/// Replaces the colours by classes, and leaves out what the page sets for all pictures.
fn with_classes(drawn: &str) -> String {
    let mut text = drawn.replace(&format!(" font-family=\"{FAMILY}\""), "").replace(" opacity=\"1\"", "");
    let lines =
        (1..=LINES_AT_MOST).filter_map(|line| Some((of_line(u8::try_from(line).ok()?), format!("{line}"))));
    let phases = Phase::ALL.map(|phase| (u8::try_from(phase.index()), phase.name().to_owned()));
    let phases = phases.into_iter().filter_map(|(index, name)| Some((of_phase(index.ok()?), name)));
    let fixed = [(INK, "ink".to_owned()), (GRID, "grid".to_owned())];
    for (colour, name) in fixed.into_iter().chain(lines).chain(phases) {
        let RGBColor(red, green, blue) = colour;
        let colour = format!("#{red:02X}{green:02X}{blue:02X}");
        for (attribute, kind) in [("stroke", "l"), ("fill", "f")] {
            text = text.replace(&format!("{attribute}=\"{colour}\""), &format!("class=\"{kind}-{name}\""));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use ungraceful_record::phase::Phase;

    use super::{Axis, Chart, Shade, line};

    #[test]
    fn a_line_has_a_gap_where_nothing_was_measured() {
        let points =
            [(0.0, None), (1.0, Some(5.0)), (2.0, Some(6.0)), (3.0, None), (4.0, None), (5.0, Some(0.0))];
        assert_eq!(line(points), [vec![(1.0, 5.0), (2.0, 6.0)], vec![(5.0, 0.0)]]);
        assert!(line([(0.0, None)]).is_empty());
    }

    #[test]
    fn a_picture_has_classes_and_no_colours_of_its_own() {
        let shade = Shade { phase: Phase::Fault, range: (2.0, 20.0), label: "fault".into() };
        let chart = Chart {
            x: Axis::seconds(10),
            y: Axis::counts(6),
            shades: vec![shade],
            lines: vec![
                line([(1.0, Some(5.0)), (2.0, Some(6.0)), (3.0, None), (5.0, Some(0.0))]),
                Vec::new(),
            ],
            has_marks: false,
        };
        let svg = chart.svg().to_string();
        for expected in [
            "<polyline",
            "class=\"l-1\"",
            "class=\"f-1\"",
            "class=\"f-fault\"",
            "class=\"f-ink\"",
            ">\nfault\n",
        ] {
            assert!(svg.contains(expected), "{expected} in\n{svg}");
        }
        assert!(!svg.contains('#') && !svg.contains("<svg"), "{svg}");
    }
}
