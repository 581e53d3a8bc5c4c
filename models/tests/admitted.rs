//! What was admitted: copies that stay as they were, answers that stay the same, signatures.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::os::unix::fs::PermissionsExt as _;

use forewarn_models::admission::{Admitted, Policy, Prober};
use forewarn_models::{Model, Verdict, Verdicts};
use support::onnx::{File, node};
use support::{Dropped, entries, runtime};

#[test]
fn a_file_replaced_while_it_is_admitted_is_one_or_the_other() {
    let good = File::identity().bytes();
    let twice = File::new(&[node("Add", &["x", "x"], &["e"])]).bytes();
    let mut dropped = Dropped::new(&twice);
    let double = dropped.admit().unwrap().sha256;
    dropped.write("model.onnx", &good);
    let single = dropped.admit().unwrap().sha256;
    // Trials are behind; nothing starts a process from here on.
    dropped.prober = Some(Prober::new("/nowhere", &[]));
    let (path, stop) = (
        dropped.files().onnx,
        std::sync::atomic::AtomicBool::new(false),
    );
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let other = path.with_extension("new");
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for bytes in [&good, &twice] {
                    std::fs::write(&other, bytes).unwrap();
                    std::fs::rename(&other, &path).unwrap();
                }
            }
        });
        let mut seen = [0, 0];
        for _ in 0..200 {
            let admitted = dropped.admit().unwrap();
            let mut model = Model::load(&runtime(), &admitted.files).unwrap();
            let mut verdicts = Verdicts::default();
            model.score(&[3.0, -1.0], &mut verdicts).unwrap();
            let Some(Verdict::Anomaly { score, .. }) = verdicts.get(0) else {
                panic!("an anomaly model");
            };
            let which = usize::from(admitted.sha256 == double);
            assert!([&single, &double].contains(&&admitted.sha256));
            assert_eq!(
                score,
                [5.0, 20.0][which],
                "the numbers are those of the hash"
            );
            seen[which] += 1;
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(seen[0] > 0 && seen[1] > 0, "it was replaced: {seen:?}");
    });
}

#[test]
fn a_copy_that_changed_on_disk_is_not_loaded() {
    let dropped = Dropped::new(&File::identity().bytes());
    let copy = dropped.admit().unwrap().files.onnx;
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = std::fs::read(&copy).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&copy, &bytes).unwrap();
    let refusal = dropped.admit().unwrap_err();
    assert_eq!(refusal.code(), "store-damaged");
    assert!(refusal.to_string().contains("model.onnx in"), "{refusal}");
    bytes[middle] ^= 0x10;
    std::fs::write(&copy, &bytes).unwrap();
    dropped.admit().unwrap();
    // A contract slipped in beside the copy would change what its numbers mean.
    std::fs::write(copy.with_file_name("model.toml"), "threshold = 9").unwrap();
    assert_eq!(dropped.admit().unwrap_err().code(), "store-damaged");
}

