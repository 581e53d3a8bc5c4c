//! What each worker is doing at this moment: whether it is inside a call of the Kafka client, in which, and since
//! when it has come on.
//!
//! ```text
//!   worker:   call("commit_transaction", || ...) ─▶ its pulse ◀─ watchdog.rs, /livez (other threads)
//! ```
//!
//! A worker's thread carries its pulse with it, so that whatever it calls is told of where it is called, and a
//! command without workers tells nobody. Calls that come per record are told of once per batch. What a worker has done
//! on another thread beside its own work is told of, too; of two calls at once, the one that has lasted longer.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

thread_local! {
    static MINE: RefCell<Option<(Arc<Pulse>, Lane)>> = const { RefCell::new(None) };
}

/// Written by one worker, read by who watches it.
#[derive(Debug)]
pub struct Pulse(Mutex<Lanes>);

#[derive(Debug, Clone, Copy)]
enum Lane {
    Own,
    Beside,
}

#[derive(Debug, Clone, Copy)]
struct Lanes {
    own: Doing,
    beside: Doing,
}

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
        let doing = Doing {
            call: None,
            since: Instant::now(),
        };
        Pulse(Mutex::new(Lanes {
            own: doing,
            beside: doing,
        }))
    }
}

impl Pulse {
    /// Makes this the pulse of the calling thread.
    pub fn carry(self: &Arc<Self>) {
        self.set(Lane::Own, None);
        MINE.set(Some((self.clone(), Lane::Own)));
    }

    pub fn doing(&self) -> Doing {
        let Lanes { own, beside } = *self.lock();
        let calls = [own, beside]
            .into_iter()
            .filter(|doing| doing.call.is_some());
        calls.min_by_key(|doing| doing.since).unwrap_or(own)
    }

    /// Gives what it was in before.
    fn set(&self, lane: Lane, call: Option<&'static str>) -> Option<&'static str> {
        let since = Instant::now();
        let mut lanes = self.lock();
        let doing = match lane {
            Lane::Own => &mut lanes.own,
            Lane::Beside => &mut lanes.beside,
        };
        std::mem::replace(doing, Doing { call, since }).call
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        // A panic elsewhere leaves the fields as they were.
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
        if let Some((pulse, lane)) = mine {
            pulse.set(*lane, None);
        }
    });
}

/// `work` for another thread, told of as the calling worker's, beside its own.
pub fn beside<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let pulse = MINE.with_borrow(|mine| mine.as_ref().map(|(pulse, _)| pulse.clone()));
    move || {
        MINE.set(pulse.map(|pulse| (pulse, Lane::Beside)));
        work()
    }
}

fn enter(name: &'static str) -> Left {
    MINE.with_borrow(|mine| {
        let entered = mine.as_ref().map(|(pulse, lane)| {
            let before = pulse.set(*lane, Some(name));
            (pulse.clone(), *lane, before)
        });
        Left(entered)
    })
}

/// Ends a call, also when it panics.
struct Left(Option<(Arc<Pulse>, Lane, Option<&'static str>)>);

impl Drop for Left {
    fn drop(&mut self) {
        if let Some((pulse, lane, before)) = &self.0 {
            pulse.set(*lane, *before);
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

    #[test]
    fn of_two_calls_at_once_the_one_that_lasts_longer_is_told_of() {
        let pulse = Arc::new(Pulse::default());
        let worker = std::thread::spawn(move || {
            pulse.carry();
            let told = call("poll", || {
                let work = beside(|| call("commit", || pulse.doing().call));
                std::thread::scope(|scope| scope.spawn(work).join().expect("no panic"))
            });
            let later = beside(|| {
                call("commit", || {
                    let alone = pulse.doing().call;
                    pulse.set(Lane::Own, Some("poll"));
                    (alone, pulse.doing().call)
                })
            });
            let alone = std::thread::scope(|scope| scope.spawn(later).join().expect("no panic"));
            pulse.set(Lane::Own, None);
            (told, alone, pulse.doing().call)
        });
        let told = worker.join().expect("no panic");
        assert_eq!(told, (Some("poll"), (Some("commit"), Some("commit")), None));
    }
}
