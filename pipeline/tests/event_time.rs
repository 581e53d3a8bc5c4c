//! Everything about event time but the windows themselves (`windows/`): alignment, missing values,
//! statuses, sequences and recurrent states, views over views, early results and revisions, limits.
//!
//! The first test holds for all of it at once: what is published does not depend on where batches are cut,
//! nor on where another process takes over. The others show, by hand, that it is right.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use forewarn_pipeline::engine::Step;
use forewarn_pipeline::marks::{Mark, What};
use forewarn_pipeline::notices::Notice;
use forewarn_pipeline::plan::PlannedView;
use forewarn_pipeline::prediction::EventTimestamp;
use forewarn_pipeline::{Config, Engine};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use support::{Run, Written, config, engine, told};

const WIDE: &str = r#"
[event-time]
out-of-orderness = "10s"
duplicates = "drop"
[signals]
a = { missing = { hold = "15s" } }
b = { missing = "interpolate" }
c = { missing = "no-score" }
[status.stuck]
signal = "a"
unchanged-for = "20s"
tolerance = 1.0
[status.quiet]
silent-for = "30s"
[status.maintenance]
topic = "orders"
[views.each]
features = ["a", "c", "a + stuck AS s", "quiet", "maintenance"]
[views.minute]
window = { hopping = "20s", every = "10s" }
allowed-lateness = "25s"
early-every = "7s"
revise-every = "4s"
min-rows = 2
features = ["AVG(a) AS a", "AVG(b) AS b", "MAX(stuck) AS st", "AVG(c) AS c", "MAX(maintenance) AS mt"]
[views.later]
from = "minute"
window = { tumbling = "60s" }
allowed-lateness = "20s"
features = ["AVG(a) AS a", "MAX(b) AS b"]
[views.over]
from = "later"
features = ["a", "b - a AS b"]
[limits]
evict-after = "200s"
max-assets-per-partition = 4
[alarms.low]
model = "shared"
below = { warning = -10, critical = -100 }
of = 2
within = 4
clear-at = 20
[alarms.odd]
model = "plain"
above = 0.7
clear-after = 2
serve plain over
serve persistence over
serve weighted minute | group = "shared"; assets = ["asset-0", "asset-3"]
serve lstm-window minute | group = "shared"; unless = ["mt"]; shadow = [{ name = "weighted" }]
serve running-sum later | canary = { version = 1, share = 0.5 }
"#;

const SEQUENCES: &str = r#"
[event-time]
max-ahead = "1000000days"
[signals]
a = { missing = "no-score" }
b = { missing = { fill = 0.5 } }
c = { missing = { hold = "5s" } }
[views.rows]
features = ["a", "b", "c", "a > 0 AS up"]
[views.sessions]
window = { session = "12s" }
allowed-lateness = "9s"
features = ["AVG(a) AS a", "COUNT(*) AS b"]
[views.counts]
from = "rows"
window = { count = 4, every = 2 }
features = ["LAST(a) AS a", "MIN(b) AS b"]
[limits]
evict-after = "60s"
max-bytes-per-asset = 700
[alarms.life]
model = "by-regime"
below = { warning = 100, critical = 0.2 }
of = 2
within = 3
serve weighted rows | group = "by-regime"; only = ["up"]
serve lstm-step rows | group = "by-regime"; shadow = [{ name = "lstm-window" }]
serve plain sessions
serve running-sum counts
serve persistence counts
"#;

const NARROW: &str = r#"
narrow = { signal = "tag", value = "v" }
[event-time]
out-of-orderness = "6s"
[align]
every = "5s"
max-age = "12s"
[signals]
a = {}
b = { missing = { fill = 1 } }
[status.stuck]
signal = "a"
unchanged-for = "10s"
[status.maintenance]
topic = "orders"
field = "maintenance"
[views.rows]
features = ["a", "b", "stuck", "maintenance"]
[views.w]
window = { tumbling = "15s" }
features = ["AVG(a) AS a", "COUNT(b) AS b"]
[alarms.far]
model = "plain"
above = { warning = 0.5, critical = 2 }
serve weighted rows | unless = ["stuck", "maintenance"]
serve plain w
"#;

/// A reading: asset, step forward, how far behind, what it carries.
type Reading = (usize, i64, i64, u8, i32);

