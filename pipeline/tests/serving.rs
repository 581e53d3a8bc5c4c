//! Which model scores which row, and what its results lead to: groups, canaries, regimes, challengers, alarms.
//!
//! That none of it depends on cuts and take-overs is shown in `event_time.rs`.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::collections::BTreeMap;
use std::convert::Infallible;

use forewarn_models::Loader;
use forewarn_pipeline::config::{ContributionsOf, Headers};
use forewarn_pipeline::publish::{Encoder, Output, OutputRecord, Publisher, SetAsideRecord};
use forewarn_pipeline::{Config, Plan};
use serde_json::{Value, json};

use support::{Run, config, engine, messages, told};

/// One signal more than the models need, and a view of all rows as they come.
const ROWS: &str = "[signals]\na = {}\nb = {}\nr = {}\n[views.v]\nfeatures = [\"*\"]\n";

fn reading(t: i64, a: f64, r: f64) -> Value {
    json!({"t": t, "a": a, "b": 0.0, "r": r})
}

/// By asset, the models that scored it.
fn scorers(told: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut by_asset: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for json in told.iter().filter(|json| json.get("unscored").is_none()) {
        let model = json["model"].as_str().unwrap().to_owned();
        let of = by_asset.entry(json["asset"].as_str().unwrap().into());
        of.or_default().push(model);
    }
    by_asset
}

#[test]
fn the_first_entry_of_a_group_that_takes_an_asset_scores_it() {
    let config = config(&format!(
        "[classes]\nold = [\"pump-1*\", \"pump-9\"]\n{ROWS}\
         serve plain v | group = \"g\"; assets = [\"@old\"]\n\
         serve nan v | group = \"g\"; assets = [\"pump-*\"]\n\
         serve weighted v | assets = [\"fan\"]\n"
    ));
    let log: Vec<(&str, Value)> = ["pump-1", "pump-12", "pump-2", "pump-9", "fan", "other"]
        .iter()
        .map(|asset| (*asset, reading(0, 4.0, 0.0)))
        .collect();
    let expected = [
        ("fan", "weighted"),
        ("pump-1", "plain"),
        ("pump-12", "plain"),
        ("pump-2", "nan"),
        ("pump-9", "plain"),
    ];
    let expected: BTreeMap<String, Vec<String>> = expected
        .iter()
        .map(|(asset, model)| ((*asset).into(), vec![(*model).into()]))
        .collect();
    assert_eq!(scorers(&told(&config, &log, "prediction")), expected);
}

#[test]
fn an_asset_with_a_model_of_its_own_is_scored_by_that_one() {
    let mut config = config(&format!(
        "{ROWS}serve pump-{{asset}} v | group = \"g\"\nserve shared v | group = \"g\"\n"
    ));
    let dir = tempfile::tempdir().unwrap();
    for name in ["pump-7", "pump-8", "pump-", "shared"] {
        let version = dir.path().join(name).join("1");
        std::fs::create_dir_all(&version).unwrap();
        std::fs::copy(
            config.models.repository.join("plain/1/model.onnx"),
            version.join("model.onnx"),
        )
        .unwrap();
    }
    config.models.repository = dir.path().to_owned();
    let log = ["7", "8", "9"].map(|asset| (asset, reading(0, 1.0, 0.0)));
    let scorers = scorers(&told(&config, &log, "prediction"));
    let of = |asset: &str| scorers[asset].join(",");
    assert_eq!(
        ["7", "8", "9"].map(of),
        ["pump-7", "pump-8", "shared"].map(String::from)
    );
}

