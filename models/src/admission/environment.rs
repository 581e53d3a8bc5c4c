//! What a model's numbers depend on besides the model: the build of ONNX Runtime and the processor, whose
//! vector width decides the order in which products are added up.

use std::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::digest::sha256;
use crate::runtime::Runtime;

/// Where a model ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// ONNX Runtime's description of its build.
    pub runtime: String,
    pub cpu: String,
}

impl Environment {
    /// This machine, with this library.
    pub fn of(runtime: &Runtime) -> Self {
        Environment {
            runtime: runtime.build().to_owned(),
            cpu: cpu().to_owned(),
        }
    }

    /// A name for files: the same for the same environment.
    pub(super) fn key(&self) -> String {
        sha256(format!("{}\n{}", self.runtime, self.cpu).as_bytes())[..16].to_owned()
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ONNX Runtime ({}) on {}", self.runtime, self.cpu)
    }
}

/// The processor's name, and a digest of what it can do: two hypervisors may show one name and differ.
fn cpu() -> &'static str {
    static CPU: OnceLock<String> = OnceLock::new();
    CPU.get_or_init(|| {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let value = |keys: [&str; 2]| {
            let line = info
                .lines()
                .find(|line| keys.iter().any(|key| line.starts_with(key)));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let name = value(["model name", "CPU implementer"]);
        let features = value(["flags", "Features"]);
        let digest = &sha256(features.as_bytes())[..8];
        format!("{} {name} (features {digest})", std::env::consts::ARCH)
    })
}
