//! Is there another process with this one's identity? Looked at before a worker opens its producer, whose first
//! call would fence the other one.
//!
//! ```text
//!   start ─▶ members of the group with this identity? ─ none ────────────────────────────▶ go on
//!                        │ some                                 ▲
//!                        └▶ wait until their session would be over: gone? ─ yes (it was killed) ─┘
//!                           in a group that is not rebalancing      └ no ─▶ refuse to start
//! ```
//!
//! Members are known by their `client.id`, which holds the identity. Static membership (`group.instance.id`) alone
//! would not do: there the brokers fence the older process, which does its work, and let the newer one in. A static
//! member that has stopped stays in the group; it is told from one that runs by what its last commit said
//! (`farewell.rs`).
//!
//! Two processes that start at the same moment do not see each other here; then one of them fences the other.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::groups::{GroupInfo, GroupList};
use rdkafka::metadata::MetadataTopic;

use super::client::{self, Role, Silent};
use super::farewell;
use crate::config::{Config, Guarantee};
use crate::service::Shutdown;

/// How long the brokers may take to describe the group.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a coordinator may take to load what it knows.
const STARTING: Duration = Duration::from_secs(10);
/// Between two looks at a group with a member of this identity.
const PAUSE: Duration = Duration::from_millis(500);
/// Brokers look for sessions that are over once in a while, not at the instant.
const MARGIN: Duration = Duration::from_secs(3);

/// Another process has the identity.
#[derive(Debug, thiserror::Error)]
#[error(
    "another process runs as instance {instance} of pipeline {pipeline} (at {host}): stop it, or give this one another \
     delivery.instance; --take-over fences the other one"
)]
pub struct Taken {
    pub instance: String,
    pub pipeline: String,
    pub host: String,
}

/// Makes sure that no other process has this one's identity, waiting for the session of one that was killed. Under
/// `at-least-once` nothing is fenced, and any number may run, but for static members.
///
/// # Errors
/// When another process has it. Where the brokers do not tell, say for want of permission, a warning says so.
pub(crate) fn require(config: &Config, shutdown: &Shutdown) -> Result<(), Taken> {
    let delivery = &config.delivery;
    if delivery.guarantee == Guarantee::AtLeastOnce && !delivery.static_membership {
        return Ok(());
    }
    let seen = Group::open(config).and_then(|group| wait_until_alone(&group, config, shutdown));
    seen.unwrap_or_else(|error| {
        // librdkafka's simulated broker has no groups to describe; every real one has.
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::UnsupportedFeature) {
            return Ok(());
        }
        tracing::warn!(%error, "whether another process has this identity can't be told; going on");
        Ok(())
    })
}

fn wait_until_alone(
    group: &Group,
    config: &Config,
    shutdown: &Shutdown,
) -> KafkaResult<Result<(), Taken>> {
    let instance = client::instance(config);
    let mut steady = Steady::default();
    let mut told = false;
    loop {
        let seen = match group.members_of(config, &instance) {
            Ok(Some(seen)) => seen,
            Ok(None) => break,
            // It was there a moment ago; brokers that are away do not make it go, and begin its session anew.
            Err(error) if told && !shutdown.is_requested() => {
                tracing::debug!(%error, "the group can't be looked at");
                steady = Steady::default();
                shutdown.wait(PAUSE);
                continue;
            }
            Err(error) => return Err(error),
        };
        if shutdown.is_requested() {
            break;
        }
        if config.delivery.static_membership && group.has_left(config, &seen)? {
            tracing::info!(instance, "the group has kept the place of this process");
            return Ok(Ok(()));
        }
        if steady.lasts(&seen, Instant::now()) > group.session + MARGIN {
            return Ok(Err(Taken {
                instance,
                pipeline: config.name.clone(),
                host: seen.host,
            }));
        }
        if !told {
            tracing::warn!(
                instance,
                host = seen.host,
                session = ?group.session,
                "a process with this identity is in the group: waiting for its session to end, should it have been killed"
            );
            told = true;
        }
        shutdown.wait(PAUSE);
    }
    if told && !shutdown.is_requested() {
        tracing::info!("it is gone; going on");
    }
    Ok(Ok(()))
}

/// Members that have the identity, at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// As the brokers name them; each joining gets another name.
    members: Vec<String>,
    /// As they name themselves.
    workers: Vec<String>,
    /// Of one of them.
    host: String,
    /// The group is not rebalancing.
    stable: bool,
}

/// For how long the same members have been in a stable group. While it rebalances the brokers wait for members that
/// are dead as for those that are slow, and only then begin to count their sessions.
#[derive(Debug, Default)]
struct Steady(Option<(Vec<String>, Instant)>);

impl Steady {
    fn lasts(&mut self, seen: &Seen, now: Instant) -> Duration {
        let same = |(members, _): &(Vec<String>, Instant)| *members == seen.members;
        let known = self.0.take().filter(|known| seen.stable && same(known));
        let since = known.map_or(now, |(_, since)| since);
        if seen.stable {
            self.0 = Some((seen.members.clone(), since));
        }
        now.saturating_duration_since(since)
    }
}

