//! `forewarn dlq list`: dead letters by code, or one by one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use clap::Args;
use forewarn_pipeline::dead_letter::{Entry, Letter, Position};
use forewarn_pipeline::kafka::dead_letters::{Dead, DeadLetterError, DeadLetters, Redriven};
use forewarn_pipeline::prediction::EventTimestamp;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::{PipelineArgs, SelectArgs, text};
use crate::reply::{Output, ReplyArgs};
use crate::terminal::thousands;

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    select: SelectArgs,
    /// A line for each letter instead of one for each code; with --output json an object for each
    #[arg(long)]
    each: bool,
    #[command(flatten)]
    reply: ReplyArgs,
}

#[derive(Serialize)]
struct List {
    topic: String,
    pipeline: String,
    codes: Vec<Code>,
    letters: u64,
    redriven: u64,
    /// Records of other pipelines and programs.
    others: u64,
    #[serde(skip)]
    selected: bool,
}

/// All letters with one code.
#[derive(Serialize)]
struct Code {
    code: String,
    letters: u64,
    redriven: u64,
    /// When the first and the last one were written.
    first: EventTimestamp,
    last: EventTimestamp,
    example: Example,
}

/// The first letter of a code.
#[derive(Serialize)]
struct Example {
    #[serde(serialize_with = "shown")]
    letter: Position,
    reason: String,
    topic: String,
    partition: i32,
    offset: i64,
}

fn shown<S: Serializer>(position: &Position, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(position)
}

pub(super) fn run(args: &ListArgs) -> Result<()> {
    let config = args.pipeline.load()?;
    let letters = DeadLetters::open(&config)?;
    // Receipts stand behind their letters.
    let redriven = letters.redriven()?;
    if args.each {
        return letters.each_own(|dead, letter| {
            if args.select.takes(dead, letter) {
                one(dead, letter, &redriven, args.reply.output)?;
            }
            Ok(())
        });
    }
    let mut codes: BTreeMap<String, Code> = BTreeMap::new();
    let mut others = 0;
    letters.each::<DeadLetterError>(|dead| {
        match &dead.entry {
            Entry::Letter(letter) if letter.pipeline == config.name => {
                if args.select.takes(&dead, letter) {
                    count(&mut codes, &dead, letter, redriven.contains(dead.position));
                }
            }
            Entry::Receipt(receipt) if receipt.pipeline == config.name => {}
            _ => others += 1,
        }
        Ok(())
    })?;
    let codes: Vec<Code> = codes.into_values().collect();
    let list = List {
        topic: letters.topic().to_owned(),
        pipeline: config.name.clone(),
        letters: codes.iter().map(|code| code.letters).sum(),
        redriven: codes.iter().map(|code| code.redriven).sum(),
        codes,
        others,
        selected: args.select.is_given(),
    };
    args.reply.output.print(&list, || list.text())
}

fn count(codes: &mut BTreeMap<String, Code>, dead: &Dead<'_>, letter: &Letter<'_>, redriven: bool) {
    let source = letter.source;
    let example = || Example {
        letter: dead.position,
        reason: letter.reason.to_owned(),
        topic: source.topic.to_owned(),
        partition: source.partition,
        offset: source.offset,
    };
    let new = || Code {
        code: letter.code.to_owned(),
        letters: 0,
        redriven: 0,
        first: dead.at,
        last: dead.at,
        example: example(),
    };
    let code = codes.entry(letter.code.to_owned()).or_insert_with(new);
    code.letters += 1;
    code.redriven += u64::from(redriven);
    code.last = code.last.max(dead.at);
    // Partitions come one after the other, so the first in time may come later.
    if dead.at < code.first {
        (code.first, code.example) = (dead.at, example());
    }
}

fn one(dead: &Dead<'_>, letter: &Letter<'_>, redriven: &Redriven, output: Output) -> Result<()> {
    let redriven = redriven.contains(dead.position);
    match output {
        Output::Text => println!(
            "{}  {}  {}  from {}  key {}{}  {}",
            dead.position,
            dead.at,
            text::line(letter.code),
            text::line(&letter.source.to_string()),
            text::short(letter.key),
            if redriven { "  redriven" } else { "" },
            text::line(letter.reason)
        ),
        Output::Json => {
            let source = letter.source;
            let value = json!({
                "letter": dead.position.to_string(),
                "at": dead.at,
                "code": letter.code,
                "stage": letter.stage,
                "reason": letter.reason,
                "topic": source.topic,
                "partition": source.partition,
                "offset": source.offset,
                "key": letter.key.map(String::from_utf8_lossy),
                "redriven": redriven,
            });
            println!("{value}");
        }
    }
    Ok(())
}

impl List {
    fn text(&self) -> String {
        let mut told = String::new();
        if self.codes.is_empty() {
            let _ = writeln!(
                told,
                "no dead letter of {} in {}{}",
                self.pipeline,
                self.topic,
                if self.selected {
                    " of that code and time"
                } else {
                    ""
                }
            );
        } else {
            let width = self.codes.iter().map(|code| code.code.len()).max();
            let width = width.unwrap_or(0).max("total".len());
            let instants = self
                .codes
                .iter()
                .flat_map(|code| [code.first.to_string().len(), code.last.to_string().len()]);
            let at = instants.max().unwrap_or(0);
            let _ = writeln!(
                told,
                "{:width$}  letters  redriven  {:at$}  {:at$}  example",
                "code", "first", "last"
            );
            for code in &self.codes {
                let example = &code.example;
                let _ = writeln!(
                    told,
                    "{:width$}  {:>7}  {:>8}  {:at$}  {:at$}  {} from {} {}:{}: {}",
                    text::line(&code.code),
                    thousands(code.letters),
                    thousands(code.redriven),
                    code.first.to_string(),
                    code.last.to_string(),
                    example.letter,
                    text::line(&example.topic),
                    example.partition,
                    example.offset,
                    text::line(&example.reason)
                );
            }
            let _ = writeln!(
                told,
                "{:width$}  {:>7}  {:>8}",
                "total",
                thousands(self.letters),
                thousands(self.redriven)
            );
        }
        if self.others > 0 {
            let _ = writeln!(
                told,
                "{} records of other pipelines or programs are in {} too",
                thousands(self.others),
                self.topic
            );
        }
        told
    }
}
