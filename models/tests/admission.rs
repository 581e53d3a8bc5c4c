//! What is dropped in: each bad file is refused with its reason, soon, and the process that asked goes on.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use forewarn_models::Model;
use forewarn_models::admission::Prober;
use support::onnx::{self, File, Message, node};
use support::{Dropped, runtime};

/// SHA-256 of the two floats 1.0, 1.0.
fn ones() -> (Vec<u8>, String) {
    let bytes: Vec<u8> = [1.0_f32, 1.0]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ones");
    std::fs::write(&path, &bytes).unwrap();
    let told = Command::new("sha256sum")
        .arg(&path)
        .output()
        .unwrap()
        .stdout;
    (bytes, String::from_utf8(told).unwrap()[..64].to_owned())
}

/// A model whose weights are in the file `location`.
fn with_weights(location: &str) -> Vec<u8> {
    let nodes = [node("Mul", &["x", "w"], &["e"])];
    File::new(&nodes)
        .weights(&[onnx::external("w", location)])
        .bytes()
}

fn listed(name: &str, hash: &str) -> String {
    format!("[external-data]\n\"{name}\" = \"{hash}\"\n")
}

#[test]
fn a_good_version_is_copied_tried_and_loaded_from_its_copy() {
    let dropped = Dropped::new(&File::identity().bytes());
    let admitted = dropped.admit().unwrap();
    assert!(admitted.tried_now && admitted.report.rows_per_second > 0.0);
    assert!(
        admitted.report.peak_bytes > 1 << 20,
        "{:?}",
        admitted.report
    );
    assert_eq!(admitted.report.warnings, Vec::<String>::new());
    assert!(
        admitted
            .files
            .onnx
            .starts_with(dropped.store().join(&admitted.sha256))
    );
    // The folder can be checked by anybody, and its name is the hash of its listing.
    let check = |args: &[&str]| {
        let folder = admitted.files.folder();
        let output = Command::new("sha256sum")
            .args(args)
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(check(&["-c", "files.sha256"]), "model.onnx: OK\n");
    assert!(check(&["files.sha256"]).starts_with(&admitted.sha256));
    let mut model = Model::load(&runtime(), &admitted.files).unwrap();
    admitted.check(&runtime(), &mut model).unwrap();
    // Once is enough under the same runtime and processor.
    assert!(!dropped.admit().unwrap().tried_now);
}

#[test]
fn what_is_no_onnx_model_is_named() {
    let plain = File::identity().bytes();
    let cut = &plain[..plain.len() / 2];
    for (bytes, code, words) in [
        (&b""[..], "empty", "export or copy it again"),
        (
            b"PK\x03\x04\x14\0\0\0archive/data.pkl",
            "not-onnx",
            "torch.onnx.export",
        ),
        (b"PK\x03\x04\x14\0\0\0notes", "not-onnx", "a zip archive"),
        (
            b"<!DOCTYPE html>\n<html>login</html>",
            "not-onnx",
            "an HTML page",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid",
            "not-onnx",
            "git lfs pull",
        ),
        (b"\x80\x04\x95\x10\0\0\0", "not-onnx", "pickle"),
        (
            b"\x00\x01\x02\x03\x04\x05\x06\x07",
            "malformed",
            "no protobuf message",
        ),
        (b"\x08\x08", "malformed", "no graph"),
        (cut, "truncated", "beyond its end"),
    ] {
        Dropped::new(bytes).refused(code, words);
    }
}

#[test]
fn what_is_no_plain_file_is_not_opened() {
    let good = File::identity().bytes();
    let at = |make: &dyn Fn(&std::path::Path)| {
        let dropped = Dropped::new(&good);
        let path = dropped.files().onnx;
        std::fs::rename(&path, path.with_extension("away")).unwrap();
        make(&path);
        dropped
    };
    at(&|path| std::fs::create_dir(path).unwrap()).refused("not-a-file", "a folder");
    at(&|path| symlink(path.with_extension("away"), path).unwrap())
        .refused("not-a-file", "a symbolic link");
    at(&|path| symlink("/dev/zero", path).unwrap()).refused("not-a-file", "a symbolic link");
    let begun = Instant::now();
    at(&|path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success()))
        .refused("not-a-file", "a FIFO");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "waits for no writer"
    );
    at(&|_| ()).refused("unreadable", "correct the path");
}