fn readings() -> impl Strategy<Value = Vec<Reading>> {
    let forward = prop_oneof![8 => 0_i64..6, 1 => 6_i64..90];
    let back = prop_oneof![6 => 0_i64..8, 1 => 8_i64..60];
    prop::collection::vec((0_usize..6, forward, back, any::<u8>(), -8_i32..8), 1..120)
}

fn log(readings: &[Reading], narrow: bool) -> Vec<(String, String)> {
    let mut now = 1_000_000;
    let mut line = |(asset, forward, back, carries, value): &Reading| {
        now += forward;
        let at = now - back;
        let value = f64::from(*value) * 0.25;
        let json = if narrow {
            let tag = ["a", "b", "other"][usize::from(*carries) % 3];
            json!({"t": at, "tag": tag, "v": value})
        } else {
            let mut json = json!({ "t": at });
            for (bit, (name, value)) in [("a", value), ("b", value * 3.0 + 1.0), ("c", -value)]
                .into_iter()
                .enumerate()
            {
                // Mostly there; some messages are no readings.
                if carries >> (2 * bit) & 3 != 3 {
                    json[name] = value.into();
                }
            }
            if *carries == 77 {
                json["t"] = Value::Null;
            }
            json
        };
        (format!("asset-{asset}"), json.to_string())
    };
    readings.iter().map(&mut line).collect()
}

/// Notices about maintenance, by the record that they come before; `told` are record, asset, second, on or off.
fn notices_of(told: &[(usize, usize, i64, bool)], records: usize) -> Vec<(usize, Notice)> {
    let mut told = told.to_vec();
    told.retain(|(offset, ..)| *offset < records);
    told.sort_by_key(|(offset, ..)| *offset);
    let notice = |(record, (offset, asset, second, active))| {
        let notice = Notice {
            asset: format!("asset-{asset}"),
            status: "maintenance".into(),
            active,
            at: EventTimestamp((1_000_000 + second) * 1_000_000),
            partition: 0,
            record,
        };
        (offset, notice)
    };
    (0..).zip(told).map(notice).collect()
}

/// The rows of a view: asset, second, the first two values.
fn rows(
    config: &Config,
    log: &[(&str, Value)],
    view: &str,
) -> Vec<(String, i64, [Option<f64>; 2])> {
    let log: Vec<(String, String)> = log
        .iter()
        .map(|(asset, json)| ((*asset).to_owned(), json.to_string()))
        .collect();
    let mut engine = engine(config);
    let mut told = Vec::new();
    let mut take = |step: &Step<'_>| {
        let named = |planned: &PlannedView| planned.view.name() == view;
        let rows = &step.views[step.plan.views.iter().position(named).unwrap()];
        for (row, head) in rows.heads.iter().enumerate() {
            let value =
                |column: usize| Some(rows.columns[column][row]).filter(|value| !value.is_nan());
            let asset = step.asset(head.slot, head.asset).to_owned();
            told.push((asset, head.event_at / 1_000_000, [value(0), value(1)]));
        }
    };
    engine.assign(0, 0, 0, Vec::new());
    take(&engine.step(&support::messages(&log, 0..log.len())).unwrap());
    take(&engine.advance(0, i64::MAX).unwrap());
    told
}

thread_local! {
    static ENGINES: RefCell<[Option<Engine>; 3]> = const { RefCell::new([None, None, None]) };
}

