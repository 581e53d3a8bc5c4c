//! The text of an SVG document. Source: W3C, *Scalable Vector Graphics (SVG) 1.1*; names of colours and fonts are those
//! that every viewer knows.
//!
//! Numbers have one decimal: a tenth of a pixel, beyond which nobody sees anything, and which the last bits of a
//! logarithm do not change.

use std::fmt::Write as _;

const FONT: &str =
    "system-ui,-apple-system,'Segoe UI','Helvetica Neue','DejaVu Sans',Arial,sans-serif";
/// What a letter is wide, on average, as a share of the font's size: generous, as fonts differ.
const LETTER: f64 = 0.57;

/// A document that grows.
pub(super) struct Svg(String);

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Type {
    pub size: f64,
    pub bold: bool,
    pub colour: &'static str,
    pub anchor: Anchor,
    /// From the bottom to the top.
    pub upright: bool,
}

impl Svg {
    pub fn open((width, height): (f64, f64), title: &str, description: &str) -> Self {
        let mut svg = Svg(String::new());
        let (width, height) = (number(width), number(height));
        let _ = writeln!(
            svg.0,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-labelledby=\"title about\" width=\"{width}\" \
             height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"{FONT}\">\n\
             <title id=\"title\">{}</title>\n<desc id=\"about\">{}</desc>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>",
            escaped(title),
            escaped(description)
        );
        svg
    }

    pub fn close(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }

    /// `path` in the language of the attribute `d`.
    pub fn path(&mut self, path: &str, style: &str) {
        if !path.is_empty() {
            let _ = writeln!(self.0, "<path d=\"{path}\" {style}/>");
        }
    }

    pub fn circles(&mut self, centres: impl Iterator<Item = (f64, f64)>, radius: f64, style: &str) {
        let _ = writeln!(self.0, "<g {style}>");
        for (x, y) in centres {
            let (x, y, r) = (number(x), number(y), number(radius));
            let _ = writeln!(self.0, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\"/>");
        }
        self.0.push_str("</g>\n");
    }

    pub fn text(&mut self, (x, y): (f64, f64), words: &str, look: Type) {
        let (x, y) = (number(x), number(y));
        let anchor = match look.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if look.bold {
            " font-weight=\"600\""
        } else {
            ""
        };
        let turn = match look.upright {
            true => format!(" transform=\"rotate(-90 {x} {y})\""),
            false => String::new(),
        };
        let _ = writeln!(
            self.0,
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\" fill=\"{}\" text-anchor=\"{anchor}\"{weight}{turn}>{}</text>",
            number(look.size),
            look.colour,
            escaped(words)
        );
    }
}

/// About how wide a text is.
pub(super) fn width(words: &str, size: f64) -> f64 {
    words.chars().count() as f64 * size * LETTER
}

/// A line through points.
pub(super) fn line(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (x, y) in points {
        let command = if path.is_empty() { 'M' } else { 'L' };
        let _ = write!(path, "{command}{} {}", number(x), number(y));
    }
    path
}

/// With one decimal, and none where it is zero.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    match text {
        "-0" => "0".to_owned(),
        text => text.to_owned(),
    }
}

/// Names come from the log: whatever they hold, they stay text.
fn escaped(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for letter in words.chars() {
        match letter {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            // What XML has no way to write.
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                text.push('\u{fffd}');
            }
            letter => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [(12.0, "12"), (0.25, "0.2"), (-0.01, "0"), (-3.13, "-3.1")] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_name_can_not_leave_its_text() {
        let mut svg = Svg::open((10.0, 10.0), "a & b", "</desc><script>");
        let look = Type {
            size: 12.0,
            bold: false,
            colour: "#000000",
            anchor: Anchor::Start,
            upright: false,
        };
        svg.text((1.0, 2.0), "pump \"<7>\"\u{1b}", look);
        let text = svg.close();
        assert!(
            text.contains("<title id=\"title\">a &amp; b</title>"),
            "{text}"
        );
        assert!(text.contains("&lt;/desc&gt;&lt;script&gt;"), "{text}");
        assert!(
            text.contains("pump &quot;&lt;7&gt;&quot;\u{fffd}<"),
            "{text}"
        );
    }
}
