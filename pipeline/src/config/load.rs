//! From text to [`Config`], collecting every problem on the way.
//!
//! Each section is read for itself, so a mistake in one does not hide those of the others. Within a section
//! serde stops at its first mistake; the key at fault is then set aside and the section is read again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::check::check;
use super::lines::{Lines, join, line_at, signal_order};
use super::models::Models;
use super::problem::Problems;
use super::sections::{
    Align, Delivery, EventTimeConfig, Kafka, Limits, Service, Sink, Source, StatusConfig, View,
};
use super::serving::AlarmConfig;
use crate::signal::{MissingPolicy, Signal, SignalConfig};

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Name of the pipeline: its consumer group, and part of its transactional ids.
    pub name: String,
    pub kafka: Kafka,
    pub source: Source,
    /// In the order of the file.
    pub signals: Vec<Signal>,
    pub event_time: EventTimeConfig,
    /// For narrow telemetry only.
    pub align: Option<Align>,
    pub statuses: BTreeMap<String, StatusConfig>,
    pub limits: Limits,
    pub views: BTreeMap<String, View>,
    pub models: Models,
    /// Patterns of asset names by the name of their class.
    pub classes: BTreeMap<String, Vec<String>>,
    pub alarms: BTreeMap<String, AlarmConfig>,
    pub sink: Sink,
    pub delivery: Delivery,
    pub service: Service,
    /// The sections that give state its meaning, as they are in the file.
    sections: Table,
    /// Where keys are in the file, for later checks.
    lines: Lines,
    file: String,
}

/// The sections that say how readings become state.
fn meant(text: &str) -> Table {
    let Ok(mut table) = text.parse::<Table>() else {
        return Table::new();
    };
    let of_source = ["asset", "event-time", "narrow"];
    let of_table = [
        "source",
        "signals",
        "event-time",
        "align",
        "status",
        "views",
        "limits",
        "alarms",
        "classes",
        "models",
    ];
    table.retain(|section, _| of_table.contains(&section));
    let sections: [(&str, &[&str]); 2] = [("source", &of_source), ("models", &["serve"])];
    for (section, keys) in sections {
        if let Some(section) = table.get_mut(section).and_then(Value::as_table_mut) {
            section.retain(|key, _| keys.contains(&key));
        }
    }
    table
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// All problems found. Relative paths are resolved against the file's folder.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        Self::strict(Self::inspect(path))
    }

    /// Reads a file and gives what could be read of it, with all problems: for a check that goes on to the
    /// views and models. `None` when there is no file or it is no TOML.
    pub fn inspect(path: &Path) -> (Option<Self>, Problems) {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::read(&file, &text, path.parent().unwrap_or(Path::new("."))),
            Err(error) => {
                let mut problems = Problems::new(&file);
                problems.add("", None, format!("can't be read: {error}"));
                (None, problems)
            }
        }
    }

    /// Parses and checks `text`; `base` is what relative paths are relative to.
    ///
    /// # Errors
    /// All problems found.
    pub fn parse(file: &str, text: &str, base: &Path) -> Result<Self, Problems> {
        Self::strict(Self::read(file, text, base))
    }

    fn strict((config, problems): (Option<Self>, Problems)) -> Result<Self, Problems> {
        let unread = problems.clone();
        problems.into_result()?;
        config.ok_or(unread)
    }

    fn read(file: &str, text: &str, base: &Path) -> (Option<Self>, Problems) {
        let mut reader = match Reader::new(file, text) {
            Ok(reader) => reader,
            Err(problems) => return (None, problems),
        };
        let mut config = Config {
            name: reader.name(),
            kafka: reader.section("kafka", false),
            source: reader.section("source", true),
            signals: reader.signals(),
            event_time: reader.section("event-time", false),
            align: reader.optional("align"),
            statuses: reader.named("status"),
            limits: reader.section("limits", false),
            views: reader.views(),
            models: reader.models(base),
            classes: reader.named("classes"),
            alarms: reader.named("alarms"),
            sink: reader.section("sink", false),
            delivery: reader.section("delivery", false),
            service: reader.section("service", false),
            sections: meant(text),
            lines: Lines::default(),
            file: file.to_owned(),
        };

        reader.unknown_sections();
        // A message that carries one signal lacks all others: that is no fault.
        if config.source.narrow.is_some() {
            for signal in &mut config.signals {
                signal.missing.get_or_insert(MissingPolicy::NoScore);
            }
        }
        check(&config, &mut reader);
        let Reader {
            problems, lines, ..
        } = reader;
        (Some(Config { lines, ..config }), problems)
    }

    /// Starts a list of problems found later, in the same file.
    pub fn problems(&self) -> Problems {
        Problems::new(&self.file)
    }

    /// Everything of the file that gives state its meaning, as text: with another text state is of no use.
    pub fn meaning(&self) -> String {
        self.written(&self.sections)
    }

    /// Everything of the file that gives the rows of a view their meaning, as text: the view, those that it reads, and
    /// how messages become readings.
    pub fn definition(&self, view: &str) -> String {
        let mut sections = self.sections.clone();
        for section in ["alarms", "classes", "models"] {
            sections.remove(section);
        }
        let mut upstream = Vec::new();
        let mut next = Some(view);
        while let Some(name) = next {
            upstream.push(name);
            next = self.views.get(name).and_then(|view| view.from.as_deref());
        }
        if let Some(views) = sections.get_mut("views").and_then(Value::as_table_mut) {
            views.retain(|name, _| upstream.contains(&name));
        }
        self.written(&sections)
    }

    /// The same readings, each a row of the one view `readings` as it comes, and nothing made of them.
    #[must_use]
    pub fn readings_only(&self) -> Self {
        let readings = View {
            features: vec!["*".into()],
            window: None,
            from: None,
            allowed_lateness: std::time::Duration::ZERO,
            early_every: None,
            revise_every: None,
            min_rows: None,
        };
        let mut config = Config {
            views: BTreeMap::from([("readings".to_owned(), readings)]),
            alarms: BTreeMap::new(),
            statuses: BTreeMap::new(),
            align: None,
            ..self.clone()
        };
        config.models.serve.clear();
        config
    }

    /// In an order that does not depend on that of the file; only the signals have one of their own.
    fn written(&self, sections: &Table) -> String {
        let names: Vec<&str> = self
            .signals
            .iter()
            .map(|signal| signal.name.as_str())
            .collect();
        format!("{sections}{names:?}")
    }

    /// Topic of the state that is written down.
    pub fn state_topic(&self) -> String {
        let default = || format!("{}-state", self.name);
        self.sink.state.clone().unwrap_or_else(default)
    }

    /// Topic of marks.
    pub fn progress_topic(&self) -> String {
        let default = || format!("{}-progress", self.name);
        self.sink.progress.clone().unwrap_or_else(default)
    }

    /// Topic of what happens to the models of a running service.
    pub fn models_topic(&self) -> String {
        let default = || format!("{}-models", self.name);
        self.sink.models.clone().unwrap_or_else(default)
    }

    /// The line of a key path, where it is in the file.
    pub fn line(&self, path: &str) -> Option<usize> {
        self.lines.of(path)
    }
}