#[test]
fn an_answer_that_is_not_the_one_of_then_is_told_with_both_environments() {
    let dropped = Dropped::new(&File::identity().bytes());
    let admitted = dropped.admit().unwrap();
    let file = admitted.files.folder().join("answer.json");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut then: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    // More than rounding.
    then["answer"]["head"][3] = 0.into();
    then["environment"]["runtime"] = "an older build".into();
    std::fs::write(&file, then.to_string()).unwrap();

    // Where it was tried before, its own answer counts.
    let admitted = dropped.admit().unwrap();
    assert!(!admitted.tried_now);
    let mut model = Model::load(&runtime(), &admitted.files).unwrap();
    admitted.check(&runtime(), &mut model).unwrap();
    // Somewhere else it is tried anew, and compared with the answer of then.
    let probes = admitted.files.folder().join("probes");
    for probe in entries(&probes) {
        std::fs::remove_file(probes.join(probe)).unwrap();
    }
    let refusal = dropped.admit().unwrap_err();
    let told = refusal.to_string();
    assert_eq!(refusal.code(), "golden-changed", "{told}");
    for words in [
        "value 3 was 0 and is",
        "an older build",
        runtime().build(),
        "remove",
    ] {
        assert!(told.contains(words), "no \"{words}\" in: {told}");
    }
    // Within rounding it is admitted here too.
    let mut near: serde_json::Value = then;
    let answered = f64::from_bits(report_head(&admitted, 3));
    near["answer"]["head"][3] = (answered * (1.0 + 1e-6)).to_bits().into();
    std::fs::write(&file, near.to_string()).unwrap();
    let admitted = dropped.admit().unwrap();
    assert!(admitted.tried_now);
    // And from then on bit for bit: another answer in the same environment is refused.
    let mut model = Model::load(&runtime(), &admitted.files).unwrap();
    admitted.check(&runtime(), &mut model).unwrap();
    let probe = entries(&probes).remove(0);
    let text = std::fs::read_to_string(probes.join(&probe)).unwrap();
    let mut probed: serde_json::Value = serde_json::from_str(&text).unwrap();
    probed["answer"]["head"][3] = (answered * (1.0 + 1e-6)).to_bits().into();
    let path = probes.join(&probe);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&path, probed.to_string()).unwrap();
    let admitted = dropped.admit().unwrap();
    let refusal = admitted.check(&runtime(), &mut model).unwrap_err();
    assert_eq!(refusal.code(), "golden-changed", "{refusal}");
}

fn report_head(admitted: &Admitted, place: usize) -> u64 {
    admitted.report.answer.head[place]
}

#[test]
fn answers_stay_when_other_models_have_run() {
    let dropped = Dropped::new(&File::identity().bytes());
    let admitted = dropped.admit().unwrap();
    let mut model = Model::load(&runtime(), &admitted.files).unwrap();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models");
    for name in ["weighted", "lstm-window", "lstm-step"] {
        let other =
            support::Dropped::new(&std::fs::read(root.join(name).join("1/model.onnx")).unwrap());
        let other = other.admit().unwrap();
        let mut loaded = Model::load(&runtime(), &other.files).unwrap();
        other.check(&runtime(), &mut loaded).unwrap();
        admitted.check(&runtime(), &mut model).unwrap();
    }
}

#[test]
fn signatures_are_of_known_keys_and_there_when_required() {
    let keys = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let stranger = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let good = File::identity().bytes();
    let sign = |keys: &minisign::KeyPair, bytes: &[u8]| {
        let reader = std::io::Cursor::new(bytes.to_vec());
        minisign::sign(None, &keys.sk, reader, None, None)
            .unwrap()
            .into_string()
    };
    let policy = |required| Policy::new(&[keys.pk.to_base64()], required).unwrap();
    let mut dropped = Dropped::new(&good);
    dropped.policy = policy(true);
    dropped.refused("unsigned", "model.onnx is not signed");
    dropped.write("model.onnx.minisig", sign(&stranger, &good));
    dropped.refused("wrong-signature", "do not use this file");
    dropped.write("model.onnx.minisig", sign(&keys, b"another file"));
    dropped.refused("wrong-signature", "do not use this file");
    dropped.write("model.onnx.minisig", "scribbled");
    dropped.refused("wrong-signature", "do not use this file");
    // A wrong one is refused as well where none is required.
    dropped.policy = policy(false);
    dropped.refused("wrong-signature", "do not use this file");
    dropped.policy = policy(true);
    dropped.write("model.onnx.minisig", sign(&keys, &good));
    // The contract beside it would change what the numbers mean.
    let manifest = "threshold = 2.0\n";
    dropped.write("model.toml", manifest);
    dropped.refused("unsigned", "model.toml is not signed");
    dropped.write("model.toml.minisig", sign(&keys, manifest.as_bytes()));
    dropped.admit().unwrap();
    assert!(Policy::new(&[], true).is_err() && Policy::new(&["RWnonsense".into()], false).is_err());
}
