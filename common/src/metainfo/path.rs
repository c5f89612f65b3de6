//! Checks untrusted names before they become names on this disk.
//!
//! A torrent's author chooses the paths of its files. The rules are those of every system at once,
//! so that a torrent that can be shared on one can be shared on all; only whether case matters
//! is taken as it is here.

use std::borrow::Cow;

use super::File;

/// Longest name of a file or folder, in bytes: the limit of the usual file systems.
pub const MAX_COMPONENT_LENGTH: usize = 255;

/// One component of a path, if it is safe to use as a name; else what is wrong with it.
pub(super) fn checked_component(bytes: &[u8]) -> Result<&str, String> {
    str::from_utf8(bytes)
        .map_err(|_| "is not UTF-8".to_owned())
        .and_then(|name| problem(name).map_or(Ok(name), Err))
        .map_err(|problem| format!("{:?} {problem}", shortened(&String::from_utf8_lossy(bytes))))
}

fn problem(name: &str) -> Option<String> {
    // Separators, the colon of Windows drives and streams, NUL and other control characters.
    let forbidden = |c: &char| matches!(c, '/' | '\\' | ':') || c.is_control();
    if name.is_empty() {
        Some("is empty".to_owned())
    } else if matches!(name, "." | "..") {
        Some("is not a name but a direction".to_owned())
    } else if let Some(character) = name.chars().find(forbidden) {
        Some(format!("contains {character:?}"))
    } else if name.len() > MAX_COMPONENT_LENGTH {
        Some(format!("is {} bytes long, more than {MAX_COMPONENT_LENGTH}", name.len()))
    } else if name.ends_with(['.', ' ']) {
        // Windows drops it, and so could make two names one.
        Some("ends in a dot or a space".to_owned())
    } else if is_device(name) {
        Some("is the name of a device on Windows".to_owned())
    } else {
        None
    }
}

/// Whether Windows takes it for a device: in any case, with or without an extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    let number = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    let numbered = number.is_some_and(|number| matches!(number.as_bytes(), [b'1'..=b'9']));
    numbered || matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL")
}

/// Whether two names that differ in case only are one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Sensitive,
    Folded,
}

impl Case {
    /// As this system has it by default: on Linux, `Makefile` and `makefile` are two files.
    pub(super) const HERE: Self =
        if cfg!(any(windows, target_os = "macos")) { Self::Folded } else { Self::Sensitive };

    fn fold(self, name: &str) -> Cow<'_, str> {
        match self {
            Self::Sensitive => Cow::Borrowed(name),
            Self::Folded => Cow::Owned(name.to_lowercase()),
        }
    }
}

/// Refuses two files at one path, and a file where another needs a folder.
pub(super) fn check_distinct(files: &[File], case: Case) -> Result<(), String> {
    // Padding is never written, and all padding of one length has the same path (BEP 47).
    let files = files.iter().filter(|file| !file.padding);
    let mut paths: Vec<(Vec<_>, &File)> =
        files.map(|file| (file.path.iter().map(|name| case.fold(name)).collect(), file)).collect();
    // Sorted by components, a folder stands right in front of what is in it.
    paths.sort_by(|(one, _), (other, _)| one.cmp(other));
    let clash = paths.windows(2).find(|pair| pair[1].0.starts_with(&pair[0].0));
    clash.map_or(Ok(()), |pair| {
        let path = shortened(&pair[0].1.path.join("/"));
        let same = pair[0].0 == pair[1].0;
        let problem = if same { "occurs twice" } else { "is both a file and a folder" };
        Err(format!("{path:?} {problem}"))
    })
}

