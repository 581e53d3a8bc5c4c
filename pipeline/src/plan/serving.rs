//! The entries of `[[models.serve]]`, bound: which models there are, on which view, for which assets.
//!
//! ```text
//!   entry ─▶ (one per asset, for a name with {asset}) ─▶ canary, champion ─▶ members of its group
//!                                                     └▶ challengers, beside the champion
//! ```

use forewarn_models::{Loader, Model, Repository, Runtime};

use super::{Group, PlannedModel, PlannedView, Role};
use crate::config::{Config, Problems, ServedModel};
use crate::routing::{Gate, MOST_MEMBERS, Selection};
use crate::sequence::Columns;

/// What stands for the asset in the name of an entry.
const ASSET: &str = "{asset}";

/// Models and groups, while they are being bound.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    pub models: Vec<PlannedModel>,
    pub groups: Vec<Group>,
    /// Is every entry bound? Otherwise what refers to groups can't be judged.
    pub complete: bool,
}

/// Where models come from.
struct Source<'a> {
    runtime: Runtime,
    loader: &'a Loader,
    repository: Repository,
    config: &'a Config,
}

/// An entry, for all its assets or for one.
struct Entry<'a> {
    number: usize,
    served: &'a ServedModel,
    name: String,
    view: usize,
    selection: Selection,
    gates: Vec<Gate>,
}

impl Serving {
    /// Loads and binds all entries. Without a runtime (told already) none.
    pub fn build(
        config: &Config,
        source: Option<(Runtime, &Loader)>,
        views: &mut [PlannedView],
        problems: &mut Problems,
    ) -> Self {
        let mut serving = Serving {
            complete: true,
            ..Serving::default()
        };
        let source = source.map(|(runtime, loader)| Source {
            runtime,
            loader,
            repository: Repository::new(&config.models.repository),
            config,
        });
        for (number, served) in config.models.serve.iter().enumerate() {
            let told = match &source {
                Some(source) => serving.entry(source, (number, served), views),
                None => Err(Vec::new()),
            };
            if let Err(told) = told {
                serving.complete = false;
                let path = format!("models.serve[{number}]");
                for message in told {
                    problems.add(&path, config.line(&path), message);
                }
            }
        }
        serving
    }

    fn entry(
        &mut self,
        source: &Source<'_>,
        (number, served): (usize, &ServedModel),
        views: &mut [PlannedView],
    ) -> Result<(), Vec<String>> {
        let named = |planned: &PlannedView| planned.view.name() == served.view;
        let Some(view) = views.iter().position(named) else {
            // Told as a problem of the view; what is wrong with the models is told all the same.
            let names = source.names(served)?.into_iter();
            let loaded = names.map(|(name, _)| source.load(&name, served.version));
            return Err(loaded.filter_map(Result::err).flatten().collect());
        };
        let gates = gates(served, &views[view])?;
        let mut told = Vec::new();
        for (name, selection) in source.names(served)? {
            let entry = Entry {
                number,
                served,
                name,
                view,
                selection,
                gates: gates.clone(),
            };
            if let Err(problems) = self.add(source, &entry, views) {
                told.extend(problems);
            }
        }
        if told.is_empty() { Ok(()) } else { Err(told) }
    }

    fn add(
        &mut self,
        source: &Source<'_>,
        entry: &Entry<'_>,
        views: &mut [PlannedView],
    ) -> Result<(), Vec<String>> {
        let group = self.group(entry, views)?;
        let served = entry.served;
        let mut members = Vec::new();
        if let Some(canary) = &served.canary {
            let salt = &self.groups[group].name;
            let part = entry.selection.part(canary.share, salt);
            let model = source.load(&entry.name, Some(canary.version))?;
            members.push(self.bind(source, entry, (Role::Canary, group, part), model, views)?);
        }
        let model = source.load(&entry.name, served.version)?;
        let all = entry.selection.clone();
        let champion = self.bind(source, entry, (Role::Champion, group, all), model, views)?;
        members.push(champion);
        for challenger in &served.shadow {
            let name = challenger.name.as_ref().unwrap_or(&entry.name);
            let model = source.highest(name, challenger.version)?;
            let role = (Role::Challenger, group, entry.selection.clone());
            let place = self.bind(source, entry, role, model, views)?;
            for member in &members {
                self.models[*member].challengers.push(place);
            }
        }
        let group = &mut self.groups[group];
        group.members.extend(members);
        group.undivided =
            group.members.len() == 1 && self.models[group.members[0]].selection.takes_all();
        group.gated |= !entry.gates.is_empty();
        if group.members.len() > MOST_MEMBERS {
            return Err(vec![format!(
                "group {} has more than {MOST_MEMBERS} models",
                group.name
            )]);
        }
        Ok(())
    }

    /// The place of the entry's group, a new one when it is the first.
    fn group(
        &mut self,
        entry: &Entry<'_>,
        views: &mut [PlannedView],
    ) -> Result<usize, Vec<String>> {
        let name = entry.served.group.as_ref().unwrap_or(&entry.served.name);
        if let Some(place) = self.groups.iter().position(|group| group.name == *name) {
            let view = self.groups[place].view;
            if view != entry.view {
                return Err(vec![format!(
                    "group {name} is on view {}, this entry on {}: the entries of a group share one view",
                    views[view].view.name(),
                    views[entry.view].view.name()
                )]);
            }
            return Ok(place);
        }
        let place = self.groups.len();
        views[entry.view].groups.push(place);
        self.groups.push(Group {
            name: name.clone(),
            view: entry.view,
            members: Vec::new(),
            undivided: false,
            gated: false,
            alarms: Vec::new(),
        });
        Ok(place)
    }