/// Takes sections out of the root table and collects problems.
pub(super) struct Reader {
    root: Table,
    pub(super) lines: Lines,
    /// Names under `[signals]` in the order of the file; TOML tables do not keep it.
    signal_order: Vec<String>,
    problems: Problems,
}

impl Reader {
    fn new(file: &str, text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::new(file);
        let root = match text.parse::<Table>() {
            Ok(root) => root,
            Err(error) => {
                let line = error.span().map(|span| line_at(text, span.start));
                problems.add("", line, error.message());
                return Err(problems);
            }
        };
        let lines = Lines::read(text);
        Ok(Reader {
            root,
            signal_order: signal_order(text),
            lines,
            problems,
        })
    }

    pub(super) fn problem(&mut self, path: &str, message: impl Into<String>) {
        let line = self.lines.of(path);
        self.problems.add(path, line, message);
    }

    fn name(&mut self) -> String {
        match self.root.remove("name") {
            Some(Value::String(name)) if !name.trim().is_empty() => name,
            Some(_) => {
                self.problem("name", "must be a text that is not empty");
                String::new()
            }
            None => {
                self.problem(
                    "name",
                    "is missing: it names the pipeline and its consumer group",
                );
                String::new()
            }
        }
    }

    /// Reads one section; a missing one is its default, or a problem where it is required.
    fn section<T: DeserializeOwned + Default>(&mut self, key: &str, required: bool) -> T {
        match self.root.remove(key) {
            Some(value) => self.read(key, value).unwrap_or_default(),
            None if required => {
                self.problem(key, format!("is missing: add a section [{key}]"));
                T::default()
            }
            None => T::default(),
        }
    }

