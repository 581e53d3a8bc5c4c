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

use super::{PipelineArgs, source, text};
use crate::model::ReplyArgs;
use crate::terminal::thousands;

/// Bytes of key and payload that are shown unless all are asked for.
const SHOWN: usize = 4 << 10;

#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Its place in the dead letter topic, as `forewarn dlq list` tells it
    #[arg(value_name = "PARTITION:OFFSET", required = true)]
    letter: Option<Position>,
    /// All bytes, instead of the first 4 KiB
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    reply: ReplyArgs,
}

pub(super) fn run(args: &ShowArgs) -> Result<()> {
    let config = args.pipeline.load()?;
    let Some(position) = args.letter else {
        bail!("name the letter, such as 0:12");
    };
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
        let place = Position {
            partition: shown.source.1,
            offset: shown.source.2,
        };
        let found = records.original(&shown.source.0, place)?;
        shown.gone = found.is_none();
        shown.original = found.unwrap_or_default();
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
    source: (String, i32, i64),
    source_told: String,
    redriven: bool,
    /// The letter has no bytes of its own; those of its record are shown, or it is gone.
    reference: bool,
    gone: bool,
    original: Original,
}

impl Shown {
    fn new(dead: &Dead<'_>, letter: &Letter<'_>) -> Self {
        let from = letter.source;
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let headers = letter.headers.iter();
        let headers = headers.map(|(name, value)| ((*name).to_owned(), owned(*value)));
        Shown {
            position: dead.position,
            at: dead.at.to_string(),
            pipeline: letter.pipeline.to_owned(),
            code: letter.code.to_owned(),
            stage: letter.stage.to_owned(),
            reason: letter.reason.to_owned(),
            source: (from.topic.to_owned(), from.partition, from.offset),
            source_told: source(letter),
            redriven: false,
            reference: letter.is_reference(),
            gone: false,
            original: Original {
                timestamp: letter.timestamp,
                headers: headers.collect(),
                key: owned(letter.key),
                payload: owned(letter.payload),
            },
        }
    }

    fn json(&self, limit: usize) -> Value {
        let headers = self.original.headers.iter();
        let headers: Vec<Value> = headers
            .map(|(name, value)| json!({ "name": name, "value": bytes(value.as_deref(), usize::MAX) }))
            .collect();
        let (topic, partition, offset) = &self.source;
        json!({
            "letter": self.position.to_string(),
            "at": self.at,
            "pipeline": self.pipeline,
            "code": self.code,
            "stage": self.stage,
            "reason": self.reason,
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "timestamp": self.original.timestamp.map(instant),
            "redriven": self.redriven,
            "reference": self.reference,
            "gone": self.gone,
            "headers": headers,
            "key": bytes(self.original.key.as_deref(), limit),
            "payload": bytes(self.original.payload.as_deref(), limit),
        })
    }

    fn text(&self, topic: &str, limit: usize) -> String {
        let mut told = format!(
            "{topic} {}, written {} by pipeline {}\n  code      {} (stage {})\n  reason    {}\n  source    {}",
            self.position,
            self.at,
            self.pipeline,
            self.code,
            self.stage,
            text::line(&self.reason),
            self.source_told
        );
        if let Some(timestamp) = self.original.timestamp {
            let _ = write!(told, ", of {}", instant(timestamp));
        }
        let redriven = if self.redriven { "yes" } else { "no" };
        let _ = writeln!(told, "\n  redriven  {redriven}");
        if self.gone {
            told += "  bytes     none: the letter is a reference, and its record is not in the source topic any more\n";
            return told;
        }
        if self.reference {
            told += "  bytes     from the source topic: the letter is a reference\n";
        }
        let none = if self.original.headers.is_empty() {
            "none"
        } else {
            ""
        };
        let _ = writeln!(told, "{}", format!("  headers   {none}").trim_end());
        for (name, value) in &self.original.headers {
            let _ = writeln!(
                told,
                "    {}: {}",
                text::line(name),
                text::short(value.as_deref())
            );
        }
        block(&mut told, "key", self.original.key.as_deref(), limit);
        block(
            &mut told,
            "payload",
            self.original.payload.as_deref(),
            limit,
        );
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
