//! From text to [`Config`], collecting every problem on the way.
//!
//! Each section is read for itself, so a mistake in one does not hide those of the others. Within a section
//! serde stops at its first mistake; the key at fault is then set aside and the section is read again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::problem::Problems;
use super::sections::{Delivery, Kafka, Models, Service, Sink, Source, View};
use crate::signal::{Signal, SignalConfig};

/// Settings that the delivery guarantee rests on, so that `kafka.options` must not change them.
const OWN_OPTIONS: [&str; 9] = [
    "bootstrap.servers",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "isolation.level",
    "transactional.id",
    "enable.idempotence",
    "acks",
];

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Name of the pipeline: its consumer group, and part of its transactional ids.
    pub name: String,
    pub kafka: Kafka,
    pub source: Source,
    /// In the order of the file.
    pub signals: Vec<Signal>,
    pub views: BTreeMap<String, View>,
    pub models: Models,
    pub sink: Sink,
    pub delivery: Delivery,
    pub service: Service,
    /// Where keys are in the file, for later checks.
    lines: Lines,
    file: String,
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
        let config = Config {
            name: reader.name(),
            kafka: reader.section("kafka", false),
            source: reader.section("source", true),
            signals: reader.signals(),
            views: reader.views(),
            models: reader.models(base),
            sink: reader.section("sink", false),
            delivery: reader.section("delivery", false),
            service: reader.section("service", false),
            lines: Lines::default(),
            file: file.to_owned(),
        };
        reader.unknown_sections();
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

    /// The line of a key path, where it is in the file.
    pub fn line(&self, path: &str) -> Option<usize> {
        self.lines.of(path)
    }
}

/// Line of every key path in the file.
#[derive(Debug, Clone, Default, PartialEq)]
struct Lines(BTreeMap<String, usize>);

impl Lines {
    fn read(text: &str) -> Self {
        let mut lines = BTreeMap::new();
        if let Ok(table) = DeTable::parse(text) {
            walk(text, "", table.get_ref(), &mut lines);
        }
        Lines(lines)
    }

    /// The line of `path`, or of the closest table around it.
    fn of(&self, path: &str) -> Option<usize> {
        let mut path = path;
        loop {
            if let Some(line) = self.0.get(path) {
                return Some(*line);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }
}

fn walk(text: &str, prefix: &str, table: &DeTable<'_>, lines: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let path = join(prefix, key.get_ref());
        lines.insert(path.clone(), line_at(text, key.span().start));
        walk_value(text, &path, value.get_ref(), lines);
    }
}

fn walk_value(text: &str, path: &str, value: &DeValue<'_>, lines: &mut BTreeMap<String, usize>) {
    match value {
        DeValue::Table(table) => walk(text, path, table, lines),
        DeValue::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                let path = format!("{path}[{i}]");
                lines.insert(path.clone(), line_at(text, item.span().start));
                walk_value(text, &path, item.get_ref(), lines);
            }
        }
        _ => {}
    }
}

fn line_at(text: &str, byte: usize) -> usize {
    1 + text[..byte.min(text.len())]
        .bytes()
        .filter(|b| *b == b'\n')
        .count()
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() {
        key.to_owned()
    } else {
        format!("{prefix}.{key}")
    }
}

/// Takes sections out of the root table and collects problems.
struct Reader {
    root: Table,
    lines: Lines,
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

    fn problem(&mut self, path: &str, message: impl Into<String>) {
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
        let Some(table) = self.table("views", hint) else {
            return BTreeMap::new();
        };
        table
            .into_iter()
            .filter_map(|(name, value)| {
                Some((name.clone(), self.read(&format!("views.{name}"), value)?))
            })
            .collect()
    }

    fn models(&mut self, base: &Path) -> Models {
        let empty = Models {
            repository: PathBuf::new(),
            runtime: None,
            serve: Vec::new(),
        };
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
            let known = "name, kafka, source, signals, views, models, sink, delivery, service";
            self.problem(key, format!("is not known here; known are {known}"));
        }
    }
}

