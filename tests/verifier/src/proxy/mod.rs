//! A TCP proxy before the broker, whose faults are set while it runs.
//!
//! ```text
//!   client ──▶ port ──▶ read ─▶ due at now + latency ± jitter ─▶ [≤ 64 chunks] ─▶ paced ─▶ write ──▶ broker
//!          ◀── the same for the other direction, with faults of its own ◀──
//! ```
//!
//! Invariants:
//! - bytes of one direction never overtake each other, however long the first ones are delayed;
//! - a connection of which bytes have vanished carries no more: it is reset at its first byte after the hole is
//!   gone, as by a router that has forgotten it. The rest of a torn stream would be read as something else;
//! - every random choice comes from the seed.

mod carry;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rand_pcg::Lcg64Xsh32;
use rand_pcg::rand_core::Rng as _;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::lock::lock;

/// Ports below Linux's ephemeral range: while the proxy refuses connections its port must not become the local
/// port of somebody's outgoing connection.
const PORTS: std::ops::Range<u32> = 10_000..30_000;
/// Between two attempts to listen again.
const AGAIN: Duration = Duration::from_millis(20);

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToBroker,
    ToClient,
}

/// What happens to the bytes of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    pub latency: Duration,
    /// Latency is uniform in `latency ± jitter`, never below 0.
    pub jitter: Duration,
    /// Of each connection by itself.
    pub bytes_per_second: Option<u64>,
    /// Bytes vanish; connections stay open.
    pub black_hole: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    to_broker: Faults,
    to_client: Faults,
    refuses: bool,
    /// Connections with lower numbers are black holes.
    lost_below: u64,
    ended: bool,
}

impl State {
    fn of(&self, direction: Direction, connection: u64) -> Faults {
        if connection < self.lost_below {
            return Faults {
                black_hole: true,
                ..Faults::default()
            };
        }
        match direction {
            Direction::ToBroker => self.to_broker,
            Direction::ToClient => self.to_client,
        }
    }
}

/// What has happened so far: a scenario whose fault never fired has shown nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub connections: u64,
    pub resets: u64,
    pub forwarded_bytes: u64,
    pub vanished_bytes: u64,
    /// Chunks that were held back by a latency or a bandwidth limit.
    pub delayed_chunks: u64,
}

#[derive(Debug)]
struct Shared {
    seed: u64,
    upstream: Mutex<Option<SocketAddr>>,
    state: watch::Sender<State>,
    /// Open connections; a message resets one.
    connections: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
    random: Mutex<Lcg64Xsh32>,
    counts: Mutex<Counts>,
}

/// The proxy; it ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a loopback port of its choice. Until [`Self::forward_to`] connections are closed at once.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub fn start(seed: u64) -> io::Result<Self> {
        let mut random = Lcg64Xsh32::new(seed, 0);
        let listener = loop {
            let port = PORTS.start + random.next_u32() % (PORTS.end - PORTS.start);
            let port = u16::try_from(port).unwrap_or(u16::MAX);
            match std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                Ok(listener) => break listener,
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        };
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            seed,
            upstream: Mutex::default(),
            state: watch::Sender::new(State::default()),
            connections: Mutex::default(),
            random: Mutex::new(random),
            counts: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let own = shared.clone();
        let run = move || {
            runtime.block_on(accept(listener, &own));
            // Open connections end with their tasks.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new()
            .name("proxy".into())
            .spawn(run)?;
        Ok(Proxy {
            port,
            shared,
            thread: Some(thread),
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where new connections are forwarded to.
    pub fn forward_to(&self, upstream: SocketAddr) {
        *lock(&self.shared.upstream) = Some(upstream);
    }

    /// Sets the faults of one direction, of all connections.
    pub fn set(&self, direction: Direction, faults: Faults) {
        self.shared.state.send_modify(|state| match direction {
            Direction::ToBroker => state.to_broker = faults,
            Direction::ToClient => state.to_client = faults,
        });
    }

    /// Sets the faults of both directions.
    pub fn set_both(&self, faults: Faults) {
        self.set(Direction::ToBroker, faults);
        self.set(Direction::ToClient, faults);
    }

    /// Whether new connections are refused. Open ones go on.
    pub fn refuse(&self, refuses: bool) {
        self.shared
            .state
            .send_modify(|state| state.refuses = refuses);
    }

    /// Bytes of all connections that are open now vanish, as behind a firewall that has forgotten them; new ones
    /// are carried. Gives their number.
    pub fn lose_open(&self) -> usize {
        let open = lock(&self.shared.connections);
        let lost_below = open.keys().next_back().map_or(0, |id| id + 1);
        self.shared
            .state
            .send_modify(|state| state.lost_below = lost_below);
        open.len()
    }

    /// No faults any more.
    pub fn heal(&self) {
        self.shared
            .state
            .send_modify(|state| *state = State::default());
    }

    /// Resets all open connections; gives their number.
    pub fn reset_all(&self) -> usize {
        let open = std::mem::take(&mut *lock(&self.shared.connections));
        open.into_values()
            .filter_map(|reset| reset.send(()).ok())
            .count()
    }

    /// Resets one open connection, chosen by chance; false when there is none.
    pub fn reset_one(&self) -> bool {
        let mut open = lock(&self.shared.connections);
        let chance = lock(&self.shared.random).next_u32() as usize;
        let chosen = open.keys().nth(chance % open.len().max(1)).copied();
        let reset = chosen.and_then(|id| open.remove(&id));
        reset.is_some_and(|reset| reset.send(()).is_ok())
    }

    pub fn counts(&self) -> Counts {
        *lock(&self.shared.counts)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state.send_modify(|state| state.ended = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Accepts connections until the proxy ends. While it refuses them it does not listen at all, so that clients
/// are told what a closed port tells them.
async fn accept(first: std::net::TcpListener, shared: &Arc<Shared>) {
    let Ok(address) = first.local_addr() else {
        return;
    };
    let mut state = shared.state.subscribe();
    let mut listener = TcpListener::from_std(first).ok();
    let mut next = 0;
    loop {
        let now = *state.borrow_and_update();
        if now.ended {
            return;
        }
        if now.refuses {
            listener = None;
            let _ = state.changed().await;
            continue;
        }
        let Some(open) = &listener else {
            listener = TcpListener::bind(address).await.ok();
            if listener.is_none() {
                tokio::time::sleep(AGAIN).await;
            }
            continue;
        };
        tokio::select! {
            _ = state.changed() => {}
            accepted = open.accept() => {
                if let Ok((client, _)) = accepted {
                    tokio::spawn(carry::connection(client, next, shared.clone()));
                    next += 1;
                }
            }
        }
    }
}
