//! Whether a recipe has a reason to be followed: its `[trigger]`, asked of the past that it would learn from.

use anyhow::Result;
use forewarn_models::Repository;
use forewarn_pipeline::Config;
use forewarn_pipeline::drift::Report;
use forewarn_training::trigger::OnDrift;

use super::examine;
use crate::cli::PastArgs;
use crate::model::Named;

/// The status of a recipe that was not followed, because nothing has drifted.
pub(crate) const NO_DRIFT: u8 = 12;

/// What a trigger came to.
pub(crate) struct Looked {
    /// Is there a reason to train?
    pub fires: bool,
    /// The reason, or why there is none: a sentence.
    pub reason: String,
    /// `None` where nothing could be compared.
    pub report: Option<Report>,
}

/// Looks whether the version of `model` that serves has drifted in the past that `args` mean.
///
/// # Errors
/// When the past can't be gone through.
pub(crate) fn looked_at(
    config: &Config,
    args: &PastArgs,
    model: &str,
    on: &OnDrift,
) -> Result<Looked> {
    let repository = Repository::new(&config.models.repository);
    let first = |reason: String| {
        Ok(Looked {
            fires: true,
            reason,
            report: None,
        })
    };
    if repository.versions(model).is_empty() {
        return first(format!("{model} has no version yet"));
    }
    let files = repository.resolve(model, None)?;
    let version = files.version;
    if !files
        .folder()
        .join(forewarn_models::reference::REFERENCE)
        .exists()
    {
        return first(format!(
            "{model} {version} has no training reference, so that nothing is known of its drift"
        ));
    }
    let named = Named {
        name: model.to_owned(),
        version: None,
    };
    let examined = examine(config.clone(), args, Some(&named))?;
    let fired = examined
        .reports
        .iter()
        .find_map(|report| Some((report, on.reason(report)?)));
    Ok(match fired {
        Some((report, reason)) => Looked {
            fires: true,
            reason,
            report: Some(report.clone()),
        },
        None => {
            let report = examined.reports.into_iter().next();
            Looked {
                fires: false,
                reason: report
                    .as_ref()
                    .map_or(String::new(), |report| on.no_reason(report)),
                report,
            }
        }
    })
}
