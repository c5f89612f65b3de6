//! What a pinger prints: a line for each ping, and a summary last.
//!
//! ```text
//! reply 1 2 31.4
//! lost 2
//! 2 pings, 5 sent, 1 replied, 1 lost, rtt min/avg/max 31.4/31.4/31.4 ms
//! ```

/// The line of a ping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Line {
    /// The echo of this attempt came first, after so many milliseconds.
    Reply { ping: u32, attempt: u32, rtt: f64 },
    /// No attempt was echoed in time.
    Lost { ping: u32 },
}

/// The last line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) pings: u32,
    /// Datagrams.
    pub(crate) sent: u32,
    pub(crate) replied: u32,
    pub(crate) lost: u32,
    /// The shortest, the mean and the longest, in milliseconds; absent without a reply.
    pub(crate) rtt: Option<[f64; 3]>,
}

impl Line {
    pub(crate) fn ping(self) -> u32 {
        match self {
            Self::Reply { ping, .. } | Self::Lost { ping } => ping,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split_whitespace().collect();
        match words[..] {
            ["reply", ping, attempt, rtt] => Some(Self::Reply {
                ping: ping.parse().ok()?,
                attempt: attempt.parse().ok()?,
                rtt: rtt.parse().ok().filter(|rtt: &f64| rtt.is_finite())?,
            }),
            ["lost", ping] => Some(Self::Lost { ping: ping.parse().ok()? }),
            _ => None,
        }
    }
}

/// The lines of the pings. Other lines, such as a banner, are left out.
///
/// # Errors
/// The first line that begins as one of a ping and goes on otherwise.
pub(crate) fn lines(printed: &str) -> Result<Vec<Line>, String> {
    let is_ping = |line: &&str| matches!(line.split_whitespace().next(), Some("reply" | "lost"));
    let lines = printed.lines().filter(is_ping);
    lines.map(|line| Line::parse(line).ok_or_else(|| line.to_owned())).collect()
}

/// The summary in the last line that is not empty.
pub(crate) fn summary(printed: &str) -> Option<Summary> {
    let last = printed.trim_end().lines().last()?;
    let mut parts = last.split(", ");
    let mut count = |unit: &str| parts.next()?.trim().strip_suffix(unit)?.trim().parse().ok();
    let (pings, sent) = (count("pings")?, count("sent")?);
    let (replied, lost) = (count("replied")?, count("lost")?);
    let rtt = match parts.next() {
        None => None,
        Some(text) => {
            let numbers = text.strip_prefix("rtt min/avg/max")?.strip_suffix("ms")?.trim();
            let numbers: Option<Vec<f64>> = numbers.split('/').map(|n| n.parse().ok()).collect();
            Some(<[f64; 3]>::try_from(numbers?).ok()?)
        }
    };
    parts.next().is_none().then_some(Summary { pings, sent, replied, lost, rtt })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_pings_are_read_and_others_left_out() {
        let printed = "my pinger\nreply 1 2 31.4\n lost 2\n2 pings\n";
        let expected = [Line::Reply { ping: 1, attempt: 2, rtt: 31.4 }, Line::Lost { ping: 2 }];
        assert_eq!(lines(printed).unwrap(), expected);
        for bad in ["reply 1 31.4", "reply 1 1 31 ms", "reply 1 1 NaN", "lost", "lost two"] {
            assert_eq!(lines(bad).unwrap_err(), bad);
        }
    }

    #[test]
    fn the_summary_is_the_last_line() {
        let counts = Summary { pings: 3, sent: 5, replied: 2, lost: 1, rtt: None };
        let rtt = Some([20.0, 25.5, 31.0]);
        for (text, expected) in [
            ("lost 3\n3 pings, 5 sent, 2 replied, 1 lost\n\n", Some(counts)),
            (
                "3 pings, 5 sent, 2 replied, 1 lost, rtt min/avg/max 20/25.5/31.0 ms",
                Some(Summary { rtt, ..counts }),
            ),
            ("3 pings, 5 sent, 2 replied, 1 lost, rtt 20 ms", None),
            ("3 pings, 5 sent, 2 replied, 1 lost, and so on", None),
            ("3 pings, 5 sent", None),
            ("", None),
        ] {
            assert_eq!(summary(text), expected, "{text}");
        }
    }
}
