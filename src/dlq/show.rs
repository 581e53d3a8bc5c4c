//! `forewarn dlq show`: one dead letter, with its bytes.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use clap::Args;
use forewarn_pipeline::Config;
use forewarn_pipeline::dead_letter::{Entry, Letter, Position, instant};
use forewarn_pipeline::kafka::dead_letters::{
    Dead, DeadLetterError, DeadLetters, Original, Records, Redriven,
};
use serde_json::{Value, json};

use super::{PipelineArgs, text};
use crate::reply::ReplyArgs;
use crate::terminal::thousands;

/// Bytes of key and payload that are shown unless all are asked for.
const SHOWN: usize = 4 << 10;

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Its place in the dead letter topic, as `forewarn dlq list` tells it
    #[arg(value_name = "PARTITION:OFFSET")]
    letter: Position,
    /// All bytes, instead of the first 4 KiB
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    reply: ReplyArgs,
}

pub(super) fn run(args: &ShowArgs) -> Result<()> {
    let config = args.pipeline.load()?;
    let position = args.letter;
    let letters = DeadLetters::open(&config)?;
    let topic = letters.topic();
    let records = Records::open(&config)?;
    let limit = if args.all { usize::MAX } else { SHOWN };
    let found = records.dead(topic, position, |dead| match &dead.entry {
        Entry::Letter(letter) => Ok(Shown::new(&dead, letter)),
        Entry::Receipt(receipt) => bail!(
            "{position} of {topic} is no letter, but the receipt that {} of this partition were sent again",
            receipt.offsets
        ),
        Entry::Other => bail!("{position} of {topic} was not written by forewarn"),
    });
    let Some(mut shown) = found?.transpose()? else {
        bail!(
            "there is no record at {position} of {topic}: `forewarn dlq list --each` tells what there is"
        );
    };
    shown.redriven = is_redriven(&letters, &config, position)?;
    if shown.reference {
        shown.original = records.original(&shown.topic, shown.source)?;
    }
    args.reply
        .output
        .print(&shown.json(limit), || shown.text(topic, limit))
}

/// Is there a receipt behind it?
fn is_redriven(letters: &DeadLetters<'_>, config: &Config, letter: Position) -> Result<bool> {
    let mut redriven = Redriven::default();
    letters.each_within::<DeadLetterError>(&letters.behind(letter), |dead| {
        redriven.note(&dead, &config.name);
        Ok(())
    })?;
    Ok(redriven.contains(letter))
}

struct Shown {
    position: Position,
    at: String,
    pipeline: String,
    code: String,
    stage: String,
    reason: String,
    /// Of the record that was refused.
    topic: String,
    source: Position,
    redriven: bool,
    /// The letter has no bytes of its own: those of its record are shown.
    reference: bool,
    /// `None`: the record that it refers to is gone.
    original: Option<Original>,
}

impl Shown {
    fn new(dead: &Dead<'_>, letter: &Letter<'_>) -> Self {
        Shown {
            position: dead.position,
            at: dead.at.to_string(),
            pipeline: letter.pipeline.to_owned(),
            code: letter.code.to_owned(),
            stage: letter.stage.to_owned(),
            reason: letter.reason.to_owned(),
            topic: letter.source.topic.to_owned(),
            source: Position {
                partition: letter.source.partition,
                offset: letter.source.offset,
            },
            redriven: false,
            reference: letter.is_reference(),
            original: Some(Original::of(letter)),
        }
    }

    fn json(&self, limit: usize) -> Value {
        let original = self.original.as_ref();
        let headers = original
            .map_or(&[][..], |original| &original.headers)
            .iter();
        let headers: Vec<Value> = headers
            .map(|(name, value)| json!({ "name": name, "value": bytes(value.as_deref(), usize::MAX) }))
            .collect();
        json!({
            "letter": self.position.to_string(),
            "at": self.at,
            "pipeline": self.pipeline,
            "code": self.code,
            "stage": self.stage,
            "reason": self.reason,
            "topic": self.topic,
            "partition": self.source.partition,
            "offset": self.source.offset,
            "timestamp": original.and_then(|original| original.timestamp).map(instant),
            "redriven": self.redriven,
            "reference": self.reference,
            "gone": original.is_none(),
            "headers": headers,
            "key": bytes(original.and_then(|original| original.key.as_deref()), limit),
            "payload": bytes(original.and_then(|original| original.payload.as_deref()), limit),
        })
    }

    fn text(&self, topic: &str, limit: usize) -> String {
        let mut told = format!(
            "{topic} {}, written {} by pipeline {}\n  code      {} (stage {})\n  reason    {}\n  source    {} {}",
            self.position,
            self.at,
            text::line(&self.pipeline),
            text::line(&self.code),
            text::line(&self.stage),
            text::line(&self.reason),
            text::line(&self.topic),
            self.source
        );
        let timestamp = self
            .original
            .as_ref()
            .and_then(|original| original.timestamp);
        if let Some(timestamp) = timestamp {
            let _ = write!(told, ", of {}", instant(timestamp));
        }
        let redriven = if self.redriven { "yes" } else { "no" };
        let _ = writeln!(told, "\n  redriven  {redriven}");
        let Some(original) = &self.original else {
            told += "  bytes     none: the letter is a reference, and its record is not in the source topic any more\n";
            return told;
        };
        if self.reference {
            told += "  bytes     from the source topic: the letter is a reference\n";
        }
        let none = if original.headers.is_empty() {
            "none"
        } else {
            ""
        };
        let _ = writeln!(told, "{}", format!("  headers   {none}").trim_end());
        for (name, value) in &original.headers {
            let _ = writeln!(
                told,
                "    {}: {}",
                text::line(name),
                text::short(value.as_deref())
            );
        }
        block(&mut told, "key", original.key.as_deref(), limit);
        block(&mut told, "payload", original.payload.as_deref(), limit);
        told
    }
}

/// Bytes with their length; text as it is, else a dump.
fn block(told: &mut String, name: &str, bytes: Option<&[u8]>, limit: usize) {
    let Some(bytes) = bytes else {
        let _ = writeln!(told, "  {name:8}  none");
        return;
    };
    let (kind, shown, all) = match text::printable(bytes) {
        Some(text) => {
            let head = text::head(text, limit);
            ("text", head.to_owned(), head.len() == text.len())
        }
        None => {
            let head = &bytes[..limit.min(bytes.len())];
            ("hexadecimal", text::dump(head), head.len() == bytes.len())
        }
    };
    let count = thousands(bytes.len() as u64);
    let _ = writeln!(told, "  {name:8}  {count} bytes, {kind}");
    told.push_str(&shown);
    if !shown.is_empty() && !shown.ends_with('\n') {
        told.push('\n');
    }
    if !all {
        told.push_str("... and more: --all shows it\n");
    }
}

/// Bytes for programs.
fn bytes(bytes: Option<&[u8]>, limit: usize) -> Value {
    let Some(bytes) = bytes else {
        return Value::Null;
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "bytes": bytes.len(), "text": text::head(text, limit) }),
        Err(_) => {
            json!({ "bytes": bytes.len(), "hex": text::hex(&bytes[..limit.min(bytes.len())]) })
        }
    }
}
