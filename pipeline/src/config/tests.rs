use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::{AssetSource, EventTime, Guarantee, TimeUnit};

const GOOD: &str = r#"
name = "pumps"

[source]
topic = "telemetry"
asset = { field = "pump" }
event-time = { field = "t", unit = "s" }

[signals]
pressure = { unit = "bar", min = 0, max = 16 }
flow = { field = "Volume Flow" }

[views.pump]
features = ["*", "pressure / 2 AS half"]

[models]
repository = "zoo"
[[models.serve]]
name = "pump-anomaly"
view = "pump"

[delivery]
commit-interval = "100ms"
"#;

fn parse(text: &str) -> Result<Config, Problems> {
    Config::parse("pumps.toml", text, Path::new("/etc/forewarn"))
}

#[test]
fn a_good_file_is_read_with_its_defaults() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.name, "pumps");
    assert_eq!(
        config.source.asset,
        AssetSource::Field {
            field: "pump".into()
        }
    );
    let time = EventTime::Field {
        field: "t".into(),
        unit: TimeUnit::S,
    };
    assert_eq!(config.source.event_time, time);
    let names: Vec<&str> = config
        .signals
        .iter()
        .map(|signal| signal.name.as_str())
        .collect();
    assert_eq!(names, ["pressure", "flow"], "the order of the file");
    assert_eq!(config.signals[1].field, "Volume Flow");
    assert_eq!(config.models.repository, Path::new("/etc/forewarn/zoo"));
    assert_eq!(config.delivery.commit_interval, Duration::from_millis(100));
    assert_eq!(config.delivery.guarantee, Guarantee::ExactlyOnce);
    assert_eq!(config.sink.dead_letters, "dead-letters");
}

#[test]
fn all_problems_are_told_at_once_with_their_lines() {
    let text = r#"
name = "pumps"
[source]
topik = "telemetry"
max-batch-wait = "soon"
[signals]
pressure = { min = 16, max = 0 }
flow = { colour = "red" }
[views.pump]
features = []
[models]
repository = "zoo"
[[models.serve]]
name = "a"
view = "pomp"
[kafka.options]
"group.id" = "mine"
[sinks]
"#;
    let problems = parse(text).unwrap_err();
    let told = problems.to_string();
    for expected in [
        "pumps.toml:4: source.topik: unknown field",
        "pumps.toml:5: source.max-batch-wait:",
        "source.topic: is missing",
        "pumps.toml:7: signals.pressure: min 16 is above max 0",
        "pumps.toml:8: signals.flow.colour: unknown field",
        "pumps.toml:10: views.pump.features: is empty",
        "pumps.toml:15: models.serve[0].view: pomp is not a view; there is: pump",
        "group.id: is set by forewarn",
        "pumps.toml:18: sinks: is not known here",
    ] {
        assert!(told.contains(expected), "missing: {expected}\n{told}");
    }
    assert_eq!(problems.list.len(), 9, "{told}");
}

#[test]
fn broken_toml_is_told_with_its_line() {
    let told = parse("name = \"x\"\n[source\n").unwrap_err().to_string();
    assert!(told.starts_with("pumps.toml:2"), "{told}");
}

#[test]
fn one_field_cannot_be_two_things() {
    let text = GOOD.replace("field = \"Volume Flow\"", "field = \"pump\"");
    let told = parse(&text).unwrap_err().to_string();
    assert!(
        told.contains("uses field pump, as source.asset does"),
        "{told}"
    );
}

#[test]
fn outputs_must_not_go_back_to_the_input() {
    let text = format!("{GOOD}\n[sink]\npredictions = \"telemetry\"\n");
    let told = parse(&text).unwrap_err().to_string();
    assert!(told.contains("used twice"), "{told}");
}