    fn bind(
        &mut self,
        source: &Source<'_>,
        entry: &Entry<'_>,
        (role, group, selection): (Role, usize, Selection),
        model: Model,
        views: &mut [PlannedView],
    ) -> Result<usize, Vec<String>> {
        let columns = bind(&model, &views[entry.view], source.config)?;
        views[entry.view].serve(&model);
        self.models.push(PlannedModel {
            model,
            view: entry.view,
            columns,
            group,
            role,
            entry: entry.number,
            selection,
            gates: entry.gates.clone(),
            challengers: Vec::new(),
        });
        Ok(self.models.len() - 1)
    }
}

impl Source<'_> {
    /// The models that an entry means, each with the assets that it is for.
    fn names(&self, served: &ServedModel) -> Result<Vec<(String, Selection)>, Vec<String>> {
        let patterns = self.patterns(served)?;
        let Some((before, after)) = served.name.split_once(ASSET) else {
            return Ok(vec![(served.name.clone(), Selection::new(&patterns))]);
        };
        let of_asset = Selection::new(&patterns);
        let known = self
            .repository
            .names()
            .map_err(|error| vec![error.to_string()])?;
        let fitting = known.into_iter().filter_map(|name| {
            let asset = name.strip_prefix(before)?.strip_suffix(after)?.to_owned();
            let is_one = !asset.is_empty() && of_asset.takes(&asset);
            is_one.then(|| (name, Selection::new(&[asset])))
        });
        Ok(fitting.collect())
    }

    /// The patterns of an entry, classes spelled out.
    fn patterns(&self, served: &ServedModel) -> Result<Vec<String>, Vec<String>> {
        let mut patterns = Vec::new();
        for pattern in &served.assets {
            match pattern.strip_prefix('@') {
                None => patterns.push(pattern.clone()),
                Some(class) => match self.config.classes.get(class) {
                    Some(of_class) => patterns.extend(of_class.iter().cloned()),
                    None => {
                        return Err(vec![format!(
                            "@{class} is no class: add {class} = [\"pump-*\"] under [classes]"
                        )]);
                    }
                },
            }
        }
        Ok(patterns)
    }

    fn load(&self, name: &str, version: Option<u32>) -> Result<Model, Vec<String>> {
        self.loader
            .load(&self.runtime, &self.repository, name, version)
    }

    /// As [`Self::load`]; without a version the highest one, which a champion need not be.
    fn highest(&self, name: &str, version: Option<u32>) -> Result<Model, Vec<String>> {
        let highest = || self.repository.versions(name).last().copied();
        self.load(name, version.or_else(highest))
    }
}

/// The features that an entry's rows must, or must not, have.
fn gates(served: &ServedModel, planned: &PlannedView) -> Result<Vec<Gate>, Vec<String>> {
    let wanted = served.only.iter().map(|name| (name, true));
    let wanted = wanted.chain(served.unless.iter().map(|name| (name, false)));
    let mut told = Vec::new();
    let mut gates = Vec::new();
    for (name, only) in wanted {
        match planned.view.position(name) {
            Some(feature) => gates.push(Gate {
                feature,
                name: name.clone(),
                only,
            }),
            None => {
                let view = planned.view.name();
                let expression = match planned.window {
                    Some(_) => format!("MAX({name}) AS {name}"),
                    None => name.clone(),
                };
                told.push(format!(
                    "view {view} gives no feature {name}: add \"{expression}\" to its features, {name} being a \
                     status or an expression that is 0 or 1"
                ));
            }
        }
    }
    if told.is_empty() {
        Ok(gates)
    } else {
        Err(told)
    }
}

/// Finds the model's features in the view and compares units.
pub(crate) fn bind(
    model: &Model,
    planned: &PlannedView,
    config: &Config,
) -> Result<Columns, Vec<String>> {
    let (contract, view) = (&model.contract, &planned.view);
    let (mut indices, mut missing, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for (i, feature) in contract.features.iter().enumerate() {
        let Some(position) = view.position(feature) else {
            missing.push(feature.as_str());
            continue;
        };
        indices.push(position);
        let signal = view
            .passed_column(position)
            .filter(|_| planned.from.is_none())
            .and_then(|column| config.signals.get(column));
        if let (Some(expected), Some(actual)) = (
            contract.units.get(i),
            signal.and_then(|signal| signal.unit.as_ref()),
        ) && expected != actual
        {
            problems.push(format!(
                "model {} takes {feature} in {expected}, but signals.{feature}.unit is {actual}: \
                 convert it in the view, as \"{feature} * <factor> AS {feature}\", or correct the unit",
                model.name
            ));
        }
    }
    if !missing.is_empty() {
        let has: Vec<&str> = view.feature_names().collect();
        problems.push(format!(
            "model {} {} needs {} which view {} does not give (it gives {}): add {} to the view",
            model.name,
            model.version,
            missing.join(", "),
            view.name(),
            has.join(", "),
            if missing.len() == 1 { "it" } else { "them" }
        ));
    }
    if problems.is_empty() {
        Ok(Columns::new(indices, view.width()))
    } else {
        Err(problems)
    }
}
