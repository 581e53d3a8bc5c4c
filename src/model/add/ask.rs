//! Asking for a contract on a terminal, with what the graph suggests as defaults.

use anyhow::{Context, Result};
use dialoguer::{Input, Select};

use super::draft::{Draft, Question};

pub(super) fn ask(draft: &mut Draft) -> Result<()> {
    eprintln!("The contract is not complete. An empty answer takes what is in brackets.");
    while let Some(question) = draft.question() {
        let answer = answer(&question).context("no answer")?;
        draft.set(question.key, &answer);
    }
    Ok(())
}

fn answer(question: &Question) -> dialoguer::Result<String> {
    if question.choices.len() > 1 {
        let default = question.default.as_ref();
        let at = question
            .choices
            .iter()
            .position(|choice| Some(choice) == default);
        let chosen = Select::new()
            .with_prompt(&question.text)
            .items(&question.choices)
            .default(at.unwrap_or(0))
            .interact()?;
        return Ok(question.choices[chosen].clone());
    }
    let input = Input::<String>::new().with_prompt(&question.text);
    match &question.default {
        Some(default) => input.default(default.clone()).interact_text(),
        None => input.interact_text(),
    }
}
