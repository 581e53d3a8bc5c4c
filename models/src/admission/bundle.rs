//! The files of one version, each read once through one handle: what was looked at is what is copied, even
//! when somebody replaces the file meanwhile.
//!
//! ```text
//!   model.onnx ─▶ outline ─▶ names of external data ─▶ listed in model.toml? ─▶ read, hashed, compared
//! ```
//!
//! Invariant: no path that comes out of a file is opened before it is known to be a plain name.
//!
//! Not here: copies (`store.rs`), what a graph may hold (`inspect.rs`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::digest::{is_sha256, sha256};
use super::inspect::inspect;
use super::outline::Outline;
use super::refusal::Reason;
use crate::contract::{self, Contract};
use crate::model::PREFIX;
use crate::repository::ModelFiles;

/// The graph, its contract, and an input of its own to try it with.
pub(crate) const GRAPH: &str = "model.onnx";
pub(crate) const MANIFEST: &str = "model.toml";
pub(crate) const GOLDEN: &str = "golden.json";
/// Table in `model.toml`: names of files with weights, and their SHA-256.
const EXTERNAL_DATA: &str = "external-data";

/// Everything that makes a version, in memory.
#[derive(Debug)]
pub struct Bundle {
    pub outline: Outline,
    pub(super) parts: BTreeMap<String, Part>,
    /// Signatures by the name of the signed file; no part of the version.
    pub(super) signatures: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(super) struct Part {
    pub bytes: Vec<u8>,
    pub sha256: String,
}

impl Bundle {
    /// Reads and inspects a version, `limit` bytes at most.
    pub(super) fn read(files: &ModelFiles, limit: u64) -> Result<Self, Reason> {
        let mut bundle = Bundle {
            outline: Outline::default(),
            parts: BTreeMap::new(),
            signatures: BTreeMap::new(),
        };
        let graph = read_file(&files.onnx, limit)?;
        bundle.outline = inspect(&graph)?;
        bundle.insert(GRAPH, graph);
        bundle.sign(GRAPH, &files.onnx)?;
        if let Some(manifest) = optional(&files.manifest, limit)? {
            bundle.insert(MANIFEST, manifest);
            bundle.sign(MANIFEST, &files.manifest)?;
        }
        let folder = files.onnx.parent().unwrap_or(Path::new("."));
        if let Some(golden) = optional(&folder.join(GOLDEN), limit)? {
            bundle.insert(GOLDEN, golden);
        }
        bundle.external(folder, limit)?;
        Ok(bundle)
    }

