//! `/livez`, `/readyz` and `/metrics` over HTTP: what a supervisor, a load balancer and Prometheus ask.
//!
//! A thread of its own, so that it answers whatever the workers are stuck in. It serves three small pages to few
//! clients, so it is no framework: one request per connection, GET and HEAD, and bounds on everything that a client
//! could hold: connections, bytes, time.
//!
//! Not here: encryption and names of users. Listen on loopback, or on a network that only the monitoring reaches.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};

use crate::metrics::{CONTENT_TYPE, Metrics};

/// Connections that are served at the same time; further ones wait.
const CONNECTIONS: usize = 16;
/// Longest head of a request; a probe's has a few hundred bytes.
const HEAD: usize = 8 << 10;
/// Most headers of a request.
const HEADERS: usize = 64;
/// How long a client may take to ask and to read the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause after a connection that the system could not give, say for want of file handles.
const PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";

#[derive(Debug, thiserror::Error)]
#[error(
    "service.http: {address} can't be listened on ({source}): another program may have it, perhaps another forewarn; \
     choose another port, or port 0 for any that is free"
)]
pub struct HttpError {
    address: SocketAddr,
    source: std::io::Error,
}

/// The server; it stops when this is dropped.
#[derive(Debug)]
pub struct Http {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Http {
    /// Listens on `address` and answers until it is dropped.
    ///
    /// # Errors
    /// When the address is in use, or not this machine's.
    pub fn start(address: SocketAddr, metrics: Arc<Metrics>) -> Result<Self, HttpError> {
        let failed = |source| HttpError { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, metrics) => {}
                    // Sent, or dropped with the server.
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("http".into()).spawn(serve);
        Ok(Http {
            address: bound,
            stop: Some(stop),
            thread: Some(thread.map_err(failed)?),
        })
    }

    /// Where it listens, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "HTTP can't be served");
            return;
        }
    };
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = free.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let metrics = metrics.clone();
                tokio::spawn(async move {
                    // A client that is gone, or too slow, gets no answer.
                    let _ = tokio::time::timeout(PATIENCE, converse(stream, &metrics)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "no connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// One request and its answer.
async fn converse(mut stream: TcpStream, metrics: &Metrics) -> std::io::Result<()> {
    let mut head = Vec::new();
    let answer = loop {
        let mut piece = [0; 1 << 10];
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        head.extend_from_slice(&piece[..read]);
        match parse(&head) {
            Asked::Incomplete if head.len() < HEAD => {}
            Asked::Incomplete => break Answer::text(431, "the request's head is too long\n"),
            Asked::Nothing => break Answer::text(400, "that is no HTTP/1 request\n"),
            Asked::For { path, body } => {
                let answer = answer(path, metrics);
                break if body { answer } else { answer.without_body() };
            }
            Asked::Otherwise => break Answer::text(405, "only GET and HEAD are answered\n"),
        }
    };
    stream.write_all(&answer.bytes()).await?;
    stream.shutdown().await
}

/// What a client asks, as far as it has come.
enum Asked<'a> {
    Incomplete,
    /// It is no request.
    Nothing,
    For {
        path: &'a str,
        body: bool,
    },
    /// With another method.
    Otherwise,
}

fn parse(head: &[u8]) -> Asked<'_> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Partial) => Asked::Incomplete,
        Err(_) => Asked::Nothing,
        Ok(httparse::Status::Complete(_)) => {
            let path = request.path.unwrap_or_default();
            let path = path.split('?').next().unwrap_or_default();
            match request.method {
                Some("GET") => Asked::For { path, body: true },
                Some("HEAD") => Asked::For { path, body: false },
                _ => Asked::Otherwise,
            }
        }
    }
}

struct Answer {
    code: u16,
    kind: &'static str,
    body: String,
    /// `HEAD` is told how long it would be.
    with_body: bool,
}

fn answer(path: &str, metrics: &Metrics) -> Answer {
    match path {
        "/livez" => Answer::of(&metrics.health.stuck(Instant::now()), "alive"),
        "/readyz" => Answer::of(&metrics.health.not_ready(), "ready"),
        "/metrics" => Answer {
            kind: CONTENT_TYPE,
            ..Answer::text(200, metrics.expose(SystemTime::now()))
        },
        "/" => Answer::text(200, "forewarn: /livez /readyz /metrics\n"),
        _ => Answer::text(404, "there is /livez, /readyz and /metrics\n"),
    }
}

