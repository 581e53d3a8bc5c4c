//! What tests ask Python for. Also a part of tests of other crates, by its path.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter of the reference scorer, or `None` after saying that the test is skipped.
pub fn python() -> Option<PathBuf> {
    let named = std::env::var_os("FOREWARN_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| repository().join(".forewarn/venv/bin/python"));
    if python.is_file() {
        return Some(python);
    }
    println!("skipped: no Python (`make test` sets it up, or set FOREWARN_PYTHON)");
    None
}

/// The reference implementation of ONNX finds nothing wrong with a graph: each operator, type and shape.
pub fn check_graph(model: &Path) {
    let Some(python) = python() else { return };
    let program = "import sys, onnx; onnx.checker.check_model(sys.argv[1], full_check=True)";
    let output = Command::new(python)
        .args(["-c", program])
        .arg(model)
        .output()
        .expect("Python starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {told}", model.display());
}

/// Of all crates.
fn repository() -> &'static Path {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let is_it = |dir: &&Path| dir.join("Cargo.lock").is_file();
    above.find(is_it).expect("a crate is in a repository")
}
