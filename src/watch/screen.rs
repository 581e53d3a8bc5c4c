//! The terminal view: two tables and a line.

use std::time::Duration;

use anyhow::Result;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Row, Table};
use ratatui::{DefaultTerminal, Frame};

use super::fleet::{Asset, Fleet};

/// Confidence from which an asset is shown as suspicious; at 1 it is flagged.
const SUSPICIOUS: f64 = 0.75;
/// Health below which an asset is shown as near its end.
const NEAR_END: f64 = 0.25;
const BAR: usize = 12;

/// The screen; the terminal is restored when it is dropped.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    title: String,
}

impl Screen {
    pub(super) fn open(pipeline: &str) -> Result<Self> {
        Ok(Screen {
            terminal: ratatui::try_init()?,
            title: format!(" forewarn: {pipeline} "),
        })
    }

    /// Draws the fleet; true when the person wants to leave.
    pub(super) fn draw(&mut self, fleet: &Fleet) -> Result<bool> {
        let title = &self.title;
        self.terminal.draw(|frame| draw(frame, title, fleet))?;
        while event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()? {
                let interrupt =
                    key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
                if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn draw(frame: &mut Frame<'_>, title: &str, fleet: &Fleet) {
    let [top, middle, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let [left, right] =
        Layout::horizontal([Constraint::Percentage(55), Constraint::Percentage(45)]).areas(middle);
    frame.render_widget(
        Line::from(vec![title.to_owned().bold(), fleet.summary().into()]),
        top,
    );
    let rows = usize::from(middle.height.saturating_sub(3));
    frame.render_widget(confidence_table(fleet, rows), left);
    frame.render_widget(life_table(fleet, rows), right);
    frame.render_widget(Line::from(" q quits".dim()), bottom);
}

fn confidence_table(fleet: &Fleet, rows: usize) -> Table<'static> {
    let rows = fleet.by_confidence(rows).into_iter().map(|(name, asset)| {
        let confidence = asset.confidence.unwrap_or_default();
        let why = asset
            .why
            .as_ref()
            .map(|(signal, share)| format!("{signal} {:.0} %", share * 100.0));
        Row::new([
            Cell::from(name.to_owned()),
            Cell::from(format!("{confidence:.2}")),
            Cell::from(bar(confidence / 2.0)),
            Cell::from(why.unwrap_or_default()),
            Cell::from(asset.event_time.clone()),
        ])
        .style(color(confidence > 1.0, confidence > SUSPICIOUS))
    });
    let widths = [
        Constraint::Min(12),
        Constraint::Length(10),
        Constraint::Length(BAR as u16),
        Constraint::Min(18),
        Constraint::Length(20),
    ];
    Table::new(rows, widths)
        .header(Row::new(["asset", "confidence", "", "mostly", "event time"]).bold())
        .block(Block::bordered().title(" by confidence (flagged above 1) "))
}

fn life_table(fleet: &Fleet, rows: usize) -> Table<'static> {
    let rows = fleet.by_rul(rows).into_iter().map(|(name, asset)| {
        let Asset { rul, health, .. } = asset;
        let (value, unit) = rul.clone().unwrap_or_default();
        let health = health.unwrap_or_default();
        Row::new([
            Cell::from(name.to_owned()),
            Cell::from(format!("{value:.0} {unit}")),
            Cell::from(bar(health)),
            Cell::from(format!("{:.0} %", health * 100.0)),
        ])
        .style(color(health < NEAR_END, health < 2.0 * NEAR_END))
    });
    let widths = [
        Constraint::Min(12),
        Constraint::Length(12),
        Constraint::Length(BAR as u16),
        Constraint::Length(7),
    ];
    Table::new(rows, widths)
        .header(Row::new(["asset", "life left", "", "health"]).bold())
        .block(Block::bordered().title(" by remaining useful life "))
}

fn bar(share: f64) -> String {
    "█".repeat((share.clamp(0.0, 1.0) * BAR as f64).round() as usize)
}

fn color(bad: bool, doubtful: bool) -> Style {
    match (bad, doubtful) {
        (true, _) => Style::new().fg(Color::Red),
        (false, true) => Style::new().fg(Color::Yellow),
        (false, false) => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    #[test]
    fn a_frame_shows_both_tables_and_the_line() {
        let mut fleet = Fleet::default();
        let source = r#""source":{"topic":"t","partition":0,"offset":1}"#;
        let head = r#""asset":"pump-7","event_time":"2026-01-01T00:00:00Z","model":"m","version":1,"task":"t""#;
        for verdict in [
            r#""anomaly":{"score":3,"threshold":2,"confidence":1.5,"anomalous":true,"contributions":{"a":0.8,"b":0.2}}"#,
            r#""rul":{"value":31.4,"unit":"hours","health":0.25}"#,
        ] {
            let json = format!("{{{head},{source},{verdict}}}");
            fleet.add(&serde_json::from_str(&json).unwrap());
        }
        let mut terminal = Terminal::new(TestBackend::new(140, 6)).unwrap();
        terminal
            .draw(|frame| draw(frame, " forewarn: pumps ", &fleet))
            .unwrap();
        let screen = terminal.backend().to_string();
        for expected in [
            "forewarn: pumps",
            "1 assets",
            "pump-7",
            "1.50",
            "a 80 %",
            "31 hours",
            "25 %",
        ] {
            assert!(screen.contains(expected), "no {expected} in\n{screen}");
        }
    }
}
