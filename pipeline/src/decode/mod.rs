//! From messages to readings. One decoder per format; all of them hand values to the same acceptance
//! rules, so a reading is refused for the same reasons whatever it came in.
//!
//! ```text
//!   message ─ json.rs ─┐
//!                      ├→ RowBuilder: asset known? time valid? every signal there and in range? → Readings
//!   table row ─ table.rs┘                                   └→ Refused (with its reason)
//! ```

mod json;
mod row;
mod table;
mod time;

pub use json::JsonDecoder;
pub use row::Acceptance;
pub use table::{TableDecoder, TableError};
