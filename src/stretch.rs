//! Which stretch of the log is meant: the options of all commands that go through it again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use clap::Args;
use forewarn_pipeline::prediction::EventTimestamp;
use forewarn_pipeline::routing::Selection;
use forewarn_pipeline::stretch::Stretch;
use serde_json::{Value, json};

use crate::cli::instant;

/// Without any of them, the whole log.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct StretchArgs {
    /// Only what is of this event time or later, such as 2026-01-31T00:00:00Z; a window is of the instant where it ends
    #[arg(long, value_name = "TIME", value_parser = instant)]
    from: Option<EventTimestamp>,
    /// Only what is before this event time
    #[arg(long, value_name = "TIME", value_parser = instant)]
    to: Option<EventTimestamp>,
    /// Only what these records of a partition give, the last one not included: 0:1000..2000, or 0:1000.. to the end.
    /// May be given several times; partitions that are not named are left out
    #[arg(long, value_name = "PARTITION:FROM..TO")]
    offsets: Vec<OffsetRange>,
    /// Only assets with such a name, with * and ?; may be given several times
    #[arg(long = "asset", value_name = "PATTERN")]
    assets: Vec<String>,
    /// Begin so long before the stretch, by the timestamps of records, instead of with the oldest record: quicker,
    /// but what looks further back is not what the service saw
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "input")]
    pub(crate) warm_up: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct OffsetRange {
    partition: i32,
    offsets: Range<i64>,
}

impl FromStr for OffsetRange {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let how = || format!("{text}: write PARTITION:FROM..TO, such as 0:1000..2000");
        let (partition, offsets) = text.split_once(':').with_context(how)?;
        let (from, to) = offsets.split_once("..").with_context(how)?;
        let number = |text: &str, none: i64| match text {
            "" => Ok(none),
            text => text.parse().with_context(how),
        };
        let offsets = number(from, 0)?..number(to, i64::MAX)?;
        if offsets.is_empty() {
            bail!("{text}: there is no record from {from} to before {to}");
        }
        Ok(OffsetRange {
            partition: partition.parse().with_context(how)?,
            offsets,
        })
    }
}

impl StretchArgs {
    /// # Errors
    /// When nothing can be in it.
    pub(crate) fn stretch(&self) -> Result<Stretch> {
        let from = self.from.map_or(i64::MIN, |from| from.0);
        let to = self.to.map_or(i64::MAX, |to| to.0);
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            bail!("nothing is from {from} on and before {to}: --from must be earlier than --to");
        }
        if self.warm_up.is_some() && self.from.is_none() && self.offsets.is_empty() {
            bail!("--warm-up is the time before --from or --offsets: say where the stretch begins");
        }
        let mut offsets: BTreeMap<i32, Vec<Range<i64>>> = BTreeMap::new();
        for range in &self.offsets {
            let of_partition = offsets.entry(range.partition).or_default();
            of_partition.push(range.offsets.clone());
        }
        Ok(Stretch {
            time: from..to,
            offsets,
            assets: Selection::new(&self.assets),
        })
    }

    /// As it was asked for, for lineage.
    pub(crate) fn asked(&self) -> Value {
        let mut offsets: BTreeMap<i32, Vec<(i64, Option<i64>)>> = BTreeMap::new();
        for OffsetRange {
            partition,
            offsets: Range { start, end },
        } in &self.offsets
        {
            let end = (*end < i64::MAX).then_some(*end);
            offsets.entry(*partition).or_default().push((*start, end));
        }
        let mut asked = json!({});
        if let Some(from) = self.from {
            asked["from"] = json!(from);
        }
        if let Some(to) = self.to {
            asked["to"] = json!(to);
        }
        if !offsets.is_empty() {
            asked["offsets"] = json!(offsets);
        }
        if !self.assets.is_empty() {
            asked["assets"] = json!(self.assets);
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_with_and_without_their_ends() {
        let read = |text: &str| {
            let range: OffsetRange = text.parse().unwrap();
            (range.partition, range.offsets)
        };
        assert_eq!(read("3:10..20"), (3, 10..20));
        assert_eq!(read("0:10.."), (0, 10..i64::MAX));
        assert_eq!(read("0:..20"), (0, 0..20));
        for wrong in [
            "", "0", "0:10", "10..20", "a:1..2", "0:1..x", "0:2..2", "0:3..2",
        ] {
            assert!(wrong.parse::<OffsetRange>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_stretch_in_which_nothing_can_be_is_refused() {
        let at = |text: &str| Some(EventTimestamp::parse(text).unwrap());
        let args = StretchArgs {
            from: at("2026-01-02T00:00:00Z"),
            to: at("2026-01-02T00:00:00Z"),
            ..StretchArgs::default()
        };
        assert!(args.stretch().is_err());
        let args = StretchArgs {
            warm_up: Some(Duration::from_secs(1)),
            ..StretchArgs::default()
        };
        assert!(args.stretch().is_err());
        assert!(StretchArgs::default().stretch().unwrap().is_everything());
    }
}
