//! How a worker comes to the state of partitions: those that it is assigned, and its own after an error.
//!
//! ```text
//!   log of a partition    ├───────────┤ state written down ├────────┤ committed ├──────▶
//!                         start                             read again,           read, with outputs
//!                                                           no outputs
//! ```
//!
//! Without state that was written down, or with one that is of no use, it is rebuilt from the log's start. A
//! pipeline in which nothing depends on earlier readings has nothing to rebuild.

use std::collections::HashMap;
use std::time::Instant;

use rdkafka::error::KafkaResult;

use super::failure::WorkerError;
use super::snapshots::{self, Snapshot};
use super::source::Resume;
use super::worker::Worker;
use super::{progress, writing::Written};
use crate::marks::Mark;

/// Where a partition is gone on with, and what is known of it.
pub(super) struct TakeOver {
    pub resume: Vec<Resume>,
    marks: HashMap<i32, Vec<Mark>>,
    snapshots: HashMap<i32, Snapshot>,
}

impl Worker {
    /// Finds out where to go on with `partitions`.
    pub(super) fn prepare(&self, partitions: &[i32]) -> KafkaResult<TakeOver> {
        let mut resume = self.source.resume(partitions, &self.shutdown)?;
        let (mut marks, mut snapshots) = (HashMap::new(), HashMap::new());
        if self.engine.plan().has_marks(&self.config) {
            marks = progress::read(&self.config, partitions)?;
        }
        if self.engine.plan().writes_state(&self.config) {
            let fingerprint = self.engine.plan().fingerprint(&self.config);
            let begun = Instant::now();
            for (partition, read) in snapshots::read(&self.config, fingerprint, partitions)? {
                let resume = resume.iter_mut().find(|r| r.partition == partition);
                match (read, resume) {
                    (Ok(snapshot), Some(resume)) => {
                        if begin_there(&snapshot, resume) {
                            snapshots.insert(partition, snapshot);
                        }
                    }
                    (Err(reason), _) => tracing::warn!(
                        partition,
                        %reason,
                        "state that was written down is of no use: it is rebuilt from the log"
                    ),
                    (Ok(_), None) => {}
                }
            }
            tracing::debug!(took = ?begun.elapsed(), "state was looked up");
        }
        Ok(TakeOver {
            resume,
            marks,
            snapshots,
        })
    }

    /// Takes the partitions over, with the state that was written down.
    pub(super) fn take_over(&mut self, from: TakeOver) {
        let TakeOver {
            resume,
            mut marks,
            mut snapshots,
        } = from;
        for Resume {
            partition,
            start,
            publish_from,
            lost,
            farewell,
        } in resume
        {
            if lost > 0 {
                tracing::error!(
                    partition,
                    lost,
                    "records were deleted by retention before they were read"
                );
            }
            let marks = marks.remove(&partition).unwrap_or_default();
            self.engine.assign(partition, start, publish_from, marks);
            let mut written = Written::default();
            if let Some(snapshot) = snapshots.remove(&partition) {
                let (assets, bytes) = (snapshot.assets.len(), snapshot.bytes);
                let offset = snapshot.shared.offset;
                tracing::info!(
                    partition,
                    offset,
                    assets,
                    bytes,
                    "state is taken from where it was written down"
                );
                written.offset = offset;
                let assets = snapshot.assets.iter();
                let assets = assets.map(|(name, asset)| (name.as_str(), asset));
                self.engine.restore(partition, &snapshot.shared, assets);
            }
            if publish_from > start {
                let records = publish_from - start;
                tracing::info!(partition, records, "rebuilding state from the log");
            }
            if let Some(notices) = &mut self.notices {
                notices.again(partition);
            }
            self.quiet.heard(partition, Instant::now());
            self.lag.forget(partition);
            self.committed.insert(partition, publish_from);
            if farewell {
                self.farewells.insert(partition);
            }
            self.written.insert(partition, written);
        }
    }

    /// Builds the state of all partitions anew, from what is committed.
    pub(super) fn rebuild(&mut self) -> Result<(), WorkerError> {
        let partitions: Vec<i32> = self
            .engine
            .partitions()
            .map(|state| state.partition)
            .collect();
        if partitions.is_empty() {
            return Ok(());
        }
        let from = self.prepare(&partitions)?;
        let resume = from.resume.clone();
        self.take_over(from);
        self.source.rewind(&resume)?;
        Ok(())
    }
}

/// Lets the partition begin where its state was written down, if that can be.
fn begin_there(snapshot: &Snapshot, resume: &mut Resume) -> bool {
    let (partition, written) = (resume.partition, snapshot.shared.offset);
    if written > resume.publish_from {
        // Offsets were set back by a person.
        let committed = resume.publish_from;
        tracing::warn!(
            partition,
            written,
            committed,
            "state was written down after the committed offset: it is rebuilt from the log"
        );
        return false;
    }
    if written < resume.start {
        let lost = resume.start - written;
        tracing::error!(
            partition,
            lost,
            "retention deleted records since state was written down: they are missing in it"
        );
    }
    resume.start = resume.start.max(written);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saved::SavedPartition;

    #[test]
    fn a_partition_begins_where_its_state_was_written_down() {
        let begin = |written, start, publish_from| {
            let snapshot = Snapshot {
                shared: SavedPartition {
                    offset: written,
                    latest: 0,
                    watermark: 0,
                    next_eviction: 0,
                    assets: 0,
                },
                assets: Vec::new(),
                bytes: 0,
            };
            let mut resume = Resume {
                partition: 0,
                start,
                publish_from,
                lost: 0,
                farewell: false,
            };
            begin_there(&snapshot, &mut resume).then_some(resume.start)
        };
        assert_eq!(begin(70, 0, 100), Some(70));
        assert_eq!(begin(100, 0, 100), Some(100));
        assert_eq!(begin(101, 0, 100), None, "offsets were set back");
        assert_eq!(begin(70, 90, 100), Some(90), "retention was faster");
    }
}