proptest! {
    #[test]
    fn what_is_published_does_not_depend_on_cuts_nor_on_who_takes_over(
        shape in 0_usize..3,
        readings in readings(),
        cuts in prop::collection::vec(1_usize..40, 1..8),
        takeover in 0_usize..120,
        notices in prop::collection::vec((0_usize..120, 0_usize..6, 0_i64..400, any::<bool>()), 0..12),
    ) {
        // Loading models takes longer than a case.
        let mut engine = ENGINES.with(|engines| engines.borrow_mut()[shape].take()).unwrap_or_else(|| {
            engine(&config([WIDE, SEQUENCES, NARROW][shape]))
        });
        let log = log(&readings, shape == 2);
        // Live: notices come between batches.
        let notices = notices_of(&notices, log.len());
        let mut cut = Run::new(&mut engine, 0);
        let (mut at, mut sizes, mut marks) = (0, cuts.iter().cycle(), Vec::new());
        while at < log.len() {
            let new = |(offset, _): &&(usize, Notice)| *offset == at;
            marks.extend(notices.iter().filter(new).filter_map(|(_, notice)| cut.notice(notice)));
            let next = notices.iter().map(|(offset, _)| *offset).find(|offset| *offset > at);
            let end = (at + sizes.next().unwrap()).min(next.unwrap_or(log.len()));
            cut.step(&log, at..end);
            at = end;
        }
        cut.end();
        let expected = cut.sorted();

        // In one go, with the marks that were written then.
        let mut whole = Run::with_marks(&mut engine, 0, marks.clone());
        whole.step(&log, 0..log.len());
        whole.end();
        prop_assert_eq!(whole.sorted(), expected.clone(), "in one go");

        // One process commits what the first records caused; the next one rebuilds and goes on.
        let takeover = takeover.min(log.len());
        let (before, after): (Vec<Mark>, Vec<Mark>) =
            marks.into_iter().partition(|mark| mark.offset <= takeover as i64);
        // From the log's start, or from what the first one had written down.
        for written_at in [None, Some(takeover / 2), Some(takeover)] {
            let mut first = Run::with_marks(&mut engine, 0, before.clone());
            let (mut at, mut written) = (0, Written::default());
            for next in written_at.into_iter().flat_map(|last| [last / 2, last]) {
                first.step(&log, at..next);
                first.save(&mut written);
                at = next;
            }
            first.step(&log, at..takeover);
            let state = format!("{:?}", first.state());
            let mut both = first.sorted();
            let mut second = Run::with_marks(&mut engine, takeover as i64, before.clone());
            let mut at = 0;
            if let Some(written_at) = written_at {
                second.restore(&written);
                at = written_at;
            }
            second.step(&log, at..takeover);
            prop_assert_eq!(format!("{:?}", second.state()), state, "state written at {:?}", written_at);
            at = takeover;
            for mark in &after {
                second.step(&log, at..mark.offset as usize);
                at = mark.offset as usize;
                let What::Notice(notice) = &mark.what else { unreachable!() };
                prop_assert_eq!(second.notice(notice), Some(mark.clone()));
                prop_assert_eq!(second.notice(notice), None, "it knows it already");
            }
            second.step(&log, at..log.len());
            second.end();
            both.extend(second.sorted());
            both.sort();
            prop_assert_eq!(both, expected.clone(), "taken over, state written at {:?}", written_at);
        }
        ENGINES.with(|engines| engines.borrow_mut()[shape] = Some(engine));
    }

    #[test]
    fn aligned_rows_equal_a_plain_loop_whatever_the_order_of_arrival(
        readings in prop::collection::vec((0_usize..3, 0_i64..4, 0_u8..2, -8_i32..8), 1..80),
        jitter in prop::collection::vec(0_i64..6, 80),
        trigger in any::<bool>(),
    ) {
        let (every, age) = (5, 12);
        let align = if trigger { "on = \"a\"" } else { "every = \"5s\"" };
        let config = config(&NARROW.replace("every = \"5s\"", align));
        let mut now = 1_000_000;
        // (asset, at, tag, value); one value of a signal of an asset at an instant.
        let mut all: Vec<(usize, i64, usize, f64)> = Vec::new();
        for (asset, forward, tag, value) in readings {
            now += forward;
            let (tag, value) = (usize::from(tag), f64::from(value));
            if !all.iter().any(|known| (known.0, known.1, known.2) == (asset, now, tag)) {
                all.push((asset, now, tag, value));
            }
        }
        let mut arrivals: Vec<(i64, (usize, i64, usize, f64))> =
            all.iter().zip(&jitter).map(|(reading, jitter)| (reading.1 + jitter, *reading)).collect();
        arrivals.sort_by_key(|(arrival, _)| *arrival);
        let log: Vec<(&str, Value)> = arrivals
            .iter()
            .map(|(_, (asset, at, tag, value))| {
                let tag = ["a", "b"][*tag];
                (["x", "y", "z"][*asset], json!({"t": at, "tag": tag, "v": value}))
            })
            .collect();
        let mut told = rows(&config, &log, "rows");
        told.sort_by(|a, b| a.partial_cmp(b).unwrap());

        let mut expected = Vec::new();
        let last = all.iter().map(|reading| reading.1).max().unwrap();
        for (asset, name) in ["x", "y", "z"].into_iter().enumerate() {
            let of = |tag: usize, at: i64| {
                let past = all.iter().filter(move |r| r.0 == asset && r.2 == tag && r.1 <= at);
                past.max_by_key(|r| r.1).filter(|r| at - r.1 <= age).copied()
            };
            for at in 1_000_000..=last + age {
                let due = if trigger {
                    all.iter().any(|r| r.0 == asset && r.2 == 0 && r.1 == at)
                } else {
                    at % every == 0
                };
                let carried = [of(0, at), of(1, at)].map(|r| r.map(|r| r.3));
                if due && carried.iter().any(Option::is_some) {
                    expected.push((name.to_owned(), at, carried));
                }
            }
        }
        expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
        prop_assert_eq!(told, expected);
    }
}

