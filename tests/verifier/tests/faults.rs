//! The verifier itself, in its short form: it finds what is planted, and the service passes its scenarios.
//!
//! A test that needs something which is not there says `skipped: ...` and passes; `make test` provides Kafka. Each
//! scenario starts a broker of its own.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use clap::ValueEnum as _;
use forewarn_verifier::judge::Plant;
use serde_json::{Value, json};

/// None is red, but one is void.
const VOID: i32 = 3;

/// Each of these puts a load on the machine: two at a time would measure each other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `verifier`, or says that the test is skipped. The service lies beside it.
fn verifier(args: &[&str]) -> Option<Output> {
    if std::env::var_os("FOREWARN_TEST_BROKERS").is_none() {
        println!("skipped: no Kafka (`make test` sets it up and sets FOREWARN_TEST_BROKERS)");
        return None;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_verifier"));
    Some(Command::new(program).args(args).output().unwrap())
}

fn reports(output: &Output) -> Vec<Value> {
    let told = String::from_utf8_lossy(&output.stdout);
    let parsed = serde_json::from_str(&told);
    let errors = String::from_utf8_lossy(&output.stderr);
    parsed.unwrap_or_else(|error| panic!("{error}: {told}{errors}"))
}

#[test]
fn each_planted_defect_fails_its_judgement_and_no_other() {
    let _alone = alone();
    let plants = Plant::value_variants();
    let names = plants.iter().map(|plant| {
        let value = plant.to_possible_value().unwrap();
        value.get_name().to_owned()
    });
    let names = names.collect::<Vec<_>>().join(",");
    let args = [
        "run", "calm", "--seed", "1", "--output", "json", "--plant", &names,
    ];
    let Some(output) = verifier(&args) else {
        return;
    };
    let reports = reports(&output);
    assert_eq!(output.status.code(), Some(1), "{reports:#?}");
    let red: Vec<&Value> = reports.iter().map(|report| &report["red"]).collect();
    let expected: Vec<Value> = plants
        .iter()
        .map(|plant| json!([plant.judgement()]))
        .collect();
    assert_eq!(red, expected.iter().collect::<Vec<_>>(), "{reports:#?}");
    for report in &reports {
        assert_eq!(report["problems"], json!([]));
        // The load reaches everything but the dead letters, which are those of `poison`.
        for sink in report["verdict"]["by_sink"].as_array().unwrap() {
            let (name, count) = (sink[0].as_str().unwrap(), sink[1].as_u64().unwrap());
            assert_eq!(count > 0, name != "dead-letters", "{name}: {count}");
        }
        assert!(report["verdict"]["marks"].as_u64().unwrap() > 0);
    }
}

#[test]
fn the_service_passes_these_scenarios_in_their_short_form() {
    let _alone = alone();
    // `make verify` plays all of them, for hours.
    let scenarios = [
        "unreachable",
        "half-open",
        "kill-random",
        "kill-points",
        "zombie",
        "poison",
    ];
    let Some(output) = verifier(&[&["run"][..], &scenarios].concat()) else {
        return;
    };
    // The line of each scenario has its seed.
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    if output.status.code() == Some(VOID) {
        // Not through a macro, of which nothing is seen where the test passes.
        let void =
            "void: the broker broke what was to be judged, so this shows nothing; play it again";
        writeln!(std::io::stderr(), "{void}\n{told}").unwrap();
        return;
    }
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
