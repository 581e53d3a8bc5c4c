//! The plan: a checked configuration bound to compiled views and loaded models. What does not fit is told
//! here, all at once, before anything is read.
//!
//! | file | holds |
//! |---|---|
//! | `views.rs` | the configured views, compiled |
//! | `serving.rs` | the entries of `[[models.serve]]`, with their canaries and challengers, bound to views |
//! | `swap.rs` | another version in place of one that serves |

mod serving;
mod swap;
mod views;

use std::time::Duration;

use forewarn_models::contract::Sequence;
use forewarn_models::{Contract, Loader, Model, Padding, Runtime, Verdict};

pub(crate) use serving::Serving;

use crate::alarms::{AlarmSpec, is_flagged};
use crate::align::AlignSpec;
use crate::clocks::micros;
use crate::conditions::{Condition, ConditionsSpec};
use crate::config::{Config, ContributionsOf, Problems};
use crate::feature::FeatureView;
use crate::routing::{Gate, Selection};
use crate::sequence::Columns;
use crate::window::{self, Kind, WindowSpec};

/// Rows kept beyond a sequence where windows may be revised and their number can't be told.
const REVISABLE_SESSIONS: usize = 32;
/// Most rows kept for revisions.
const MOST_REVISABLE: usize = 4_096;

/// Views and models, ready to run.
#[derive(Debug)]
pub struct Plan {
    /// A view that reads another one stands after it.
    pub views: Vec<PlannedView>,
    pub models: Vec<PlannedModel>,
    pub groups: Vec<Group>,
    pub alarms: Vec<AlarmSpec>,
    pub conditions: ConditionsSpec,
    pub align: Option<AlignSpec>,
    /// Sequences that are gathered for a table.
    pub sequences: Option<GatheredView>,
    /// How many signals a reading has.
    pub signals: usize,
    /// Which results carry contributions.
    contributions: ContributionsOf,
}

#[derive(Debug)]
pub struct PlannedView {
    pub view: FeatureView,
    /// The view whose rows it reads; `None`: readings.
    pub from: Option<usize>,
    pub window: Option<WindowSpec>,
    /// What a window keeps of each row.
    pub kept: Vec<window::Input>,
    /// Its rows are taken in the order of their instants, when the watermark has passed them; the others are
    /// scored as they come.
    pub ordered: bool,
    /// Rows of each asset that its models need; 0 when none needs a sequence.
    pub sequence: usize,
    /// Places of its groups in [`Plan::groups`].
    pub groups: Vec<usize>,
}

/// A view whose sequences are gathered for a table, as a model would get them.
#[derive(Debug, Clone, Copy)]
pub struct GatheredView {
    /// Its place in [`Plan::views`].
    pub view: usize,
    pub sequence: Sequence,
    pub max_gap: Option<Duration>,
}

/// Models that share the assets of a view among them.
#[derive(Debug)]
pub struct Group {
    pub name: String,
    /// Place of its view in [`Plan::views`].
    pub view: usize,
    /// Places in [`Plan::models`]: the first one that takes a row scores it.
    pub members: Vec<usize>,
    /// Its only member takes every asset.
    pub undivided: bool,
    /// Some member scores only some rows of an asset.
    pub gated: bool,
    /// Its alarms, as places in [`Plan::alarms`]. They look back at its results, which are needed while state
    /// is rebuilt, too.
    pub alarms: Vec<usize>,
}

impl Group {
    pub fn watched(&self) -> bool {
        !self.alarms.is_empty()
    }
}

#[derive(Debug)]
pub struct PlannedModel {
    pub model: Model,
    /// Place of its view in [`Plan::views`].
    pub view: usize,
    /// The model's features in a row of its view.
    pub columns: Columns,
    /// Place of its group in [`Plan::groups`].
    pub group: usize,
    pub role: Role,
    /// The entry of `[[models.serve]]` that it comes from.
    pub entry: usize,
    pub selection: Selection,
    /// All must be open for a row to be scored.
    pub gates: Vec<Gate>,
    /// Places of the models that score the same rows in its shadow.
    pub challengers: Vec<usize>,
}

/// Where a model's results go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Champion,
    /// In place of the champion, for some assets.
    Canary,
    /// Beside the champion, to the shadow topic.
    Challenger,
}

impl Role {
    /// The published word.
    pub fn name(self) -> &'static str {
        match self {
            Role::Champion => "champion",
            Role::Canary => "canary",
            Role::Challenger => "challenger",
        }
    }
}

impl Plan {
    /// Compiles the views, lets `loader` load the models, and binds them.
    ///
    /// # Errors
    /// Every problem of views and models, with the key at fault.
    pub fn build(config: &Config, loader: &Loader) -> Result<Self, Problems> {
        let mut problems = config.problems();
        let conditions = ConditionsSpec::of(config);
        let mut views = views::compile(config, &conditions, &mut problems);
        let runtime = Runtime::load(config.models.runtime.as_deref()).map_err(|error| {
            problems.add(
                "models.runtime",
                config.line("models.runtime"),
                error.to_string(),
            );
        });
        let source = runtime.ok().map(|runtime| (runtime, loader));
        let serving = Serving::build(config, source, &mut views, &mut problems);
        let alarms = AlarmSpec::of(config, &serving, &mut problems);
        let Serving {
            models, mut groups, ..
        } = serving;
        problems.into_result()?;
        for (place, alarm) in alarms.iter().enumerate() {
            groups[alarm.group].alarms.push(place);
        }
        let column = |name: &str| config.signals.iter().position(|signal| signal.name == name);
        Ok(Plan {
            views,
            models,
            groups,
            alarms,
            conditions,
            sequences: None,
            signals: config.signals.len(),
            contributions: config.models.contributions,
            align: config
                .align
                .as_ref()
                .and_then(|align| AlignSpec::of(align, column)),
        })
    }

