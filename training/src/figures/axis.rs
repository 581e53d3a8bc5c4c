//! Axes: where a value stands, and the ticks that a person reads.
//!
//! Ticks are 1, 2 or 5 times a power of ten apart: P. Heckbert, *Nice Numbers for Graph Labels*, Graphics Gems, 1990. On a
//! logarithmic axis they are powers of ten, and 2 and 5 times these where there is room.

/// The smallest value on a logarithmic axis, as a share of the highest.
const SMALLEST: f64 = 1e-12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Linear,
    Log,
}

/// An axis from its lowest to its highest value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub label: String,
    scale: Scale,
    low: f64,
    high: f64,
    /// Shares are written as percent.
    percent: bool,
}

impl Axis {
    /// From `low` to `high`, as they are.
    pub fn linear(label: impl Into<String>, low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Axis {
            label: label.into(),
            scale: Scale::Linear,
            low,
            high,
            percent: false,
        }
    }

    /// From 0 to the first tick that is not below `high`.
    pub fn from_zero(label: impl Into<String>, high: f64) -> Self {
        let high = if high > 0.0 && high.is_finite() {
            high
        } else {
            1.0
        };
        let step = step(high, 6);
        Self::linear(label, 0.0, (high / step - 1e-9).ceil() * step)
    }

    /// Logarithmic, between two values above zero.
    pub fn log(label: impl Into<String>, low: f64, high: f64) -> Self {
        let high = if high > 0.0 && high.is_finite() {
            high
        } else {
            1.0
        };
        let low = low.max(high * SMALLEST);
        Axis {
            scale: Scale::Log,
            ..Self::linear(label, low, if high > low { high } else { low * 10.0 })
        }
    }

    pub fn in_percent(mut self) -> Self {
        self.percent = true;
        self
    }

    pub fn low(&self) -> f64 {
        self.low
    }

    pub fn high(&self) -> f64 {
        self.high
    }

    /// Where a value stands, from 0 to 1; what is outside stands at the end, and what is no number at the beginning.
    pub fn place(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        if place.is_nan() {
            0.0
        } else {
            place.clamp(0.0, 1.0)
        }
    }

    /// The value at a place; the inverse of [`place`](Self::place).
    pub fn value(&self, place: f64) -> f64 {
        match self.scale {
            Scale::Linear => self.low + place * (self.high - self.low),
            Scale::Log => self.low * (self.high / self.low).powf(place),
        }
    }

    /// Values with their labels, about `most` of them.
    pub fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear => self.even(most),
            Scale::Log => self.powers(most),
        }
    }

    fn even(&self, most: usize) -> Vec<(f64, String)> {
        let step = step(self.high - self.low, most);
        let first = (self.low / step - 1e-9).ceil();
        let count = ((self.high / step + 1e-9).floor() - first) as usize;
        let values = (0..=count).map(|number| (first + number as f64) * step);
        let shown = if self.percent { step * 100.0 } else { step };
        let decimals = (-(shown.log10() + 1e-9).floor()).max(0.0) as usize;
        values
            .map(|value| (value, self.label_of(value, decimals)))
            .collect()
    }

    fn label_of(&self, value: f64, decimals: usize) -> String {
        if self.percent {
            format!("{:.decimals$} %", value * 100.0)
        } else {
            grouped(&format!("{:.decimals$}", value + 0.0))
        }
    }

    fn powers(&self, most: usize) -> Vec<(f64, String)> {
        let (first, last) = (
            self.low.log10().floor() as i32,
            self.high.log10().ceil() as i32,
        );
        let decades = (self.high / self.low).log10();
        let every = (decades / most as f64).ceil().max(1.0) as i32;
        let within: &[f64] = if decades * 3.0 <= most as f64 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        let powers = (first..=last).filter(|power| power.rem_euclid(every) == 0);
        let values = powers.flat_map(|power| within.iter().map(move |times| (power, *times)));
        let ticks = values.map(|(power, times)| (times * 10_f64.powi(power), power));
        let is_within =
            |value: f64| value >= self.low * 0.999_999 && value <= self.high * 1.000_001;
        ticks
            .filter(|(value, _)| is_within(*value))
            .map(|(value, power)| (value, power_label(value, power)))
            .collect()
    }
}

