//! Traces: spans of sampled messages, sent as OTLP over HTTP to a collector of OpenTelemetry.
//!
//! A trace is diagnosis, and never worth a record: spans wait in a bounded queue of a thread of their own, and what
//! the collector does not take in time is dropped. Which spans there are says `kafka/traced.rs`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

use crate::config::Config;
use crate::kafka::client;

/// How long the collector may take for one request.
const ANSWER: Duration = Duration::from_secs(2);
/// How long it may take for what is left when the process ends, which supervisors wait for.
const LAST: Duration = Duration::from_millis(400);
/// Where collectors take traces over HTTP, below their address.
const PATH: &str = "v1/traces";

/// Sends spans until it is dropped.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Starts the thread that sends; `None` where `service.traces` is not set.
    ///
    /// # Errors
    /// When the endpoint is no address.
    pub fn start(config: &Config) -> Result<Option<Self>, ExporterBuildError> {
        let Some(settings) = &config.service.traces else {
            return Ok(None);
        };
        let endpoint = format!("{}/{PATH}", settings.endpoint.trim_end_matches('/'));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(&settings.endpoint))
            .with_endpoint(endpoint)
            .with_timeout(ANSWER)
            .build()?;
        let resource = Resource::builder()
            .with_service_name(config.name.clone())
            .with_attribute(KeyValue::new(
                "service.instance.id",
                client::instance(config),
            ))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            // Who sent the message has decided, and `per-second` after that.
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource)
            .build();
        Ok(Some(Traces(provider)))
    }

    pub(crate) fn tracer(&self) -> SdkTracer {
        self.0.tracer("forewarn")
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        let _ = self.0.shutdown_with_timeout(LAST);
    }
}

/// The collector; says once that it does not take spans, and once that it does again.
#[derive(Debug)]
struct Collector {
    agent: ureq::Agent,
    endpoint: String,
    refuses: AtomicBool,
}

impl Collector {
    fn new(endpoint: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER))
            .http_status_as_error(false)
            // It is a neighbour; the environment's proxy is for the world outside.
            .proxy(None)
            .build();
        Collector {
            agent: config.new_agent(),
            endpoint: endpoint.to_owned(),
            refuses: AtomicBool::new(false),
        }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, body.to_vec());
        let (head, mut body) = self.agent.run(request)?.into_parts();
        Ok(Response::from_parts(head, body.read_to_vec()?.into()))
    }

    fn tell(&self, refused: Option<String>) {
        let endpoint = &self.endpoint;
        match refused {
            Some(reason) if !self.refuses.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%endpoint, reason, "spans are not taken and dropped until they are; look at service.traces");
            }
            None if self.refuses.swap(false, Ordering::Relaxed) => {
                tracing::info!(%endpoint, "spans are taken again");
            }
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.send(request);
        self.tell(match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers {}", answer.status())),
            Err(error) => Some(error.to_string()),
        });
        Ok(answer?)
    }
}
