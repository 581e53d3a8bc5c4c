//! The metrics by name, with what each means: the reference of `/metrics`.

use std::time::{SystemTime, UNIX_EPOCH};

use super::exposition::Exposition;
use super::{Metrics, STAGES, drift};
use crate::health::PartitionHealth;

impl Metrics {
    /// Everything in Prometheus' text format; `now` is what lags and delays are relative to.
    pub fn expose(&self, now: SystemTime) -> String {
        let mut told = Exposition::default();
        self.process(&mut told);
        self.totals_of(&mut told);
        self.by_label(&mut told);
        self.by_partition(&mut told, now);
        drift::expose(&self.drift.told(), &mut told);
        told.family(
            "forewarn_batch_messages",
            "histogram",
            "Messages of a batch that has any",
        );
        told.histogram(&[], &self.batch_messages);
        told.family(
            "forewarn_stage_seconds",
            "histogram",
            "Time of one stage of a batch: poll (waiting for messages and gathering them, where some came), \
             decode_and_score, encode_and_send, and commit of all batches since the last one",
        );
        for (name, stage) in STAGES.iter().zip(&self.stages) {
            told.histogram(&[("stage", name)], stage);
        }
        told.text
    }

    fn process(&self, told: &mut Exposition) {
        told.family("forewarn_build_info", "gauge", "1, with the version")
            .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        told.family("forewarn_ready", "gauge", "1 where /readyz says 200")
            .sample(&[], f64::from(self.health.not_ready().is_empty()));
        if let Some(bytes) = resident_bytes() {
            told.family(
                "process_resident_memory_bytes",
                "gauge",
                "Memory in use, as the system counts it",
            )
            .sample(&[], bytes as f64);
        }
    }

    fn totals_of(&self, told: &mut Exposition) {
        let totals = self.totals();
        let counters = [
            (
                "forewarn_messages_total",
                totals.messages,
                "Messages read, those that only rebuild state among them",
            ),
            (
                "forewarn_readings_total",
                totals.readings,
                "Messages that were readings",
            ),
            (
                "forewarn_predictions_total",
                totals.predictions,
                "Published results with a score, but those of challengers",
            ),
            (
                "forewarn_anomalous_total",
                totals.anomalous,
                "Predictions beyond their model's threshold",
            ),
            (
                "forewarn_shadow_results_total",
                totals.shadow,
                "Published results of challengers",
            ),
            (
                "forewarn_late_readings_total",
                totals.late,
                "Readings set aside because they came too late",
            ),
            (
                "forewarn_ignored_total",
                totals.ignored,
                "Narrow messages whose signal is not declared",
            ),
            (
                "forewarn_familiar_messages_total",
                totals.familiar,
                "Messages that had the form of one before, which is how they are read fast",
            ),
            (
                "forewarn_duplicates_total",
                totals.duplicates,
                "Readings dropped because their asset had one at that instant",
            ),
            (
                "forewarn_status_changes_total",
                totals.status_changes,
                "Published changes of statuses",
            ),
            (
                "forewarn_restarts_total",
                totals.restarts,
                "How often a worker went back to the committed offsets after an error",
            ),
            (
                "forewarn_clients_renewed_total",
                totals.clients_renewed,
                "How often a worker replaced clients that brokers did not answer, though they answered a new one",
            ),
            (
                "forewarn_model_swaps_total",
                totals.swaps,
                "Versions of models put in place, by each worker",
            ),
            (
                "forewarn_model_refusals_total",
                totals.swaps_refused,
                "Versions of models that were refused, or rolled back",
            ),
            (
                "forewarn_model_rollbacks_total",
                totals.rolled_back,
                "Versions of models that failed their trial while they served",
            ),
            (
                "forewarn_challengers_failed_total",
                totals.challengers_failed,
                "Challengers left out because they failed",
            ),
        ];
        for (name, value, help) in counters {
            told.family(name, "counter", help).sample(&[], value as f64);
        }
        told.family("forewarn_partitions", "gauge", "Partitions owned now")
            .sample(&[], totals.partitions as f64);
        told.family(
            "forewarn_dead_letters_total",
            "counter",
            "Messages set aside because they are no readings, or can't be kept",
        );
        for (code, count) in &totals.refused {
            told.sample(&[("code", code)], *count as f64);
        }
        told.family(
            "forewarn_unscored_total",
            "counter",
            "Published results without a score, but those of challengers",
        );
        for (code, count) in &totals.unscored {
            told.sample(&[("code", code)], *count as f64);
        }
    }