/// A property over logs in which nothing happens would hold, too.
#[test]
fn everything_that_the_property_is_about_happens_in_its_logs() {
    let expected: [&[&str]; 3] = [
        &[
            "alarm low",
            "cleared low",
            "alarm odd",
            "late",
            "status quiet",
            "status stuck",
            "status maintenance",
            "shadow weighted",
            "prediction running-sum sequence-moved-on",
            "prediction lstm-window",
            "prediction lstm-window regime",
            "prediction persistence",
            "too-many-assets",
        ],
        &[
            "alarm life",
            "cleared life",
            "late",
            "prediction weighted",
            "prediction lstm-step",
            "shadow lstm-window",
            "prediction persistence",
            "prediction running-sum",
        ],
        &[
            "alarm far",
            "cleared far",
            "late",
            "prediction weighted",
            "prediction weighted regime",
            "status stuck",
            "status maintenance",
        ],
    ];
    let mut runner = TestRunner::deterministic();
    let mut draw = || readings().new_tree(&mut runner).unwrap().current();
    for (shape, expected) in expected.into_iter().enumerate() {
        let mut engine = engine(&config([WIDE, SEQUENCES, NARROW][shape]));
        let mut happened: BTreeSet<String> = BTreeSet::new();
        for _ in 0..200 {
            let log = log(&draw(), shape == 2);
            let mut run = Run::new(&mut engine, 0);
            let told = [(0, 0, 0, true), (0, 1, 0, true), (0, 0, 60, false)];
            for (_, notice) in notices_of(&told, 1) {
                run.notice(&notice);
            }
            run.step(&log, 0..log.len());
            run.end();
            for (topic, json) in &run.published.0 {
                let code = json["unscored"]["code"].as_str();
                let of = ["alarm", "model", "status"]
                    .iter()
                    .find_map(|key| json[key].as_str());
                let words = [Some(topic.as_str()), of, code].into_iter().flatten();
                happened.insert(words.collect::<Vec<_>>().join(" "));
            }
        }
        for expected in expected {
            assert!(
                happened.contains(*expected),
                "{shape}: no {expected}: {happened:#?}"
            );
        }
    }
}

/// Scores of the fixture `weighted`: a₋₂ + 10·a₋₁ + 100·a₀.
fn ruls(predictions: &[Value]) -> Vec<Value> {
    let rul = |json: &Value| match json["rul"]["value"].as_f64() {
        Some(value) => json!(value),
        None => json["unscored"]["code"].clone(),
    };
    predictions.iter().map(rul).collect()
}

#[test]
fn a_missing_value_is_held_up_to_its_age_and_then_not_scored() {
    let config = config(
        "[signals]\na = { missing = { hold = \"10s\" } }\n[views.v]\nfeatures = [\"a\"]\nserve weighted v\n",
    );
    let log = [
        ("x", json!({"t": 0})),
        ("x", json!({"t": 10, "a": 1})),
        ("x", json!({"t": 20})),
        ("x", json!({"t": 21})),
        ("x", json!({"t": 22, "a": 2})),
        ("y", json!({"t": 23})),
    ];
    let told = ruls(&told(&config, &log, "prediction"));
    let mut expected = vec![
        json!("signal-missing"),
        json!(111.0),
        json!(111.0),
        json!("signal-missing"),
        json!(211.0),
        json!("signal-missing"),
    ];
    let mut told = told;
    told.sort_by_key(ToString::to_string);
    expected.sort_by_key(ToString::to_string);
    assert_eq!(told, expected);
}

