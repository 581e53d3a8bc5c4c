//! What a detector did on rows that are counted by hand.

use super::*;

const DAY: i64 = 86_400_000_000;

/// Rows a day apart, of pictures like the one of the module's header; scores are 2 where flagged, and 0.5.
fn cases(truth: &str, flagged: &str) -> Vec<Case> {
    let marks = truth.bytes().zip(flagged.bytes()).enumerate();
    marks
        .map(|(row, (truth, flagged))| Case {
            time: row as i64 * DAY,
            score: if flagged == b'#' { 2.0 } else { 0.5 },
            flagged: flagged == b'#',
            truth: truth == b'#',
        })
        .collect()
}

fn detected<const N: usize>(assets: [(&str, Vec<Case>); N]) -> Detected {
    let named = assets.into_iter();
    Detected(
        named
            .map(|(name, cases)| (name.to_owned(), cases))
            .collect(),
    )
}

fn days(days: i64) -> Duration {
    Duration::from_micros((days * DAY).unsigned_abs())
}

fn header() -> Vec<Case> {
    cases("..####.....##.", "#...###.#.....")
}

#[test]
fn rows_episodes_and_alarms_of_a_hand_counted_asset() {
    let tally = Tally::of(&header());
    let expected = Tally {
        rows: Confusion {
            tp: 2,
            fp: 3,
            tn: 5,
            fn_: 4,
        },
        episodes: 2,
        detected: 1,
        alarms: 3,
        false_alarms: 2,
        watched: days(13),
    };
    assert_eq!(tally, expected);
    let found = Episode {
        first: 2 * DAY,
        last: 5 * DAY,
        delay: Some(days(2)),
    };
    let missed = Episode {
        first: 11 * DAY,
        last: 12 * DAY,
        delay: None,
    };
    assert_eq!(episodes(&header()), [found, missed]);
    let figures = detected([("pump", header())]).figures();
    assert_eq!(
        (figures.precision, figures.recall, figures.f1),
        (Some(0.4), Some(2.0 / 6.0), Some(4.0 / 11.0))
    );
    assert_eq!(
        (figures.false_alarm_rate, figures.missed_alarm_rate),
        (Some(0.375), Some(4.0 / 6.0))
    );
    assert_eq!(
        (figures.detection_rate, figures.mean_delay),
        (Some(0.5), Some(days(2)))
    );
    let per_week = figures.alarms_per_week.unwrap();
    assert!((per_week - 3.0 * 7.0 / 13.0).abs() < 1e-12, "{per_week}");
}

#[test]
fn assets_are_pooled_and_told_one_by_one() {
    // Delays of 2 days, of none, and of 1 and 4 days.
    let both = detected([
        ("a", header()),
        ("b", cases("###....", "#......")),
        ("c", cases("..##.#####.", "...#.....#.")),
    ]);
    let figures = both.figures();
    assert_eq!((figures.assets, figures.episodes), (3, 5));
    assert_eq!(
        figures.rows,
        Confusion {
            tp: 2 + 1 + 2,
            fp: 3,
            tn: 5 + 4 + 4,
            fn_: 4 + 2 + 5
        }
    );
    assert_eq!(figures.detection_rate, Some(0.8));
    assert_eq!(figures.mean_delay, Some(days(7) / 4));
    // Of 0, 1, 2, 4.
    assert_eq!(figures.median_delay, Some(days(3) / 2));
    let per_week = figures.false_alarms_per_week.unwrap();
    assert!((per_week - 2.0 * 7.0 / 29.0).abs() < 1e-12, "{per_week}");
    let told: Vec<(&str, Option<f64>)> = both
        .by_asset()
        .map(|(asset, figures)| (asset, figures.recall))
        .collect();
    let expected = [
        ("a", Some(2.0 / 6.0)),
        ("b", Some(1.0 / 3.0)),
        ("c", Some(2.0 / 7.0)),
    ];
    assert_eq!(told, expected);
    // Episodes and alarms end with their asset.
    let ends = detected([("a", cases("..##", "..##")), ("b", cases("##..", "##.."))]);
    assert_eq!((ends.figures().episodes, ends.figures().alarms), (2, 2));
}