struct Group {
    consumer: BaseConsumer<Silent>,
    /// How long the brokers keep a member that is silent.
    session: Duration,
}

impl Group {
    fn open(config: &Config) -> KafkaResult<Self> {
        let group = &config.name;
        let role = Role::Consumer {
            group,
            id: "",
            is_static: false,
        };
        let member = client::config(&config.kafka, role);
        let millis = member
            .get("session.timeout.ms")
            .and_then(|value| value.parse().ok());
        let observer = client::config(&config.kafka, Role::Observer { group });
        Ok(Group {
            consumer: observer.create_with_context(Silent)?,
            session: Duration::from_millis(millis.unwrap_or(45_000)),
        })
    }

    /// The members that have the identity, if any.
    fn members_of(&self, config: &Config, instance: &str) -> KafkaResult<Option<Seen>> {
        let list = self.describe(&config.name)?;
        let members = list.groups().iter().flat_map(GroupInfo::members);
        let members: Vec<_> = members
            .filter(|member| is_of(member.client_id(), &config.name, instance))
            .collect();
        let mut ids: Vec<String> = members
            .iter()
            .map(|member| member.id().to_owned())
            .collect();
        ids.sort_unstable();
        let stable = list.groups().iter().all(|group| group.state() == "Stable");
        let workers = members.iter().map(|member| member.client_id().to_owned());
        Ok(members.first().map(|member| Seen {
            members: ids,
            workers: workers.collect(),
            // Brokers write it with a slash, as Java does.
            host: member.client_host().trim_start_matches('/').to_owned(),
            stable,
        }))
    }

    /// Did all of these say that they have stopped?
    fn has_left(&self, config: &Config, seen: &Seen) -> KafkaResult<bool> {
        let topic = &config.source.topic;
        let metadata = self.consumer.fetch_metadata(Some(topic), ANSWER)?;
        let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        let mut offsets = TopicPartitionList::new();
        for partition in partitions {
            offsets.add_partition(topic, partition.id());
        }
        let committed = self.consumer.committed_offsets(offsets, ANSWER)?;
        let committed = committed.elements();
        let farewells: Vec<&str> = committed.iter().filter_map(farewell::of).collect();
        let has_left = |worker: &String| farewells.contains(&worker.as_str());
        Ok(seen.workers.iter().all(has_left))
    }

    /// Brokers that have just started say for some seconds that they can't tell yet.
    fn describe(&self, group: &str) -> KafkaResult<GroupList> {
        let deadline = Instant::now() + STARTING;
        loop {
            match self.consumer.fetch_group_list(Some(group), ANSWER) {
                Err(error) if is_passing(&error) && Instant::now() < deadline => {
                    std::thread::sleep(PAUSE);
                }
                told => return told,
            }
        }
    }
}

fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let passing = [
        Code::CoordinatorLoadInProgress,
        Code::CoordinatorNotAvailable,
        Code::NotCoordinator,
    ];
    error
        .rdkafka_error_code()
        .is_some_and(|code| passing.contains(&code))
}

/// Does a worker of this identity call itself so?
fn is_of(client_id: &str, pipeline: &str, instance: &str) -> bool {
    let rest = client_id.strip_prefix(client::identity(pipeline, instance).as_str());
    let worker = rest.and_then(|rest| rest.strip_prefix('-'));
    worker.is_some_and(|worker| !worker.is_empty() && worker.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stays_in_a_stable_group_is_alive() {
        let begin = Instant::now();
        let seen = |member: &str, stable| Seen {
            members: vec![member.to_owned()],
            workers: vec!["pumps-north-0".to_owned()],
            host: "pump-host".into(),
            stable,
        };
        let mut steady = Steady::default();
        let mut lasts = |second, member, stable| {
            let now = begin + Duration::from_secs(second);
            steady.lasts(&seen(member, stable), now).as_secs()
        };
        assert_eq!((lasts(0, "a", true), lasts(12, "a", true)), (0, 12));
        assert_eq!(lasts(30, "a", false), 0, "it rebalances");
        assert_eq!((lasts(31, "a", true), lasts(44, "a", true)), (0, 13));
        assert_eq!(lasts(45, "b", true), 0, "another one");
    }

    #[test]
    fn an_identity_is_known_by_the_whole_of_it() {
        assert!(is_of("pumps-north-0", "pumps", "north"));
        assert!(is_of("pumps-north-12", "pumps", "north"));
        for other in [
            "pumps-north-2-0",
            "pumps-nor-0",
            "pumps-north-",
            "pumps-north",
            "north-0",
            "rdkafka",
        ] {
            assert!(!is_of(other, "pumps", "north"), "{other}");
        }
        // The host north-2 is another one.
        assert!(is_of("pumps-north-2-0", "pumps", "north-2"));
    }
}
