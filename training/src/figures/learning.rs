//! How networks learnt.

use super::axis::Axis;
use super::sheet::{Ink, Mark, Panel, Shape, Sheet};
use super::spread;
use crate::neural::Round;

/// Rounds that a line has a point for.
const ROUNDS: usize = 200;

/// The loss of each network in each round, and, where it was watched, the validation with its best round. `members` are
/// their rounds, and which one was the best, from 0.
pub fn learning(members: &[(Vec<Round>, usize)]) -> String {
    let longest = members.iter().map(|(rounds, _)| rounds.len()).max();
    let panel = |heading: &str, label: &str, of: fn(&Round) -> Option<f64>| {
        let values = members
            .iter()
            .flat_map(|(rounds, _)| rounds.iter().filter_map(of));
        let (low, high) = values.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), value| {
            (low.min(value), high.max(value))
        });
        Panel {
            heading: heading.to_owned(),
            x: Axis::linear("round", 1.0, longest.unwrap_or(1) as f64),
            y: losses(label, low, high),
            marks: lines(members, of),
        }
    };
    let mut panels = vec![panel("Learning", "loss", |round| Some(round.loss))];
    let watched = members
        .iter()
        .any(|(rounds, _)| rounds.iter().any(|round| round.validation.is_some()));
    if watched {
        let mut validation = panel("Validation", "validation", |round| round.validation);
        validation.marks.push(best(members));
        panels.push(validation);
    }
    let sheet = Sheet {
        title: "Loss of each network, round by round".into(),
        description: format!(
            "{} networks. {}",
            members.len(),
            if watched {
                "On the left what they learnt by, on the right the validation, with the best round of each."
            } else {
                "They were not watched: there is no validation, and the last round is kept."
            }
        ),
        columns: panels.len(),
        panels,
        height: 240.0,
    };
    sheet.draw()
}

/// Logarithmic where the highest is far from the lowest: a first loss of 100 must not flatten all that follows.
fn losses(label: &str, low: f64, high: f64) -> Axis {
    const FAR: f64 = 10.0;
    if low > 0.0 && high / low > FAR {
        Axis::log(label, low * 0.9, high * 1.1)
    } else {
        Axis::from_zero(label, high)
    }
}

fn lines(members: &[(Vec<Round>, usize)], of: fn(&Round) -> Option<f64>) -> Vec<Mark> {
    let lines = members.iter().enumerate().map(|(number, (rounds, _))| {
        let places = spread(rounds.len(), ROUNDS);
        let points = places.filter_map(|place| Some(((place + 1) as f64, of(&rounds[place])?)));
        let line = Mark::new(Ink::of(number), Shape::Line(points.collect()));
        line.named(format!("network {}", number + 1))
    });
    lines.collect()
}

fn best(members: &[(Vec<Round>, usize)]) -> Mark {
    let best = members.iter().filter_map(|(rounds, best)| {
        let validation = rounds.get(*best)?.validation?;
        Some(((best + 1) as f64, validation))
    });
    Mark::new(Ink::Black, Shape::Dots(best.collect())).named("best round, which is kept")
}
