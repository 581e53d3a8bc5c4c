//! What the commands answer: text for people, JSON for programs, and a refusal in both.

use anyhow::Result;
use clap::{Args, ValueEnum};
use forewarn_models::Refusal;
use serde::Serialize;
use serde_json::json;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ReplyArgs {
    /// The result as text for people or JSON for programs
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

impl Output {
    /// Prints `value` as JSON, or what `text` says.
    pub(crate) fn print(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        match self {
            Output::Text => println!("{}", text().trim_end()),
            Output::Json => println!("{}", serde_json::to_string_pretty(value)?),
        }
        Ok(())
    }

    /// Tells of a refusal; the error makes the command fail.
    pub(crate) fn refuse(self, what: &str, refusal: &Refusal) -> anyhow::Error {
        let problems = refusal.problems();
        if self == Output::Json {
            let value = json!({ "admitted": false, "code": refusal.code(), "problems": problems });
            println!("{value:#}");
        } else {
            for problem in &problems {
                println!("{problem}");
            }
        }
        anyhow::anyhow!("{what} is refused: {}", refusal.code())
    }
}
