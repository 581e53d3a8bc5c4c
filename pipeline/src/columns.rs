//! Between our columns, in which a missing value is NaN, and those of polars, in which it is null.

use polars::prelude::*;

/// A column in which NaN is null: expressions and aggregates pass over what is missing.
pub fn nullable(name: &str, values: Vec<f64>) -> Column {
    if values.iter().any(|value| value.is_nan()) {
        let options = values
            .into_iter()
            .map(|value| (!value.is_nan()).then_some(value));
        return Column::new(name.into(), options.collect::<Vec<Option<f64>>>());
    }
    Column::new(name.into(), values)
}

/// Expressions under their numbers: by their own names they could clash with columns.
pub fn numbered(expressions: &[Expr]) -> Vec<Expr> {
    let numbered = expressions.iter().enumerate();
    numbered
        .map(|(number, expression)| expression.clone().alias(number.to_string()))
        .collect()
}

/// The values of a column of numbers; null is NaN.
///
/// # Errors
/// When it holds something else.
pub fn values(column: &Column) -> PolarsResult<Vec<f64>> {
    let values = column.cast(&DataType::Float64)?;
    let values = values.f64()?.iter();
    Ok(values.map(|value| value.unwrap_or(f64::NAN)).collect())
}
