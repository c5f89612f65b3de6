//! Text of strangers, such as the names in a .torrent file, for a terminal.

use std::ops::RangeInclusive;

/// The text on one line: characters that move the cursor or change the direction of writing are
/// shown by their codes.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || DIRECTIONS.iter().any(|range| range.contains(&c)) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Characters that change the direction of writing, with the two that end lines among them.
const DIRECTIONS: [RangeInclusive<char>; 3] =
    ['\u{200e}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2066}'..='\u{2069}'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_move_the_cursor_are_shown_by_their_codes() {
        assert_eq!(printable("a\x1b[2Jb\nc\u{202e}d"), "a\\u{1b}[2Jb\\u{a}c\\u{202e}d");
        assert_eq!(printable("日本 語 ß e\u{301}"), "日本 語 ß e\u{301}");
    }
}