#[test]
fn a_file_beyond_the_limit_is_not_read() {
    let mut dropped = Dropped::new(&File::identity().bytes());
    dropped.limits.max_bytes = 100;
    dropped.refused("too-large", "larger than 100 bytes");
}

/// Files of every exporter (`tests/corpus`), as somebody would drop them in.
#[test]
fn what_exporters_write_is_admitted() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/models");
    let mut files = 0;
    for model in std::fs::read_dir(corpus).unwrap() {
        let folder = model.unwrap().path().join("1");
        let dropped = Dropped::new(&std::fs::read(folder.join("model.onnx")).unwrap());
        if let Ok(manifest) = std::fs::read_to_string(folder.join("model.toml")) {
            dropped.write("model.toml", manifest.as_bytes());
        }
        files += 1;
        let admitted = dropped.admit();
        let admitted = admitted.unwrap_or_else(|refusal| panic!("{}: {refusal}", folder.display()));
        let mut model = Model::load(&runtime(), &admitted.files).unwrap();
        admitted.check(&runtime(), &mut model).unwrap();
        // Which have other bits in a batch than alone depends on the processor.
        let row_by_row = model.is_row_by_row();
        assert_eq!(row_by_row, admitted.report.row_by_row);
        let warnings = &admitted.report.warnings;
        let warned = |warning: &String| warning.contains("one row at a time");
        assert_eq!(row_by_row, warnings.iter().any(warned), "{warnings:?}");
        if row_by_row {
            println!("row by row: {}", folder.display());
        }
    }
    assert_eq!(files, 20);
}

#[test]
fn versions_and_operators_are_those_that_are_known() {
    let opset = |opset| {
        File {
            opset,
            ..File::identity()
        }
        .bytes()
    };
    Dropped::new(&opset(24)).refused("unsupported-version", "opset_version=23");
    Dropped::new(&opset(8)).refused("unsupported-version", "opset_version=9");
    let ir = |ir| {
        File {
            ir,
            ..File::identity()
        }
        .bytes()
    };
    Dropped::new(&ir(99)).refused("unsupported-version", "IR version 99");
    // A graph without nodes has no trees to need none for.
    let ports = [onnx::port("x", 1, &[None, Some(2)])];
    let empty = onnx::graph(&[], &[], &ports, &ports);
    let bytes = Message::default().number(1, 8).bytes(7, empty.0).0;
    Dropped::new(&bytes).refused("unsupported-version", "no opset of the standard operators");
    let custom = |domain: &str| node("Custom", &["x"], &["e"]).bytes(7, domain);
    let bytes = File::new(&[custom("acme.ops")]).bytes();
    Dropped::new(&bytes).refused("unknown-operators", "acme.ops.Custom");
    // In a subgraph as well.
    let hidden = onnx::graph(&[custom("acme.ops")], &[], &[], &[]);
    let outer = node("If", &["c"], &["e"]).bytes(5, onnx::body("then_branch", &hidden).0);
    let bytes = File::new(&[outer]).bytes();
    Dropped::new(&bytes).refused("unknown-operators", "acme.ops.Custom");
    Dropped::new(&onnx::nested(40)).refused("too-deep", "nested more than 16");
    // ai.onnx is the standard domain by its other name.
    let named = File::new(&[node("Identity", &["x"], &["e"]).bytes(7, "ai.onnx")]).bytes();
    Dropped::new(&named).admit().unwrap();
}

