//! What only some tasks tell of a row: names of its numbers, and of its class.

use forewarn_models::Task;
use forewarn_models::contract::ClassOutput;

/// Names of the numbers that a verdict of this task has besides those that have columns of their own, in their order.
/// `widths`: how many values a row has of each output.
pub(super) fn numbers(task: &Task, widths: &[usize]) -> Vec<String> {
    match task {
        Task::Rul(rul) if rul.has_interval() => {
            let horizons = rul.horizons.iter();
            horizons.map(|within| format!("failure.{within}")).collect()
        }
        Task::Classification(told) if matches!(told.output, ClassOutput::Probabilities(_)) => {
            let classes = told.classes.iter();
            classes
                .map(|class| format!("probability.{class}"))
                .collect()
        }
        Task::Custom { outputs } => {
            let outputs = outputs.iter().zip(widths);
            outputs
                .flat_map(|(name, width)| custom(name, *width))
                .collect()
        }
        Task::Anomaly { .. } | Task::Forecast(_) | Task::Rul(_) | Task::Classification(_) => {
            Vec::new()
        }
    }
}

/// An output of several numbers has a column for each, counted from 0.
fn custom(output: &str, width: usize) -> Vec<String> {
    match width {
        1 => vec![format!("custom.{output}")],
        _ => (0..width)
            .map(|place| format!("custom.{output}.{place}"))
            .collect(),
    }
}

/// The name of a class.
pub(super) fn class(task: &Task, place: usize) -> Option<&str> {
    match task {
        Task::Classification(told) => told.classes.get(place).map(String::as_str),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_of_several_numbers_has_a_column_for_each() {
        let outputs = vec!["y".to_owned(), "z".to_owned()];
        let names = numbers(&Task::Custom { outputs }, &[1, 2]);
        assert_eq!(names, ["custom.y", "custom.z.0", "custom.z.1"]);
    }
}
