//! `forewarn dlq redrive`: messages of dead letters go back to the source topic.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Result, bail};
use clap::Args;
use forewarn_pipeline::Config;
use forewarn_pipeline::kafka::dead_letters::{DeadLetterError, DeadLetters};
use forewarn_pipeline::kafka::redrive::{Redrove, redrive};
use serde_json::{Value, json};

use super::{PipelineArgs, SelectArgs};
use crate::reply::ReplyArgs;
use crate::terminal::{progress, thousands};

/// Places of skipped letters that are told in text.
const TOLD: usize = 5;

#[derive(Debug, Args)]
pub(super) struct RedriveArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    select: SelectArgs,
    /// Only tell what would be sent
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Send without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    reply: ReplyArgs,
}

/// What would be sent, by code.
#[derive(Default)]
struct Open {
    codes: BTreeMap<String, u64>,
    /// Letters that were sent before.
    redriven: u64,
}

pub(super) fn run(args: &RedriveArgs) -> Result<()> {
    let config = args.pipeline.load()?;
    let output = args.reply.output;
    let mut total = 0;
    if !args.yes {
        let open = look(&config, &args.select)?;
        total = open.codes.values().sum();
        if args.dry_run || total == 0 {
            let nothing = Redrove {
                before: open.redriven,
                ..Redrove::default()
            };
            let value = as_json(&config, args.dry_run, &open.codes, &nothing);
            return output.print(&value, || open.text(&config));
        }
        confirm(&open, &config)?;
    }
    let bar = progress(total, "messages");
    let done = redrive(
        &config,
        |dead, letter| args.select.takes(dead, letter),
        |messages| bar.inc(messages),
    )?;
    bar.finish_and_clear();
    let value = as_json(&config, false, &BTreeMap::new(), &done);
    output.print(&value, || told(&done, &config))
}

fn as_json(
    config: &Config,
    dry_run: bool,
    would_send: &BTreeMap<String, u64>,
    done: &Redrove,
) -> Value {
    let skipped = done.skipped.iter().map(|(why, letters)| {
        let letters: Vec<String> = letters.iter().map(ToString::to_string).collect();
        json!({ "reason": why.to_string(), "letters": letters })
    });
    json!({
        "to": config.source.topic,
        "dry_run": dry_run,
        "would_send": would_send,
        "sent": done.sent,
        "skipped": skipped.collect::<Vec<_>>(),
        "redriven_before": done.before,
        "transactions": done.transactions,
    })
}

/// Counts what is meant and was not sent before.
fn look(config: &Config, select: &SelectArgs) -> Result<Open> {
    let letters = DeadLetters::open(config)?;
    let redriven = letters.redriven()?;
    let mut open = Open::default();
    letters.each_own::<DeadLetterError>(|dead, letter| {
        if select.takes(dead, letter) {
            if redriven.contains(dead.position) {
                open.redriven += 1;
            } else {
                *open.codes.entry(letter.code.to_owned()).or_default() += 1;
            }
        }
        Ok(())
    })?;
    Ok(open)
}

fn confirm(open: &Open, config: &Config) -> Result<()> {
    let (input, mut output) = (std::io::stdin(), std::io::stderr());
    if !input.is_terminal() || !output.is_terminal() {
        bail!("nothing is sent: say --yes to send without being asked, or --dry-run to look");
    }
    let topic = &config.source.topic;
    write!(
        output,
        "{}Send them back to {topic}? [no]: ",
        open.text(config)
    )?;
    output.flush()?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("nothing is sent"),
    }
}

impl Open {
    fn text(&self, config: &Config) -> String {
        let total: u64 = self.codes.values().sum();
        if total == 0 {
            return nothing(config, self.redriven);
        }
        let mut text = format!(
            "{} messages would go back to {} ({} were sent before)\n",
            thousands(total),
            config.source.topic,
            thousands(self.redriven)
        );
        by_code(&mut text, &self.codes);
        text
    }
}

fn nothing(config: &Config, before: u64) -> String {
    format!(
        "no dead letter of {} is left to send again ({} were sent before)\n",
        config.name,
        thousands(before)
    )
}

fn told(done: &Redrove, config: &Config) -> String {
    let total: u64 = done.sent.values().sum();
    if total == 0 && done.skipped.is_empty() {
        return nothing(config, done.before);
    }
    let mut text = format!(
        "{} messages went back to {} in {} transactions ({} were sent before)\n",
        thousands(total),
        config.source.topic,
        thousands(done.transactions),
        thousands(done.before)
    );
    by_code(&mut text, &done.sent);
    for (why, letters) in &done.skipped {
        let places: Vec<String> = letters.iter().take(TOLD).map(ToString::to_string).collect();
        let more = if letters.len() > TOLD { ", ..." } else { "" };
        let count = thousands(letters.len() as u64);
        let _ = writeln!(
            text,
            "not sent: {count} ({}{more}): {why}",
            places.join(", ")
        );
    }
    text
}

fn by_code(text: &mut String, codes: &BTreeMap<String, u64>) {
    for (code, messages) in codes {
        let _ = writeln!(text, "  {:>9}  {code}", thousands(*messages));
    }
}