/// A repository with versions of `plain`, each with a threshold of its own number.
fn versions_of_plain(config: &mut Config, versions: &[u32]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let fixture = config.models.repository.join("plain/1/model.onnx");
    for version in versions {
        let folder = dir.path().join("plain").join(version.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(&fixture, folder.join("model.onnx")).unwrap();
        let manifest = format!("threshold = {version}.0\n");
        std::fs::write(folder.join("model.toml"), manifest).unwrap();
    }
    config.models.repository = dir.path().to_owned();
    dir
}

#[test]
fn a_canary_scores_its_share_of_the_assets_and_no_other() {
    let mut config = config(&format!(
        "{ROWS}serve plain v | version = 1; canary = {{ version = 3, share = 0.25 }}\n"
    ));
    let _dir = versions_of_plain(&mut config, &[1, 3]);
    let names: Vec<String> = (0..400).map(|i| format!("car-{i}")).collect();
    let log: Vec<(&str, Value)> = names
        .iter()
        .chain(&names)
        .map(|name| (name.as_str(), reading(0, 1.0, 0.0)))
        .collect();
    let mut by_asset: BTreeMap<String, Vec<(u64, f64)>> = BTreeMap::new();
    for json in told(&config, &log, "prediction") {
        let told = (
            json["version"].as_u64().unwrap(),
            json["anomaly"]["threshold"].as_f64().unwrap(),
        );
        let asset = json["asset"].as_str().unwrap().to_owned();
        by_asset.entry(asset).or_default().push(told);
    }
    assert_eq!(by_asset.len(), 400);
    for (asset, told) in &by_asset {
        assert!(
            matches!(told[..], [(1, 1.0), (1, 1.0)] | [(3, 3.0), (3, 3.0)]),
            "{asset}: {told:?}"
        );
    }
    let canaries = by_asset.values().filter(|told| told[0].0 == 3).count();
    assert!((70..130).contains(&canaries), "{canaries} of 400");
}

#[test]
fn the_champion_serves_and_the_highest_version_challenges() {
    let mut config = config(&format!("{ROWS}serve plain v | shadow = [{{}}]\n"));
    let dir = versions_of_plain(&mut config, &[1, 2, 5]);
    let pointer = r#"{"version": 2, "by": "ada", "at": "2026-01-01T00:00:00Z"}"#;
    std::fs::write(dir.path().join("plain/champion.json"), pointer).unwrap();
    let log = [("x", reading(0, 1.0, 0.0))];
    let version = |topic: &str| told(&config, &log, topic)[0]["version"].clone();
    assert_eq!(
        (version("prediction"), version("shadow")),
        (json!(2), json!(5))
    );
}

#[test]
fn a_regime_selects_the_model_or_says_that_there_is_none() {
    let config = config(
        "[status.rest]\nsignal = \"r\"\nunchanged-for = \"10s\"\n\
         [signals]\na = {}\nb = {}\nr = {}\n\
         [views.v]\nfeatures = [\"a\", \"b\", \"r > 5 AS fast\", \"rest\"]\n\
         serve plain v | group = \"g\"; only = [\"fast\"]; unless = [\"rest\"]\n\
         serve weighted v | group = \"g\"; unless = [\"fast\"]\n",
    );
    let log: Vec<(&str, Value)> = [(0, 9.0), (5, 1.0), (6, 1.0), (7, 9.0), (12, 9.0), (18, 9.0)]
        .iter()
        .map(|(t, r)| ("x", reading(*t, *t as f64, *r)))
        .collect();
    let mut told = told(&config, &log, "prediction");
    told.sort_by_key(|json| json["source"]["offset"].as_i64());
    let said: Vec<String> = told
        .iter()
        .map(|json| {
            let model = json["model"].as_str().unwrap();
            match json["unscored"].get("reason") {
                Some(reason) => format!("{model}: {}", reason.as_str().unwrap()),
                None => model.to_owned(),
            }
        })
        .collect();
    // At 18 the signal has stood still for 11 s, and the other model is not for fast rows.
    let expected = [
        "plain",
        "weighted",
        "weighted",
        "plain",
        "plain",
        "plain: rest is not 0: the model is for rows in which it is 0",
    ];
    assert_eq!(said, expected);
    let code = &told[5]["unscored"]["code"];
    assert_eq!(code, "regime");
    // The sequence of `weighted` (1, 10, 100, padded) begins anew with the regime: 5, 6, and nothing before.
    assert_eq!(told[1]["rul"]["value"], json!(5.0 * 111.0));
    assert_eq!(told[2]["rul"]["value"], json!(5.0 * 11.0 + 600.0));
}

#[test]
fn a_challenger_changes_no_byte_of_what_is_published_and_one_that_fails_is_left_out() {
    let alarms = "[alarms.hot]\nmodel = \"plain\"\nabove = 1.0\n";
    let alone = config(&format!("{alarms}{ROWS}serve plain v\n"));
    let watched = config(&format!(
        "{alarms}{ROWS}serve plain v | shadow = [{{ name = \"fails\" }}, {{ name = \"weighted\" }}]\n"
    ));
    let log: Vec<(String, String)> = (0..600)
        .map(|t| {
            let asset = format!("asset-{}", t % 7);
            // The challenger `fails` can't take 100.
            let a = if t == 300 { 100 } else { t % 5 };
            (asset, reading(t, a as f64, 0.0).to_string())
        })
        .collect();
    let published = |config: &Config| {
        let mut engine = engine(config);
        let mut run = Run::new(&mut engine, 0);
        run.step(&log, 0..256);
        run.step(&log, 256..log.len());
        let published = run.published.0;
        (
            published,
            engine
                .failed()
                .map(|(_, of, why)| (of.model.name.clone(), why.to_owned()))
                .collect(),
        )
    };
    let (alone, failed): (Vec<_>, Vec<(String, String)>) = published(&alone);
    assert_eq!(failed, []);
    let (both, failed) = published(&watched);
    assert_eq!((failed.len(), failed[0].0.as_str()), (1, "fails"));
    assert!(
        failed[0].1.contains("out of data bounds"),
        "{}",
        failed[0].1
    );
    let shadow = |(topic, _): &&(String, Value)| topic == "shadow";
    assert_eq!(
        both.iter().filter(shadow).count(),
        600 + 256,
        "and what `fails` said before"
    );
    let rest: Vec<(String, Value)> = both.iter().filter(|one| !shadow(one)).cloned().collect();
    assert_eq!(rest, alone);
    assert!(alone.iter().any(|(topic, _)| topic == "alarm"));
}

#[test]
fn contributions_are_told_of_results_that_a_person_looks_at() {
    let mut config = config(&format!(
        "[alarms.warm]\nmodel = \"plain\"\nabove = 0.3\n{ROWS}serve plain v | shadow = [{{ name = \"plain\" }}]\n"
    ));
    // Scores 0.125, 0.5 and 2: the alarm's limit is 0.3, the model's threshold 1.
    let values = [0.5, 1.0, 2.0].into_iter().zip(0..);
    let log: Vec<(&str, Value)> = values.map(|(a, t)| ("x", reading(t, a, 0.0))).collect();
    for topic in ["prediction", "shadow"] {
        config.models.contributions = ContributionsOf::Flagged;
        let flagged = told(&config, &log, topic);
        config.models.contributions = ContributionsOf::All;
        let mut all = told(&config, &log, topic);
        assert_eq!((flagged.len(), all.len()), (3, 3));
        assert!(
            all.iter()
                .all(|of| of["anomaly"]["contributions"]["a"] == 1.0)
        );
        let normal = all[0]["anomaly"].as_object_mut().unwrap();
        assert!(normal.remove("contributions").is_some());
        assert_eq!(flagged, all, "nothing else differs");
        config.models.contributions = ContributionsOf::None;
        for result in &mut all {
            result["anomaly"]
                .as_object_mut()
                .unwrap()
                .remove("contributions");
        }
        assert_eq!(told(&config, &log, topic), all);
        let reason = &told(&config, &log, "alarm")[0]["reason"];
        assert!(
            reason.as_str().unwrap().ends_with("a 100 %, b 0 %"),
            "{reason}"
        );
    }
}

/// Which headers the records of an engine have, by the output.
#[derive(Default)]
struct HeadersOf(BTreeMap<&'static str, Vec<&'static str>>);

impl Publisher for HeadersOf {
    type Error = Infallible;

    fn record(&mut self, record: &OutputRecord<'_>) -> Result<(), Infallible> {
        let output = match record.output {
            Output::Alarm(_) => "alarm",
            _ => "result",
        };
        let names = record.headers.iter().map(|(name, _)| *name).collect();
        self.0.insert(output, names);
        Ok(())
    }

    fn set_aside(&mut self, _: &SetAsideRecord<'_>) -> Result<(), Infallible> {
        Ok(())
    }
}

#[test]
fn results_may_have_their_id_as_the_only_header() {
    let config = config(&format!(
        "[alarms.warm]\nmodel = \"plain\"\nabove = 0.3\n{ROWS}serve plain v\n"
    ));
    let log = [("x".to_owned(), reading(0, 2.0, 0.0).to_string())];
    let headers = |headers| {
        let mut engine = engine(&config);
        engine.assign(0, 0, 0, Vec::new());
        let step = engine.step(&messages(&log, 0..1)).unwrap();
        let mut of = HeadersOf::default();
        let Ok(()) = Encoder::new("p", "in", headers).publish(&step, &mut of);
        of.0
    };
    let all = headers(Headers::CloudEvents);
    assert_eq!(all["result"].len(), 7);
    let short = headers(Headers::Id);
    assert_eq!(short["result"], ["ce_id"]);
    assert_eq!(short["alarm"], all["alarm"], "an alarm keeps all of them");
}

#[test]
fn alarms_are_explained_and_name_their_records() {
    let config = config(&format!(
        "[alarms.hot]\nmodel = \"plain\"\nabove = {{ warning = 1.0, critical = 10.0 }}\nof = 2\nwithin = 3\n\
         clear-after = 2\n{ROWS}serve plain v\n"
    ));
    // The score is (a² + b²) / 2, its threshold 1.
    let values = [0.0, 2.0, 0.0, 2.0, 6.0, 6.0, 1.0, 1.0, 1.0];
    let log: Vec<(&str, Value)> = values
        .iter()
        .zip(0..)
        .map(|(a, t)| ("x", reading(t, *a, 0.0)))
        .collect();
    let mut alarms = told(&config, &log, "alarm");
    alarms.extend(told(&config, &log, "cleared"));
    let said: Vec<(Value, Value, Value, Value, Value)> = alarms
        .iter()
        .map(|json| {
            let source = &json["source"];
            let [event, severity] = ["event", "severity"].map(|key| json[key].clone());
            let [first, last] = ["first_offset", "offset"].map(|key| source[key].clone());
            (event, severity, first, last, json["value"].clone())
        })
        .collect();
    let expected = [
        (
            json!("raised"),
            json!("warning"),
            json!(1),
            json!(3),
            json!(2.0),
        ),
        (
            json!("escalated"),
            json!("critical"),
            json!(1),
            json!(5),
            json!(18.0),
        ),
        (
            json!("cleared"),
            json!("critical"),
            json!(1),
            json!(7),
            json!(0.5),
        ),
    ];
    assert_eq!(said, expected);
    assert_eq!(
        alarms[0]["reason"],
        "2 of the last 3 results of plain@1 have confidence above 1 (latest 2): a 100 %, b 0 %"
    );
    assert_eq!(
        alarms[2]["reason"],
        "the last 2 results of plain@1 have confidence at most 1 (latest 0.5)"
    );
    // The published id is the event's.
    let ids: Vec<&str> = alarms
        .iter()
        .map(|json| json["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        ids,
        [
            "in-0-hot:x:3000000-raised-warning",
            "in-0-hot:x:3000000-escalated-critical",
            "in-0-hot:x:3000000-cleared-critical",
        ]
    );
}

#[test]
fn an_alarm_of_a_forgotten_asset_is_cleared() {
    let config = config(&format!(
        "[alarms.hot]\nmodel = \"plain\"\nabove = 1.0\n[limits]\nevict-after = \"60s\"\n\
         [event-time]\nmax-ahead = \"10000days\"\n{ROWS}serve plain v\n"
    ));
    let log = [
        ("x", reading(0, 9.0, 0.0)),
        ("y", reading(30, 0.0, 0.0)),
        ("y", reading(90, 0.0, 0.0)),
    ];
    let cleared = told(&config, &log, "cleared");
    assert_eq!(cleared.len(), 1);
    assert_eq!(cleared[0]["asset"], "x");
    assert!(
        cleared[0]["reason"]
            .as_str()
            .unwrap()
            .contains("evict-after")
    );
}

#[test]
fn what_does_not_fit_is_told_with_its_key() {
    let config = config(&format!(
        "[alarms.a]\nmodel = \"plane\"\nabove = 1.0\n\
         [alarms.b]\nmodel = \"weighted\"\nwatch = \"score\"\nbelow = 1.0\n\
         [alarms.c]\nmodel = \"plain\"\nof = 3\nwithin = 2\n\
         [alarms.d]\nmodel = \"weighted\"\nbelow = 30.0\nclear-at = 20.0\n\
         {ROWS}serve plain v | only = [\"running\"]; group = \"plain\"\n\
         serve nan v | assets = [\"@none\"]\nserve weighted v\n"
    ));
    let problems = Plan::build(&config, &Loader::trusted())
        .unwrap_err()
        .to_string();
    for expected in [
        "alarms.b.watch: model weighted (rul) does not give score; it gives: rul, health",
        "alarms.c.of: of = 3 and within = 2",
        "alarms.c.above: needs one of `above` and `below`",
        "alarms.d.clear-at: is 20, on the bad side of the limit 30",
        "models.serve[0]: view v gives no feature running: add \"running\" to its features",
        "models.serve[1]: @none is no class",
    ] {
        assert!(problems.contains(expected), "{expected}\n{problems}");
    }
}

#[test]
fn a_life_beyond_an_alarms_limit_is_attributed_to_features() {
    let mut config = config(&format!(
        "[alarms.end]\nmodel = \"moments\"\nbelow = 30.0\n{ROWS}serve moments v\n"
    ));
    // The fixture's mean is a and its standard deviation b, here with typical values of both.
    let dir = tempfile::tempdir().unwrap();
    let version = dir.path().join("moments/1");
    std::fs::create_dir_all(&version).unwrap();
    let fixture = config.models.repository.join("moments/1/model.onnx");
    std::fs::copy(fixture, version.join("model.onnx")).unwrap();
    std::fs::write(version.join("model.toml"), "reference = [80.0, 5.0]\n").unwrap();
    config.models.repository = dir.path().to_owned();

    let log: Vec<(&str, Value)> = [90.0, 20.0, 10.0]
        .iter()
        .zip(0..)
        .map(|(a, t)| ("x", json!({"t": t, "a": a, "b": 1.0, "r": 0.0})))
        .collect();
    let told = told(&config, &log, "prediction");
    let attribution: Vec<Value> = told
        .iter()
        .map(|json| json["attribution"].clone())
        .collect();
    let expected = [
        Value::Null,
        json!({"a": 1.0, "b": 0.0}),
        json!({"a": 1.0, "b": 0.0}),
    ];
    assert_eq!(attribution, expected);
    let alarms = support::told(&config, &log, "alarm");
    assert_eq!(alarms.len(), 1);
    let reason = alarms[0]["reason"].as_str().unwrap();
    assert!(reason.ends_with("(latest 20): a 100 %, b 0 %"), "{reason}");
}

#[test]
fn maintenance_is_told_by_messages_of_its_own_and_holds_until_it_is_over() {
    let config = config(
        "[signals]\na = { missing = \"no-score\" }\nb = { missing = \"no-score\" }\n\
         maintenance = { missing = { hold = \"30days\" } }\n\
         [views.v]\nfeatures = [\"a\", \"b\", \"COALESCE(maintenance, 0) AS maintenance\"]\n\
         serve plain v | unless = [\"maintenance\"]\n",
    );
    let told = |t: i64, maintenance: i64| ("x", json!({"t": t, "maintenance": maintenance}));
    let measured = |t: i64| ("x", json!({"t": t, "a": 1.0, "b": 1.0}));
    let log = [
        measured(0),
        told(1, 1),
        measured(2),
        ("y", json!({"t": 2, "a": 1.0, "b": 1.0})),
        measured(86_400),
        told(86_401, 0),
        measured(86_402),
    ];
    let mut results = support::told(&config, &log, "prediction");
    results.sort_by_key(|json| json["source"]["offset"].as_i64());
    let codes: Vec<Value> = results
        .iter()
        .map(|json| json["unscored"]["code"].clone())
        .collect();
    let (missing, regime) = (json!("signal-missing"), json!("regime"));
    let scored = Value::Null;
    let expected = [
        scored.clone(),
        missing.clone(),
        regime.clone(),
        scored.clone(),
        regime,
        missing,
        scored,
    ];
    assert_eq!(codes, expected);
}

/// Resident memory in kB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_thousand_swaps_leave_no_memory_behind() {
    let config = config(&format!("{ROWS}serve plain v\n"));
    let runtime = forewarn_models::Runtime::load(None).unwrap();
    let repository = forewarn_models::Repository::new(&config.models.repository);
    let load = || {
        let loaded = Loader::trusted().load(&runtime, &repository, "plain", None);
        loaded.unwrap()
    };
    let log: Vec<(String, String)> = (0..300)
        .map(|t| ("x".to_owned(), reading(t, 1.0, 0.0).to_string()))
        .collect();
    let mut engine = engine(&config);
    let mut after = Vec::new();
    for swaps in 1..=1_000 {
        let swapped = engine.swap(0, load(), &config).unwrap();
        assert!(!swapped.rebuild);
        engine.assign(0, 0, 0, Vec::new());
        let step = engine.step(&support::messages(&log, 0..log.len())).unwrap();
        assert_eq!(step.results().count(), 300);
        if swaps % 250 == 0 {
            after.push(resident());
        }
    }
    println!("resident after 250, 500, 750 and 1,000 swaps: {after:?} kB");
    // One leaked session of this small model is 100 kB.
    assert!(after[3] < after[1] + 2_048, "{after:?} kB");
}
