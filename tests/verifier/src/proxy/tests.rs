//! Each fault measured with an echo server behind the proxy. Time bounds are generous: other things run on the
//! machine.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::{Counts, Direction, Faults, Proxy};

const SEED: u64 = 7;
const LONG: Duration = Duration::from_secs(20);

/// A proxy before a server that sends back what it gets.
fn proxied() -> Proxy {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(SEED).unwrap();
    proxy.forward_to(server.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut bytes = [0; 1 << 14];
                while let Ok(read @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&bytes[..read]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    proxy
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Waits until the proxy has counted something: its thread may be held up for any time.
fn await_counts(proxy: &Proxy, are: impl Fn(Counts) -> bool) {
    let deadline = Instant::now() + LONG;
    while !are(proxy.counts()) {
        assert!(Instant::now() < deadline, "{:?}", proxy.counts());
        std::thread::yield_now();
    }
}

/// How long `bytes` take there and back, which must come back as they were.
fn round_trip(stream: &mut TcpStream, bytes: &[u8]) -> Duration {
    let begun = Instant::now();
    let mut writer = stream.try_clone().unwrap();
    let sent = bytes.to_vec();
    let send = std::thread::spawn(move || writer.write_all(&sent).unwrap());
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    send.join().unwrap();
    assert!(back == bytes, "bytes come back in their order");
    begun.elapsed()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 % 251) as u8).collect()
}

#[test]
fn without_faults_bytes_pass_as_they_are_and_so_does_the_end_of_the_stream() {
    let proxy = proxied();
    let mut stream = connect(&proxy);
    round_trip(&mut stream, &pattern(1 << 20));
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    let counts = proxy.counts();
    assert_eq!((counts.connections, counts.resets), (1, 0));
    assert_eq!(counts.forwarded_bytes, 2 << 20);
    assert_eq!((counts.vanished_bytes, counts.delayed_chunks), (0, 0));
}

#[test]
fn latency_delays_each_direction_by_itself_and_jitter_keeps_the_order() {
    let proxy = proxied();
    let mut stream = connect(&proxy);
    let latency = Duration::from_millis(150);
    let faults = Faults {
        latency,
        ..Faults::default()
    };
    proxy.set(Direction::ToBroker, faults);
    let one_way = round_trip(&mut stream, b"there");
    proxy.set(Direction::ToClient, faults);
    let both_ways = round_trip(&mut stream, b"and back");
    assert!(
        one_way >= latency && both_ways >= 2 * latency,
        "{one_way:?} {both_ways:?}"
    );
    let jitter = Duration::from_millis(20);
    proxy.set_both(Faults {
        latency: jitter,
        jitter,
        ..Faults::default()
    });
    for _ in 0..20 {
        let took = round_trip(&mut stream, &pattern(70_000));
        assert!(took < LONG, "{took:?}");
    }
    proxy.heal();
    let healed = (0..5)
        .map(|_| round_trip(&mut stream, b"well"))
        .min()
        .unwrap();
    assert!(healed < latency, "{healed:?}");
}

#[test]
fn a_bandwidth_limit_paces_the_bytes() {
    let proxy = proxied();
    let mut stream = connect(&proxy);
    proxy.set(
        Direction::ToBroker,
        Faults {
            bytes_per_second: Some(200_000),
            ..Faults::default()
        },
    );
    let took = round_trip(&mut stream, &pattern(200_000));
    assert!(took >= Duration::from_millis(950), "{took:?}");
    assert!(took < LONG, "{took:?}");
    assert!(proxy.counts().delayed_chunks > 0);
}

#[test]
fn in_a_black_hole_bytes_vanish_and_the_connection_is_reset_when_it_is_gone() {
    let proxy = proxied();
    let mut stream = connect(&proxy);
    round_trip(&mut stream, b"before");
    proxy.set_both(Faults {
        black_hole: true,
        ..Faults::default()
    });
    stream.write_all(b"lost").unwrap();
    await_counts(&proxy, |counts| counts.vanished_bytes == 4);
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let waited = stream.read(&mut [0; 8]).unwrap_err();
    assert_eq!(waited.kind(), ErrorKind::WouldBlock, "open, and silent");
    // So is a new connection.
    let mut other = connect(&proxy);
    other.write_all(b"lost too").unwrap();
    await_counts(&proxy, |counts| counts.vanished_bytes == 12);
    other
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert!(other.read(&mut [0; 8]).is_err());
    proxy.heal();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(b"torn").unwrap();
    let torn = stream.read(&mut [0; 8]).unwrap_err();
    assert_eq!(torn.kind(), ErrorKind::ConnectionReset);
    round_trip(&mut connect(&proxy), b"after");
}

#[test]
fn what_is_open_is_lost_and_new_connections_are_carried() {
    let proxy = proxied();
    let mut open = connect(&proxy);
    round_trip(&mut open, b"open");
    assert_eq!(proxy.lose_open(), 1);
    open.write_all(b"lost").unwrap();
    await_counts(&proxy, |counts| counts.vanished_bytes == 4);
    round_trip(&mut connect(&proxy), b"new");
    proxy.heal();
    open.write_all(b"torn").unwrap();
    let torn = open.read(&mut [0; 8]).unwrap_err();
    assert_eq!(torn.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn connections_are_refused_while_open_ones_go_on() {
    let proxy = proxied();
    let mut open = connect(&proxy);
    round_trip(&mut open, b"open");
    proxy.refuse(true);
    let deadline = Instant::now() + LONG;
    // The listener is closed by the proxy's own thread.
    let refused = loop {
        match TcpStream::connect(("127.0.0.1", proxy.port())) {
            Ok(_) if Instant::now() < deadline => {}
            // It was waiting to be accepted when the listener was closed.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            told => break told.map(drop).map_err(|error| error.kind()),
        }
    };
    assert_eq!(refused, Err(ErrorKind::ConnectionRefused));
    round_trip(&mut open, b"still open");
    proxy.refuse(false);
    let mut again = loop {
        match TcpStream::connect(("127.0.0.1", proxy.port())) {
            Err(_) if Instant::now() < deadline => {}
            told => break told.unwrap(),
        }
    };
    round_trip(&mut again, b"again");
}

#[test]
fn a_reset_is_one_and_not_an_end_of_the_stream() {
    let proxy = proxied();
    let mut streams: Vec<TcpStream> = (0..3).map(|_| connect(&proxy)).collect();
    for stream in &mut streams {
        round_trip(stream, b"open");
    }
    assert!(proxy.reset_one());
    await_counts(&proxy, |counts| counts.resets == 1);
    let told = |stream: &mut TcpStream| {
        stream
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        stream.read(&mut [0; 8]).unwrap_err().kind()
    };
    let count = |streams: &mut [TcpStream]| {
        let reset = |stream: &mut TcpStream| told(stream) == ErrorKind::ConnectionReset;
        streams
            .iter_mut()
            .filter_map(|stream| reset(stream).then_some(()))
            .count()
    };
    assert_eq!(count(&mut streams), 1);
    assert_eq!(proxy.reset_all(), 2);
    // The one that was reset before has told it already, and is at its end.
    await_counts(&proxy, |counts| counts.resets == 3);
    assert!(!proxy.reset_one(), "none is open");
}
