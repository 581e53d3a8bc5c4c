//! `forewarn model show`: all that is known of one version, without running it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use clap::Args;
use forewarn_models::admission::{Bundle, Known};
use forewarn_models::repository::Event;
use forewarn_models::{ModelFiles, Reference};
use serde::Serialize;

use super::place::PlaceArgs;
use super::{Named, ReplyArgs};
use crate::guard;
use crate::terminal::thousands;

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The model, and the version if not the one that serves: NAME or NAME@VERSION
    #[arg(value_name = "NAME[@VERSION]")]
    model: Named,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    reply: ReplyArgs,
}

#[derive(Serialize)]
struct Shown {
    name: String,
    version: u32,
    serves: bool,
    sha256: String,
    files: BTreeMap<String, String>,
    contract: BTreeMap<String, String>,
    problems: Vec<String>,
    producer: String,
    opset: Option<u64>,
    inputs: Vec<String>,
    outputs: Vec<String>,
    trial: Option<Trial>,
    reference: Option<Compared>,
    history: Vec<Event>,
}

/// What drift is measured against.
#[derive(Serialize)]
struct Compared {
    rows: u64,
    assets: u64,
    origin: serde_json::Value,
}

/// When it was admitted.
#[derive(Serialize)]
struct Trial {
    environment: String,
    golden_rows: usize,
    golden_sha256: String,
    rows_per_second: f64,
    load_seconds: f64,
    peak_bytes: u64,
    warnings: Vec<String>,
}

pub(super) fn run(args: &ShowArgs) -> Result<()> {
    let output = args.reply.output;
    let place = args.place.open()?;
    let files = args.model.resolve(&place.repository)?;
    let admission = guard::admission(&place.models)?;
    let bundle = match admission.inspect(&files) {
        Ok(bundle) => bundle,
        Err(refusal) => {
            return Err(output.refuse(&format!("{} {}", files.name, files.version), &refusal));
        }
    };
    let serving = place.repository.resolve(&files.name, None);
    let shown = Shown {
        serves: serving.is_ok_and(|serving| serving.version == files.version),
        history: place.repository.history(&files.name)?,
        trial: admission.known(&bundle).map(trial),
        reference: compared(&files, &bundle),
        ..shown(&files.name, files.version, &bundle)
    };
    output.print(&shown, || shown.text())
}

fn shown(name: &str, version: u32, bundle: &Bundle) -> Shown {
    let outline = &bundle.outline;
    let problems = bundle.contract().err().map(|reason| reason.to_string());
    Shown {
        name: name.into(),
        version,
        serves: false,
        sha256: bundle.sha256(),
        files: bundle
            .files()
            .map(|(name, hash)| (name.into(), hash.into()))
            .collect(),
        contract: bundle.keys().unwrap_or_default(),
        problems: problems.into_iter().collect(),
        producer: outline.producer.clone(),
        opset: outline.opsets.get("").copied(),
        inputs: outline.inputs.iter().map(ToString::to_string).collect(),
        outputs: outline.outputs.iter().map(ToString::to_string).collect(),
        trial: None,
        reference: None,
        history: Vec::new(),
    }
}

/// Its reference, where it has one that is of use.
fn compared(files: &ModelFiles, bundle: &Bundle) -> Option<Compared> {
    let contract = bundle.contract().ok()?;
    let reference = Reference::read(&files.folder(), &contract).ok()??;
    Some(Compared {
        rows: reference.rows,
        assets: reference.assets,
        origin: reference.origin,
    })
}

fn trial(known: Known) -> Trial {
    Trial {
        environment: known.environment.to_string(),
        golden_rows: known.report.answer.rows,
        golden_sha256: known.report.answer.sha256,
        rows_per_second: known.report.rows_per_second,
        load_seconds: known.report.load_seconds,
        peak_bytes: known.report.peak_bytes,
        warnings: known.report.warnings,
    }
}

impl Shown {
    fn text(&self) -> String {
        let mut text = format!(
            "{} version {}{}\n  sha256    {}\n",
            self.name,
            self.version,
            if self.serves { ", which serves" } else { "" },
            self.sha256
        );
        for (name, hash) in &self.files {
            let _ = writeln!(text, "            {hash}  {name}");
        }
        let opset = self
            .opset
            .map_or_else(String::new, |opset| format!("opset {opset}"));
        let _ = writeln!(text, "  made by   {} {opset}", self.producer);
        let _ = writeln!(text, "  takes     {}", self.inputs.join(", "));
        let _ = writeln!(text, "  gives     {}", self.outputs.join(", "));
        text.push_str("  contract\n");
        for (key, value) in &self.contract {
            let _ = writeln!(text, "    {key} = {value}");
        }
        for problem in &self.problems {
            let _ = writeln!(text, "    problem: {problem}");
        }
        match &self.trial {
            Some(trial) => trial.write(&mut text),
            None => text.push_str(
                "  trial     not yet: it is tried when it is added, checked or first loaded\n",
            ),
        }
        if let Some(reference) = &self.reference {
            let _ = writeln!(
                text,
                "  reference {} rows of {} assets, which drift is measured against",
                thousands(reference.rows),
                thousands(reference.assets)
            );
        }
        for event in &self.history {
            let _ = writeln!(text, "  {}", line(event));
        }
        text
    }
}

impl Trial {
    fn write(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "  trial     {} rows/s on one core, loaded in {:.0} ms, {} MiB at most",
            thousands(self.rows_per_second as u64),
            self.load_seconds * 1e3,
            self.peak_bytes >> 20
        );
        let hash = &self.golden_sha256[..16];
        let _ = writeln!(text, "  golden    {} rows, answer {hash}", self.golden_rows);
        let _ = writeln!(text, "            {}", self.environment);
        for warning in &self.warnings {
            let _ = writeln!(text, "  warning   {warning}");
        }
    }
}

fn line(event: &Event) -> String {
    let action = serde_json::to_value(event.action).unwrap_or_default();
    let from = event
        .from
        .map_or_else(String::new, |from| format!("{from} -> "));
    let why = if event.note.why.is_empty() {
        String::new()
    } else {
        format!(": {}", event.note.why)
    };
    format!(
        "{}  {:8} {from}{} by {}{why}",
        event.note.at,
        action.as_str().unwrap_or_default(),
        event.to,
        event.note.by
    )
}