#[test]
fn inside_a_window_a_gap_is_interpolated_and_ends_are_not() {
    let config = config(
        "[signals]\na = { missing = \"interpolate\" }\nb = {}\n\
         [views.w]\nwindow = { tumbling = \"100s\" }\nfeatures = [\"SUM(a) AS a\", \"COUNT(a) AS b\"]\nserve plain w\n",
    );
    let log = [
        ("x", json!({"t": 0, "b": 0})),
        ("x", json!({"t": 10, "a": 1, "b": 0})),
        ("x", json!({"t": 20, "b": 0})),
        ("x", json!({"t": 50, "a": 5, "b": 0})),
        ("x", json!({"t": 60, "b": 0})),
    ];
    let told = told(&config, &log, "prediction");
    // 1 + 2 + 5 of three values: a quarter of the way from 1 to 5 at 20 s.
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["anomaly"]["score"], (64.0 + 9.0) / 2.0);
    assert_eq!(told[0]["window"]["rows"], 5);
}

#[test]
fn one_lying_clock_closes_no_windows_of_others() {
    let window = "[views.w]\nwindow = { tumbling = \"10s\" }\nfeatures = [\"SUM(a) AS a\", \"COUNT(a) AS b\"]\n\
                  [signals]\na = {}\nserve plain w\n";
    let lying = |config: &Config| {
        let at = 1_999_999_990_i64;
        let log = [
            ("good", json!({"t": at, "a": 1})),
            ("liar", json!({"t": at + 100_000, "a": 1})),
            ("good", json!({"t": at + 1, "a": 1})),
            ("good", json!({"t": at + 2, "a": 1})),
        ];
        let scored = told(config, &log, "prediction");
        let good: Vec<Value> = scored
            .iter()
            .filter(|json| json["asset"] == "good")
            .map(|json| json["window"]["rows"].clone())
            .collect();
        (
            good,
            told(config, &log, "clock-ahead").len(),
            told(config, &log, "late").len(),
        )
    };
    assert_eq!(lying(&config(window)), (vec![json!(3)], 1, 0));
    // Without the bound it does.
    let trusting = format!("[event-time]\nmax-ahead = \"10000days\"\n{window}");
    assert_eq!(lying(&config(&trusting)), (vec![json!(1)], 0, 2));
}

#[test]
fn a_sequence_has_a_first_score_a_step_and_a_longest_gap() {
    // The fixture `weighted`, with a contract that says more.
    let dir = tempfile::tempdir().unwrap();
    let version = dir.path().join("weighted/1");
    std::fs::create_dir_all(&version).unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/models/weighted/1/model.onnx");
    std::fs::copy(fixture, version.join("model.onnx")).unwrap();
    let manifest = "sequence-min-rows = 2\nsequence-step = 2\nsequence-max-gap = \"10s\"\npadding = \"edge\"\n";
    std::fs::write(version.join("model.toml"), manifest).unwrap();
    let mut config = config("[signals]\na = {}\n[views.v]\nfeatures = [\"a\"]\nserve weighted v\n");
    config.models.repository = dir.path().to_owned();
    // The sixth reading comes 11 s after the fifth.
    let log: Vec<(&str, Value)> = [0, 1, 2, 3, 4, 15, 16, 17]
        .iter()
        .zip(1..)
        .map(|(t, a)| ("x", json!({"t": t, "a": a})))
        .collect();
    let told = told(&config, &log, "prediction");
    let mut by_offset: Vec<(i64, Value)> = told
        .iter()
        .map(|json| json["source"]["offset"].as_i64().unwrap())
        .zip(ruls(&told))
        .collect();
    by_offset.sort_by_key(|(offset, _)| *offset);
    let short = || json!("insufficient-history");
    // Scored at the second and every second row from there; a reading between two scores says nothing.
    let expected = [
        (0, short()),
        (1, json!(1.0 + 10.0 + 200.0)),
        (3, json!(2.0 + 30.0 + 400.0)),
        (5, short()),
        (6, json!(6.0 + 60.0 + 700.0)),
    ];
    assert_eq!(by_offset, expected);
}

