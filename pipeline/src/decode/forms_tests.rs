//! Whatever came before a message, the same is made of it as when it is the first one: then no form is known, and the
//! general parser reads it.

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::config::Config;
use crate::decode::{Decoded, JsonDecoder};
use crate::message::Message;
use crate::refusal::Refused;
use crate::rows::Rows;
use crate::state::{PartitionState, Partitions};
use crate::watermark::Watermark;

const CONFIG: &str = r#"
name = "test"
[source]
topic = "telemetry"
known-assets = ["pump*", "17"]
max-message-bytes = 400
SOURCE
[signals]
a = { min = -1000, max = 1000 }
b = { missing = { fill = 7 } }
c = { missing = "no-score" }
[views.v]
features = ["*"]
[models]
repository = "zoo"
[[models.serve]]
name = "m"
view = "v"
"#;

/// How messages tell asset, time and signals.
const SOURCES: [&str; 5] = [
    "asset = { field = \"pump\" }\nevent-time = { field = \"time\", unit = \"s\" }",
    "asset = { field = \"pump\" }\nevent-time = { field = \"time\", unit = \"rfc3339\" }",
    "asset = \"key\"\nevent-time = { field = \"time\", unit = \"ms\" }",
    "asset = \"key\"\nevent-time = \"record\"",
    "asset = { field = \"pump\" }\nevent-time = { field = \"time\", unit = \"s\" }\n\
     narrow = { signal = \"tag\", value = \"v\" }\n[align]\nevery = \"1s\"\nmax-age = \"10s\"",
];

fn config(source: &str) -> Config {
    let text = CONFIG.replace("SOURCE", source);
    Config::parse("test.toml", &text, Path::new(".")).unwrap()
}

