//! Why a version may not score: a typed reason with a stable code, and in its text what to do next.
//!
//! Not here: finding it out.

use std::path::PathBuf;
use std::time::Duration;

use super::environment::Environment;

/// A version was refused.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct Refusal {
    /// The file that was asked for.
    pub path: PathBuf,
    pub reason: Reason,
}

#[derive(Debug, thiserror::Error)]
pub enum Reason {
    #[error("can't be read ({0}): correct the path or its permissions")]
    Unreadable(std::io::Error),
    #[error("is {0}, and only plain files are taken: put the file itself there")]
    NotAFile(&'static str),
    #[error("is larger than {limit} bytes: raise models.max-bytes if that is meant")]
    TooLarge { limit: u64 },
    #[error("is empty: export or copy it again")]
    Empty,
    #[error("is {what}: {remedy}")]
    NotOnnx {
        what: &'static str,
        remedy: &'static str,
    },
    #[error("is cut off: {0}; export or copy it again")]
    Truncated(String),
    #[error("is no ONNX model: {0}; export it again")]
    Malformed(String),
    #[error("has {0}")]
    Version(String),
    #[error(
        "uses {} of a domain that is not known here: only standard operators (ai.onnx, ai.onnx.ml, com.microsoft) \
         and functions defined in the file itself can run; export it without custom operators",
        .0.join(", ")
    )]
    UnknownOperators(Vec<String>),
    #[error("keeps weights in another file, {name}, {problem}")]
    ExternalData { name: String, problem: String },
    #[error("{0}; export a flatter graph")]
    TooDeep(String),
    #[error("{0}")]
    Manifest(String),
    #[error(
        "{file} is not signed, and models.require-signature is set: sign it with `minisign -Sm {file}`"
    )]
    Unsigned { file: String },
    #[error(
        "the signature of {file} is not that of a key in models.public-keys ({problem}): do not use this file \
         unless you know who changed it; sign it again with `minisign -Sm {file}`"
    )]
    WrongSignature { file: String, problem: String },
    #[error("{}", .0.join("; "))]
    DoesNotFit(Vec<String>),
    #[error("ONNX Runtime can't load it: {0}")]
    DoesNotLoad(String),
    #[error(
        "it fails on a trial input: {0}; correct the graph, or give an input that it takes in golden.json"
    )]
    DoesNotRun(String),
    #[error(
        "it gives {0}: correct the graph, or give an input that it takes in golden.json beside it"
    )]
    NotFinite(String),
    #[error(
        "it gives other numbers when the same input is repeated: take random operators (dropout in training mode, \
         RandomNormal) out of the graph"
    )]
    NotRepeatable,
    #[error("golden.json: {0}")]
    Golden(String),
    #[error("it wanted more than {} of memory: {REMEDY_MEMORY}", bytes(*.limit))]
    OutOfMemory { limit: u64 },
    #[error("it did not finish within {}: {REMEDY_TIME}", humantime::format_duration(*.limit))]
    TooSlow { limit: Duration },
    #[error("the process that tried it {how}{}: export it again, with another opset if it goes on; \
             the service was not touched", said(.last_words))]
    Crashed { how: String, last_words: String },
    #[error(
        "the process that tries models can't be started ({0}): nothing is known of the model; \
             see that the program may start itself"
    )]
    NoProbe(String),
    #[error(
        "it gives other numbers than when it was admitted ({worst}): CPU or ONNX Runtime changed? Admitted with \
         {then}; this is {now}. If that is meant, remove {} to admit it anew",
        entry.display()
    )]
    GoldenChanged {
        worst: String,
        then: Box<Environment>,
        now: Box<Environment>,
        entry: PathBuf,
    },
    #[error(
        "its copy in the model store is damaged ({what} in {}): remove that folder, and look after the disk",
        entry.display()
    )]
    StoreDamaged { entry: PathBuf, what: String },
    #[error("the model store {} can't be used ({source}): make the folder writable, make room, or name another one in models.store", path.display())]
    Store {
        path: PathBuf,
        source: std::io::Error,
    },
}

const REMEDY_MEMORY: &str = "the graph asks for more than its weights explain; export it again, or raise \
                             models.probe-memory if the model is meant to be that large";
const REMEDY_TIME: &str = "a loop without end, or a model too slow for a stream; export it again, or raise \
                           models.probe-time";

impl Reason {
    pub(super) fn of(self, path: impl Into<PathBuf>) -> Refusal {
        Refusal {
            path: path.into(),
            reason: self,
        }
    }

    /// A short name that stays the same while texts change, for scripts and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Reason::Unreadable(_) => "unreadable",
            Reason::NotAFile(_) => "not-a-file",
            Reason::TooLarge { .. } => "too-large",
            Reason::Empty => "empty",
            Reason::NotOnnx { .. } => "not-onnx",
            Reason::Truncated(_) => "truncated",
            Reason::Malformed(_) => "malformed",
            Reason::Version(_) => "unsupported-version",
            Reason::UnknownOperators(_) => "unknown-operators",
            Reason::ExternalData { .. } => "external-data",
            Reason::TooDeep(_) => "too-deep",
            Reason::Manifest(_) => "manifest",
            Reason::Unsigned { .. } => "unsigned",
            Reason::WrongSignature { .. } => "wrong-signature",
            Reason::DoesNotFit(_) => "does-not-fit",
            Reason::DoesNotLoad(_) => "does-not-load",
            Reason::DoesNotRun(_) => "does-not-run",
            Reason::NotFinite(_) => "not-finite",
            Reason::NotRepeatable => "not-repeatable",
            Reason::Golden(_) => "golden",
            Reason::OutOfMemory { .. } => "out-of-memory",
            Reason::TooSlow { .. } => "too-slow",
            Reason::Crashed { .. } => "crashed",
            Reason::NoProbe(_) => "no-probe",
            Reason::GoldenChanged { .. } => "golden-changed",
            Reason::StoreDamaged { .. } => "store-damaged",
            Reason::Store { .. } => "store",
        }
    }
}

impl Refusal {
    pub fn code(&self) -> &'static str {
        self.reason.code()
    }

    /// Each problem with the file's name: a contract may have several.
    pub fn problems(&self) -> Vec<String> {
        match &self.reason {
            Reason::DoesNotFit(problems) => problems
                .iter()
                .map(|problem| format!("{}: {problem}", self.path.display()))
                .collect(),
            _ => vec![self.to_string()],
        }
    }
}

/// `2 GiB`, or the plain number where it is no whole one.
fn bytes(count: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if count >= 1 << shift && count.is_multiple_of(1 << shift) {
            return format!("{} {unit}", count >> shift);
        }
    }
    format!("{count} bytes")
}

fn said(last_words: &str) -> String {
    if last_words.is_empty() {
        String::new()
    } else {
        format!(", saying \"{last_words}\"")
    }
}
