//! What a graph may hold, decided on its outline before ONNX Runtime sees it.
//!
//! Not here: external data, which needs the folder (`bundle.rs`); whether the graph runs (`probe.rs`).

use std::ops::RangeInclusive;

use super::outline::{Outline, OutlineError};
use super::refusal::Reason;
use super::sniff::other_than_onnx;
use super::wire::WireError;

/// Versions of the standard operators: 9 is what exporters of 2019 wrote, 23 the newest that is tried here.
const OPSETS: RangeInclusive<u64> = 9..=23;
/// Versions of the file's own form that have these operators; 12 came with opset 23 and its successors.
const IR_VERSIONS: RangeInclusive<u64> = 3..=12;
/// Operators that ONNX Runtime brings. Any other domain would need a library of its own.
const DOMAINS: [&str; 3] = ["", "ai.onnx.ml", "com.microsoft"];

/// Reads and judges a graph.
pub(super) fn inspect(graph: &[u8]) -> Result<Outline, Reason> {
    if graph.is_empty() {
        return Err(Reason::Empty);
    }
    if let Some(other) = other_than_onnx(graph) {
        return Err(Reason::NotOnnx {
            what: other.what,
            remedy: other.remedy,
        });
    }
    let outline = Outline::read(graph).map_err(|error| match error {
        OutlineError::Wire(error @ WireError::Truncated { .. }) => {
            Reason::Truncated(error.to_string())
        }
        OutlineError::Wire(error) => Reason::Malformed(error.to_string()),
        OutlineError::TooDeep => Reason::TooDeep(error.to_string()),
    })?;
    if !outline.has_graph {
        return Err(Reason::Malformed("it holds no graph".into()));
    }
    versions(&outline)?;
    operators(&outline)?;
    Ok(outline)
}

fn versions(outline: &Outline) -> Result<(), Reason> {
    let ir = outline.ir_version;
    if !IR_VERSIONS.contains(&ir) {
        return Err(Reason::Version(format!(
            "IR version {ir}, and {} to {} are known here: export it again for one of them",
            IR_VERSIONS.start(),
            IR_VERSIONS.end()
        )));
    }
    match outline.opsets.get("") {
        Some(opset) if OPSETS.contains(opset) => Ok(()),
        Some(opset) => Err(Reason::Version(format!(
            "opset {opset}, and {} to {} are known here: export it again with opset_version={}",
            OPSETS.start(),
            OPSETS.end(),
            opset.clamp(OPSETS.start(), OPSETS.end())
        ))),
        // Trees are of another domain alone, as XGBoost's exporter writes them.
        None if !outline.operators.is_empty()
            && outline
                .operators
                .iter()
                .all(|(domain, _)| !domain.is_empty()) =>
        {
            Ok(())
        }
        None => Err(Reason::Version(format!(
            "no opset of the standard operators: export it again with an opset of {} to {}",
            OPSETS.start(),
            OPSETS.end()
        ))),
    }
}

fn operators(outline: &Outline) -> Result<(), Reason> {
    let unknown: Vec<String> = outline
        .operators
        .iter()
        .filter(|(domain, _)| !DOMAINS.contains(&domain.as_str()))
        .map(|(domain, name)| format!("{domain}.{name}"))
        .collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Reason::UnknownOperators(unknown))
    }
}
