use super::*;
use crate::config::Watch;

fn spec(of: u32, within: u32, clear_after: u32) -> AlarmSpec {
    AlarmSpec {
        name: "hot".into(),
        group: 0,
        watch: Watch::Confidence,
        rises: true,
        severities: vec![("warning".into(), 1.0), ("critical".into(), 3.0)],
        of,
        within,
        clear_at: 0.8,
        clear_after,
    }
}

/// Feeds values, one a second, and gives what each one did.
fn run(spec: &AlarmSpec, values: &[f64]) -> (Alarms, Vec<(usize, Turn)>) {
    let mut alarms = Alarms::default();
    let turns = values.iter().enumerate().filter_map(|(i, value)| {
        let sample = Sample {
            value: *value,
            at: i as i64 * 1_000_000,
            offset: 100 + i as i64,
            model: 0,
        };
        Some((i, alarms.take(spec, (7, 0), sample)?))
    });
    let turns = turns.collect();
    (alarms, turns)
}

fn events(turns: &[(usize, Turn)]) -> Vec<(usize, AlarmEvent, usize)> {
    let told = turns.iter();
    told.map(|(i, turn)| (*i, turn.event, turn.severity))
        .collect()
}

#[test]
fn an_alarm_needs_n_of_m_and_is_cleared_with_hysteresis() {
    //         0    1    2    3    4    5    6    7    8    9
    let values = [2.0, 0.1, 2.0, 0.1, 2.0, 0.9, 0.5, 0.5, 0.9, 0.5];
    let (alarms, turns) = run(&spec(3, 5, 2), &values);
    // 0.9 is below the limit and not yet good.
    let expected = [(4, AlarmEvent::Raised, 0), (7, AlarmEvent::Cleared, 0)];
    assert_eq!(events(&turns), expected);
    assert_eq!((turns[0].1.first.offset, turns[0].1.count), (100, 3));
    assert_eq!(turns[0].1.raised_at, 4_000_000);
    assert_eq!(
        turns[1].1.raised_at, 4_000_000,
        "the occurrence that it ends"
    );
    assert!(alarms.watched.is_empty(), "a well asset costs nothing");
}

#[test]
fn hits_that_are_too_far_apart_raise_nothing() {
    let values = [2.0, 0.1, 0.1, 0.1, 0.1, 2.0, 0.1, 0.1, 0.1, 0.1, 0.1];
    let (alarms, turns) = run(&spec(2, 5, 1), &values);
    assert_eq!(turns, []);
    assert!(alarms.watched.is_empty());
}

#[test]
fn a_worse_severity_escalates_once_and_a_milder_one_says_nothing() {
    let values = [2.0, 2.0, 4.0, 4.0, 4.0, 2.0, 0.1];
    let (_, turns) = run(&spec(2, 2, 1), &values);
    let expected = [
        (1, AlarmEvent::Raised, 0),
        (3, AlarmEvent::Escalated, 1),
        (6, AlarmEvent::Cleared, 1),
    ];
    assert_eq!(events(&turns), expected);
    let (_, turns) = run(&spec(2, 2, 1), &[9.0, 9.0]);
    assert_eq!(events(&turns), [(1, AlarmEvent::Raised, 1)]);
}

#[test]
fn remaining_life_alarms_below() {
    let mut spec = spec(1, 1, 1);
    spec.rises = false;
    spec.watch = Watch::Rul;
    spec.severities = vec![("warning".into(), 30.0), ("critical".into(), 10.0)];
    spec.clear_at = 40.0;
    let (_, turns) = run(&spec, &[100.0, 25.0, 35.0, 9.0, 39.0, 40.0]);
    let expected = [
        (1, AlarmEvent::Raised, 0),
        (3, AlarmEvent::Escalated, 1),
        (5, AlarmEvent::Cleared, 1),
    ];
    assert_eq!(events(&turns), expected);
}

#[test]
fn an_alarm_does_not_outlive_its_asset() {
    let (mut alarms, turns) = run(&spec(1, 1, 1), &[2.0]);
    assert_eq!(
        (events(&turns), alarms.raised()),
        (vec![(0, AlarmEvent::Raised, 0)], 1)
    );
    assert_eq!(alarms.forget(6, 1), []);
    let ended = alarms.forget(7, 1);
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].1.event, AlarmEvent::Cleared);
    assert_eq!((alarms.forget(7, 1), alarms.raised()), (Vec::new(), 0));
}
