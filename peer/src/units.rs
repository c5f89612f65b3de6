//! Sizes, rates and counts as people read them. Decimal, as bandwidths are in the book, so that a size
//! divided by a rate is a time without a conversion.

use bytesize::ByteSize;

/// A number of bytes: `412 kB`, `1.5 MB`.
pub fn size(bytes: u64) -> String {
    // Below a megabyte, tenths of the unit are noise.
    let decimals = usize::from(bytes >= 1_000_000);
    format!("{:.decimals$}", ByteSize(bytes).display().si())
}

/// A number of bytes per second: `412 kB/s`, `1.5 MB/s`.
pub fn rate(bytes_per_second: u64) -> String {
    size(bytes_per_second) + "/s"
}

/// A number of things: `1 peer`, `2 peers`.
pub fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_rates_print_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1 kB"),
            (412_300, "412 kB"),
            (999_400, "999 kB"),
            (1_000_000, "1.0 MB"),
            (1_560_000, "1.6 MB"),
            (12_000_000_000, "12.0 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(size(bytes), text);
            assert_eq!(rate(bytes), format!("{text}/s"));
        }
    }

    #[test]
    fn one_thing_has_no_plural() {
        assert_eq!([0, 1, 2].map(|n| count(n, "peer")), ["0 peers", "1 peer", "2 peers"]);
    }
}
