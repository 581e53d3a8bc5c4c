//! One connection through the proxy, and its bytes in both directions.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rand_pcg::Lcg64Xsh32;
use rand_pcg::rand_core::Rng as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::{Direction, Faults, Shared, State};
use crate::lock::lock;

/// Bytes read at once: small, so that a bandwidth limit is felt evenly.
const CHUNK: usize = 16 << 10;
/// Chunks that wait for their time; then nothing more is read, and the sender feels it.
const QUEUE: usize = 64;

/// Carries one connection to its end.
pub(super) async fn connection(client: TcpStream, id: u64, shared: Arc<Shared>) {
    let upstream = *lock(&shared.upstream);
    let broker = match upstream {
        Some(upstream) => TcpStream::connect(upstream).await.ok(),
        None => None,
    };
    let Some(broker) = broker else {
        let _ = client.set_zero_linger();
        return;
    };
    let (reset_tx, reset_rx) = oneshot::channel();
    lock(&shared.connections).insert(id, reset_tx);
    lock(&shared.counts).connections += 1;
    if carry(client, broker, id, &shared, reset_rx).await {
        lock(&shared.counts).resets += 1;
    }
    lock(&shared.connections).remove(&id);
}

/// True when the connection was reset, false when it was closed.
async fn carry(
    mut client: TcpStream,
    mut broker: TcpStream,
    id: u64,
    shared: &Shared,
    reset: oneshot::Receiver<()>,
) -> bool {
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let closed = {
        let (from_client, to_client) = client.split();
        let (from_broker, to_broker) = broker.split();
        let there = Lane::new(shared, Direction::ToBroker, id);
        let back = Lane::new(shared, Direction::ToClient, id);
        tokio::select! {
            _ = reset => false,
            done = async {
                tokio::try_join!(there.run(from_client, to_broker), back.run(from_broker, to_client))
            } => done.is_ok(),
        }
    };
    if !closed {
        let _ = (client.set_zero_linger(), broker.set_zero_linger());
    }
    !closed
}

/// One direction of one connection.
struct Lane<'s> {
    shared: &'s Shared,
    direction: Direction,
    id: u64,
    state: watch::Receiver<State>,
    random: Lcg64Xsh32,
}

type Chunk = (Instant, Option<u64>, Vec<u8>);

impl<'s> Lane<'s> {
    fn new(shared: &'s Shared, direction: Direction, id: u64) -> Self {
        let stream = 2 * id + u64::from(direction == Direction::ToClient) + 1;
        Lane {
            shared,
            direction,
            id,
            state: shared.state.subscribe(),
            random: Lcg64Xsh32::new(shared.seed, stream),
        }
    }

    /// Until the end of the stream, which is handed on; an error resets the connection.
    async fn run(mut self, from: ReadHalf<'_>, to: WriteHalf<'_>) -> io::Result<()> {
        let (chunks_tx, chunks_rx) = mpsc::channel(QUEUE);
        let shared = self.shared;
        let write = write(to, chunks_rx, shared);
        tokio::try_join!(self.read(from, chunks_tx), write).map(drop)
    }

    async fn read(&mut self, mut from: ReadHalf<'_>, to: mpsc::Sender<Chunk>) -> io::Result<()> {
        let mut torn = false;
        let mut last = Instant::now();
        loop {
            let mut bytes = vec![0; CHUNK];
            let read = from.read(&mut bytes).await?;
            let faults = self.faults();
            if faults.black_hole {
                // The end of a stream vanishes too: the other side hears of it when the hole is gone.
                torn = true;
                lock(&self.shared.counts).vanished_bytes += read as u64;
                if read == 0 {
                    self.until_the_hole_is_gone().await;
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                continue;
            }
            if torn {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if read == 0 {
                return Ok(());
            }
            bytes.truncate(read);
            last = last.max(Instant::now() + self.delay(faults));
            let limit = faults.bytes_per_second;
            if !faults.latency.is_zero() || limit.is_some() {
                lock(&self.shared.counts).delayed_chunks += 1;
            }
            if to.send((last, limit, bytes)).await.is_err() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    }

    fn faults(&mut self) -> Faults {
        self.state.borrow_and_update().of(self.direction, self.id)
    }

    async fn until_the_hole_is_gone(&mut self) {
        while self.faults().black_hole {
            if self.state.changed().await.is_err() {
                return;
            }
        }
    }

    fn delay(&mut self, faults: Faults) -> Duration {
        let share = f64::from(self.random.next_u32()) / f64::from(u32::MAX);
        let jitter = faults.jitter.as_secs_f64() * (2.0 * share - 1.0);
        Duration::from_secs_f64((faults.latency.as_secs_f64() + jitter).max(0.0))
    }
}

/// Writes chunks when they are due, no faster than the limit of each.
async fn write(
    mut to: WriteHalf<'_>,
    mut chunks: mpsc::Receiver<Chunk>,
    shared: &Shared,
) -> io::Result<()> {
    let mut free = Instant::now();
    while let Some((due, limit, bytes)) = chunks.recv().await {
        let begin = due.max(free);
        let takes = limit.map_or(0.0, |limit| bytes.len() as f64 / limit.max(1) as f64);
        free = begin + Duration::from_secs_f64(takes);
        sleep_until(free).await;
        to.write_all(&bytes).await?;
        lock(&shared.counts).forwarded_bytes += bytes.len() as u64;
    }
    to.shutdown().await
}
