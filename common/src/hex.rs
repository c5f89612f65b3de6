//! Bytes as text, two hex digits each.

/// In lower case.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// In either case; `None` if it is anything but pairs of hex digits.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16)?).ok();
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?));
    if rest.is_empty() { bytes.collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_back_from_their_digits() {
        assert_eq!(encode(b"\x00\x1f\xa0"), "001fa0");
        assert_eq!(decode("001fA0").as_deref(), Some(&b"\x00\x1f\xa0"[..]));
        assert_eq!(decode(""), Some(vec![]));
        for text in ["0", "001", "0g", "+1", "é"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