/// 1, 2 or 5 times a power of ten, so that about `most` of them fill `span`.
fn step(span: f64, most: usize) -> f64 {
    let rough = span / most.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let times = [1.0, 2.0, 5.0].into_iter();
    let times = { times }.find(|times| times * power >= rough * 0.999_999);
    times.unwrap_or(10.0) * power
}

/// Plain as long as it is short, else a power of ten.
fn power_label(value: f64, power: i32) -> String {
    const PLAIN: std::ops::RangeInclusive<i32> = -3..=5;
    if PLAIN.contains(&power) {
        let decimals = (-power).max(0) as usize;
        return grouped(&format!("{value:.decimals$}"));
    }
    let times = (value / 10_f64.powi(power)).round();
    let power: String = power.to_string().chars().map(raised).collect();
    if times > 1.0 {
        format!("{times}·10{power}")
    } else {
        format!("10{power}")
    }
}

fn raised(letter: char) -> char {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    letter
        .to_digit(10)
        .map_or('⁻', |digit| DIGITS[digit as usize])
}

/// Thousands are set apart.
fn grouped(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let digits = whole.trim_start_matches('-');
    let mut text = whole[..whole.len() - digits.len()].to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, most: usize) -> Vec<String> {
        axis.ticks(most)
            .into_iter()
            .map(|(_, label)| label)
            .collect()
    }

    #[test]
    fn ticks_are_numbers_that_a_person_would_choose() {
        let axis = Axis::linear("", 0.0, 125.0);
        assert_eq!(
            labels(&axis, 7),
            ["0", "20", "40", "60", "80", "100", "120"]
        );
        let axis = Axis::linear("", 0.0, 1.0);
        assert_eq!(labels(&axis, 5), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&axis.in_percent(), 4), ["0 %", "50 %", "100 %"]);
        let axis = Axis::linear("", -3.0, 4_000.0);
        assert_eq!(labels(&axis, 5), ["0", "1,000", "2,000", "3,000", "4,000"]);
        assert_eq!(
            labels(&Axis::linear("", -0.5, 0.6), 3),
            ["-0.5", "0.0", "0.5"]
        );
        assert!((Axis::from_zero("", 0.123).high() - 0.15).abs() < 1e-12);
        assert_eq!(Axis::from_zero("", 30.0).high(), 30.0);
    }

    #[test]
    fn logarithmic_ticks_are_powers_of_ten() {
        let axis = Axis::log("", 0.01, 1_000.0);
        assert_eq!(labels(&axis, 6), ["0.01", "0.1", "1", "10", "100", "1,000"]);
        let axis = Axis::log("", 0.8, 12.0);
        assert_eq!(labels(&axis, 6), ["1", "2", "5", "10"]);
        let axis = Axis::log("", 1e-6, 1e6);
        assert_eq!(labels(&axis, 4), ["10⁻⁶", "0.001", "1", "1,000", "10⁶"]);
        assert_eq!(power_label(2e-7, -7), "2·10⁻⁷");
    }

    #[test]
    fn a_value_stands_within_the_axis() {
        let axis = Axis::log("", 1.0, 100.0);
        for (value, place) in [
            (10.0, 0.5),
            (0.0, 0.0),
            (-1.0, 0.0),
            (1e9, 1.0),
            (f64::NAN, 0.0),
        ] {
            assert!((axis.place(value) - place).abs() < 1e-12, "{value}");
        }
        assert!((axis.value(0.5) - 10.0).abs() < 1e-12);
        let axis = Axis::linear("", 5.0, 5.0);
        assert_eq!((axis.place(5.0), axis.value(0.5)), (0.0, 5.5));
        for wrong in [f64::NAN, f64::INFINITY, 0.0, -4.0] {
            assert_eq!(Axis::from_zero("", wrong).high(), 1.0);
            assert!(!Axis::log("", 0.1, wrong).ticks(5).is_empty());
        }
    }
}
