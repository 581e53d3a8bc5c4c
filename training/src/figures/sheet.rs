//! A sheet: title, legend, and panels side by side, each with its axes and marks.
//!
//! ```text
//!   title
//!   ── legend   -- entries
//!   heading           heading
//!   |      marks      |      marks
//!   |___________      |___________
//!      label             label
//! ```
//!
//! The legend is told by the names of marks, each once: what is drawn and what it is called can't come apart. Nothing is
//! written into a plot, so that no text lies over data.

use super::axis::Axis;
use super::svg::{Anchor, Svg, Type, line, number, width};

/// Pixels. A page shows a figure about as wide as its text.
const WIDTH: f64 = 760.0;
const MARGIN: f64 = 16.0;
/// Room for half of the last tick's label.
const RIGHT: f64 = 28.0;
const TITLE: Type = Type {
    size: 16.0,
    bold: true,
    colour: "#1a1a1a",
    anchor: Anchor::Start,
    upright: false,
};
const HEADING: Type = Type {
    size: 12.5,
    ..TITLE
};
const WORDS: Type = Type {
    size: 12.0,
    bold: false,
    colour: "#444444",
    ..TITLE
};
const LEGEND_LINE: f64 = 20.0;
const SWATCH: f64 = 26.0;
/// Room below a plot for ticks, and for its label.
const TICKS: f64 = 20.0;
const LABEL: f64 = 18.0;
/// Room that a tick's label takes along the x axis, and along the y axis.
const PER_TICK: (f64, f64) = (56.0, 34.0);

/// A figure.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sheet {
    pub title: String,
    /// For who can't see it: what the figure shows, in a sentence or two.
    pub description: String,
    pub panels: Vec<Panel>,
    /// Panels side by side.
    pub columns: usize,
    /// Of each plot.
    pub height: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Panel {
    pub heading: String,
    pub x: Axis,
    pub y: Axis,
    /// From the back to the front.
    pub marks: Vec<Mark>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mark {
    /// In the legend.
    pub name: Option<String>,
    pub ink: Ink,
    pub shape: Shape,
}

/// What is drawn, in the units of the axes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Line(Vec<(f64, f64)>),
    Dots(Vec<(f64, f64)>),
    /// `x` from `low` to `high`.
    Band(Vec<(f64, f64, f64)>),
    Whiskers(Vec<(f64, f64, f64)>),
    /// Of a histogram: from `x` to `x`, and how high.
    Bars(Vec<(f64, f64, f64)>),
}

/// Colours that people who see few colours tell apart: M. Okabe, K. Ito, *Color Universal Design*, 2008.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// What is true.
    Black,
    Blue,
    Orange,
    Green,
    /// What only guides the eye: dashed.
    Guide,
}

impl Ink {
    /// For several things of one kind, in turn.
    pub fn of(number: usize) -> Self {
        [Ink::Blue, Ink::Orange, Ink::Green, Ink::Black][number % 4]
    }

    fn colour(self) -> &'static str {
        match self {
            Ink::Black => "#1a1a1a",
            Ink::Blue => "#0072b2",
            Ink::Orange => "#d55e00",
            Ink::Green => "#009e73",
            Ink::Guide => "#7a7a7a",
        }
    }
}

impl Mark {
    pub fn new(ink: Ink, shape: Shape) -> Self {
        Mark {
            name: None,
            ink,
            shape,
        }
    }

    pub fn named(self, name: impl Into<String>) -> Self {
        Mark {
            name: Some(name.into()),
            ..self
        }
    }
}