#[test]
fn a_model_with_state_says_what_the_same_network_says_of_all_rows() {
    let config = config(
        "[signals]\na = {}\nb = {}\nc = {}\n[views.v]\nfeatures = [\"a\", \"b\", \"c\"]\n\
         serve lstm-step v\nserve lstm-window v\n",
    );
    // Six rows: the window of lstm-window. Two assets, interleaved.
    let log: Vec<(&str, Value)> = (0..12)
        .map(|n| {
            let value = |k: i64| ((n * 7 + k * 5) % 11) as f64 * 0.2 - 1.0;
            let asset = ["x", "y"][n as usize % 2];
            (
                asset,
                json!({"t": n, "a": value(0), "b": value(1), "c": value(2)}),
            )
        })
        .collect();
    let told = told(&config, &log, "prediction");
    for asset in ["x", "y"] {
        let last = |model: &str| {
            let of = told
                .iter()
                .filter(|json| json["asset"] == asset && json["model"] == model);
            of.max_by_key(|json| json["source"]["offset"].as_i64())
                .unwrap()["rul"]["value"]
                .clone()
        };
        assert!(last("lstm-step").is_number());
        assert_eq!(last("lstm-step"), last("lstm-window"), "bit for bit");
    }
}

#[test]
fn a_revised_minute_revises_its_hour() {
    let config = config(
        "[event-time]\nmax-ahead = \"10000days\"\n[signals]\na = {}\n\
         [views.minute]\nwindow = { tumbling = \"60s\" }\nallowed-lateness = \"7200s\"\nfeatures = [\"SUM(a) AS a\"]\n\
         [views.hour]\nfrom = \"minute\"\nwindow = { tumbling = \"3600s\" }\nallowed-lateness = \"3600s\"\n\
         features = [\"SUM(a) AS a\", \"COUNT(*) AS b\"]\nserve plain hour\n",
    );
    let mut log: Vec<(&str, Value)> = (0..130)
        .map(|n| ("x", json!({"t": n * 30, "a": 1})))
        .collect();
    // The first hour is over, and a minute of it is told again.
    log.push(("x", json!({"t": 45, "a": 100})));
    let hours = told(&config, &log, "prediction");
    let first: Vec<&Value> = hours
        .iter()
        .filter(|json| json["window"]["start"] == "1970-01-01T00:00:00Z")
        .collect();
    let score = |a: f64, b: f64| (a * a + b * b) / 2.0;
    assert_eq!(first.len(), 2);
    assert_eq!(first[0]["anomaly"]["score"], score(120.0, 60.0));
    assert_eq!(first[1]["anomaly"]["score"], score(220.0, 60.0));
    assert_eq!(first[1]["window"]["revision"], 1);
    assert_eq!(first[1]["supersedes"], json!([first[0]["id"]]));
}

#[test]
fn state_has_limits_and_what_they_refuse_is_named() {
    let config = config(
        "[signals]\na = {}\n[views.w]\nwindow = { session = \"100s\" }\nfeatures = [\"SUM(a) AS a\", \"COUNT(*) AS b\"]\n\
         [limits]\nmax-assets-per-partition = 2\nmax-bytes-per-asset = 100\nevict-after = \"500s\"\nserve plain w\n",
    );
    let log: Vec<(&str, Value)> = [
        ("x", 0),
        ("y", 1),
        ("z", 2),
        ("x", 3),
        ("x", 4),
        ("y", 400),
        ("y", 590),
        ("z", 600),
    ]
    .map(|(asset, at)| (asset, json!({"t": at, "a": 1})))
    .to_vec();
    // The third asset of two; the third row of 40 bytes; then x has been silent for long enough.
    assert_eq!(told(&config, &log, "too-many-assets").len(), 1);
    let full = told(&config, &log, "asset-state-full");
    assert_eq!(full.len(), 1);
    assert!(
        full[0]
            .to_string()
            .contains("asset x keeps 120 bytes in view w"),
        "{full:?}"
    );
    let assets: Vec<Value> = told(&config, &log, "prediction")
        .iter()
        .map(|json| json["asset"].clone())
        .collect();
    assert!(
        assets.contains(&json!("z")),
        "evicted assets make room: {assets:?}"
    );
}
