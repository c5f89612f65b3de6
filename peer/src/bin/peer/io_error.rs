//! Errors of the network as words.

use std::io::{self, ErrorKind};

/// What the system reports, without its number and the same on every system for the usual failures
/// of the network.
pub(crate) fn describe(error: &io::Error) -> String {
    match error.kind() {
        kind @ (ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::TimedOut) => kind.to_string(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_failures_have_the_same_words_everywhere() {
        assert_eq!(describe(&ErrorKind::ConnectionRefused.into()), "connection refused");
        assert_eq!(
            describe(&io::Error::other("no address of our family")),
            "no address of our family"
        );
    }
}