/// Of a plot, on the sheet.
#[derive(Debug, Clone, Copy)]
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Sheet {
    pub fn draw(&self) -> String {
        let legend = self.legend();
        let top = MARGIN + TITLE.size + 12.0 + LEGEND_LINE * legend.len() as f64 + 6.0;
        let headed = self.panels.iter().any(|panel| !panel.heading.is_empty());
        let heading = if headed { 20.0 } else { 6.0 };
        let row = heading + self.height + TICKS + LABEL + 14.0;
        let rows = self.panels.len().div_ceil(self.columns);
        let size = (WIDTH, top + row * rows as f64 + 4.0);
        let mut svg = Svg::open(size, &self.title, &self.description);
        svg.text((MARGIN, MARGIN + TITLE.size - 2.0), &self.title, TITLE);
        for (number, entries) in legend.iter().enumerate() {
            let y = MARGIN + TITLE.size + 24.0 + LEGEND_LINE * number as f64;
            for (x, mark) in entries {
                mark.entry(&mut svg, (*x, y));
            }
        }
        let left = self.left();
        let column = (WIDTH - RIGHT) / self.columns as f64;
        for (number, panel) in self.panels.iter().enumerate() {
            let (down, across) = (number / self.columns, number % self.columns);
            let frame = Frame {
                left: across as f64 * column + left,
                top: top + down as f64 * row + heading,
                width: column - left,
                height: self.height,
            };
            panel.draw(&mut svg, frame, left);
        }
        svg.close()
    }

    /// Room beside each plot, so that they stand in line.
    fn left(&self) -> f64 {
        let ticks = self
            .panels
            .iter()
            .flat_map(|panel| panel.y_ticks(self.height));
        let widest = ticks.map(|(_, label)| width(&label, WORDS.size));
        MARGIN + LABEL + widest.fold(0.0, f64::max) + 8.0
    }

    /// Marks with a name, each name once, in lines, and where each stands.
    fn legend(&self) -> Vec<Vec<(f64, &Mark)>> {
        let mut names: Vec<&str> = Vec::new();
        let (mut lines, mut x) = (Vec::new(), f64::INFINITY);
        for mark in self.panels.iter().flat_map(|panel| &panel.marks) {
            let Some(name) = mark.name.as_deref() else {
                continue;
            };
            if names.contains(&name) {
                continue;
            }
            names.push(name);
            let room = SWATCH + 6.0 + width(name, WORDS.size) + 18.0;
            if x + room > WIDTH {
                lines.push(Vec::new());
                x = MARGIN;
            }
            if let Some(line) = lines.last_mut() {
                line.push((x, mark));
            }
            x += room;
        }
        lines
    }
}

impl Panel {
    fn x_ticks(&self, width: f64) -> Vec<(f64, String)> {
        self.x.ticks((width / PER_TICK.0) as usize)
    }

    fn y_ticks(&self, height: f64) -> Vec<(f64, String)> {
        self.y.ticks((height / PER_TICK.1) as usize)
    }

    fn draw(&self, svg: &mut Svg, frame: Frame, left: f64) {
        let at = |x: f64, y: f64| {
            (
                frame.left + self.x.place(x) * frame.width,
                frame.top + (1.0 - self.y.place(y)) * frame.height,
            )
        };
        if !self.heading.is_empty() {
            svg.text((frame.left, frame.top - 7.0), &self.heading, HEADING);
        }
        self.grid(svg, frame);
        for mark in &self.marks {
            mark.draw(svg, at, self.y.low());
        }
        self.labels(svg, frame, left);
    }

    fn grid(&self, svg: &mut Svg, frame: Frame) {
        let (bottom, right) = (frame.top + frame.height, frame.left + frame.width);
        let mut grid = String::new();
        for (value, _) in self.x_ticks(frame.width) {
            let x = frame.left + self.x.place(value) * frame.width;
            grid += &line([(x, frame.top), (x, bottom)].into_iter());
        }
        for (value, _) in self.y_ticks(frame.height) {
            let y = frame.top + (1.0 - self.y.place(value)) * frame.height;
            grid += &line([(frame.left, y), (right, y)].into_iter());
        }
        svg.path(&grid, "stroke=\"#e6e6e6\" stroke-width=\"1\" fill=\"none\"");
        let corner = [
            (frame.left, frame.top),
            (frame.left, bottom),
            (right, bottom),
        ];
        svg.path(
            &line(corner.into_iter()),
            "stroke=\"#7a7a7a\" stroke-width=\"1\" fill=\"none\"",
        );
    }

    fn labels(&self, svg: &mut Svg, frame: Frame, left: f64) {
        let middle = Type {
            anchor: Anchor::Middle,
            ..WORDS
        };
        let bottom = frame.top + frame.height;
        for (value, label) in self.x_ticks(frame.width) {
            let x = frame.left + self.x.place(value) * frame.width;
            svg.text((x, bottom + 16.0), &label, middle);
        }
        let end = Type {
            anchor: Anchor::End,
            ..WORDS
        };
        for (value, label) in self.y_ticks(frame.height) {
            let y = frame.top + (1.0 - self.y.place(value)) * frame.height;
            svg.text((frame.left - 6.0, y + 4.0), &label, end);
        }
        let x = frame.left + frame.width / 2.0;
        svg.text((x, bottom + TICKS + 14.0), &self.x.label, middle);
        let upright = Type {
            upright: true,
            ..middle
        };
        let y = frame.top + frame.height / 2.0;
        svg.text(
            (frame.left - left + MARGIN + 10.0, y),
            &self.y.label,
            upright,
        );
    }
}

