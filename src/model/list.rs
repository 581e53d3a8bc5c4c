//! `forewarn model list`: what there is, and which version serves.

use std::fmt::Write as _;

use anyhow::Result;
use clap::Args;
use forewarn_models::{Admission, Repository};
use serde::Serialize;

use super::ReplyArgs;
use super::place::PlaceArgs;
use crate::guard;

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    reply: ReplyArgs,
}

#[derive(Serialize)]
struct Row {
    name: String,
    versions: Vec<u32>,
    /// The version that serves; none when it can't be told.
    serves: Option<u32>,
    /// Was it promoted, rather than being the highest one?
    champion: bool,
    task: Option<String>,
    features: Option<usize>,
    /// Has the version that serves been admitted here?
    admitted: bool,
    problem: Option<String>,
}

pub(super) fn run(args: &ListArgs) -> Result<()> {
    let place = args.place.open()?;
    let admission = guard::admission(&place.models)?;
    let names = place.repository.names()?;
    let rows: Vec<Row> = names
        .into_iter()
        .map(|name| row(name, &place.repository, &admission))
        .collect();
    args.reply.output.print(&rows, || table(&rows))
}

fn row(name: String, repository: &Repository, admission: &Admission) -> Row {
    let mut row = Row {
        versions: repository.versions(&name),
        champion: matches!(repository.champion(&name), Ok(Some(_))),
        serves: None,
        task: None,
        features: None,
        admitted: false,
        problem: None,
        name,
    };
    let files = match repository.resolve(&row.name, None) {
        Ok(files) => files,
        Err(error) => {
            row.problem = Some(error.to_string());
            return row;
        }
    };
    row.serves = Some(files.version);
    match admission.inspect(&files) {
        Err(refusal) => row.problem = Some(refusal.to_string()),
        Ok(bundle) => {
            row.admitted = admission.known(&bundle).is_some();
            match bundle.contract() {
                Ok(contract) => {
                    row.task = Some(contract.task.name().to_owned());
                    row.features = Some(contract.features.len());
                }
                Err(reason) => row.problem = Some(reason.to_string()),
            }
        }
    }
    row
}

fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "no models: add one with `forewarn model add`".into();
    }
    let width = rows
        .iter()
        .map(|row| row.name.len())
        .max()
        .unwrap_or(0)
        .max(5);
    let mut text = format!(
        "{:width$}  {:>6}  {:9}  {:14}  {:>8}  {:8}  versions\n",
        "model", "serves", "because", "task", "features", "admitted"
    );
    for row in rows {
        let versions: Vec<String> = row.versions.iter().map(u32::to_string).collect();
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".into());
        let _ = writeln!(
            text,
            "{:width$}  {:>6}  {:9}  {:14}  {:>8}  {:8}  {}",
            row.name,
            or_dash(row.serves.map(|version| version.to_string())),
            if row.champion { "promoted" } else { "highest" },
            or_dash(row.task.clone()),
            or_dash(row.features.map(|features| features.to_string())),
            if row.admitted { "yes" } else { "not yet" },
            versions.join(" ")
        );
        if let Some(problem) = &row.problem {
            let _ = writeln!(text, "  {problem}");
        }
    }
    text
}
