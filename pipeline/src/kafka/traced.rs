//! Which spans a worker makes of sampled messages, and the trace context of their outputs.
//!
//! ```text
//!   message with `traceparent`, sampled
//!     └─ process TOPIC       from its poll to the commit of its batch
//!          ├─ decode_and_score, encode_and_send     of the whole batch
//!          ├─ send TOPIC     of each output: from when it is sent to the commit that it is in
//!          └─ commit
//! ```
//!
//! An output carries the context of its `send` span on. Where a message waits for the watermark, its outputs come in a
//! later batch, so contexts are kept by where the message stands. They are no state: after a restart the outputs of
//! messages that waited then have the context of the message itself, or none. So headers of traces are the one thing in
//! an output that a replay does not give.
//!
//! Names and attributes: OpenTelemetry's semantic conventions for messaging, and for Kafka.

use std::collections::{HashMap, VecDeque};
use std::time::{Instant, SystemTime};

use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;
use rdkafka::Message as _;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers};

use crate::config::Config;
use crate::metrics::Stage;

/// Contexts kept of messages whose outputs may still come.
const MOST_KEPT: usize = 10_000;

/// Where a message stands: its partition and offset.
pub(crate) type Place = (i32, i64);

#[derive(Default)]
struct Committing {
    processing: Vec<Context>,
    sent: Vec<Context>,
}

/// The spans of one worker. Without a tracer it makes none.
pub(super) struct Traced(Option<Spans>);

struct Spans {
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
    topic: String,
    group: String,
    worker: i64,
    allowance: Allowance,
    /// `process` spans of messages that are not committed.
    processing: Vec<Context>,
    /// Where those of the batch at hand begin.
    fresh: usize,
    /// `send` spans that are not committed.
    sent: Vec<Context>,
    /// Spans, of both kinds, that the commit under way will end.
    committing: Committing,
    kept: Kept,
}

impl Traced {
    pub fn new(config: &Config, worker: usize, tracer: Option<SdkTracer>) -> Self {
        let per_second = config
            .service
            .traces
            .as_ref()
            .map(|traces| traces.per_second);
        let spans = tracer.zip(per_second).map(|(tracer, per_second)| Spans {
            tracer,
            propagator: TraceContextPropagator::new(),
            topic: config.source.topic.clone(),
            group: config.name.clone(),
            worker: worker as i64,
            allowance: Allowance::new(per_second, Instant::now()),
            processing: Vec::new(),
            fresh: 0,
            sent: Vec::new(),
            committing: Committing::default(),
            kept: Kept::default(),
        });
        Traced(spans)
    }

    /// A batch was polled, beginning at `begun`. Messages of which `is_published` is false are read again to rebuild
    /// state: what they caused was told before.
    pub fn read(
        &mut self,
        batch: &[BorrowedMessage<'_>],
        begun: Instant,
        is_published: impl Fn(Place) -> bool,
    ) {
        let Some(spans) = &mut self.0 else { return };
        spans.fresh = spans.processing.len();
        for message in batch {
            let Some(headers) = message.headers() else {
                continue;
            };
            let sender = spans
                .propagator
                .extract_with_context(&Context::new(), &Carried(headers));
            if !sender.span().span_context().is_sampled() {
                continue;
            }
            let place = (message.partition(), message.offset());
            let is_ours = is_published(place) && spans.allowance.take(Instant::now());
            let context = match is_ours {
                true => spans.process(message, &sender, begun),
                false => sender,
            };
            spans.kept.put(place, Cause { context, is_ours });
        }
    }

    /// The batch at hand has been through a stage.
    pub fn stage(&self, stage: Stage, begun: Instant, ended: Instant) {
        if let Some(spans) = &self.0 {
            spans.below(stage, &spans.processing[spans.fresh..], (begun, ended));
        }
    }

    /// Headers for an output to `topic` that the message at `source` caused.
    pub fn send(&mut self, source: Option<Place>, topic: &str) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        if let Some(spans) = &mut self.0
            && let Some(cause) = source.and_then(|source| spans.kept.causes.get(&source))
        {
            let carrier = &mut Carrier(&mut headers);
            if cause.is_ours {
                let sent = spans.send(topic, &cause.context);
                spans.propagator.inject_context(&sent, carrier);
                spans.sent.push(sent);
            } else {
                spans.propagator.inject_context(&cause.context, carrier);
            }
        }
        headers
    }

    /// What was sent so far is being committed; what comes is not.
    pub fn committing(&mut self) {
        if let Some(spans) = &mut self.0 {
            spans.fresh = 0;
            let Committing { processing, sent } = &mut spans.committing;
            processing.append(&mut spans.processing);
            sent.append(&mut spans.sent);
        }
    }

    /// It is committed, by a commit that lasted so long.
    pub fn committed(&mut self, (begun, ended): (Instant, Instant)) {
        if let Some(spans) = &mut self.0 {
            let Committing { processing, sent } = std::mem::take(&mut spans.committing);
            spans.below(Stage::Commit, &processing, (begun, ended));
            end(sent.into_iter().chain(processing), None);
        }
    }

    /// What was not committed will come again.
    pub fn aborted(&mut self, reason: &str) {
        self.committing();
        if let Some(spans) = &mut self.0 {
            let Committing { processing, sent } = std::mem::take(&mut spans.committing);
            end(sent.into_iter().chain(processing), Some(reason));
            spans.kept = Kept::default();
        }
    }
}