impl Mark {
    fn draw(&self, svg: &mut Svg, at: impl Fn(f64, f64) -> (f64, f64), base: f64) {
        match &self.shape {
            Shape::Line(points) => {
                let points = points.iter().map(|&(x, y)| at(x, y));
                svg.path(&line(points), &self.stroke(2.0, 1.0));
            }
            Shape::Dots(points) => {
                let points = points.iter().map(|&(x, y)| at(x, y));
                svg.circles(points, 3.5, &self.dot());
            }
            Shape::Band(points) => {
                let high = points.iter().map(|&(x, _, high)| at(x, high));
                let low = points.iter().rev().map(|&(x, low, _)| at(x, low));
                svg.path(&line(high.chain(low)), &self.fill(0.22));
            }
            Shape::Whiskers(points) => {
                let each = points.iter();
                let each = each.map(|&(x, low, high)| line([at(x, low), at(x, high)].into_iter()));
                svg.path(&each.collect::<String>(), &self.stroke(1.2, 0.45));
            }
            Shape::Bars(bars) => self.bars(svg, bars, at, base),
        }
    }

    /// Neighbours make one outline.
    fn bars(
        &self,
        svg: &mut Svg,
        bars: &[(f64, f64, f64)],
        at: impl Fn(f64, f64) -> (f64, f64),
        base: f64,
    ) {
        let ends = [bars.first().map(|bar| bar.0), bars.last().map(|bar| bar.1)];
        let [Some(first), Some(last)] = ends else {
            return;
        };
        let tops = bars
            .iter()
            .flat_map(|&(from, to, high)| [(from, high), (to, high)]);
        let points: Vec<(f64, f64)> = std::iter::once((first, base))
            .chain(tops)
            .chain([(last, base)])
            .map(|(x, y)| at(x, y))
            .collect();
        svg.path(&line(points.iter().copied()), &self.fill(0.25));
        svg.path(&line(points.into_iter()), &self.stroke(1.5, 1.0));
    }

    /// An entry of the legend, on a line at `y`.
    fn entry(&self, svg: &mut Svg, (x, y): (f64, f64)) {
        let (middle, end) = (y - 4.0, x + SWATCH);
        let flat = || line([(x, middle), (end, middle)].into_iter());
        let block = || {
            let corners = [
                (x, middle - 6.0),
                (end, middle - 6.0),
                (end, middle + 6.0),
                (x, middle + 6.0),
            ];
            line(corners.into_iter())
        };
        match &self.shape {
            Shape::Line(_) => svg.path(&flat(), &self.stroke(2.0, 1.0)),
            Shape::Dots(_) => {
                let centre = std::iter::once((x + SWATCH / 2.0, middle));
                svg.circles(centre, 3.5, &self.dot());
            }
            Shape::Band(_) => svg.path(&block(), &self.fill(0.22)),
            Shape::Whiskers(_) => {
                let x = x + SWATCH / 2.0;
                let upright = line([(x, middle - 7.0), (x, middle + 7.0)].into_iter());
                svg.path(&upright, &self.stroke(1.2, 0.45));
            }
            Shape::Bars(_) => {
                svg.path(&block(), &self.fill(0.25));
                svg.path(&(block() + "Z"), &self.stroke(1.5, 1.0));
            }
        }
        let name = self.name.as_deref().unwrap_or_default();
        svg.text((end + 6.0, y), name, WORDS);
    }

    fn stroke(&self, width: f64, opacity: f64) -> String {
        let dashes = match self.ink {
            Ink::Guide => " stroke-dasharray=\"6 4\"",
            _ => "",
        };
        let width = match self.ink {
            Ink::Guide => 1.2,
            _ => width,
        };
        format!(
            "fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-opacity=\"{opacity}\" stroke-linejoin=\"round\"{dashes}",
            self.ink.colour(),
            number(width)
        )
    }

    fn fill(&self, opacity: f64) -> String {
        format!("fill=\"{}\" fill-opacity=\"{opacity}\"", self.ink.colour())
    }

    fn dot(&self) -> String {
        let colour = self.ink.colour();
        format!("fill=\"{colour}\" stroke=\"#ffffff\" stroke-width=\"0.8\"")
    }
}

#[cfg(test)]
mod tests;
