//! What the tests of admission share: small ONNX files written byte by byte, folders to drop them into.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

pub mod onnx;

use std::path::{Path, PathBuf};
use std::time::Duration;

use forewarn_models::admission::{Admitted, Limits, Policy, Prober, Refusal};
use forewarn_models::{Admission, ModelFiles, Runtime};

/// A folder with a version and a store.
pub struct Dropped {
    pub dir: tempfile::TempDir,
    pub limits: Limits,
    pub policy: Policy,
    pub prober: Option<Prober>,
}

pub fn runtime() -> Runtime {
    Runtime::load(None).expect("ONNX Runtime: run `make setup`, or set ORT_DYLIB_PATH")
}

impl Dropped {
    /// A version with `graph` as its model.onnx, to be tried in a process of its own.
    pub fn new(graph: &[u8]) -> Self {
        let dropped = Dropped {
            dir: tempfile::tempdir().unwrap(),
            limits: Limits {
                probe_memory: 2 << 30,
                probe_time: Duration::from_secs(20),
                ..Limits::default()
            },
            policy: Policy::default(),
            prober: Some(Prober::new(env!("CARGO_BIN_EXE_probe-model"), &[])),
        };
        std::fs::create_dir_all(dropped.folder()).unwrap();
        dropped.write("model.onnx", graph);
        dropped
    }

    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("pump/1")
    }

    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    pub fn files(&self) -> ModelFiles {
        ModelFiles::in_folder("pump", 1, &self.folder())
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn admission(&self) -> Admission {
        Admission::new(
            self.store(),
            self.limits.clone(),
            self.policy.clone(),
            self.prober.clone(),
        )
    }

    pub fn admit(&self) -> Result<Admitted, Refusal> {
        self.admission().admit(&runtime(), &self.files())
    }

    /// Expects a refusal with this code and these words, and that nothing is left in the store.
    pub fn refused(&self, code: &str, words: &str) {
        let refusal = self.admit().expect_err(code);
        let told = refusal.to_string();
        assert_eq!(refusal.code(), code, "{told}");
        assert!(told.contains(words), "no \"{words}\" in: {told}");
        // The table in docs/models.md is made of these lines.
        println!("| `{code}` | {} |", refusal.reason);
        let place = self.folder().display().to_string();
        assert!(told.starts_with(&place), "names the file: {told}");
        assert_eq!(entries(&self.store()), Vec::<String>::new(), "{told}");
    }
}

/// Names in a folder; none when there is no folder.
pub fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
