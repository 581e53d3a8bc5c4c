//! What all commands share towards a person: logging, numbers, progress.

use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;

use crate::cli::{Command, LogFormat, LoggingArgs};

/// Logs to standard error; standard output is for results. A service tells its lifecycle, other commands
/// only what is wrong.
pub(crate) fn init_logging(args: &LoggingArgs, command: &Command) {
    let level = if matches!(command, Command::Run(_)) {
        "info"
    } else {
        "warn"
    };
    // librdkafka's own lines repeat what the errors say.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new(format!("{level},librdkafka=error,rdkafka=error,ort=warn"))
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would print that to standard error too, and a print that fails there ends the thread: a full disk
        // behind the log must not end the service.
        .log_internal_errors(false);
    match args.log_format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => {
            builder
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false)
                .init();
        }
    }
}

/// Where results can't be printed that is no defect, so no backtrace: `forewarn demo | head` ends when the reader
/// does, and a full disk is an error as any other.
pub(crate) fn end_without_standard_output() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let message = info.payload_as_str().unwrap_or_default();
        let Some(reason) = message.strip_prefix("failed printing to stdout: ") else {
            return default(info);
        };
        if reason.starts_with("Broken pipe") {
            std::process::exit(0);
        }
        let _ = writeln!(std::io::stderr(), "error: standard output: {reason}");
        std::process::exit(1);
    }));
}

/// A progress bar on a terminal, nothing elsewhere. `total` of 0 is an endless one.
pub(crate) fn progress(total: u64, unit: &str) -> ProgressBar {
    if total == 0 {
        let bar = ProgressBar::new_spinner();
        return bar.with_style(style(&format!("{{spinner}} {{pos}} {unit}  {{per_sec}}")));
    }
    ProgressBar::new(total).with_style(style(&format!(
        "{{bar:40}} {{pos}}/{{len}} {unit}  {{per_sec}}  {{eta}} left"
    )))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// `13096` as `13,096`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn digits_are_grouped_by_three() {
        let grouped = [0, 999, 1_000, 1_234_567].map(thousands);
        assert_eq!(grouped, ["0", "999", "1,000", "1,234,567"]);
    }
}
