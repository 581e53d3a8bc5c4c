//! The notebooks of the data scientist, executed from the first cell to the last with the binary under test.
//!
//! A notebook asserts what it says, so that it runs through is the test; `notebooks/execute.py` runs it. Nothing is
//! stored, and what is stored is looked at.
//!
//! Unlike other tests that need Python, these fail without it: a notebook that nobody executes is soon wrong.
//!
//! Not here: 01 to 03, which train the shipped models for minutes (`make notebooks`).
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{path, root, text};

#[test]
fn a_replay_is_explored() {
    passes("04-explore-a-replay.ipynb");
}

#[test]
fn a_model_that_was_trained_outside_is_dropped_in() {
    passes("05-train-outside-and-drop-in.ipynb");
}

#[test]
fn a_drift_report_is_read() {
    passes("06-read-a-drift-report.ipynb");
}

#[test]
fn a_cell_that_fails_fails_its_notebook() {
    let told = execute_cell("assert 1 + 1 == 3, 'sums'");
    assert_eq!(told.status.code(), Some(1), "{}", text(&told.stdout));
    assert!(text(&told.stdout).contains("AssertionError: sums"));
    let told = execute_cell("assert 1 + 1 == 2");
    assert!(told.status.success(), "{}", text(&told.stdout));
}

fn passes(notebook: &str) {
    let output = execute(&root().join("notebooks").join(notebook));
    let told = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{told}");
}

/// A notebook of one cell, stored as executed.
fn execute_cell(source: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let notebook = path(dir.path(), "one.ipynb");
    let cell = serde_json::json!({
        "id": "one", "cell_type": "code", "metadata": {}, "execution_count": 1, "outputs": [], "source": source,
    });
    let whole =
        serde_json::json!({ "nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell] });
    std::fs::write(&notebook, whole.to_string()).unwrap();
    execute(Path::new(&notebook))
}

fn execute(notebook: &Path) -> Output {
    Command::new(python())
        .arg(root().join("notebooks/execute.py"))
        .arg(notebook)
        .env("FOREWARN_BIN", env!("CARGO_BIN_EXE_forewarn"))
        .current_dir(root())
        .output()
        .unwrap()
}

/// The interpreter of the tests' environment, which has what notebooks import.
fn python() -> PathBuf {
    let python = support::python().expect("notebooks need Python: run `make setup`");
    let looked = Command::new(&python)
        .args([
            "-c",
            "import ipykernel, matplotlib, nbclient, polars, skl2onnx",
        ])
        .output()
        .unwrap();
    assert!(
        looked.status.success(),
        "{} lacks what notebooks import, which scripts/requirements-test.txt lists: run `make setup`\n{}",
        python.display(),
        text(&looked.stderr)
    );
    python
}
