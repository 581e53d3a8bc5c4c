//! The figures of a version, in the folder `figures` beside its card.
//!
//! Not here: what they look like (`forewarn_training::figures`), and where the card tells of them (`card.rs`).

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use forewarn_training::evaluate::Detected;
use forewarn_training::figures;
use forewarn_training::figures::Life;
use forewarn_training::judged::Judged;
use forewarn_training::neural::Round;

/// Beside `card.md`.
const FOLDER: &str = "figures";

/// Drawings in the order in which the card shows them.
#[derive(Debug, Default)]
pub(super) struct Drawings(Vec<Drawing>);

#[derive(Debug)]
struct Drawing {
    file: &'static str,
    /// What it shows, for who can't see it.
    about: &'static str,
    svg: String,
}

impl Drawings {
    /// Of a model of remaining life in `unit`, up to a cap: rows that were judged, some lives, and how the networks learnt.
    pub fn of_life(
        (unit, cap): (&str, f64),
        judged: &Judged,
        lives: &[Life],
        members: &[(Vec<Round>, usize)],
    ) -> Self {
        let mut all = Drawings::default();
        let told = figures::told_and_true(judged, unit, cap);
        all.push(
            "told-and-true.svg",
            "remaining life told over the true one",
            told,
        );
        let lives = figures::lives(lives, unit, cap);
        all.push(
            "lives.svg",
            "remaining life along the lives of some assets",
            lives,
        );
        all.learning(members);
        all
    }

    /// Of a model of anomalies: curves of all `models` on the same rows, by name, the new one first, the spread of its
    /// scores, and how its networks learnt, if it has any.
    pub fn of_detection(models: &[(&str, &Detected)], members: &[(Vec<Round>, usize)]) -> Self {
        let mut all = Drawings::default();
        if let Some(curves) = figures::curves(models) {
            all.push("curves.svg", "ROC curve, and precision over recall", curves);
        }
        if let Some((_, detected)) = models.first() {
            let scores = figures::scores(detected);
            all.push(
                "scores.svg",
                "scores of normal and of anomalous rows",
                scores,
            );
        }
        all.learning(members);
        all
    }

    fn learning(&mut self, members: &[(Vec<Round>, usize)]) {
        if !members.is_empty() {
            let learning = figures::learning(members);
            self.push(
                "learning.svg",
                "loss of each network, round by round",
                learning,
            );
        }
    }

    fn push(&mut self, file: &'static str, about: &'static str, svg: String) {
        self.0.push(Drawing { file, about, svg });
    }

    /// For the card, which lies beside the folder.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for Drawing { file, about, .. } in &self.0 {
            let _ = writeln!(text, "![{about}]({FOLDER}/{file})\n");
        }
        text
    }

    /// Writes them beside a card, into `beside`.
    pub fn write(&self, beside: &Path) -> Result<()> {
        let folder = beside.join(FOLDER);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        for figure in &self.0 {
            let file = folder.join(figure.file);
            fs::write(&file, &figure.svg).with_context(|| file.display().to_string())?;
        }
        Ok(())
    }
}