impl Answer {
    fn text(code: u16, body: impl Into<String>) -> Self {
        Answer {
            code,
            kind: TEXT,
            body: body.into(),
            with_body: true,
        }
    }

    /// Good without `reasons`, else 503 with one per line.
    fn of(reasons: &[String], good: &str) -> Self {
        if reasons.is_empty() {
            return Answer::text(200, format!("{good}\n"));
        }
        // An error's text may have lines of its own.
        let lines = reasons
            .iter()
            .map(|reason| reason.replace('\n', " ") + "\n");
        Answer::text(503, lines.collect::<String>())
    }

    fn without_body(self) -> Self {
        Answer {
            with_body: false,
            ..self
        }
    }

    fn bytes(self) -> Vec<u8> {
        let phrase = match self.code {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            431 => "Request Header Fields Too Large",
            _ => "Service Unavailable",
        };
        let (code, kind, length) = (self.code, self.kind, self.body.len());
        let allow = if code == 405 {
            "allow: GET, HEAD\r\n"
        } else {
            ""
        };
        let head = format!(
            "HTTP/1.1 {code} {phrase}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
             cache-control: no-store\r\n{allow}connection: close\r\n\r\n"
        );
        let body = if self.with_body {
            self.body
        } else {
            String::new()
        };
        (head + &body).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;
    use crate::health::Stage;

    fn server() -> (Http, Arc<Metrics>) {
        let metrics = Arc::<Metrics>::default();
        let any = "127.0.0.1:0".parse().expect("an address");
        (Http::start(any, metrics.clone()).expect("a port"), metrics)
    }

    fn say(http: &Http, pieces: &[&str]) -> String {
        let mut stream = TcpStream::connect(http.address()).expect("connected");
        for piece in pieces {
            stream.write_all(piece.as_bytes()).expect("sent");
            stream.flush().expect("sent");
        }
        let mut told = String::new();
        // A server that has answered may close before everything was sent.
        let _ = stream.read_to_string(&mut told);
        told
    }

    fn get(http: &Http, path: &str) -> String {
        say(http, &[&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")])
    }

    #[test]
    fn probes_are_answered_by_how_it_stands() {
        let (http, metrics) = server();
        assert!(get(&http, "/livez").starts_with("HTTP/1.1 200 OK\r\n"));
        let told = get(&http, "/readyz");
        assert!(told.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
        assert!(told.ends_with("\r\n\r\nstarting: models are not loaded yet\n"));
        metrics.health.enter(Stage::Running);
        assert!(get(&http, "/readyz?verbose").ends_with("\r\n\r\nready\n"));
        let told = get(&http, "/metrics");
        assert!(told.contains("content-type: text/plain; version=0.0.4"));
        assert!(told.contains("\nforewarn_readings_total 0\n"));
        assert!(get(&http, "/other").starts_with("HTTP/1.1 404 "));
        let head = say(&http, &["HEAD /livez HTTP/1.1\r\n\r\n"]);
        assert!(head.contains("content-length: 6\r\n") && head.ends_with("\r\n\r\n"));
    }

    #[test]
    fn what_is_no_request_is_told_so_and_harms_nobody() {
        let (http, _) = server();
        assert!(say(&http, &["\x16\x03\x01 tls\r\n\r\n"]).starts_with("HTTP/1.1 400 "));
        assert!(say(&http, &["POST /livez HTTP/1.1\r\n\r\n"]).starts_with("HTTP/1.1 405 "));
        let long = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(HEAD));
        assert!(say(&http, &[&long]).starts_with("HTTP/1.1 431 "));
        // Clients that connect and say nothing hold a few connections, not all.
        let idle: Vec<_> = (1..CONNECTIONS)
            .map(|_| TcpStream::connect(http.address()).expect("connected"))
            .collect();
        assert!(say(&http, &["GET /liv", "ez HTTP/1.0\r\n\r\n"]).starts_with("HTTP/1.1 200 "));
        drop(idle);
    }

    #[test]
    fn an_address_in_use_is_told_at_the_start() {
        let (http, metrics) = server();
        let told = Http::start(http.address(), metrics).expect_err("it is in use");
        let told = told.to_string();
        assert!(told.starts_with("service.http: 127.0.0.1:"), "{told}");
        assert!(told.contains("another program may have it"), "{told}");
    }

    #[test]
    fn it_stops_when_it_is_dropped() {
        let (http, _) = server();
        let address = http.address();
        drop(http);
        assert!(TcpStream::connect(address).is_err());
    }
}