#[test]
fn a_function_that_the_file_defines_is_no_unknown_operator() {
    let opset = Message::default().bytes(1, "").number(2, 17);
    let function = Message::default()
        .bytes(1, "Same")
        .bytes(4, "u")
        .bytes(5, "v")
        .bytes(7, node("Identity", &["u"], &["v"]).0)
        .bytes(9, opset.0)
        .bytes(10, "acme.ops");
    let own = Message::default().bytes(1, "acme.ops").number(2, 1);
    let mut file = File::new(&[node("Same", &["x"], &["e"]).bytes(7, "acme.ops")]);
    file.rest = Message::default().bytes(8, &own.0);
    Dropped::new(&file.bytes()).refused("unknown-operators", "acme.ops.Same");
    file.rest = file.rest.bytes(25, function.0);
    Dropped::new(&file.bytes()).admit().unwrap();
}

#[test]
fn weights_in_another_file_are_taken_when_listed_with_their_hash() {
    let (bytes, hash) = ones();
    let dropped = Dropped::new(&with_weights("w.bin"));
    dropped.write("w.bin", &bytes);
    dropped.refused("external-data", "[external-data] with \"w.bin\"");
    dropped.write(
        "model.toml",
        listed("w.bin", &hash.replace(&hash[..4], "0000")),
    );
    dropped.refused("external-data", "is not the one listed");
    dropped.write("model.toml", listed("w.bin", "f00"));
    dropped.refused("manifest", "64 hexadecimal digits");
    dropped.write("model.toml", listed("w.bin", &hash));
    let admitted = dropped.admit().unwrap();
    assert!(admitted.files.folder().join("w.bin").is_file());
}

#[test]
fn weights_outside_of_the_folder_are_not_opened() {
    let (bytes, hash) = ones();
    for (location, words) in [
        ("../w.bin", "leads out of the version's folder"),
        ("a/../../w.bin", "leads out of the version's folder"),
        ("/etc/hostname", "an absolute path"),
        ("C:\\w.bin", "an absolute path"),
        ("sub/w.bin", "no plain file name"),
        ("model.onnx", "a file of another purpose"),
    ] {
        let dropped = Dropped::new(&with_weights(location));
        std::fs::write(dropped.dir.path().join("pump/w.bin"), &bytes).unwrap();
        dropped.write(
            "model.toml",
            format!("[external-data]\n'{location}' = \"{hash}\"\n"),
        );
        dropped.refused("external-data", words);
    }
    let dropped = Dropped::new(&with_weights("w.bin"));
    dropped.write("model.toml", listed("w.bin", &hash));
    dropped.refused("external-data", "can't be read");
    let outside = dropped.dir.path().join("outside.bin");
    std::fs::write(&outside, &bytes).unwrap();
    symlink(&outside, dropped.folder().join("w.bin")).unwrap();
    dropped.refused("external-data", "a symbolic link");
    std::fs::remove_file(dropped.folder().join("w.bin")).unwrap();
    std::fs::hard_link(&outside, dropped.folder().join("w.bin")).unwrap();
    dropped.refused("external-data", "2 hard links");
}

#[test]
fn greed_hangs_and_crashes_stay_in_the_other_process() {
    let begun = Instant::now();
    Dropped::new(&onnx::bomb()).refused("out-of-memory", "more than 2 GiB of memory");
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );

    let mut dropped = Dropped::new(&onnx::endless());
    dropped.limits.probe_time = Duration::from_secs(3);
    let begun = Instant::now();
    dropped.refused("too-slow", "did not finish within 3s");
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );

    let ends = |script: &str| {
        let mut dropped = Dropped::new(&File::identity().bytes());
        dropped.prober = Some(Prober::new("/bin/sh", &["-c", script]));
        dropped.limits.probe_time = Duration::from_secs(3);
        dropped
    };
    ends("kill -SEGV $$").refused("crashed", "signal 11 (segmentation fault)");
    ends("echo 'terminate called' >&2; kill -ABRT $$").refused("crashed", "\"terminate called\"");
    ends("exit 7").refused("crashed", "code 7");
    ends("cat > /dev/null").refused("crashed", "gave no answer");
    // It talks without end: it is not listened to for ever.
    ends("yes").refused("crashed", "the process that tried it ended");
    ends("exec sleep 60").refused("too-slow", "3s");
    let mut dropped = Dropped::new(&File::identity().bytes());
    dropped.prober = Some(Prober::new("/nowhere/forewarn", &[]));
    dropped.refused("no-probe", "can't be started");
    // This process scores as before.
    Dropped::new(&File::identity().bytes()).admit().unwrap();
}

