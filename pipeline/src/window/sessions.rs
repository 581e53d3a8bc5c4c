//! Sessions as stretches of an asset's chain: rows less than a gap apart.

use super::chains::Chains;

/// First and last instant of each session of an asset.
pub(super) fn sessions(chains: &Chains, asset: u32, gap: i64) -> Vec<(i64, i64)> {
    let mut sessions: Vec<(i64, i64)> = Vec::new();
    for row in chains.rows(asset) {
        match sessions.last_mut() {
            Some(session) if row.event_at - session.1 < gap => session.1 = row.event_at,
            _ => sessions.push((row.event_at, row.event_at)),
        }
    }
    sessions
}

/// First and last instant of the session that a row at `at` makes with those that are there.
pub(super) fn joined(chains: &Chains, asset: u32, at: i64, gap: i64) -> (i64, i64) {
    let sessions = sessions(chains, asset, gap);
    let touching = sessions
        .iter()
        .filter(|(first, last)| last + gap > at && first - gap < at);
    touching.fold((at, at), |(start, end), (first, last)| {
        (start.min(*first), end.max(*last))
    })
}
