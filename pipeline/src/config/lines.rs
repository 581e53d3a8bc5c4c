//! Where keys are in the file: lines for problems, and the order of the signals. TOML tables keep neither.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

/// Line of every key path in the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Lines(BTreeMap<String, usize>);

impl Lines {
    pub(super) fn read(text: &str) -> Self {
        let mut lines = BTreeMap::new();
        if let Ok(table) = DeTable::parse(text) {
            walk(text, "", table.get_ref(), &mut lines);
        }
        Lines(lines)
    }

    /// The line of `path`, or of the closest table around it.
    pub(super) fn of(&self, path: &str) -> Option<usize> {
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

pub(super) fn line_at(text: &str, byte: usize) -> usize {
    1 + text[..byte.min(text.len())]
        .bytes()
        .filter(|b| *b == b'\n')
        .count()
}

pub(super) fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() {
        key.to_owned()
    } else {
        format!("{prefix}.{key}")
    }
}

/// Names under `[signals]` by their place in the text.
pub(super) fn signal_order(text: &str) -> Vec<String> {
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