#[test]
fn what_does_not_fit_its_contract_is_told_with_all_problems() {
    let dropped = Dropped::new(&File::identity().bytes());
    dropped.write(
        "model.toml",
        "features = [\"a\"]\noutput.residual = \"r\"\n",
    );
    dropped.refused("does-not-fit", "correct forewarn.features");
    assert_eq!(dropped.admit().unwrap_err().problems().len(), 2);
    dropped.write("model.toml", "features = ");
    dropped.refused("manifest", "model.toml: is no TOML");
    // A graph that is not sound is ONNX Runtime's to refuse.
    let loose = File::new(&[node("Identity", &["nothing"], &["e"])]).bytes();
    Dropped::new(&loose).refused(
        "does-not-load",
        "can't load it: Invalid model. Node input 'nothing'",
    );
}

#[test]
fn a_model_answers_with_numbers_that_stay() {
    let nodes = [node("Neg", &["x"], &["n"]), node("Sqrt", &["n"], &["e"])];
    Dropped::new(&File::new(&nodes).bytes()).refused("not-finite", "NaN on the golden input");
    let nodes = [
        node("Sub", &["x", "x"], &["z"]),
        node("Div", &["x", "z"], &["e"]),
    ];
    Dropped::new(&File::new(&nodes).bytes()).refused("not-finite", "an infinite number");
    let random = [node("RandomNormalLike", &["x"], &["e"])];
    Dropped::new(&File::new(&random).bytes()).refused("not-repeatable", "random operators");
    // One that says the same of everything may be meant; it is told.
    let constant = File::new(&[node("Sub", &["x", "x"], &["e"])]).bytes();
    let admitted = Dropped::new(&constant).admit().unwrap();
    let warnings = admitted.report.warnings.join("\n");
    assert!(
        warnings.contains("same output on 19 different rows"),
        "{warnings}"
    );
}

#[test]
fn a_version_may_bring_its_golden_input_and_what_python_gave() {
    // Defined for negative values only, which made-up rows are not.
    let nodes = [node("Neg", &["x"], &["n"]), node("Sqrt", &["n"], &["e"])];
    let dropped = Dropped::new(&File::new(&nodes).bytes());
    dropped.write(
        "golden.json",
        r#"{"input": [[-4, -9], [-1, -16]], "output": [[2, 3], [1, 4]]}"#,
    );
    dropped.admit().unwrap();
    dropped.write(
        "golden.json",
        r#"{"input": [[-4, -9]], "output": [[2, 3.1]]}"#,
    );
    let told = dropped.admit().unwrap_err();
    assert_eq!(told.code(), "golden");
    assert!(
        told.to_string()
            .contains("number 1 of output is 3.1, the model gives 3"),
        "{told}"
    );
    for (text, words) in [
        (
            r#"{"input": [[-4]]}"#,
            "row 0 of input has 1 numbers, the model takes 2",
        ),
        (r#"{"input": [["a"]]}"#, "no rows of numbers"),
        (r#"{"rows": []}"#, "write {\"input\""),
    ] {
        dropped.write("golden.json", text);
        let told = dropped.admit().unwrap_err().to_string();
        assert!(told.contains(words), "{told}");
    }
}
