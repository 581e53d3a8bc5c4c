//! What is added: a file, a folder, an MLflow model.
//!
//! Files are copied without a look inside; that is admission's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::mlflow::MlModel;

/// Files beside the graph that are no weights and come along.
const COMPANIONS: [&str; 6] = [
    "model.toml",
    "golden.json",
    "card.md",
    "reference.json",
    "model.onnx.minisig",
    "model.toml.minisig",
];

/// The figures that a card shows, in a folder beside it.
const FIGURES: &str = "figures";

pub(crate) enum Source {
    File(PathBuf),
    /// `model.onnx`, its companions and its weights.
    Folder(PathBuf),
    MlFlow {
        folder: PathBuf,
        model: MlModel,
    },
}

impl Source {
    pub fn open(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
        if metadata.is_file() {
            return Ok(Source::File(path.to_owned()));
        }
        if !metadata.is_dir() {
            bail!("{}: is neither a file nor a folder", path.display());
        }
        if path.join("MLmodel").is_file() {
            let model = MlModel::read(&path.join("MLmodel"))?;
            return Ok(Source::MlFlow {
                folder: path.to_owned(),
                model,
            });
        }
        if path.join("model.onnx").is_file() {
            return Ok(Source::Folder(path.to_owned()));
        }
        bail!(
            "{}: holds neither model.onnx nor MLflow's MLmodel: name the ONNX file itself",
            path.display()
        )
    }

    pub fn mlflow(&self) -> Option<&MlModel> {
        match self {
            Source::MlFlow { model, .. } => Some(model),
            _ => None,
        }
    }

    /// `pump` of `pump.onnx` and of `pump/`; of `pump/3/` the number is a version.
    pub fn name(&self) -> String {
        let (Source::File(path) | Source::Folder(path) | Source::MlFlow { folder: path, .. }) =
            self;
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        let is_version = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.parse::<u32>().is_ok()
        };
        let named = match self {
            Source::File(_) => path.file_stem(),
            _ if is_version(&path) => path.parent().and_then(Path::file_name),
            _ => path.file_name(),
        };
        named.unwrap_or_default().to_string_lossy().into_owned()
    }

    fn graph(&self) -> PathBuf {
        match self {
            Source::File(path) => path.clone(),
            Source::Folder(folder) => folder.join("model.onnx"),
            Source::MlFlow { folder, model } => folder.join(model.graph()),
        }
    }

    /// Copies the graph, its companions and, out of a folder, files that may hold its weights.
    pub fn copy(&self, target: &Path) -> Result<()> {
        let graph = self.graph();
        copy(&graph, &target.join("model.onnx"))?;
        let folder = graph.parent().unwrap_or(Path::new("."));
        if let Source::File(_) = self {
            // Its neighbours are other models as likely as not, but for what is named after it.
            let name = graph.file_name().unwrap_or_default().to_string_lossy();
            let signature = format!("{name}.minisig");
            return copy_if_there(&folder.join(signature), &target.join("model.onnx.minisig"))
                .and_then(|()| {
                    copy_if_there(
                        &folder.join(format!("{name}.data")),
                        &target.join(format!("{name}.data")),
                    )
                });
        }
        for name in COMPANIONS {
            copy_if_there(&folder.join(name), &target.join(name))?;
        }
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default();
            if is_weights(&path) && path != graph {
                copy(&path, &target.join(name))?;
            }
        }
        copy_figures(&folder.join(FIGURES), &target.join(FIGURES))
    }
}

/// The endings that exporters give to weights in files of their own.
fn is_weights(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    ["data", "bin", "weight", "weights", "onnx_data"].contains(&ending.as_ref())
}

fn copy_figures(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let path = entry?.path();
        let ending = path.extension().unwrap_or_default();
        if ending == "svg" || ending == "png" {
            copy(&path, &to.join(path.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}

fn copy_if_there(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        copy(from, to)
    } else {
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    // A FIFO or a device would be read for ever.
    if !from.is_file() {
        bail!("{}: is no plain file", from.display());
    }
    let mut source = fs::File::open(from).with_context(|| from.display().to_string())?;
    let mut target = fs::File::create(to).with_context(|| to.display().to_string())?;
    let copied = std::io::copy(&mut source, &mut target);
    copied.with_context(|| format!("{} can't be copied to {}", from.display(), to.display()))?;
    Ok(())
}
