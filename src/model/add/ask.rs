//! Asking for a contract, with what the graph suggests in brackets.
//!
//! It reads lines and writes text, on a terminal or anywhere else; `mod.rs` knows whether there is a terminal.
//! What the graph leaves no choice in is told and not asked.

use std::io::{BufRead, Write};

use anyhow::{Result, bail};

use super::draft::Draft;
use super::question::{About, Question};

#[cfg(test)]
mod tests;

/// Asks until nothing is open, and shows the contract.
///
/// # Errors
/// When the input ends, or can't be read or written.
pub(super) fn ask(
    draft: &mut Draft,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> Result<()> {
    let outline = draft.outline();
    let ports = |ports: &[forewarn_models::admission::Port]| {
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        ports.join(", ")
    };
    writeln!(
        output,
        "The contract is not complete. The graph takes {} and gives {}.\n\
         An empty answer takes what is in brackets; Ctrl-C leaves, and nothing is added.",
        ports(&outline.inputs),
        ports(&outline.outputs)
    )?;
    while let Some(question) = draft.question(true) {
        match question.only() {
            Some(only) => {
                draft.answer(&question, only).map_err(anyhow::Error::msg)?;
                if !matches!(question.about, About::Decision(_)) {
                    writeln!(
                        output,
                        "\n{} = {only}: nothing else fits",
                        question.about.key()
                    )?;
                }
            }
            None => one(draft, &question, input, output)?,
        }
    }
    writeln!(output, "\nThe contract:\n\n{}", draft.shown())?;
    Ok(())
}

/// Asks one question until its answer can be taken.
fn one(
    draft: &mut Draft,
    question: &Question,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> Result<()> {
    writeln!(output, "\n{}", question.text)?;
    let width = question.choices.iter().map(|choice| choice.value.len());
    let width = width.max().unwrap_or(0);
    for (i, choice) in question.choices.iter().enumerate() {
        let told = format!("  {}  {:width$}  {}", i + 1, choice.value, choice.hint);
        writeln!(output, "{}", told.trim_end())?;
    }
    if question.choices.is_empty() && question.default.is_none() {
        let example = question.example.replace(['[', ']', '"'], "");
        writeln!(output, "  such as {example}")?;
    }
    loop {
        match &question.default {
            Some(default) => write!(output, "[{default}]: ")?,
            None => write!(output, ": ")?,
        }
        output.flush()?;
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            writeln!(output)?;
            bail!("the input ended before the contract was complete; nothing is added");
        }
        match draft.answer(question, &String::from_utf8_lossy(&line)) {
            Ok(()) => return Ok(()),
            Err(reason) => writeln!(output, "  that can't be taken: {reason}")?,
        }
    }
}