    fn by_label(&self, told: &mut Exposition) {
        told.family(
            "forewarn_results_total",
            "counter",
            "Published results by model; outcome is scored or unscored",
        );
        if let Ok(results) = self.results.lock() {
            for of in results.iter() {
                let version = of.version.to_string();
                for (outcome, count) in [("scored", of.scored), ("unscored", of.unscored)] {
                    let labels = [
                        ("model", of.model.as_str()),
                        ("version", &version),
                        ("role", of.role),
                        ("task", of.task),
                        ("outcome", outcome),
                    ];
                    told.sample(&labels, count as f64);
                }
            }
        }
        let Ok(alarms) = self.alarms.lock() else {
            return;
        };
        told.family("forewarn_alarms_raised_total", "counter", "Alarms raised");
        for (alarm, counts) in alarms.iter() {
            told.sample(&[("alarm", alarm)], counts.raised as f64);
        }
        told.family("forewarn_alarms_cleared_total", "counter", "Alarms cleared");
        for (alarm, counts) in alarms.iter() {
            told.sample(&[("alarm", alarm)], counts.cleared as f64);
        }
    }

    fn by_partition(&self, told: &mut Exposition, now: SystemTime) {
        let now = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as i64);
        let partitions = self.health.partitions();
        let mut family = |name, help, value: &dyn Fn(&PartitionHealth) -> Option<f64>| {
            told.family(name, "gauge", help);
            for (partition, health) in &partitions {
                if let Some(value) = value(health) {
                    told.sample(&[("partition", &partition.to_string())], value);
                }
            }
        };
        family(
            "forewarn_lag_messages",
            "Records of the input behind the committed offset",
            &|health| health.lag.map(|lag| lag as f64),
        );
        family(
            "forewarn_lag_seconds",
            "How old the latest committed record is; 0 at the end of the partition",
            &|health| health.lag_seconds(now),
        );
        family(
            "forewarn_watermark_delay_seconds",
            "How far the watermark is behind the clock; large while history is read",
            &|health| health.watermark_delay_seconds(now),
        );
        family(
            "forewarn_rebuild_records",
            "Records that still rebuild state before outputs go on",
            &|health| Some(health.to_rebuild as f64),
        );
    }
}

/// Resident memory of this process, where the system tells it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kafka::Counts;
    use crate::metrics::{Inputs, Stage};

    #[test]
    fn what_is_counted_is_told() {
        let metrics = Metrics::default();
        metrics.expect_alarms(["hot"].into_iter());
        let inputs = Inputs {
            messages: 7,
            readings: 5,
            ..Inputs::default()
        };
        let counts = Counts {
            predictions: 10,
            refused: [("malformed-json", 2), ("too-large", 1)].into(),
            ..Counts::default()
        };
        metrics.batch(inputs, &counts);
        metrics.stage(Stage::Commit, Duration::from_millis(3));
        let partition = PartitionHealth {
            lag: Some(4),
            committed_at: Some(1_000),
            ..PartitionHealth::default()
        };
        metrics
            .health
            .partitions_of(0, [(2, partition)].into_iter());
        let told = metrics.expose(UNIX_EPOCH + Duration::from_millis(3_500));
        for line in [
            "forewarn_readings_total 5",
            "forewarn_predictions_total 10",
            "forewarn_dead_letters_total{code=\"malformed-json\"} 2",
            "forewarn_dead_letters_total{code=\"too-large\"} 1",
            "forewarn_alarms_raised_total{alarm=\"hot\"} 0",
            "forewarn_lag_messages{partition=\"2\"} 4",
            "forewarn_lag_seconds{partition=\"2\"} 2.5",
            "forewarn_batch_messages_bucket{le=\"4\"} 0",
            "forewarn_batch_messages_bucket{le=\"16\"} 1",
            "forewarn_stage_seconds_sum{stage=\"commit\"} 0.003",
            "forewarn_ready 0",
        ] {
            assert!(told.lines().any(|told| told == line), "{line} in\n{told}");
        }
        assert!(
            !told.contains("forewarn_watermark_delay_seconds{"),
            "there is none yet"
        );
        assert!(told.contains("process_resident_memory_bytes "));
    }

    /// Prometheus refuses a whole scrape for one metric that comes twice.
    #[test]
    fn no_metric_is_told_twice() {
        let told = Metrics::default().expose(UNIX_EPOCH);
        let types = told.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let samples = told.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.filter_map(|line| line.rsplit_once(' '));
        let mut names: Vec<&str> = types.chain(samples.map(|(name, _)| name)).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(all > 100, "{all}");
    }
}
