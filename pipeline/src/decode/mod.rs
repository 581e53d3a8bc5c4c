//! From messages to readings. One decoder per format; all of them hand values to the same acceptance
//! rules, so a reading is refused for the same reasons whatever it came in.
//!
//! ```text
//!   message ── json.rs ──┐ as one before? then forms.rs, number.rs
//!                        ├→ row.rs: asset known? signals there and in range? clock right? → Rows
//!   table row ─ table.rs ┘                                   └→ Refused (with its reason)
//! ```
//!
//! `fields.rs` says what a message's fields are, and stores their values.

mod fields;
mod forms;
mod json;
mod number;
mod row;
mod table;
pub(crate) mod time;

pub use json::JsonDecoder;
pub use row::Decoded;
pub use table::{TableDecoder, TableError};
