//! From verdicts to alarms: the results of each asset in the order of their rows, whichever model of a group
//! gave them.

use std::fmt::Write as _;

use forewarn_models::Verdict;

use super::step::ModelOutput;
use crate::alarms::{AlarmChange, AlarmEvent, AlarmSpec, Sample, Turn};
use crate::plan::Plan;
use crate::rows::{Head, Rows};
use crate::state::{PartitionState, Partitions};

/// Contributions that a reason names.
const NAMED: usize = 3;

#[derive(Debug)]
pub(super) struct Alarming {
    /// Results of each model that were taken in this batch.
    taken: Vec<usize>,
    /// Row, model, and place among its results.
    results: Vec<(u32, usize, usize)>,
    pub changes: Vec<AlarmChange>,
}

impl Alarming {
    pub fn new(plan: &Plan) -> Self {
        Alarming {
            taken: vec![0; plan.models.len()],
            results: Vec::new(),
            changes: Vec::new(),
        }
    }

    pub fn begin(&mut self) {
        self.taken.fill(0);
        self.changes.clear();
    }

    /// Takes what the models said since the last call.
    pub fn run(
        &mut self,
        plan: &Plan,
        partitions: &mut Partitions,
        views: &[Rows],
        outputs: &[ModelOutput],
    ) {
        for (group, planned) in plan.groups.iter().enumerate() {
            if planned.watched() {
                self.gather(plan, group, outputs);
                self.group(plan, group, partitions, &views[planned.view], outputs);
            }
        }
    }

    /// The new results of a group's models, by row: the models took their rows in batches of their own.
    fn gather(&mut self, plan: &Plan, group: usize, outputs: &[ModelOutput]) {
        self.results.clear();
        for model in plan.groups[group].members.iter().copied() {
            let rows = &outputs[model].rows;
            let new = (self.taken[model]..rows.len()).map(|at| (rows[at], model, at));
            self.results.extend(new);
            self.taken[model] = rows.len();
        }
        self.results.sort_unstable();
    }

    fn group(
        &mut self,
        plan: &Plan,
        group: usize,
        partitions: &mut Partitions,
        rows: &Rows,
        outputs: &[ModelOutput],
    ) {
        let places = plan.groups[group].alarms.iter();
        let specs: Vec<(usize, &AlarmSpec)> =
            places.map(|place| (*place, &plan.alarms[*place])).collect();
        for (row, model, at) in &self.results {
            let head = &rows.heads[*row as usize];
            let Some(verdict) = outputs[*model].verdicts.get(*at) else {
                continue;
            };
            if head.is_provisional() || head.window().is_some_and(|window| window.revision > 0) {
                continue;
            }
            for (alarm, spec) in &specs {
                let Some(value) = spec.value(&verdict) else {
                    continue;
                };
                let sample = sample(head, value, *model);
                let state = partitions.state(head.slot);
                let turn = state.alarms.take(spec, (head.asset, *alarm), sample);
                let Some(turn) = turn.filter(|_| head.publish) else {
                    continue;
                };
                let attribution = outputs[*model].attribution(*at);
                let reason = reason(plan, spec, &turn, (sample, &verdict, attribution));
                self.changes.push(AlarmChange {
                    slot: head.slot,
                    asset: head.asset,
                    alarm: *alarm,
                    event: turn.event,
                    severity: turn.severity,
                    latest: sample,
                    first: turn.first,
                    raised_at: turn.raised_at,
                    count: turn.count,
                    reason,
                });
            }
        }
    }

    /// An asset is forgotten, and its alarms with it.
    pub fn forget(&mut self, plan: &Plan, state: &mut PartitionState, slot: u32, asset: u32) {
        let ended = state.alarms.forget(asset, plan.alarms.len());
        let at = state.watermark.at();
        if !state.watermark.is_unpublished(at) {
            return;
        }
        for (alarm, turn) in ended {
            self.changes.push(AlarmChange {
                slot,
                asset,
                alarm,
                event: turn.event,
                severity: turn.severity,
                latest: Sample { at, ..turn.first },
                first: turn.first,
                raised_at: turn.raised_at,
                count: 0,
                reason: "the asset had no reading for limits.evict-after and was forgotten".into(),
            });
        }
    }
}

fn sample(head: &Head, value: f64, model: usize) -> Sample {
    Sample {
        value,
        at: head.at(),
        offset: head.offset,
        model,
    }
}

/// One sentence that says what was seen, and what contributed most.
fn reason(
    plan: &Plan,
    spec: &AlarmSpec,
    turn: &Turn,
    (latest, verdict, attribution): (Sample, &Verdict<'_>, Option<&[f32]>),
) -> String {
    let planned = &plan.models[latest.model];
    let contract = &planned.model.contract;
    let (watched, value) = (spec.watched(), rounded(latest.value));
    let model = format!("{}@{}", planned.model.name, planned.model.version);
    let count = turn.count;
    if turn.event == AlarmEvent::Cleared {
        let side = if spec.rises { "at most" } else { "at least" };
        return format!(
            "the last {count} results of {model} have {watched} {side} {} (latest {value})",
            rounded(spec.clear_at)
        );
    }
    let side = if spec.rises { "above" } else { "below" };
    let limit = rounded(spec.severities[turn.severity].1);
    let mut text = format!(
        "{count} of the last {} results of {model} have {watched} {side} {limit} (latest {value})",
        spec.within
    );
    let (names, shares) = match verdict {
        Verdict::Anomaly { contributions, .. } if !contributions.is_empty() => {
            (contract.contributors(), *contributions)
        }
        _ => (
            contract.features.as_slice(),
            attribution.unwrap_or_default(),
        ),
    };
    let mut largest: Vec<(f32, &String)> = shares.iter().copied().zip(names).collect();
    largest.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (i, (share, feature)) in largest.into_iter().take(NAMED).enumerate() {
        let before = if i == 0 { ": " } else { ", " };
        let _ = write!(text, "{before}{feature} {:.0} %", share * 100.0);
    }
    text
}

/// Four digits: enough for a person, and the exact value is beside it.
fn rounded(value: f64) -> String {
    let digits = if value == 0.0 {
        0
    } else {
        (3 - value.abs().log10().floor() as i32).clamp(0, 9) as usize
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}