/// For a message: as much of a stranger's text as fits a line.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_names_are_refused_with_their_reason() {
        let long = "x".repeat(256);
        let table: [(&[u8], &str); 31] = [
            (b"", "is empty"),
            (b".", "is not a name but a direction"),
            (b"..", "is not a name but a direction"),
            (b"/x", "contains '/'"),
            (b"a/b", "contains '/'"),
            (b"../x", "contains '/'"),
            (b"\\x", r"contains '\\'"),
            (b"\\\\server", r"contains '\\'"),
            (b"..\\x", r"contains '\\'"),
            (b"c:", "contains ':'"),
            (b"file:stream", "contains ':'"),
            (b"a\0b", r"contains '\0'"),
            (b"a\nb", r"contains '\n'"),
            (b"\x1b[31m", r"contains '\u{1b}'"),
            (b"\x7f", r"contains '\u{7f}'"),
            ("\u{85}".as_bytes(), r"contains '\u{85}'"),
            (b"\xff", "is not UTF-8"),
            (b"\xed\xa0\x80", "is not UTF-8"),
            (long.as_bytes(), "is 256 bytes long, more than 255"),
            (b"a.", "ends in a dot or a space"),
            (b"a ", "ends in a dot or a space"),
            (b"...", "ends in a dot or a space"),
            (b" ", "ends in a dot or a space"),
            (b"CON", "is the name of a device on Windows"),
            (b"prn", "is the name of a device on Windows"),
            (b"Aux.c", "is the name of a device on Windows"),
            (b"NUL.tar.gz", "is the name of a device on Windows"),
            (b"con .txt", "is the name of a device on Windows"),
            (b"com1", "is the name of a device on Windows"),
            (b"COM9.log", "is the name of a device on Windows"),
            (b"lpt1.txt", "is the name of a device on Windows"),
        ];
        for (name, problem) in table {
            let error = checked_component(name).expect_err(&name.escape_ascii().to_string());
            assert!(error.ends_with(&format!("\" {problem}")), "{}: {error}", name.escape_ascii());
        }
    }

    #[test]
    fn unusual_but_harmless_names_pass() {
        let long = "é".repeat(127);
        for name in [
            "..foo",
            "a..b",
            ".hidden",
            "...x",
            "-rf",
            "~",
            "%2e%2e",
            "$HOME",
            "a b",
            " a",
            "Straße",
            "日本語",
            "console",
            "CONfig.txt",
            "com0",
            "com10",
            "COM",
            "lpt",
            "null",
            "a.con",
            &long,
        ] {
            assert_eq!(checked_component(name.as_bytes()), Ok(name));
        }
    }

    #[test]
    fn a_message_names_the_component_on_one_line() {
        let message = |name: &[u8]| checked_component(name).unwrap_err();
        assert_eq!(message(b".."), r#"".." is not a name but a direction"#);
        assert_eq!(message(b"a\x1b[2J"), r#""a\u{1b}[2J" contains '\u{1b}'"#);
        assert!(message(&b"x".repeat(1_000_000)).len() < 150);
    }

    fn clash(paths: &[&str], case: Case) -> Result<(), String> {
        let file = |path: &&str| File {
            path: path.split('/').map(str::to_owned).collect(),
            length: 1,
            padding: path.starts_with(".pad"),
        };
        check_distinct(&paths.iter().map(file).collect::<Vec<_>>(), case)
    }

    #[test]
    fn two_files_never_share_a_path() {
        let duplicate = |path: &str| Err(format!("{path:?} occurs twice"));
        assert_eq!(clash(&["a", "b", "a"], Case::Sensitive), duplicate("a"));
        assert_eq!(clash(&["x/A.txt", "x/a.TXT"], Case::Folded), duplicate("x/A.txt"));
        assert_eq!(clash(&["x/A.txt", "x/a.TXT"], Case::Sensitive), Ok(()));
        assert_eq!(clash(&["Ä", "ä"], Case::Folded), duplicate("Ä"));
        assert_eq!(clash(&[".pad/7", "a", ".pad/7"], Case::Folded), Ok(()));
    }

    #[test]
    fn no_file_is_also_a_folder() {
        let both = |path: &str| Err(format!("{path:?} is both a file and a folder"));
        assert_eq!(clash(&["a/b/c", "a-b", "a"], Case::Sensitive), both("a"));
        assert_eq!(clash(&["a/b", "a/b/c/d"], Case::Sensitive), both("a/b"));
        assert_eq!(clash(&["A", "a/b"], Case::Folded), both("A"));
        assert_eq!(clash(&["a.b", "a/b", "ab", "a-"], Case::Folded), Ok(()));
    }
}
