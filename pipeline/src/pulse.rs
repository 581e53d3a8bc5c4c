//! What each worker is doing at this moment: whether it is inside a call of the Kafka client, in which, and since
//! when it has come on.
//!
//! ```text
//!   worker:   call("commit_transaction", || ...) ─▶ its pulse ◀─ watchdog.rs, /livez (other threads)
//! ```
//!
//! A worker's thread carries its pulse with it, so that whatever it calls is told of where it is called, and a
//! command without workers tells nobody. Calls that come per record are told of once per batch.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

thread_local! {
    static MINE: RefCell<Option<Arc<Pulse>>> = const { RefCell::new(None) };
}

/// Written by one worker, read by who watches it.
#[derive(Debug)]
pub struct Pulse(Mutex<Doing>);

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doing {
    /// The call of the Kafka client that it is in; `None`: its own work.
    pub call: Option<&'static str>,
    /// When it entered that call, or came on otherwise.
    pub since: Instant,
}

impl Doing {
    /// For how long it has not come on.
    pub fn lasts(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Pulse(Mutex::new(Doing {
            call: None,
            since: Instant::now(),
        }))
    }
}

impl Pulse {
    /// Makes this the pulse of the calling thread.
    pub fn carry(self: &Arc<Self>) {
        self.set(None);
        MINE.set(Some(self.clone()));
    }

    pub fn doing(&self) -> Doing {
        *self.lock()
    }

    /// Gives what it was in before.
    fn set(&self, call: Option<&'static str>) -> Option<&'static str> {
        let since = Instant::now();
        std::mem::replace(&mut *self.lock(), Doing { call, since }).call
    }

    fn lock(&self) -> MutexGuard<'_, Doing> {
        // A panic elsewhere leaves the two fields as they were.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls the Kafka client; `name` is told should it not return.
pub fn call<T>(name: &'static str, call: impl FnOnce() -> T) -> T {
    let _left = enter(name);
    call()
}

/// The worker comes on.
pub fn beat() {
    MINE.with_borrow(|mine| {
        if let Some(pulse) = mine {
            pulse.set(None);
        }
    });
}

fn enter(name: &'static str) -> Left {
    MINE.with_borrow(|mine| {
        let entered = mine.as_ref().map(|pulse| {
            let before = pulse.set(Some(name));
            (pulse.clone(), before)
        });
        Left(entered)
    })
}

/// Ends a call, also when it panics.
struct Left(Option<(Arc<Pulse>, Option<&'static str>)>);

impl Drop for Left {
    fn drop(&mut self) {
        if let Some((pulse, before)) = &self.0 {
            pulse.set(*before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_of_while_it_lasts() {
        let pulse = Arc::new(Pulse::default());
        let seen = pulse.clone();
        let thread = std::thread::spawn(move || {
            pulse.carry();
            let inside = call("outer", || {
                let inner = call("inner", || pulse.doing().call);
                (inner, pulse.doing().call)
            });
            (inside, pulse.doing().call)
        });
        let told = thread.join().expect("no panic");
        assert_eq!(told, ((Some("inner"), Some("outer")), None));
        // A thread without a pulse of its own tells nobody.
        call("elsewhere", || assert_eq!(seen.doing().call, None));
    }
}