#[test]
fn an_alarm_that_began_before_the_episode_detects_it_at_once_and_is_not_false() {
    let tally = Tally::of(&cases("...###..", "..##..#."));
    assert_eq!((tally.alarms, tally.false_alarms), (2, 1));
    let episodes = episodes(&cases("...###..", "..##..#."));
    assert_eq!(episodes[0].delay, Some(Duration::ZERO));
    // One alarm over two episodes is one.
    let tally = Tally::of(&cases(".##.##.", ".#####."));
    assert_eq!((tally.alarms, tally.detected), (1, 2));
}

#[test]
fn what_is_undefined_is_not_told() {
    let none = |truth: &str, flagged: &str| detected([("pump", cases(truth, flagged))]).figures();
    let healthy = none("....", "....");
    assert_eq!(
        (healthy.precision, healthy.recall, healthy.f1),
        (None, None, None)
    );
    assert_eq!(
        (
            healthy.detection_rate,
            healthy.mean_delay,
            healthy.median_delay
        ),
        (None, None, None)
    );
    assert_eq!(
        (healthy.false_alarm_rate, healthy.roc_auc),
        (Some(0.0), None)
    );
    assert_eq!(healthy.alarms_per_week, Some(0.0));
    let all = none("####", "####");
    assert_eq!((all.f1, all.false_alarm_rate), (Some(1.0), None));
    assert_eq!((all.roc_auc, all.average_precision), (None, Some(1.0)));
    let always = none("..##", "####");
    assert_eq!(
        (always.recall, always.false_alarm_rate),
        (Some(1.0), Some(1.0))
    );
    assert_eq!(
        (always.roc_auc, always.detection_rate),
        (Some(0.5), Some(1.0))
    );
    // One row is watched for no time.
    let one = none("#", "#");
    assert_eq!(
        (one.f1, one.alarms, one.alarms_per_week),
        (Some(1.0), 1, None)
    );
    assert_eq!(Detected::default().figures(), Figures::default());
}

#[test]
fn figures_are_numbers_for_a_program() {
    let figures = detected([("pump", header())]).figures();
    let told = serde_json::to_value(figures).unwrap();
    assert_eq!(told["mean_delay"], 172_800.0);
    assert_eq!(told["rows"]["fn"], 4);
    let silent = detected([("pump", cases("..", ".."))]).figures();
    assert!(serde_json::to_value(silent).unwrap()["mean_delay"].is_null());
}

#[test]
fn two_detectors_are_compared_on_the_assets_that_both_have() {
    let truth = "..####....##..";
    let fleet = |flagged: &str, count: usize| {
        let asset = |number| (format!("pump-{number}"), cases(truth, flagged));
        Detected((0..count).map(asset).collect())
    };
    let champion = fleet("#.....#.......", 8);
    let challenger = fleet("...###....##..", 7);
    let told = champion
        .against(&challenger, Tally::f1_lost, 0.9, 1)
        .unwrap();
    assert_eq!((told.assets, told.champion), (7, 1.0));
    assert!((told.challenger - 1.0 / 11.0).abs() < 1e-12);
    assert!(told.high < 0.0);
    let cost = |tally: &Tally| tally.cost(10.0, 1.0);
    let told = champion.against(&challenger, cost, 0.9, 1).unwrap();
    assert_eq!((told.champion, told.challenger), (7.0 * (20.0 + 2.0), 0.0));
    let stranger = detected([("fan", header())]);
    assert_eq!(champion.against(&stranger, Tally::f1_lost, 0.9, 1), None);
}

#[test]
fn a_tally_without_mistakes_has_lost_nothing() {
    assert_eq!(Tally::default().f1_lost(), 0.0);
    assert_eq!(Tally::of(&cases("....", "....")).f1_lost(), 0.0);
    assert_eq!(Tally::of(&cases("....", "..#.")).f1_lost(), 1.0);
    let header = Tally::of(&header());
    assert!((header.f1_lost() - 7.0 / 11.0).abs() < 1e-12);
    assert_eq!(header.cost(5.0, 2.0), 5.0 + 4.0);
}
