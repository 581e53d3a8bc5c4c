//! The probing process as a program of its own: reads a request on standard input, answers on standard
//! output. `forewarn` holds it as a hidden command; this is for other programs that admit models, and for the
//! tests of this crate.

fn main() -> std::io::Result<()> {
    forewarn_models::admission::serve(std::io::stdin(), std::io::stdout())
}
