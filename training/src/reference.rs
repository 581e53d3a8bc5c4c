//! The reference that a trained model is added with: how the rows that it learnt from were distributed, and what it says
//! of them. Drift is measured against it.

use std::collections::BTreeMap;

use forewarn_models::Reference;
use forewarn_pipeline::drift::{FitError, Fitting};
use serde_json::Value;

use crate::rows::Rows;

/// Of the rows of a training. `said`: what the model says of the assets, by event time, as the engine gives it: scores or
/// remaining lives; of rows without a word only the features count. `origin` says where the rows came from.
///
/// # Errors
/// When there is no row.
pub fn of(
    rows: &Rows,
    said: &BTreeMap<String, Vec<(i64, f64)>>,
    origin: Value,
) -> Result<Reference, FitError> {
    let width = rows.features.len();
    let mut fitting = Fitting::new(&rows.features);
    for asset in &rows.assets {
        let said = said.get(&asset.asset).map_or(&[][..], Vec::as_slice);
        let mut said = said.iter().peekable();
        for (time, values) in asset.times.iter().zip(asset.values.chunks_exact(width)) {
            while said.next_if(|(at, _)| at < time).is_some() {}
            let score = said.next_if(|(at, _)| at == time).map(|(_, score)| *score);
            fitting.push(&asset.asset, values.iter().copied(), score);
        }
    }
    fitting.finish(origin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Collector;

    #[test]
    fn what_was_said_is_joined_by_asset_and_time() {
        let mut collected = Collector::new(vec!["a".into()], 100);
        for time in 0..6_i32 {
            collected
                .push("pump-1", time.into(), [f64::from(time)].into_iter())
                .unwrap();
            collected
                .push("pump-2", time.into(), [10.0].into_iter())
                .unwrap();
        }
        let said = BTreeMap::from([("pump-1".to_owned(), vec![(-1, 9.0), (2, 40.0), (4, 60.0)])]);
        let reference = of(&collected.finish(), &said, Value::Null).unwrap();
        assert_eq!((reference.rows, reference.assets), (12, 2));
        assert_eq!(
            (reference.features[0].min, reference.features[0].max),
            (0.0, 10.0)
        );
        let score = reference.score.unwrap();
        assert_eq!((score.rows, score.mean), (2, 50.0));
        let none = of(&Rows::default(), &said, Value::Null);
        assert_eq!(none.unwrap_err(), FitError::NoRows);
    }
}
