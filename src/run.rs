//! `forewarn run`: the service.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use forewarn_pipeline::kafka::killpoint;
use forewarn_pipeline::metrics::Metrics;
use forewarn_pipeline::service::ServiceError;
use forewarn_pipeline::swap::ReloadHandle;
use forewarn_pipeline::{Http, Service, Shutdown};

use crate::cli::RunArgs;
use crate::guard;

/// How often a running service says how it fares.
const REPORT: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &RunArgs) -> Result<()> {
    killpoint::arm()?;
    let config = args.pipeline.load()?;
    let name = config.name.clone();
    let metrics = Arc::<Metrics>::default();
    // First, so that probes are answered while models are loaded, and a second start on one machine is noticed
    // before it has done anything.
    let http = config
        .service
        .http
        .map(|address| Http::start(address, metrics.clone()));
    let http = http.transpose()?;
    if let Some(http) = &http {
        tracing::info!(address = %http.address(), "serving /livez, /readyz and /metrics");
    }
    let loader = guard::loader(&config)?;
    let service = Service::with_metrics(config, loader, metrics.clone())?;
    let service = service.taking_over(args.take_over);
    let shutdown = Shutdown::default();
    watch_signals(&shutdown, service.reload_handle())?;
    let reporter = {
        let shutdown = shutdown.clone();
        let metrics = metrics.clone();
        std::thread::spawn(move || report(&metrics, &shutdown))
    };
    tracing::info!(
        pipeline = name,
        "starting; SIGTERM or Ctrl-C drains and stops it"
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

/// Ends the process because of an error of the service, with the status that tells a supervisor what to do. Threads
/// may be stuck in C code then, which the clean-up of an ordinary end would wait for, or pull the ground from under.
#[expect(
    unsafe_code,
    reason = "the standard library has no end without clean-up that sets a status"
)]
pub(crate) fn exit_status(error: &anyhow::Error) -> ExitCode {
    let Some(error) = error.downcast_ref::<ServiceError>() else {
        return ExitCode::FAILURE;
    };
    match error {
        ServiceError::Stuck { .. } | ServiceError::NotDrained { .. } => {
            // SAFETY: it runs nothing of this process any more. Standard error has no buffer.
            unsafe { libc::_exit(error.exit_status().into()) }
        }
        _ => ExitCode::from(error.exit_status()),
    }
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
        let per_second = (now.readings - last.readings) as f64 / seconds;
        tracing::info!(
            readings_per_second = per_second as u64,
            predictions = now.predictions,
            anomalous = now.anomalous,
            alarms_raised = now.alarms_raised,
            alarms_cleared = now.alarms_cleared,
            unscored = now.unscored.values().sum::<u64>(),
            late = now.late,
            dead_letters = now.refused.values().sum::<u64>(),
            "so far"
        );
        (last, at) = (now, Instant::now());
    }
}
