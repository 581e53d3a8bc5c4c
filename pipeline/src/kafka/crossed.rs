//! What a worker says of drift: once when a limit is crossed, and when all is well again.

use crate::drift::live::Crossing;

pub(super) fn say(crossed: Vec<Crossing>) {
    for crossing in crossed {
        match crossing {
            Crossing::Drifted {
                model,
                version,
                rows,
                variables,
            } => {
                let named = variables
                    .iter()
                    .map(|(name, psi)| format!("{name} {psi:.2}"));
                let psi = named.collect::<Vec<_>>().join(", ");
                tracing::warn!(
                    model,
                    version,
                    rows,
                    psi,
                    "not as in training any more; see docs/drift.md"
                );
            }
            Crossing::Stable {
                model,
                version,
                variables,
            } => {
                let names = variables.join(", ");
                tracing::info!(model, version, names, "as in training again");
            }
            Crossing::Changed {
                model,
                version,
                direction,
            } => {
                tracing::warn!(
                    model,
                    version,
                    ?direction,
                    "the mean of the scores has left that of training"
                );
            }
        }
    }
}
