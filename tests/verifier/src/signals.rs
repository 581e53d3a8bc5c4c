//! Signals to processes that this one started.

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Term,
    Kill,
    Stop,
    Continue,
}

/// Sends a signal to one process; false when there is none.
#[expect(unsafe_code, reason = "a call with two numbers")]
pub fn send(process: i32, signal: Signal) -> bool {
    let number = match signal {
        Signal::Term => libc::SIGTERM,
        Signal::Kill => libc::SIGKILL,
        Signal::Stop => libc::SIGSTOP,
        Signal::Continue => libc::SIGCONT,
    };
    // 0 and below would be groups of processes.
    process > 0 && unsafe { libc::kill(process, number) } == 0
}
