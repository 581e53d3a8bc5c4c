//! From the text of a feature to an expression that is known to run: names, types, and that it reads what
//! its kind of view may read.

use polars::prelude::*;
use polars::sql::sql_expr;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError};

use crate::window;

/// What an expression may look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One row.
    Row,
    /// The rows of one window: aggregates.
    Window,
}

/// A feature's expression.
#[derive(Debug)]
pub(super) struct Compiled {
    pub name: String,
    pub expression: Expr,
    /// Names of the columns that it reads.
    pub reads: Vec<String>,
}

/// Compiles `text` over the columns `inputs`.
///
/// # Errors
/// What is wrong, where in the text, and what to write instead.
pub(super) fn compile(text: &str, inputs: &[String], scope: Scope) -> Result<Compiled, String> {
    let expression = sql_expr(text).map_err(|error| parse_problem(text, &error))?;
    let reads = roots(&expression);
    let known = |name: &String| {
        inputs.contains(name) || (scope == Scope::Window && name == window::EVENT_TIME)
    };
    if let Some(unknown) = reads.iter().find(|name| !known(name)) {
        return Err(format!(
            "{}no column {unknown} here; there are {}{}",
            position(text, unknown),
            inputs.join(", "),
            if scope == Scope::Window {
                ", event_time"
            } else {
                ""
            }
        ));
    }
    let (name, dtype) = match scope {
        Scope::Row => check_row(&expression, inputs, !reads.is_empty())?,
        Scope::Window => check_window(text, &expression, inputs)?,
    };
    if !(dtype.is_primitive_numeric() || dtype.is_bool()) {
        return Err(format!("gives {dtype}, expected a number"));
    }
    Ok(Compiled {
        name,
        expression: expression.cast(DataType::Float64),
        reads,
    })
}

/// Whether it looks at its own row only is found by trial: the whole against the rows one by one.
fn check_row(
    expression: &Expr,
    inputs: &[String],
    reads_any: bool,
) -> Result<(String, DataType), String> {
    let trial = window::trial(inputs);
    let select = |frame: DataFrame| frame.lazy().select([expression.clone()]).collect();
    let whole = select(trial.clone()).map_err(|error| one_line(&error))?;
    let alone = (0..trial.height())
        .map(|row| select(trial.slice(row as i64, 1)))
        .reduce(|all, part| all?.vstack(&part?))
        .transpose()
        .map_err(|error| one_line(&error))?;
    // A constant is one value for all rows.
    if reads_any && !alone.is_some_and(|alone| alone.equals_missing(&whole)) {
        return Err(
            "reads more than one reading (an aggregate, a shift or a window function): that needs \
                    a view with `window`; here its result would depend on how readings were batched"
                .into(),
        );
    }
    let column = whole.columns().first().ok_or("gives nothing")?;
    Ok((column.name().to_string(), column.dtype().clone()))
}

/// An aggregate gives one value per window; what gives a value per row does not.
fn check_window(
    text: &str,
    expression: &Expr,
    inputs: &[String],
) -> Result<(String, DataType), String> {
    let dtype = window::try_aggregate(window::trial(inputs), expression.clone())
        .map_err(|error| one_line(&error))?;
    if let DataType::List(_) = dtype {
        return Err(format!(
            "gives a value per row, but a window needs one: aggregate it, as \"AVG({}) AS ...\"",
            text.split(" AS ").next().unwrap_or(text).trim()
        ));
    }
    let name = expression
        .clone()
        .meta()
        .output_name()
        .map_err(|error| one_line(&error))?;
    Ok((name.to_string(), dtype))
}

/// Names of the columns that an expression reads.
fn roots(expression: &Expr) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for node in expression {
        if let Expr::Column(name) = node
            && !names.iter().any(|known| known == name.as_str())
        {
            names.push(name.to_string());
        }
    }
    names
}

/// Where `token` stands in `text`, as "column 7: ", counted from 1; nothing when it is not found.
fn position(text: &str, token: &str) -> String {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let found = text.match_indices(token).find(|(at, _)| {
        !is_word(text[..*at].chars().next_back())
            && !is_word(text[at + token.len()..].chars().next())
    });
    found.map_or_else(String::new, |(at, _)| {
        format!("column {}: ", text[..at].chars().count() + 1)
    })
}

/// What is wrong and where: polars' parser says it in full only when it is asked itself.
fn parse_problem(text: &str, error: &PolarsError) -> String {
    let parsed = Parser::new(&GenericDialect)
        .try_with_sql(text)
        .and_then(|mut parser| parser.parse_select_item());
    if let Err(ParserError::ParserError(message) | ParserError::TokenizerError(message)) = parsed {
        return match message.rsplit_once(" at Line: 1, Column: ") {
            Some((what, column)) => format!("column {column}: {what}"),
            // The parser gives no place for the end of the text.
            None => format!("column {}: {message}", text.chars().count() + 1),
        };
    }
    // It is SQL, but names a function that polars does not have: "unsupported function 'nosuch'".
    let message = one_line(error);
    let quoted = message.split('\'').nth(1).unwrap_or_default();
    let lower = text.to_lowercase();
    if quoted.is_empty() || lower.len() != text.len() {
        return message;
    }
    format!("{}{message}", position(&lower, &quoted.to_lowercase()))
}

pub(super) fn one_line(error: &PolarsError) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}
