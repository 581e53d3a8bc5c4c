use std::path::Path;

use super::*;
use crate::rows::Rows;
use crate::state::PartitionState;
use crate::watermark::Watermark;

const CONFIG: &str = r#"
name = "test"
[source]
topic = "telemetry"
event-time = { field = "time", unit = "s" }
known-assets = ["pump-*"]
max-message-bytes = 500
[signals]
a = { min = -10, max = 10 }
b = {}
[views.v]
features = ["*"]
[models]
repository = "zoo"
[[models.serve]]
name = "m"
view = "v"
"#;

fn config() -> Config {
    Config::parse("test.toml", CONFIG, Path::new(".")).unwrap()
}

fn partitions() -> Partitions {
    let mut partitions = Partitions::default();
    let watermark = Watermark::new(0, Vec::new(), 0);
    partitions.insert(PartitionState::new(0, 0, 0, watermark));
    partitions
}

fn decode_all(
    config: &Config,
    messages: &[Message<'_>],
    partitions: &mut Partitions,
) -> (Rows, Vec<Refused>) {
    let (mut rows, mut refused) = (Rows::new(2), Vec::new());
    let mut to = Decoded {
        partitions,
        rows: &mut rows,
        refused: &mut refused,
        ignored: &mut 0,
        familiar: &mut 0,
    };
    let read = JsonDecoder::new(config).decode(messages, 0, &mut to);
    assert_eq!(read, messages.len());
    (rows, refused)
}

/// Decodes one message with the key `pump-1`.
fn decode(payload: &[u8]) -> Result<Rows, Refusal> {
    decode_with(Some(b"pump-1"), Some(payload))
}

fn decode_with(key: Option<&[u8]>, payload: Option<&[u8]>) -> Result<Rows, Refusal> {
    let message = Message {
        partition: 0,
        offset: 0,
        timestamp: Some(1_800_000_000_000),
        key,
        payload,
    };
    let (readings, mut refused) = decode_all(&config(), &[message], &mut partitions());
    match refused.pop() {
        Some(refused) => {
            assert!(readings.is_empty(), "a refused message must leave nothing");
            Err(refused.refusal)
        }
        None => Ok(readings),
    }
}

#[test]
fn fields_may_come_in_any_order_with_others_between() {
    let payload = br#" {"b":-0.1,"x":[{"a":"no"}],"time":1567606196,"a":1e1,"note":"caf\u00e9"} "#;
    let readings = decode(payload).unwrap();
    assert_eq!(readings.columns, [[10.0], [-0.1]]);
    assert_eq!(readings.heads[0].event_at, 1_567_606_196_000_000);
}

#[test]
fn numbers_are_the_nearest_double() {
    // Known hard cases of decimal to binary conversion; fast parsers get some of them wrong.
    for text in [
        "0.1",
        "2.2250738585072011e-308",
        "9007199254740993",
        "1.7976931348623157e308",
    ] {
        let payload = format!(r#"{{"time":1,"a":0,"b":{text}}}"#);
        let readings = decode(payload.as_bytes()).unwrap();
        assert_eq!(
            readings.columns[1][0].to_bits(),
            text.parse::<f64>().unwrap().to_bits(),
            "{text}"
        );
    }
}

#[test]
fn each_bad_message_gets_its_own_reason() {
    let deep = "[".repeat(400);
    let deep = format!(r#"{{"time":1,"x":{deep}"#);
    let large = format!(r#"{{"time":1,"x":"{}"}}"#, "x".repeat(500));
    let table: [(&[u8], &str); 20] = [
        (b"", "malformed-json"),
        (b"{", "malformed-json"),
        (br#"{"time":1,"a":1,"b":2} {}"#, "malformed-json"),
        (br#"{"time":1,"a":NaN,"b":2}"#, "malformed-json"),
        (br#"{"time":1,"a":1e999,"b":2}"#, "malformed-json"),
        (deep.as_bytes(), "malformed-json"),
        (b"\xff{}", "invalid-utf8"),
        (b"12", "not-an-object"),
        (b"[1]", "not-an-object"),
        (b"null", "not-an-object"),
        (br#"{"time":1,"a":1,"a":1,"b":2}"#, "duplicate-field"),
        (br#"{"time":1,"a":"1","b":2}"#, "wrong-type"),
        (br#"{"time":1,"a":true,"b":2}"#, "wrong-type"),
        (br#"{"time":1,"a":[1],"b":2}"#, "wrong-type"),
        (br#"{"time":1,"a":null,"b":2}"#, "missing-signal"),
        (br#"{"time":1,"a":1}"#, "missing-signal"),
        (br#"{"time":1,"a":11,"b":2}"#, "out-of-range"),
        (br#"{"a":1,"b":2}"#, "missing-time"),
        (br#"{"time":"noon","a":1,"b":2}"#, "invalid-time"),
        (large.as_bytes(), "too-large"),
    ];
    for (payload, code) in table {
        let refusal = decode(payload).expect_err(code);
        assert_eq!(
            refusal.code(),
            code,
            "{}: {refusal}",
            String::from_utf8_lossy(payload)
        );
        assert!(
            refusal.to_string().len() < 200,
            "reasons stay short: {refusal}"
        );
    }
    let good = br#"{"time":1,"a":1,"b":2}"#;
    assert_eq!(
        decode_with(None, Some(good)).unwrap_err().code(),
        "empty-key"
    );
    assert_eq!(
        decode_with(Some(b""), Some(good)).unwrap_err().code(),
        "empty-key"
    );
    assert_eq!(
        decode_with(Some(b"\xff"), Some(good)).unwrap_err().code(),
        "invalid-key"
    );
    assert_eq!(
        decode_with(Some(b"fan-1"), Some(good)).unwrap_err().code(),
        "unknown-asset"
    );
    assert_eq!(
        decode_with(Some(b"pump-1"), None).unwrap_err().code(),
        "empty-payload"
    );
}

#[test]
fn nan_is_told_in_words() {
    let refusal = decode(br#"{"time":1,"a":NaN,"b":2}"#).unwrap_err();
    assert!(refusal.to_string().contains("JSON has no NaN"), "{refusal}");
}

#[test]
fn a_refused_message_makes_no_asset_known_and_spares_its_neighbours() {
    let good = br#"{"time":1,"a":1,"b":2}"#;
    let message = |offset, key: &'static [u8], payload: &'static [u8]| Message {
        partition: 0,
        offset,
        timestamp: None,
        key: Some(key),
        payload: Some(payload),
    };
    let batch = [
        message(0, b"pump-1", good),
        message(1, b"pump-2", b"{\"time\":1}"),
        message(2, b"pump-3", good),
    ];
    let mut partitions = partitions();
    let (readings, refused) = decode_all(&config(), &batch, &mut partitions);
    let offsets: Vec<i64> = readings.heads.iter().map(|head| head.offset).collect();
    assert_eq!(offsets, [0, 2]);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].message, Some(1));
    assert_eq!(partitions.state(0).assets.len(), 2);
    assert_eq!(partitions.state(0).next_offset, 3);
}

#[test]
fn a_record_that_comes_again_is_not_read_again() {
    let message = Message {
        partition: 0,
        offset: 7,
        timestamp: None,
        key: Some(b"pump-1"),
        payload: Some(br#"{"time":1,"a":1,"b":2}"#),
    };
    let (readings, _) = decode_all(&config(), &[message, message], &mut partitions());
    assert_eq!(readings.len(), 1);
}

#[test]
fn what_a_missing_signal_is_replaced_with_is_declared() {
    let text = CONFIG.replace("b = {}", "b = { missing = { fill = 7 } }");
    let config = Config::parse("test.toml", &text, Path::new(".")).unwrap();
    let message = |offset, payload: &'static [u8]| Message {
        partition: 0,
        offset,
        timestamp: None,
        key: Some(b"pump-1"),
        payload: Some(payload),
    };
    let batch = [
        message(0, br#"{"time":1,"a":1}"#),
        message(1, br#"{"time":1,"b":1}"#),
    ];
    let (rows, refused) = decode_all(&config, &batch, &mut partitions());
    assert_eq!(rows.columns, [[1.0], [7.0]]);
    assert_eq!(refused[0].refusal.code(), "missing-signal");
}

#[test]
fn a_narrow_message_carries_one_signal() {
    let narrow = "narrow = { signal = \"tag\", value = \"v\" }\nmax-message-bytes";
    let text = CONFIG.replace("max-message-bytes", narrow)
        + "[align]\nevery = \"1s\"\nmax-age = \"10s\"\n";
    let config = Config::parse("test.toml", &text, Path::new(".")).unwrap();
    let payloads: [&[u8]; 6] = [
        br#"{"time":1,"v":1.5,"tag":"b"}"#,
        br#"{"time":1,"v":11,"tag":"a"}"#,
        br#"{"time":1,"v":11,"tag":"other"}"#,
        br#"{"time":1,"tag":"a"}"#,
        br#"{"time":1,"v":1}"#,
        br#"{"time":1,"v":"1","tag":"a"}"#,
    ];
    let batch: Vec<Message<'_>> = (0..)
        .zip(payloads)
        .map(|(offset, payload)| Message {
            partition: 0,
            offset,
            timestamp: None,
            key: Some(b"pump-1"),
            payload: Some(payload),
        })
        .collect();
    let (rows, refused) = decode_all(&config, &batch, &mut partitions());
    assert_eq!(rows.len(), 1);
    assert!(rows.columns[0][0].is_nan() && rows.columns[1][0] == 1.5);
    let codes: Vec<&str> = refused
        .iter()
        .map(|refused| refused.refusal.code())
        .collect();
    assert_eq!(
        codes,
        [
            "out-of-range",
            "missing-field",
            "missing-field",
            "wrong-type"
        ]
    );
}