    /// Does a result carry the contributions that its model has of each feature?
    pub fn tells_contributions(&self, of: &PlannedModel, verdict: &Verdict<'_>) -> bool {
        match self.contributions {
            ContributionsOf::None => false,
            ContributionsOf::All => true,
            ContributionsOf::Flagged => {
                let alarms = self.groups[of.group].alarms.iter();
                is_flagged(verdict, alarms.map(|at| &self.alarms[*at]))
            }
        }
    }

    /// Lets rows come as they do for its models, and scores none of them.
    pub fn score_nothing(&mut self) {
        for view in &mut self.views {
            view.groups.clear();
        }
        for group in &mut self.groups {
            group.alarms.clear();
        }
    }

    /// Gathers sequences of so many rows of a view: as the model of that length gets them that is served there, else
    /// as one would that says nothing but its length.
    pub fn gather(&mut self, view: usize, length: usize) {
        let gathers = |planned: &&PlannedModel| {
            let gathered = planned.model.contract.gathered();
            planned.view == view && gathered.is_some_and(|gathered| gathered.length == length)
        };
        let like = self.models.iter().find(gathers);
        let like = like.map(|planned| &planned.model.contract);
        let plain = Sequence {
            length,
            padding: Padding::Edge,
            step: 1,
            min_rows: 1,
        };
        self.sequences = Some(GatheredView {
            view,
            sequence: like.and_then(Contract::gathered).unwrap_or(plain),
            max_gap: like.and_then(|contract| contract.max_gap),
        });
        let planned = &mut self.views[view];
        planned.sequence = planned.sequence.max(length + planned.revisable());
        planned.ordered = true;
    }

    /// The place of the view called `name`.
    pub fn view(&self, name: &str) -> Option<usize> {
        self.views.iter().position(|view| view.view.name() == name)
    }

    /// A number that stands for all that gives written state its meaning: how readings become rows, what is kept
    /// of them, and which network a recurrent model's state is of.
    pub fn fingerprint(&self, config: &Config) -> u64 {
        use std::fmt::Write;
        use std::hash::Hasher;
        let mut text = config.meaning();
        for planned in &self.models {
            let (model, contract) = (&planned.model, &planned.model.contract);
            let sequence = contract
                .gathered()
                .map(|sequence| (sequence.length, sequence.step, sequence.min_rows));
            let gap = contract.max_gap;
            let _ = write!(text, "{} {sequence:?} {gap:?}", model.name);
            if contract.is_recurrent() {
                let _ = write!(text, " {}", model.version);
            }
        }
        let kept = self.views.iter().map(|view| view.sequence);
        let _ = write!(text, "{:?}", kept.collect::<Vec<_>>());
        let mut hasher = fnv::FnvHasher::default();
        hasher.write(text.as_bytes());
        hasher.finish()
    }

    /// Does anything depend on what came before a reading?
    pub fn has_state(&self) -> bool {
        self.has_order() || !self.alarms.is_empty()
    }

    /// Does anything depend on the order of readings in event time?
    pub fn has_order(&self) -> bool {
        !self.conditions.statuses.is_empty() || self.views.iter().any(|view| view.ordered)
    }

    /// Does anything depend on what other topics say?
    pub fn has_notices(&self) -> bool {
        let statuses = &self.conditions.statuses;
        statuses
            .iter()
            .any(|status| status.condition == Condition::Noticed)
    }

    /// Do outputs depend on anything but the records? Then it is written down, as marks.
    pub fn has_marks(&self, config: &Config) -> bool {
        self.has_timers(config) || self.has_notices()
    }

    /// Is state written down? Where nothing depends on earlier readings there is none.
    pub fn writes_state(&self, config: &Config) -> bool {
        config.delivery.snapshot_every.0.is_some() && self.has_state()
    }

    pub fn has_challengers(&self) -> bool {
        self.models
            .iter()
            .any(|planned| planned.role == Role::Challenger)
    }

    /// Can anything become due without a record?
    pub fn has_timers(&self, config: &Config) -> bool {
        let silence = |condition: &Condition| matches!(condition, Condition::Silent { .. });
        let held = micros(config.event_time.out_of_orderness) > 0;
        self.align.is_some()
            || self
                .conditions
                .statuses
                .iter()
                .any(|status| silence(&status.condition))
            || self.views.iter().any(|view| {
                let timed = |window: &WindowSpec| !matches!(window.kind, Kind::Count { .. });
                view.window.as_ref().is_some_and(timed) || (held && view.ordered)
            })
    }
}

impl PlannedView {
    /// Makes room for what a model needs of each asset.
    fn serve(&mut self, model: &Model) {
        let contract = &model.contract;
        if let Some(gathered) = contract.gathered() {
            self.sequence = self.sequence.max(gathered.length + self.revisable());
        }
        self.ordered |= contract.sequence.is_some() || contract.is_recurrent();
    }

    /// How many rows of an asset may have been scored and still be revised.
    fn revisable(&self) -> usize {
        let Some(window) = self
            .window
            .as_ref()
            .filter(|window| window.allowed_lateness > 0)
        else {
            return 0;
        };
        match window.kind {
            Kind::Time { step, .. } => {
                let steps = window.allowed_lateness / step + 1;
                usize::try_from(steps)
                    .unwrap_or(MOST_REVISABLE)
                    .min(MOST_REVISABLE)
            }
            _ => REVISABLE_SESSIONS,
        }
    }
}
