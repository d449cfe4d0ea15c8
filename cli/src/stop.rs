//! Ctrl-C and SIGTERM: the first asks the run to stop, the second ends the program at once.

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// Knows whether the program was asked to stop.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    asked: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Stop {
    /// Starts to listen. Where that is impossible the signals keep ending the program at once.
    pub(crate) fn listen() -> Self {
        let stop = Self::default();
        for signal in [SIGINT, SIGTERM] {
            // The order matters: what ends the program looks at the flag before this signal sets it.
            let listening = flag::register_conditional_shutdown(signal, code(signal).into(), stop.asked.clone())
                .and_then(|_| flag::register_usize(signal, stop.signal.clone(), signal as usize))
                .and_then(|_| flag::register(signal, stop.asked.clone()));
            if listening.is_err() {
                break;
            }
        }
        stop
    }

    /// The flag that the run looks at.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        self.asked.clone()
    }

    /// The exit code, when the program was asked to stop.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        self.asked.load(Ordering::Relaxed).then(|| code(self.signal.load(Ordering::Relaxed) as i32))
    }
}

/// What shells report for a program that a signal ended.
fn code(signal: i32) -> u8 {
    if signal == SIGTERM { 143 } else { 130 }
}