impl Spans {
    /// Begins the span of a message that `sender` has sent.
    fn process(
        &mut self,
        message: &BorrowedMessage<'_>,
        sender: &Context,
        begun: Instant,
    ) -> Context {
        let mut attributes = messaging("process", &self.topic);
        attributes.extend([
            KeyValue::new(
                "messaging.destination.partition.id",
                message.partition().to_string(),
            ),
            KeyValue::new("messaging.kafka.offset", message.offset()),
            KeyValue::new("messaging.consumer.group.name", self.group.clone()),
            KeyValue::new("forewarn.worker", self.worker),
        ]);
        if let Some(key) = message.key().and_then(|key| str::from_utf8(key).ok()) {
            attributes.push(KeyValue::new("messaging.kafka.message.key", key.to_owned()));
        }
        let span = self
            .tracer
            .span_builder(format!("process {}", self.topic))
            .with_kind(SpanKind::Consumer)
            .with_start_time(wall(begun))
            .with_attributes(attributes)
            .start_with_context(&self.tracer, sender);
        let context = sender.with_span(span);
        self.processing.push(context.clone());
        context
    }

    /// Begins the span of an output to `topic`.
    fn send(&self, topic: &str, cause: &Context) -> Context {
        let span = self
            .tracer
            .span_builder(format!("send {topic}"))
            .with_kind(SpanKind::Producer)
            .with_attributes(messaging("send", topic))
            .start_with_context(&self.tracer, cause);
        cause.with_span(span)
    }

    /// Tells of a stage of all `processes`.
    fn below(&self, stage: Stage, processes: &[Context], (begun, ended): (Instant, Instant)) {
        for process in processes {
            let mut span = self
                .tracer
                .span_builder(stage.name())
                .with_start_time(wall(begun))
                .start_with_context(&self.tracer, process);
            span.end_with_timestamp(wall(ended));
        }
    }
}

/// Ends spans, as failed where there is a reason.
fn end(spans: impl Iterator<Item = Context>, reason: Option<&str>) {
    for context in spans {
        if let Some(reason) = reason {
            context.span().set_status(Status::error(reason.to_owned()));
        }
        context.span().end();
    }
}

fn messaging(operation: &'static str, topic: &str) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", "kafka"),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.operation.type", operation),
        KeyValue::new("messaging.destination.name", topic.to_owned()),
    ]
}

/// The wall clock at an instant that has passed.
fn wall(instant: Instant) -> SystemTime {
    SystemTime::now() - instant.elapsed()
}

/// Where an output's trace comes from.
#[derive(Debug)]
struct Cause {
    context: Context,
    /// Has the message a span of its own here? Otherwise the context is that which it came with.
    is_ours: bool,
}

/// The latest causes.
#[derive(Debug, Default)]
struct Kept {
    causes: HashMap<Place, Cause>,
    /// Oldest first.
    order: VecDeque<Place>,
}

impl Kept {
    fn put(&mut self, place: Place, cause: Cause) {
        if self.causes.insert(place, cause).is_none() {
            self.order.push_back(place);
        }
        if self.order.len() > MOST_KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.causes.remove(&oldest);
        }
    }
}

/// So many a second; what is left of one second is not added to the next.
#[derive(Debug)]
struct Allowance {
    per_second: u32,
    left: u32,
    since: Instant,
}

impl Allowance {
    fn new(per_second: u32, now: Instant) -> Self {
        Allowance {
            per_second,
            left: per_second,
            since: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since).as_secs() >= 1 {
            *self = Allowance::new(self.per_second, now);
        }
        let may = self.left > 0;
        self.left -= u32::from(may);
        may
    }
}

/// Headers that a message came with; of several of one name the last one counts.
struct Carried<'a>(&'a BorrowedHeaders);

impl Extractor for Carried<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let headers = self.0.iter().filter(|header| header.key == key);
        headers
            .last()?
            .value
            .and_then(|value| str::from_utf8(value).ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|header| header.key).collect()
    }
}

/// Headers of an output.
struct Carrier<'a>(&'a mut Vec<(String, String)>);

impl Injector for Carrier<'_> {
    fn set(&mut self, key: &str, value: String) {
        // An empty `tracestate` is none.
        if !value.is_empty() {
            self.0.push((key.to_owned(), value));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_more_is_taken_in_a_second_than_is_allowed() {
        let begun = Instant::now();
        let mut allowance = Allowance::new(2, begun);
        let mut taken_at = |millis| allowance.take(begun + Duration::from_millis(millis));
        let taken = [0, 1, 2, 999, 1_000, 1_001, 1_002, 9_000, 9_001, 9_002].map(&mut taken_at);
        let expected = [
            true, true, false, false, true, true, false, true, true, false,
        ];
        assert_eq!(taken, expected);
    }

    #[test]
    fn only_the_latest_causes_are_kept() {
        let mut kept = Kept::default();
        for offset in 0..MOST_KEPT as i64 + 3 {
            let context = Context::new();
            let is_ours = true;
            kept.put((0, offset), Cause { context, is_ours });
        }
        assert_eq!(kept.causes.len(), MOST_KEPT);
        assert!(!kept.causes.contains_key(&(0, 2)));
        assert!(kept.causes.contains_key(&(0, 3)));
    }
}
