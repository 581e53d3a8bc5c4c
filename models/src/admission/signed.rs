//! Signatures, as minisign writes them: `model.onnx.minisig` beside `model.onnx`.
//!
//! The contract decides what a model's numbers mean, so a `model.toml` is signed too. Files with weights are
//! covered by it, since it holds their hashes.

use minisign_verify::{PublicKey, Signature};

use super::bundle::{Bundle, GRAPH, MANIFEST};
use super::refusal::Reason;

/// Whose models are taken.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    keys: Vec<PublicKey>,
    required: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error(
        "\"{key}\" is no public key of minisign ({problem}): write the second line of minisign.pub, which begins with RW"
    )]
    Key { key: String, problem: String },
    #[error(
        "no public key is given, so that no signature could be right: name one in models.public-keys, or drop models.require-signature"
    )]
    NoKey,
}

impl Policy {
    /// Keys as in the second line of `minisign.pub`.
    ///
    /// # Errors
    /// When a key can't be read, or signatures are required and there is none.
    pub fn new(keys: &[String], required: bool) -> Result<Self, PolicyError> {
        if required && keys.is_empty() {
            return Err(PolicyError::NoKey);
        }
        let read = |key: &String| {
            PublicKey::from_base64(key.trim()).map_err(|error| PolicyError::Key {
                key: key.clone(),
                problem: error.to_string(),
            })
        };
        let keys = keys.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Policy { keys, required })
    }

    /// A signature that is there must be right wherever keys are known; it must be there when required.
    pub(super) fn verify(&self, bundle: &Bundle) -> Result<(), Reason> {
        if self.keys.is_empty() {
            return Ok(());
        }
        for file in [GRAPH, MANIFEST] {
            let Some(part) = bundle.parts.get(file) else {
                continue;
            };
            match bundle.signatures.get(file) {
                Some(signature) => self.verify_one(file, &part.bytes, signature)?,
                None if self.required => return Err(Reason::Unsigned { file: file.into() }),
                None => {}
            }
        }
        Ok(())
    }

    fn verify_one(&self, file: &str, bytes: &[u8], signature: &str) -> Result<(), Reason> {
        let wrong = |problem: String| Reason::WrongSignature {
            file: file.into(),
            problem,
        };
        let signature = Signature::decode(signature).map_err(|error| wrong(error.to_string()))?;
        let mut problem = String::new();
        for key in &self.keys {
            // Not the old form, which signs the file without hashing it first.
            match key.verify(bytes, &signature, false) {
                Ok(()) => return Ok(()),
                Err(error) => problem = error.to_string(),
            }
        }
        Err(wrong(problem))
    }
}
