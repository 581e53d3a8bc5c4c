//! `forewarn run`: the service.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use forewarn_pipeline::kafka::killpoint;
use forewarn_pipeline::metrics::Metrics;
use forewarn_pipeline::swap::ReloadHandle;
use forewarn_pipeline::{Config, Service, Shutdown};

use crate::cli::RunArgs;
use crate::guard;
use crate::terminal::thousands;

/// How often a running service says how it fares.
const REPORT: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &RunArgs) -> Result<()> {
    killpoint::arm()?;
    let mut config = Config::load(&args.config)?;
    if let Some(brokers) = &args.brokers {
        config.kafka.brokers.clone_from(brokers);
    }
    let name = config.name.clone();
    let loader = guard::loader(&config)?;
    let service = Service::new(config, loader)?;
    let shutdown = Shutdown::default();
    watch_signals(&shutdown, service.reload_handle())?;
    let metrics = service.metrics();
    let reporter = {
        let shutdown = shutdown.clone();
        std::thread::spawn(move || report(&metrics, &shutdown))
    };
    tracing::info!(
        pipeline = name,
        "running; SIGTERM or Ctrl-C drains and stops it"
    );
    let result = service.run(&shutdown, args.create_topics);
    shutdown.request();
    let _ = reporter.join();
    let totals = result?;
    tracing::info!(
        readings = totals.readings,
        predictions = totals.predictions,
        unscored = totals.unscored.values().sum::<u64>(),
        alarms = totals.alarms_raised,
        late = totals.late,
        dead_letters = totals.refused.values().sum::<u64>(),
        "stopped"
    );
    Ok(())
}

/// SIGTERM and Ctrl-C request a stop; a second one is left to end the process at once. SIGHUP asks for new
/// versions of models.
fn watch_signals(shutdown: &Shutdown, reload: ReloadHandle) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("signals can't be watched")?;
    let shutdown = shutdown.clone();
    let watch = move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut term), Ok(mut interrupt), Ok(mut hangup)) = (
                signal(SignalKind::terminate()),
                signal(SignalKind::interrupt()),
                signal(SignalKind::hangup()),
            ) else {
                tracing::error!("signals can't be watched; end the process to stop it");
                return;
            };
            loop {
                tokio::select! {
                    _ = hangup.recv() => {
                        reload.look();
                        continue;
                    }
                    _ = term.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if shutdown.is_requested() {
                    std::process::exit(130);
                }
                tracing::info!("draining; a second signal stops at once");
                shutdown.request();
            }
        });
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(watch)?;
    Ok(())
}

fn report(metrics: &Metrics, shutdown: &Shutdown) {
    let (mut last, mut at) = (metrics.totals(), Instant::now());
    loop {
        shutdown.wait(REPORT);
        if shutdown.is_requested() {
            return;
        }
        let now = metrics.totals();
        let seconds = at.elapsed().as_secs_f64();
        tracing::info!(
            "{} readings/s, {} predictions in all, {} anomalous, {} alarms raised and {} cleared, {} without a score, {} late, {} dead letters",
            thousands(((now.readings - last.readings) as f64 / seconds) as u64),
            thousands(now.predictions),
            thousands(now.anomalous),
            thousands(now.alarms_raised),
            thousands(now.alarms_cleared),
            thousands(now.unscored.values().sum()),
            thousands(now.late),
            thousands(now.refused.values().sum())
        );
        (last, at) = (now, Instant::now());
    }
}
