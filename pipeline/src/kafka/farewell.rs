//! What a static member says when it stops, so that whoever looks at the group can tell it from one that runs.
//!
//! ```text
//!   stop      last commit: offsets of all its partitions, with "forewarn: stopped: NAME" as their metadata
//!   start     a member of this identity is in the group, and an offset says that it has stopped: go on (identity.rs)
//!   assigned  such an offset is committed again without it, also where there is nothing new
//! ```
//!
//! A static member that has stopped stays in the group for its session, or its partitions would not wait for it; the
//! group knows nothing else of it. One that was killed says nothing, and its session is waited for.

use rdkafka::TopicPartitionList;
use rdkafka::topic_partition_list::TopicPartitionListElem;

const STOPPED: &str = "forewarn: stopped: ";

/// Says with these offsets that the worker of this name has stopped.
pub(super) fn say(offsets: &TopicPartitionList, name: &str) {
    for mut offset in offsets.elements() {
        offset.set_metadata(format!("{STOPPED}{name}"));
    }
}

/// The worker that has stopped after it had committed this offset.
pub(super) fn of<'o>(offset: &'o TopicPartitionListElem<'_>) -> Option<&'o str> {
    offset.metadata().strip_prefix(STOPPED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::Offset;

    #[test]
    fn a_farewell_is_in_the_offsets_of_all_partitions() {
        let mut list = TopicPartitionList::new();
        for partition in 0..2 {
            let added = list.add_partition_offset("in", partition, Offset::Offset(7));
            added.expect("an offset");
        }
        assert!(list.elements().iter().all(|offset| of(offset).is_none()));
        say(&list, "pumps-north-0");
        let said = list.elements();
        let names: Vec<_> = said.iter().map(of).collect();
        assert_eq!(names, [Some("pumps-north-0"); 2]);
    }
}
