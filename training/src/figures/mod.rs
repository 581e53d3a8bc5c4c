//! Figures for the card of a model, as SVG: what a person wants to see before a model serves.
//!
//! ```text
//!   what was judged ─▶ life, detection, learning: which marks, which axes ─▶ sheet: panels, legend ─▶ svg: text
//! ```
//!
//! | function | shows |
//! |---|---|
//! | [`told_and_true`] | remaining life told over the true one, with intervals |
//! | [`lives`] | remaining life along the lives of some assets, with intervals |
//! | [`curves`] | ROC and precision over recall, of one or several models |
//! | [`scores`] | how scores of normal and of anomalous rows are spread, and the threshold |
//! | [`learning`] | the loss of each network, round by round |
//!
//! Written here instead of taking a library: five figures need axes, a legend and a few shapes, while `plotters` gives no
//! title and description to who can't see, and guesses the size of texts without fonts; younger crates change with each
//! release, and so would the bytes of every card.
//!
//! Invariants:
//! - pure: the same data gives the same bytes, without a clock, fonts of this machine or ids drawn at random;
//! - a figure is readable by itself and on any page: it has its own background, a title, units, and a description for
//!   who can't see it;
//! - the size is bounded: rows are thinned to what the eye tells apart.

mod axis;
mod detection;
mod learning;
mod life;
mod sheet;
mod svg;

pub use detection::{curves, scores};
pub use learning::learning;
pub use life::{Life, lives, told_and_true};

/// Places of at most `most` of `count` things, spread evenly, the first and the last among them.
fn spread(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let taken = count.min(most);
    let last = taken.saturating_sub(1).max(1);
    (0..taken).map(move |number| number * (count - 1) / last)
}
