//! `forewarn watch`: the fleet as its predictions tell it, live on a terminal, as lines elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use forewarn_pipeline::kafka::reader::{From, Lag, PredictionReader};

use crate::cli::WatchArgs;

mod fleet;
mod screen;

use fleet::Fleet;
use screen::Screen;

/// How often a terminal is drawn.
const FRAME: Duration = Duration::from_millis(200);
/// How often a line is printed, and the lag is asked for.
const LINE: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &WatchArgs) -> Result<()> {
    let config = args.pipeline.load()?;
    let from = if args.from_beginning {
        From::Beginning
    } else {
        From::End
    };
    let reader = PredictionReader::open(&config.kafka, &config.sink.predictions, from)
        .with_context(|| format!("predictions at {} can't be read", config.kafka.brokers))?;
    let lag = Lag::open(&config)?;
    let end = args
        .duration
        .map(|seconds| Instant::now() + Duration::from_secs_f64(seconds.max(0.0)));
    let view = if std::io::stdout().is_terminal() {
        View::Screen(Screen::open(&config.name)?)
    } else {
        View::Lines
    };
    watch(&reader, &lag, view, end)
}

enum View {
    Screen(Screen),
    Lines,
}

fn watch(reader: &PredictionReader, lag: &Lag, mut view: View, end: Option<Instant>) -> Result<()> {
    let mut fleet = Fleet::default();
    let (mut drawn, mut asked) = (Instant::now(), Instant::now());
    loop {
        let frame = if matches!(view, View::Screen(_)) {
            FRAME
        } else {
            LINE
        };
        reader.poll(frame.saturating_sub(drawn.elapsed()), |prediction| {
            fleet.add(&prediction);
        })?;
        let over = end.is_some_and(|end| Instant::now() >= end);
        if asked.elapsed() >= LINE || over {
            // A broker that does not answer for a moment is no reason to stop watching.
            fleet.tick(asked.elapsed(), lag.messages().ok());
            asked = Instant::now();
        }
        if drawn.elapsed() >= frame || over {
            drawn = Instant::now();
            match &mut view {
                View::Lines => println!("{}", fleet.line()),
                View::Screen(screen) => {
                    if screen.draw(&fleet)? {
                        return Ok(());
                    }
                }
            }
        }
        if over {
            return Ok(());
        }
    }
}
