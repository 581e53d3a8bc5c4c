//! Named points at which a process can be made to kill itself, so that a test can show what a crash there costs.
//!
//! `FOREWARN_KILL_AT=before-commit:3` sends this process SIGKILL when it passes that point for the third time.
//! Each point is passed once per transaction, per partition whose state is written, or per swap, never once per
//! record; without the variable passing one costs a load.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable.
pub const VARIABLE: &str = "FOREWARN_KILL_AT";

/// A point that a worker passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillPoint {
    /// A transaction is begun, and nothing sent in it yet.
    AfterBegin,
    /// Everything that belongs to the transaction is acknowledged.
    AfterProduce,
    BeforeSendOffsets,
    /// The offsets are in the transaction too.
    AfterSendOffsets,
    BeforeCommit,
    /// The transaction is committed, and the worker does not know it yet.
    AfterCommit,
    /// The state of a partition's assets is sent, but not what they share.
    MidSnapshot,
    /// Another version of a model is in place, and nothing says so yet.
    MidSwap,
}

impl KillPoint {
    /// All points, with their names. A new one needs its line here.
    pub const ALL: [(KillPoint, &str); 8] = [
        (KillPoint::AfterBegin, "after-begin"),
        (KillPoint::AfterProduce, "after-produce"),
        (KillPoint::BeforeSendOffsets, "before-send-offsets"),
        (KillPoint::AfterSendOffsets, "after-send-offsets"),
        (KillPoint::BeforeCommit, "before-commit"),
        (KillPoint::AfterCommit, "after-commit"),
        (KillPoint::MidSnapshot, "mid-snapshot"),
        (KillPoint::MidSwap, "mid-swap"),
    ];

    /// Passes the point; does not return when the process is to be killed here.
    pub(super) fn pass(self) {
        let armed = ARMED.get().filter(|armed| armed.point == self);
        if let Some(armed) = armed
            && armed.passed.fetch_add(1, Ordering::SeqCst) + 1 == armed.at
        {
            kill();
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "{VARIABLE}={given} is no point to be killed at: write POINT:N, the N-th passing, with one of {}",
    KillPoint::ALL.map(|(_, name)| name).join(", ")
)]
pub struct UnknownPoint {
    given: String,
}

#[derive(Debug)]
struct Armed {
    point: KillPoint,
    at: u64,
    passed: AtomicU64,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Arms the point that the environment names, for the rest of this process's life.
///
/// # Errors
/// When it names none.
pub fn arm() -> Result<(), UnknownPoint> {
    let Some(given) = std::env::var_os(VARIABLE) else {
        return Ok(());
    };
    let given = given.to_string_lossy().into_owned();
    let (point, at) = parse(&given).ok_or(UnknownPoint { given })?;
    tracing::warn!(
        ?point,
        at,
        "this process will kill itself: {VARIABLE} is set"
    );
    let passed = AtomicU64::new(0);
    let _ = ARMED.set(Armed { point, at, passed });
    Ok(())
}

fn parse(given: &str) -> Option<(KillPoint, u64)> {
    let (name, at) = given.split_once(':')?;
    let (point, _) = KillPoint::ALL
        .into_iter()
        .find(|(_, known)| *known == name)?;
    Some((point, at.parse().ok().filter(|at| *at > 0)?))
}

/// SIGKILL to this process: nothing is flushed, closed or told.
#[expect(unsafe_code, reason = "calls with numbers only")]
fn kill() {
    unsafe {
        libc::kill(libc::getpid(), libc::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_named_with_its_passing_and_a_wrong_name_is_told_the_right_ones() {
        for (point, name) in KillPoint::ALL {
            assert_eq!(parse(&format!("{name}:3")), Some((point, 3)));
        }
        for given in [
            "after-begin",
            "after-begin:0",
            "after-begin:x",
            "later:1",
            "",
        ] {
            assert_eq!(parse(given), None, "{given}");
        }
        let told = UnknownPoint {
            given: "later:1".into(),
        }
        .to_string();
        assert!(
            told.contains("later:1") && told.contains("before-commit, after-commit"),
            "{told}"
        );
    }
}