/// Names under `[signals]` by their place in the text.
fn signal_order(text: &str) -> Vec<String> {
    let Ok(root) = DeTable::parse(text) else {
        return Vec::new();
    };
    let Some(DeValue::Table(signals)) = root.get_ref().get("signals").map(toml::Spanned::get_ref)
    else {
        return Vec::new();
    };
    let mut names: Vec<(usize, String)> = signals
        .iter()
        .map(|(key, _)| (key.span().start, key.get_ref().to_string()))
        .collect();
    names.sort();
    names.into_iter().map(|(_, name)| name).collect()
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

/// Checks across keys and sections.
fn check(config: &Config, reader: &mut Reader) {
    let source = &config.source;
    if source.topic.is_empty() && reader.lines.of("source").is_some() {
        reader.problem("source.topic", "is missing: name the telemetry topic");
    }
    if source.max_batch_messages == 0 {
        reader.problem("source.max-batch-messages", "must be at least 1");
    }
    for option in config.kafka.options.keys() {
        if OWN_OPTIONS.contains(&option.as_str()) {
            let message = "is set by forewarn: the delivery guarantee rests on it";
            reader.problem(&format!("kafka.options.{option}"), message);
        }
    }
    if config.service.workers == 0 {
        reader.problem("service.workers", "must be at least 1");
    }
    if config.delivery.commit_interval.is_zero() {
        reader.problem("delivery.commit-interval", "must be longer than 0");
    }
    check_topics(config, reader);
    check_signals(config, reader);
    for (i, served) in config.models.serve.iter().enumerate() {
        let path = format!("models.serve[{i}]");
        if !config.views.contains_key(&served.view) {
            let known: Vec<&str> = config.views.keys().map(String::as_str).collect();
            let message = format!(
                "{} is not a view; there is: {}",
                served.view,
                known.join(", ")
            );
            reader.problem(&format!("{path}.view"), message);
        }
        if config.models.serve[..i]
            .iter()
            .any(|other| other.name == served.name)
        {
            reader.problem(
                &format!("{path}.name"),
                format!("{} is served twice", served.name),
            );
        }
    }
    for (name, view) in &config.views {
        if view.features.is_empty() {
            reader.problem(
                &format!("views.{name}.features"),
                "is empty: name a signal or \"*\"",
            );
        }
    }
}

fn check_topics(config: &Config, reader: &mut Reader) {
    let topics = [
        ("source.topic", &config.source.topic),
        ("sink.predictions", &config.sink.predictions),
        ("sink.dead-letters", &config.sink.dead_letters),
    ];
    for (i, (path, topic)) in topics.iter().enumerate() {
        if topic.is_empty() && i > 0 {
            reader.problem(path, "must name a topic");
        }
        if !topic.is_empty() && topics[..i].iter().any(|(_, other)| other == topic) {
            reader.problem(
                path,
                format!("topic {topic} is used twice: outputs would be read as input"),
            );
        }
    }
}

fn check_signals(config: &Config, reader: &mut Reader) {
    let mut fields: BTreeMap<&str, String> = BTreeMap::new();
    if let super::AssetSource::Field { field } = &config.source.asset {
        fields.insert(field, "source.asset".into());
    }
    if let super::EventTime::Field { field, .. } = &config.source.event_time
        && let Some(other) = fields.insert(field, "source.event-time".into())
    {
        reader.problem(
            "source.event-time",
            format!("uses field {field}, as {other} does"),
        );
    }
    for signal in &config.signals {
        let path = format!("signals.{}", signal.name);
        if signal.min > signal.max {
            reader.problem(
                &path,
                format!("min {} is above max {}", signal.min, signal.max),
            );
        }
        if let Some(other) = fields.insert(&signal.field, path.clone()) {
            reader.problem(
                &path,
                format!("uses field {}, as {other} does", signal.field),
            );
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