/// All that decoding tells: values as bits, refusals with their text.
#[derive(Debug, Default, PartialEq)]
struct Told {
    rows: Vec<(String, Vec<u64>)>,
    refused: Vec<(i64, &'static str, String)>,
    ignored: u64,
    familiar: u64,
}

/// Decodes `log` with one decoder, or each message with a new one.
fn decode(config: &Config, log: &[impl AsRef<[u8]>], alone: bool) -> Told {
    let message = |(offset, payload)| Message {
        partition: 0,
        offset,
        timestamp: Some(1_800_000_000_000),
        key: Some(b"pump-1"),
        payload: Some(payload),
    };
    let payloads = log.iter().map(AsRef::as_ref);
    let messages: Vec<Message<'_>> = (0..).zip(payloads).map(message).collect();
    let mut partitions = Partitions::default();
    partitions.insert(PartitionState::new(
        0,
        0,
        0,
        Watermark::new(0, Vec::new(), 0),
    ));
    let (mut rows, mut refused) = (Rows::new(3), Vec::<Refused>::new());
    let mut told = Told::default();
    let mut to = Decoded {
        partitions: &mut partitions,
        rows: &mut rows,
        refused: &mut refused,
        ignored: &mut told.ignored,
        familiar: &mut told.familiar,
    };
    if alone {
        for end in 1..=messages.len() {
            JsonDecoder::new(config).decode(&messages[..end], end - 1, &mut to);
        }
    } else {
        JsonDecoder::new(config).decode(&messages, 0, &mut to);
    }
    told.rows = rows
        .heads
        .iter()
        .enumerate()
        .map(|(row, head)| {
            let asset = partitions.at(0).assets.name(head.asset);
            let values = rows.columns.iter().map(|column| column[row].to_bits());
            (format!("{asset} {head:?}"), values.collect())
        })
        .collect();
    told.refused = refused
        .iter()
        .map(|refused| {
            let refusal = &refused.refusal;
            (refused.offset, refusal.code(), refusal.to_string())
        })
        .collect();
    told
}

/// How many messages of `log` are familiar; the others are read as if they came alone, all are.
fn familiar(source: &str, log: &[&str]) -> u64 {
    let config = config(source);
    let (told, alone) = (decode(&config, log, false), decode(&config, log, true));
    let familiar = told.familiar;
    assert_eq!(
        Told {
            familiar: 0,
            ..told
        },
        alone
    );
    familiar
}

#[test]
fn messages_of_one_form_are_familiar_from_the_second_on() {
    let logs: [&[&str]; 6] = [
        &[
            r#"{"time":1,"pump":"pump1","a":1.5,"b":-2}"#,
            r#"{"time":20,"pump":"pump 22","a":0.25,"b":3e-5}"#,
        ],
        // As Python writes it.
        &[
            r#"{"time": 1, "pump": "pump1", "a": 1.5}"#,
            r#"{"time": 2.5, "pump": "pump2", "a": 0.1234567890123456}"#,
        ],
        &[
            "\n{ \"a\" :1 ,\t\"pump\": 17,\"time\":1 }\r\n",
            "\n{ \"a\" :2 ,\t\"pump\": 17,\"time\":3 }\r\n",
        ],
        // A signal that is not there, and texts beyond ASCII.
        &[
            r#"{"time":1,"pump":"pumpé","a":1,"b":null}"#,
            r#"{"time":2,"pump":"pumpß","a":2,"b":1}"#,
            r#"{"time":3,"pump":"pump中","a":3,"b":null}"#,
        ],
        // What is ignored, with all that is in it.
        &[
            r#"{"id":"x\n\"","at":{"a":1,"site":[1,"]}",{}]},"time":1,"pump":"pump1","a":1,"x":true}"#,
            r#"{"id":"yyy","at":{"a":-2,"site":[0,"[",{}]},"time":2,"pump":"pump2","a":1,"x":false}"#,
        ],
        &[
            r#"{"é":1,"time":1,"pump":"pump1","a":1}"#,
            r#"{"é":2,"time":1,"pump":"pump1","a":1}"#,
        ],
    ];
    for log in logs {
        assert_eq!(familiar(SOURCES[0], log), log.len() as u64 - 1, "{log:?}");
    }
    let times = [
        r#"{"time":"2026-01-31T00:00:00Z","pump":"pump1","a":1}"#,
        r#"{"time":"2026-01-31T01:00:00.5+01:00","pump":"pump2","a":1}"#,
    ];
    assert_eq!(familiar(SOURCES[1], &times), 1);
    let narrow = [
        r#"{"time":1,"pump":"pump1","tag":"a","v":1}"#,
        r#"{"time":1,"pump":"pump1","tag":"c","v":1}"#,
        r#"{"time":1,"pump":"pump1","tag":"not declared","v":1}"#,
    ];
    assert_eq!(familiar(SOURCES[4], &narrow), 2);
}

#[test]
fn forms_of_several_devices_are_known_side_by_side() {
    let devices = [
        r#"{"time":1,"pump":"pump1","a":1}"#,
        r#"{"a":1,"pump":"pump1","time":1}"#,
        r#"{"a":1, "pump":"pump1","time":1}"#,
    ];
    let log: Vec<&str> = devices.iter().cycle().take(30).copied().collect();
    // The third device's first message is a third stranger in a row: it is looked at when it comes again.
    assert_eq!(familiar(SOURCES[0], &log), 30 - 4);
}

#[test]
fn where_no_message_has_a_form_few_are_looked_at() {
    let mut forms = super::Forms::default();
    let fields = super::Fields::new(&config(SOURCES[0]));
    for stranger in 0..1_000 {
        let before = forms.forms.len();
        forms.learn(&format!("{{\"x{stranger}\":1}}"), &fields);
        assert!(forms.forms.len() <= super::FORMS);
        let looked_at = forms.forms.len() > before
            || forms.forms[0]
                .bytes
                .starts_with(format!("{{\"x{stranger}\"").as_bytes());
        assert_eq!(looked_at, (stranger + 1_u32).is_power_of_two());
    }
}

#[test]
fn a_message_with_the_form_of_another_is_refused_for_its_own_reason() {
    let good = r#"{"time":1,"pump":"pump1","a":1,"x":1}"#;
    let odd = [
        (
            r#"{"time":1,"pump":"pump1","a":1001,"x":1}"#,
            "out-of-range",
        ),
        // Not for its asset, which comes first in the row.
        (r#"{"time":1,"pump":"fan","a":1001,"x":1}"#, "out-of-range"),
        (r#"{"time":1,"pump":"fan","a":1,"x":01}"#, "malformed-json"),
        (r#"{"time":1,"pump":"","a":1,"x":1}"#, "missing-asset"),
        (r#"{"time":1,"pump":"fan","a":1,"x":1}"#, "unknown-asset"),
        (r#"{"time":1,"pump":"pump1","a":"1","x":1}"#, "wrong-type"),
        (
            r#"{"time":1,"pump":"pump1","a":1e400,"x":1}"#,
            "malformed-json",
        ),
        (
            r#"{"time":1e300,"pump":"pump1","a":1,"x":1}"#,
            "invalid-time",
        ),
        (
            r#"{"time":1,"pump":"pump1","a":null,"x":1}"#,
            "missing-signal",
        ),
        (
            r#"{"time":1,"pump":"pump1","a":1,"x":1}}"#,
            "malformed-json",
        ),
        (
            "{\"time\":1,\"pump\":\"pump\t1\",\"a\":1,\"x\":1}",
            "malformed-json",
        ),
    ];
    for (odd, code) in odd {
        let log = [good, odd, good];
        let told = decode(&config(SOURCES[0]), &log, false);
        assert_eq!(familiar(SOURCES[0], &log), 1, "{odd}");
        assert_eq!(told.refused.len(), 1, "{odd}");
        assert_eq!((told.refused[0].0, told.refused[0].1), (1, code), "{odd}");
    }
}

proptest! {
    #[test]
    fn each_message_is_read_as_if_it_came_alone(source in select(&SOURCES[..]), log in log()) {
        let config = config(source);
        let told = decode(&config, &log, false);
        let familiar = told.familiar;
        prop_assert_eq!(Told { familiar: 0, ..told }, decode(&config, &log, true), "{} familiar", familiar);
    }
}

/// Messages of a few forms, now and then with something that is odd.
fn log() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(form(), 1..4).prop_flat_map(|forms| vec(select(forms).prop_flat_map(message), 1..12))
}

/// The keys of an object, each with what stands before and behind its colon and behind its value.
type Keys = Vec<(&'static str, [&'static str; 3])>;

fn form() -> impl Strategy<Value = Keys> {
    const USUAL: [&str; 8] = [
        "\"time\"", "\"pump\"", "\"a\"", "\"b\"", "\"c\"", "\"x\"", "\"tag\"", "\"v\"",
    ];
    const OTHERS: [&str; 5] = ["\"\\u0061\"", "\"\"", "\"é\"", "\"a \"", "\"time\""];
    let usual = Just(USUAL.to_vec()).prop_shuffle();
    let keys = (usual, 3..=8_usize, vec(select(&OTHERS[..]), 0..2));
    let keys = keys.prop_map(|(mut keys, most, others)| {
        keys.truncate(most);
        keys.extend(others);
        keys
    });
    keys.prop_flat_map(|keys| {
        let keys = keys
            .into_iter()
            .map(|key| (Just(key), [blank(), blank(), blank()]));
        keys.collect::<Vec<_>>()
    })
}

fn blank() -> impl Strategy<Value = &'static str> {
    prop_oneof![9 => Just(""), 2 => Just(" "), 1 => select(&["\n", "\t", "\r\n  ", "\u{a0}"][..])]
}

fn message(form: Keys) -> impl Strategy<Value = Vec<u8>> {
    let values: Vec<_> = form.iter().map(|(key, _)| value(key)).collect();
    let plain = values.prop_map(move |values| {
        let fields = form.iter().zip(values);
        let fields = fields.map(|((key, [before, behind, end]), value)| {
            format!("{key}{before}:{behind}{value}{end}")
        });
        format!("{{{}}}", fields.collect::<Vec<_>>().join(",")).into_bytes()
    });
    (plain, mishap()).prop_map(|(mut message, mishap)| {
        mishap.befall(&mut message);
        message
    })
}

/// Mostly what the field should hold.
fn value(key: &str) -> impl Strategy<Value = String> + use<> {
    let pumps = select(
        &[
            "\"pump1\"",
            "\"pump2\"",
            "\"pump with a name of more than 24 bytes\"",
            "17",
            "\"pumpé\"",
            "\"fan\"",
        ][..],
    );
    let times = select(
        &[
            "1",
            "1567606196",
            "1567606196000",
            "1567606196.25",
            "\"2026-01-31T00:00:00Z\"",
            "\"2026-01-31T00:00:00.123456+01:00\"",
        ][..],
    );
    let tags = select(&["\"a\"", "\"b\"", "\"other\""][..]);
    let usual = match key {
        "\"pump\"" => pumps.prop_map(str::to_owned).boxed(),
        "\"time\"" => times.prop_map(str::to_owned).boxed(),
        "\"tag\"" => tags.prop_map(str::to_owned).boxed(),
        _ => number().boxed(),
    };
    prop_oneof![20 => usual, 1 => odd_value()]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (-100_f32..100.0).prop_map(|value| value.to_string()),
        4 => (-100_f64..100.0).prop_map(|value| value.to_string()),
        2 => (-2_000_i64..2_000).prop_map(|value| value.to_string()),
        1 => any::<u64>().prop_map(|value| value.to_string()),
        1 => any::<f64>().prop_map(|value| format!("{value:e}")),
        1 => "-?[0-9]{1,25}(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
        1 => (-1_f64..1.0, 0..30_usize).prop_map(|(value, decimals)| format!("{value:.decimals$}")),
    ]
}

fn odd_value() -> impl Strategy<Value = String> {
    const ODD: [&str; 38] = [
        "null",
        "true",
        "false",
        "nul",
        "[]",
        "{}",
        "[1,2]",
        "{\"a\":1}",
        "[{\"a\":[null,\"\\\"\"]}, -1]",
        "\"\"",
        "\"\\u00e9\"",
        "\"\\\"\"",
        "\"\\\\\"",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"a\tb\"",
        "\"a\u{7f}b\"",
        "\"open",
        "-0",
        "-0.0",
        "01",
        "00",
        "-",
        "+1",
        ".5",
        "1.",
        "1.e1",
        "1e",
        "1e+",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1e400",
        "1e-400",
        "0e99999999999",
        "1e99999999999",
        "",
    ];
    prop_oneof![
        select(&ODD[..]).prop_map(str::to_owned),
        ".{0,8}".prop_map(|text| format!("\"{text}\"")),
        number(),
    ]
}

/// What happens to a message on its way.
#[derive(Debug, Clone)]
enum Mishap {
    None,
    Lost(Index),
    Changed(Index, u8),
    Added(Index, u8),
    CutOff(Index),
    Repeated(Index, Index),
    /// A piece of it where another piece was.
    Moved(Index, Index, Index),
    Other(Vec<u8>),
}

fn mishap() -> impl Strategy<Value = Mishap> {
    const BYTES: &[u8] = b"{}[]\",:.\\eE+-0123456789 \tntu\0\x7f\x80\xc3\xa9\xff";
    let (place, byte) = (any::<Index>, || select(BYTES));
    prop_oneof![
        30 => Just(Mishap::None),
        1 => place().prop_map(Mishap::Lost),
        1 => (place(), byte()).prop_map(|(at, byte)| Mishap::Changed(at, byte)),
        1 => (place(), byte()).prop_map(|(at, byte)| Mishap::Added(at, byte)),
        1 => place().prop_map(Mishap::CutOff),
        1 => (place(), place()).prop_map(|(a, b)| Mishap::Repeated(a, b)),
        1 => (place(), place(), place()).prop_map(|(a, b, c)| Mishap::Moved(a, b, c)),
        1 => vec(any::<u8>(), 0..60).prop_map(Mishap::Other),
    ]
}

impl Mishap {
    fn befall(&self, message: &mut Vec<u8>) {
        let length = message.len();
        let at = |index: &Index| index.index(length);
        let between = |a: &Index, b: &Index| at(a).min(at(b))..at(a).max(at(b));
        match self {
            Mishap::None => {}
            Mishap::Lost(index) => drop(message.remove(at(index))),
            Mishap::Changed(index, byte) => message[at(index)] = *byte,
            Mishap::Added(index, byte) => message.insert(at(index), *byte),
            Mishap::CutOff(index) => message.truncate(at(index)),
            Mishap::Repeated(a, b) => message.extend_from_within(between(a, b)),
            Mishap::Moved(a, b, c) => {
                let (piece, begin) = (message[between(a, b)].to_vec(), at(c));
                let end = (begin + piece.len() / 2).min(message.len());
                message.splice(begin..end, piece);
            }
            Mishap::Other(bytes) => message.clone_from(bytes),
        }
    }
}