    fn optional<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value = self.root.remove(key)?;
        self.read(key, value)
    }

    /// A table of named things, which may be left out.
    fn named<T: DeserializeOwned>(&mut self, key: &str) -> BTreeMap<String, T> {
        let table = match self.root.remove(key) {
            Some(Value::Table(table)) => table,
            Some(_) => {
                self.problem(key, "must be a table");
                return BTreeMap::new();
            }
            None => return BTreeMap::new(),
        };
        self.entries(key, table)
    }

    /// The entries of a table of named things.
    fn entries<T: DeserializeOwned>(&mut self, key: &str, table: Table) -> BTreeMap<String, T> {
        let read = |(name, value): (String, Value)| {
            let entry = self.read(&format!("{key}.{name}"), value)?;
            Some((name, entry))
        };
        table.into_iter().filter_map(read).collect()
    }

    /// Reads a value, setting keys that are at fault aside until the rest can be read.
    fn read<T: DeserializeOwned>(&mut self, path: &str, mut value: Value) -> Option<T> {
        loop {
            let error = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let inner = error.path().to_string();
            let full = match inner.as_str() {
                "." => path.to_owned(),
                inner => join(path, inner),
            };
            self.problem(&full, first_line(&error.into_inner().to_string()));
            if !remove(&mut value, &inner) {
                return None;
            }
        }
    }

    fn signals(&mut self) -> Vec<Signal> {
        let Some(mut table) = self.table(
            "signals",
            "declare each signal, such as T24 = { unit = \"degR\" }",
        ) else {
            return Vec::new();
        };
        let mut signals = Vec::new();
        for name in std::mem::take(&mut self.signal_order) {
            let Some(value) = table.remove(&name) else {
                continue;
            };
            // One that can't be read stays known, so that views which use it are not at fault too.
            let config = self.read::<SignalConfig>(&format!("signals.{name}"), value);
            signals.push(Signal::new(&name, config.unwrap_or_default()));
        }
        signals
    }

    fn views(&mut self) -> BTreeMap<String, View> {
        let hint = "declare one, such as [views.engine] with features = [\"*\"]";
        let table = self.table("views", hint).unwrap_or_default();
        self.entries("views", table)
    }

    fn models(&mut self, base: &Path) -> Models {
        let empty = Models::serving_none(PathBuf::new());
        let Some(table) = self.table(
            "models",
            "name the repository and at least one [[models.serve]]",
        ) else {
            return empty;
        };
        let Some(mut models) = self.read::<Models>("models", Value::Table(table)) else {
            return empty;
        };
        models.repository = base.join(&models.repository);
        models.runtime = models.runtime.map(|path| base.join(path));
        models.store = models.store.map(|path| base.join(path));
        if models.serve.is_empty() {
            self.problem(
                "models",
                "serves no model: add a [[models.serve]] with name and view",
            );
        }
        models
    }

    fn table(&mut self, key: &str, hint: &str) -> Option<Table> {
        match self.root.remove(key) {
            Some(Value::Table(table)) if !table.is_empty() => Some(table),
            Some(Value::Table(_)) => {
                self.problem(key, format!("is empty: {hint}"));
                None
            }
            Some(_) => {
                self.problem(key, "must be a table");
                None
            }
            None => {
                self.problem(key, format!("is missing: {hint}"));
                None
            }
        }
    }

    fn unknown_sections(&mut self) {
        for key in std::mem::take(&mut self.root).keys() {
            let known = "name, kafka, source, signals, event-time, align, status, views, models, classes, alarms, limits, sink, \
                         delivery, service";
            self.problem(key, format!("is not known here; known are {known}"));
        }
    }
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim().to_owned()
}

/// Removes the value at `path` (as serde_path_to_error writes it). False when there is no such value.
fn remove(value: &mut Value, path: &str) -> bool {
    let (parents, last) = match path.rsplit_once('.') {
        Some((parents, last)) => (Some(parents), last),
        None => (None, path),
    };
    let mut at = value;
    for part in parents.into_iter().flat_map(|p| p.split('.')) {
        let (name, index) = part.split_once('[').unwrap_or((part, ""));
        let Some(next) = at.get_mut(name) else {
            return false;
        };
        at = next;
        if let Ok(index) = index.trim_end_matches(']').parse::<usize>() {
            let Some(next) = at.get_mut(index) else {
                return false;
            };
            at = next;
        }
    }
    let name = last.split('[').next().unwrap_or(last);
    at.as_table_mut()
        .is_some_and(|table| table.remove(name).is_some())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
