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

#[test]
fn statuses_are_a_table() {
    let told = parse(&format!("status = 3\n{GOOD}"))
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("pumps.toml:1: status: must be a table"),
        "{told}"
    );
}

#[test]
fn event_time_is_read_with_its_units() {
    let text = format!(
        "{GOOD}\n[event-time]\nout-of-orderness = \"5s\"\nidle-timeout = \"never\"\n\
         [[event-time.clocks]]\nassets = [\"logger-*\"]\nmax-behind = \"2days\"\n\
         [views.minute]\nwindow = {{ hopping = \"1m\", every = \"10s\" }}\nfeatures = [\"AVG(flow) AS f\"]\n\
         [views.hour]\nfrom = \"minute\"\nwindow = {{ tumbling = \"1h\" }}\nfeatures = [\"MAX(f) AS f\"]\n\
         [limits]\nevict-after = \"2h\"\n"
    );
    let config = parse(&text).unwrap();
    assert_eq!(config.event_time.out_of_orderness, Duration::from_secs(5));
    assert_eq!(config.event_time.idle_timeout.0, None);
    assert_eq!(
        config.event_time.max_ahead,
        Duration::from_secs(300),
        "by default"
    );
    assert_eq!(config.views["hour"].from.as_deref(), Some("minute"));
    assert_eq!(config.progress_topic(), "pumps-progress");
}

#[test]
fn what_event_time_can_not_mean_is_told_with_a_remedy() {
    let text = GOOD.replace("flow = { field", "flow = { missing = \"ignore\", field")
        + "[align]\nevery = \"1s\"\nmax-age = \"5s\"\n\
           [status.pressure]\nsilent-for = \"1m\"\n\
           [status.stuck]\nunchanged-for = \"1m\"\n\
           [status.both]\nsilent-for = \"1m\"\ntopic = \"orders\"\n\
           [status.idle]\nsilent-for = \"1m\"\nfield = \"idle\"\n\
           [status.looped]\ntopic = \"status\"\n\
           [views.a]\nfrom = \"b\"\nfeatures = [\"x\"]\n\
           [views.b]\nfrom = \"a\"\nfeatures = [\"x\"]\n\
           [views.c]\nfrom = \"nowhere\"\nearly-every = \"1s\"\nfeatures = [\"x\"]\n\
           [views.d]\nwindow = { tumbling = \"0s\" }\nrevise-every = \"1s\"\nfeatures = [\"x\"]\n\
           [views.e]\nwindow = { rolling = \"1m\" }\nfeatures = [\"x\"]\n\
           [views.f]\nwindow = { tumbling = \"1h\" }\nallowed-lateness = \"1h\"\nfeatures = [\"x\"]\n\
           [views.g]\nfrom = \"f\"\nwindow = { count = 3 }\nmin-rows = 4\nfeatures = [\"x\"]\n\
           [limits]\nevict-after = \"1h\"\n\
           [event-time]\nidle-timeout = \"soon\"\n";
    let problems = parse(&text).unwrap_err();
    let told = problems.to_string();
    for expected in [
        "signals.flow.missing: unknown variant `ignore`, expected one of `refuse`, `no-score`",
        "align: is for messages that carry one signal each",
        "status.pressure: has the name of a signal",
        "status.stuck: needs one of silent-for = \"5m\", topic",
        "status.both: needs one of",
        "status.idle.field: is about the messages of a topic",
        "status.looped.topic: status has records of another kind already",
        "views.a.from: leads back to this view",
        "views.b.from: leads back to this view",
        "views.c.from: nowhere is not a view; there is: a, b, c",
        "views.c.early-every: needs a window of time or a session",
        "views.d.window: lengths must be longer than 0",
        "views.d.revise-every: needs allowed-lateness",
        "views.e.window: a window is one of { tumbling",
        "views.g.window: counts rows of f, which may be revised",
        "views.g.window: has fewer rows than min-rows",
        "limits.evict-after: must be longer than what state is needed for: 2h",
        "event-time.idle-timeout:",
    ] {
        assert!(told.contains(expected), "missing: {expected}\n{told}");
    }
    assert_eq!(problems.list.len(), 18, "{told}");
}

#[test]
fn an_asset_is_not_evicted_while_its_state_is_in_use() {
    let told = |rest: &str, after: &str| {
        let text = format!("{GOOD}{rest}\n[limits]\nevict-after = \"{after}\"\n");
        parse(&text).err().map(|problems| problems.to_string())
    };
    // An hour of minutes: a reading is in the minute's window, and that in the hour's.
    let views = "[views.minute]\nwindow = { tumbling = \"1m\" }\nallowed-lateness = \"2m\"\n\
                 features = [\"AVG(flow) AS f\"]\n\
                 [views.hour]\nfrom = \"minute\"\nwindow = { tumbling = \"1h\" }\nfeatures = [\"MAX(f) AS f\"]\n";
    assert!(told(views, "63m").unwrap().contains("needed for: 1h 3m"));
    assert_eq!(told(views, "64m"), None);
    let silent = "[status.quiet]\nsilent-for = \"2h\"\n";
    assert!(told(silent, "2h").unwrap().contains("needed for: 2h"));
    assert_eq!(told(silent, "3h"), None);
}

#[test]
fn narrow_telemetry_needs_alignment() {
    let narrow = |rest: &str| {
        let narrow = "[source]\nnarrow = { signal = \"tag\", value = \"v\" }";
        parse(&(GOOD.replace("[source]", narrow) + rest))
    };
    let told = narrow("").unwrap_err().to_string();
    assert!(told.contains("source.narrow: needs [align]"), "{told}");
    let told = narrow("[align]\nmax-age = \"5s\"\n")
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("align: needs one of `every` and `on`"),
        "{told}"
    );
    assert!(narrow("[align]\non = \"flow\"\nmax-age = \"5s\"\n").is_ok());
}

#[test]
fn the_example_of_the_guide_is_right_but_for_its_models() {
    let guide = include_str!("../../../docs/event-time.md");
    let example = guide
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let config = parse(example).unwrap();
    let problems = crate::Plan::build(&config, &forewarn_models::Loader::trusted()).unwrap_err();
    for problem in &problems.list {
        assert!(problem.path.starts_with("models."), "{problem:?}");
    }
}

#[test]
fn what_an_operator_sets_is_checked() {
    let good = format!("{GOOD}watchdog = \"2m\"\n[service]\nhttp = \"127.0.0.1:9100\"\n");
    let config = parse(&good).unwrap();
    assert_eq!(config.delivery.watchdog, Duration::from_secs(120));
    assert_eq!(config.service.http, "127.0.0.1:9100".parse().ok());
    let defaults = parse(GOOD).unwrap();
    assert_eq!(defaults.service.http, None);
    assert_eq!(defaults.delivery.watchdog, Duration::from_secs(60));
    let bad = format!(
        "{GOOD}watchdog = \"30s\"\n[service]\nhttp = \"9100\"\n[kafka.options]\n\"client.id\" = \"x\"\n"
    );
    let told = parse(&bad).unwrap_err().to_string();
    for problem in [
        "delivery.watchdog: must be longer than 30s",
        "service.http",
        "client.id: is set by forewarn",
    ] {
        assert!(told.contains(problem), "{problem} in\n{told}");
    }
}
