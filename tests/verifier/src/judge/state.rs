//! The state that was written down: gone on from, up to the committed offsets, it is that of the reference.

use std::collections::BTreeMap;

use anyhow::Result;
use forewarn_models::Loader;
use forewarn_pipeline::kafka::replay::Replay;
use forewarn_pipeline::message::Message;
use forewarn_pipeline::saved::SavedAsset;
use forewarn_pipeline::{Config, Engine, Plan};

use super::{Finding, Observed};

/// Compares, partition by partition and asset by asset.
///
/// # Errors
/// When the input can't be gone through again.
pub fn compare(
    config: &Config,
    observed: &Observed,
    reference: &Engine,
    finding: &mut Finding,
) -> Result<()> {
    let mut engine = Engine::new(config, Plan::build(config, &Loader::trusted())?);
    let replay = Replay::open(config, &mut engine)?;
    for (partition, committed) in &observed.committed {
        match observed.state.get(partition) {
            Some(Ok(snapshot)) if snapshot.shared.offset <= *committed => {
                let assets = snapshot.assets.iter();
                let assets = assets.map(|(name, asset)| (name.as_str(), asset));
                engine.restore(*partition, &snapshot.shared, assets);
            }
            Some(Ok(snapshot)) => finding.add(|| {
                let written = snapshot.shared.offset;
                format!(
                    "partition {partition}: written before record {written}, committed {committed}"
                )
            }),
            Some(Err(reason)) => finding.add(|| format!("partition {partition}: {reason}")),
            None if *committed > 0 => {
                finding.add(|| format!("partition {partition}: nothing is written down"));
            }
            None => {}
        }
    }
    // What is in the state already changes nothing.
    let below = |message: &&Message<'_>| {
        let committed = observed.committed.get(&message.partition);
        committed.is_some_and(|end| message.offset < *end)
    };
    while let Some(done) = replay.batch(|messages| {
        let messages: Vec<Message<'_>> = messages.iter().filter(below).copied().collect();
        engine.step(&messages).map(drop)
    })? {
        done?;
    }
    engine.reach_marks()?;
    for partition in observed.committed.keys() {
        let state = |engine: &Engine| engine.export(*partition).unwrap_or_default();
        let (written, right) = (state(&engine), state(reference));
        for name in written
            .keys()
            .chain(right.keys().filter(|name| !written.contains_key(*name)))
        {
            let text =
                |of: &BTreeMap<String, SavedAsset>| of.get(name).map(|asset| format!("{asset:?}"));
            if text(&written) != text(&right) {
                finding.add(|| {
                    format!(
                        "partition {partition}, {name}: {:?}, not {:?}",
                        text(&written),
                        text(&right)
                    )
                });
            }
        }
    }
    Ok(())
}