    /// The keys of the contract: those of the file's metadata, then those of `model.toml`, which win.
    ///
    /// # Errors
    /// When `model.toml` is no TOML.
    pub fn keys(&self) -> Result<BTreeMap<String, String>, Reason> {
        let own = self.outline.metadata.iter();
        let mut keys: BTreeMap<String, String> = own
            .filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?.to_owned(), value.clone())))
            .collect();
        if let Some(manifest) = self.parts.get(MANIFEST) {
            let text = String::from_utf8_lossy(&manifest.bytes);
            let wrong = |error| Reason::Manifest(format!("{MANIFEST}: is no TOML: {error}"));
            keys.extend(contract::keys_from_toml(&text).map_err(wrong)?);
        }
        Ok(keys)
    }

    /// The contract, whether or not the graph fits it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn contract(&self) -> Result<Contract, Reason> {
        let inputs = self.outline.inputs.iter();
        let inputs: Vec<String> = inputs.map(|port| port.name.clone()).collect();
        Contract::from_keys(&self.keys()?, &inputs).map_err(Reason::DoesNotFit)
    }

    /// Names of all files, and the SHA-256 of each.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let parts = self.parts.iter();
        parts.map(|(name, part)| (name.as_str(), part.sha256.as_str()))
    }

    fn insert(&mut self, name: &str, bytes: Vec<u8>) {
        let sha256 = sha256(&bytes);
        self.parts.insert(name.to_owned(), Part { bytes, sha256 });
    }

    fn size(&self) -> u64 {
        self.parts
            .values()
            .map(|part| part.bytes.len() as u64)
            .sum()
    }

    /// Takes the file beside `path` that minisign writes, should there be one.
    fn sign(&mut self, name: &str, path: &Path) -> Result<(), Reason> {
        // A signature is four short lines.
        const LIMIT: u64 = 4096;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".minisig");
        if let Some(signature) = optional(&PathBuf::from(beside), LIMIT)? {
            let signature = String::from_utf8_lossy(&signature).into_owned();
            self.signatures.insert(name.to_owned(), signature);
        }
        Ok(())
    }

    fn external(&mut self, folder: &Path, limit: u64) -> Result<(), Reason> {
        let listed = self.listed()?;
        for name in self.outline.external.clone() {
            let refuse = |problem: String| Reason::ExternalData {
                name: name.clone(),
                problem,
            };
            plain_name(&name).map_err(refuse)?;
            let Some(expected) = listed.get(&name) else {
                return Err(refuse(format!(
                    "which {MANIFEST} does not list: add [{EXTERNAL_DATA}] with \"{name}\" = \"<what sha256sum says>\""
                )));
            };
            let path = folder.join(&name);
            let file = open(&path).map_err(|reason| refuse(unreadable(&reason)))?;
            let links = file.metadata().map_or(0, |metadata| metadata.nlink());
            if links > 1 {
                return Err(refuse(format!(
                    "which has {links} hard links, so that it could be changed from elsewhere: copy it instead"
                )));
            }
            let left = limit.saturating_sub(self.size());
            let bytes = read_open(file, left).map_err(|reason| refuse(unreadable(&reason)))?;
            self.insert(&name, bytes);
            let actual = &self.parts[&name].sha256;
            if actual != expected {
                return Err(refuse(format!(
                    "which is not the one listed: its SHA-256 is {actual}, {MANIFEST} says {expected}; \
                     copy the right file, or correct the hash if the change is meant"
                )));
            }
        }
        Ok(())
    }

    /// Names and hashes of `[external-data]`.
    fn listed(&self) -> Result<BTreeMap<String, String>, Reason> {
        let Some(manifest) = self.parts.get(MANIFEST) else {
            return Ok(BTreeMap::new());
        };
        let wrong = |problem: String| Reason::Manifest(format!("{MANIFEST}: {problem}"));
        let text = std::str::from_utf8(&manifest.bytes)
            .map_err(|error| wrong(format!("is not UTF-8 ({error}): save it as UTF-8 text")))?;
        let table: toml::Table = text
            .parse()
            .map_err(|error| wrong(format!("is no TOML: {error}")))?;
        let Some(listed) = table.get(EXTERNAL_DATA) else {
            return Ok(BTreeMap::new());
        };
        let expected = || {
            wrong(format!(
                "[{EXTERNAL_DATA}] must map names of files to their SHA-256, such as \
                 \"weights.bin\" = \"<64 hexadecimal digits>\""
            ))
        };
        let entries = listed.as_table().ok_or_else(expected)?.iter();
        entries
            .map(|(name, hash)| {
                let hash = hash
                    .as_str()
                    .filter(|hash| is_sha256(hash))
                    .ok_or_else(expected)?;
                Ok((name.clone(), hash.to_owned()))
            })
            .collect()
    }
}

/// External data lies beside the graph, under a name without any path.
fn plain_name(name: &str) -> Result<(), String> {
    let what = if name.starts_with('/') || name.contains(':') {
        "which is an absolute path"
    } else if name.split(['/', '\\']).any(|part| part == "..") {
        "which leads out of the version's folder"
    } else if name.contains(['/', '\\', '\0']) || matches!(name, "" | ".") {
        "which is no plain file name"
    } else if [GRAPH, MANIFEST, GOLDEN].contains(&name) {
        "which is a file of another purpose"
    } else {
        return Ok(());
    };
    Err(format!(
        "{what}: export it again with the weights beside the graph, or inside of it"
    ))
}

/// The words after "which" for a file with weights that can't be taken.
fn unreadable(reason: &Reason) -> String {
    format!("which {reason}")
}

/// A plain file that need not be there.
pub(crate) fn optional(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Reason> {
    match read_file(path, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Reason::Unreadable(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(reason) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Err(Reason::Manifest(format!("{name} {reason}")))
        }
    }
}

fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, Reason> {
    read_open(open(path)?, limit)
}

/// Opens a plain file. Nothing is followed, and a FIFO without a writer does not make the caller wait.
fn open(path: &Path) -> Result<File, Reason> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::LOOP) => return Err(Reason::NotAFile("a symbolic link")),
        Err(Errno::NXIO) => return Err(Reason::NotAFile("a socket")),
        Err(error) => return Err(Reason::Unreadable(error.into())),
    };
    let kind = file.metadata().map_err(Reason::Unreadable)?.file_type();
    let other = if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else {
        return Ok(file);
    };
    Err(Reason::NotAFile(other))
}

/// Reads to the end, which need not be where the file's size was when it was opened.
fn read_open(file: File, limit: u64) -> Result<Vec<u8>, Reason> {
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    if size > limit {
        return Err(Reason::TooLarge { limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(Reason::Unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(Reason::TooLarge { limit });
    }
    Ok(bytes)
}
