//! MLflow's model folder: `MLmodel` says which file the graph is and what its inputs are called.
//!
//! Taken over: the flavor `onnx` with its file, names of columns from the signature, and the metadata's keys
//! that begin with `forewarn.`. Format: <https://mlflow.org/docs/latest/ml/model/>.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::question::value_of;

/// An MLmodel is a page of text.
const MAX_BYTES: u64 = 1 << 20;
const PREFIX: &str = "forewarn.";

#[derive(Debug, Deserialize)]
pub(crate) struct MlModel {
    flavors: Flavors,
    signature: Option<Signature>,
    metadata: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Debug, Deserialize)]
struct Flavors {
    onnx: Option<Onnx>,
}

#[derive(Debug, Deserialize)]
struct Onnx {
    data: PathBuf,
}

/// JSON within YAML.
#[derive(Debug, Deserialize)]
struct Signature {
    inputs: Option<String>,
}

/// A column, or a tensor; only columns name features.
#[derive(Debug, Deserialize)]
struct Input {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
}

impl MlModel {
    pub fn read(path: &Path) -> Result<Self> {
        let place = || path.display().to_string();
        let size = fs::metadata(path).with_context(place)?.len();
        if size > MAX_BYTES {
            bail!("{}: {size} bytes are no MLmodel", place());
        }
        let text = fs::read_to_string(path).with_context(place)?;
        let model: MlModel = serde_norway::from_str(&text).with_context(place)?;
        let Some(onnx) = &model.flavors.onnx else {
            bail!(
                "{}: has no flavor onnx: log the model with mlflow.onnx.log_model, having converted it",
                place()
            );
        };
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if !onnx.data.components().all(plain) {
            bail!(
                "{}: flavors.onnx.data is {}, which is not within the folder",
                place(),
                onnx.data.display()
            );
        }
        Ok(model)
    }

    /// The graph's file, within the folder.
    pub fn graph(&self) -> PathBuf {
        let onnx = self.flavors.onnx.as_ref();
        onnx.map(|onnx| onnx.data.clone()).unwrap_or_default()
    }

    /// Keys of the contract that MLflow knows of.
    pub fn keys(&self) -> Result<toml::Table> {
        let mut keys = toml::Table::new();
        let columns = self.columns()?;
        if !columns.is_empty() {
            keys.insert("features".into(), columns.into());
        }
        for (key, value) in self.metadata.iter().flatten() {
            let Some(key) = key.strip_prefix(PREFIX) else {
                continue;
            };
            let text = match value {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            keys.insert(key.to_owned(), value_of(&text));
        }
        Ok(keys)
    }

    /// Names of the signature's columns; none when it describes tensors.
    fn columns(&self) -> Result<Vec<String>> {
        let Some(text) = self
            .signature
            .as_ref()
            .and_then(|signature| signature.inputs.as_ref())
        else {
            return Ok(Vec::new());
        };
        let inputs: Vec<Input> = serde_json::from_str(text).context("MLmodel: signature.inputs")?;
        if inputs.iter().any(|input| input.kind == "tensor") {
            return Ok(Vec::new());
        }
        Ok(inputs.into_iter().filter_map(|input| input.name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<MlModel> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("MLmodel");
        fs::write(&path, text).unwrap();
        MlModel::read(&path)
    }

    #[test]
    fn file_columns_and_own_keys_are_taken_over() {
        let model = read(
            "artifact_path: model\nflavors:\n  onnx:\n    data: model.onnx\n    onnx_version: 1.17.0\n  \
             python_function:\n    loader_module: mlflow.onnx\nmetadata:\n  forewarn.task: anomaly\n  \
             forewarn.threshold: 2.5\n  owner: ada\nmodel_uuid: 1\nsignature:\n  inputs: '[{\"type\": \"double\", \
             \"name\": \"a\", \"required\": true}, {\"type\": \"long\", \"name\": \"b\"}]'\n  outputs: '[]'\n",
        )
        .unwrap();
        assert_eq!(model.graph(), Path::new("model.onnx"));
        let keys = model.keys().unwrap().to_string();
        let expected = "features = [\"a\", \"b\"]\ntask = \"anomaly\"\nthreshold = 2.5\n";
        assert_eq!(keys, expected);
    }

    #[test]
    fn what_can_not_be_taken_over_is_told() {
        let error = read("flavors:\n  sklearn:\n    pickled_model: model.pkl\n").unwrap_err();
        assert!(error.to_string().contains("no flavor onnx"), "{error}");
        for data in ["../model.onnx", "/etc/passwd"] {
            let error = read(&format!("flavors:\n  onnx:\n    data: {data}\n")).unwrap_err();
            assert!(
                error.to_string().contains("not within the folder"),
                "{error}"
            );
        }
        assert!(read("{{{").is_err());
    }
}
