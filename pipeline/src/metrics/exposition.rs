//! Writes Prometheus' text format, version 0.0.4:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>. A crate for it would bring its own counters.

use std::fmt::Write as _;

use super::histogram::Histogram;

/// What `Content-Type` says of it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A label and its value.
pub type Label<'a> = (&'a str, &'a str);

#[derive(Debug, Default)]
pub struct Exposition {
    pub text: String,
    family: &'static str,
}

impl Exposition {
    /// Begins a metric; `kind` is `counter`, `gauge` or `histogram`.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) -> &mut Self {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self.family = name;
        self
    }

    /// A value of the metric at hand.
    pub fn sample(&mut self, labels: &[Label<'_>], value: f64) -> &mut Self {
        self.line("", labels, value);
        self
    }

    /// A histogram of the metric at hand.
    pub fn histogram(&mut self, labels: &[Label<'_>], histogram: &Histogram) {
        let mut all = 0;
        for (bound, count) in histogram.cumulated() {
            let le = number(bound);
            let labels = [labels, &[("le", le.as_str())]].concat();
            self.line("_bucket", &labels, count as f64);
            all = count;
        }
        self.line("_sum", labels, histogram.told_sum());
        self.line("_count", labels, all as f64);
    }

    fn line(&mut self, suffix: &str, labels: &[Label<'_>], value: f64) {
        let _ = write!(self.text, "{}{suffix}", self.family);
        for (i, (name, value)) in labels.iter().enumerate() {
            let open = if i == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{open}{name}=\"{}\"", escape(value));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {}", number(value));
    }
}

fn escape(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}

fn number(value: f64) -> String {
    if value.is_infinite() {
        let infinity = if value > 0.0 { "+Inf" } else { "-Inf" };
        return infinity.into();
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_help_are_escaped_and_histograms_cumulated() {
        let mut told = Exposition::default();
        let labels = [("model", "a\\b\"c\nd"), ("task", "rul")];
        told.family("x_total", "counter", "One\\two\nlines")
            .sample(&labels, 3.0)
            .sample(&[], f64::NEG_INFINITY);
        let histogram = Histogram::new(&[500, 1_000], 1e6);
        [400, 700, 2_000]
            .iter()
            .for_each(|micros| histogram.observe(*micros));
        told.family("y_seconds", "histogram", "Times")
            .histogram(&[("stage", "poll")], &histogram);
        let expected = "\
# HELP x_total One\\\\two\\nlines
# TYPE x_total counter
x_total{model=\"a\\\\b\\\"c\\nd\",task=\"rul\"} 3
x_total -Inf
# HELP y_seconds Times
# TYPE y_seconds histogram
y_seconds_bucket{stage=\"poll\",le=\"0.0005\"} 1
y_seconds_bucket{stage=\"poll\",le=\"0.001\"} 2
y_seconds_bucket{stage=\"poll\",le=\"+Inf\"} 3
y_seconds_sum{stage=\"poll\"} 0.0031
y_seconds_count{stage=\"poll\"} 3
";
        assert_eq!(told.text, expected);
    }
}
