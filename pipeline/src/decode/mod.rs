//! From messages to readings. One decoder per format; all of them hand values to the same acceptance
//! rules, so a reading is refused for the same reasons whatever it came in.
//!
//! ```text
//!   message ── json.rs ──┐
//!                        ├→ row.rs: asset known? signals there and in range? clock right? → Rows
//!   table row ─ table.rs ┘                                   └→ Refused (with its reason)
//! ```

mod json;
mod row;
mod table;
pub(crate) mod time;

pub use json::JsonDecoder;
pub use row::Decoded;
pub use table::{TableDecoder, TableError};
