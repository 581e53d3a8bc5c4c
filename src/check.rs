//! `forewarn check`: everything that can be known before a pipeline runs.

use anyhow::{Result, bail};
use forewarn_pipeline::{Config, Plan};

use crate::cli::CheckArgs;

pub(crate) fn run(args: &CheckArgs) -> Result<()> {
    let (config, mut problems) = Config::inspect(&args.config);
    let plan = match config.as_ref().map(Plan::build) {
        Some(Ok(plan)) => Some(plan),
        Some(Err(more)) => {
            problems.list.extend(more.list);
            None
        }
        None => None,
    };
    let count = problems.list.len();
    if let Err(problems) = problems.into_result() {
        println!("{problems}");
        bail!(
            "{} has {count} {}",
            args.config.display(),
            plural(count, "problem")
        );
    }
    if let (Some(config), Some(plan)) = (config, plan) {
        describe(&args.config.display().to_string(), &config, &plan);
    }
    Ok(())
}

fn describe(file: &str, config: &Config, plan: &Plan) {
    println!("{file}: no problems");
    println!(
        "  {} {} from topic {}",
        config.signals.len(),
        plural(config.signals.len(), "signal"),
        config.source.topic
    );
    for view in &plan.views {
        let width = view.view.width();
        println!(
            "  view {}: {width} {}",
            view.view.name(),
            plural(width, "feature")
        );
    }
    for planned in &plan.models {
        let (model, contract) = (&planned.model, &planned.model.contract);
        let signature = model.signature();
        let inputs: Vec<String> = signature.inputs.iter().map(ToString::to_string).collect();
        println!(
            "  model {} version {}: {}, {} features over {} {}, input {}",
            model.name,
            model.version,
            contract.task.name(),
            contract.features.len(),
            contract.length(),
            plural(contract.length(), "row"),
            inputs.join(", ")
        );
    }
    println!(
        "  outputs to {} and {}",
        config.sink.predictions, config.sink.dead_letters
    );
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 {
        word.into()
    } else {
        format!("{word}s")
    }
}
