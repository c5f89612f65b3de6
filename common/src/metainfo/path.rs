//! Names from a stranger that become names on this disk: what is refused.
//!
//! A torrent's author chooses the paths of its files. The rules are those of every system at once,
//! so that a torrent that can be shared on one can be shared on all; only whether case matters
//! is taken as it is here.

use std::borrow::Cow;

use super::{File, MetainfoError};

/// Longest name of a file or folder, in bytes: the limit of the usual file systems.
pub const MAX_COMPONENT_LENGTH: usize = 255;

/// A name that no file or folder of a torrent may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{component:?} {problem}")]
pub struct NameError {
    /// The name, cut off if it is long; bytes that are not UTF-8 are replaced.
    pub component: String,
    /// What is wrong with it.
    pub problem: NameProblem,
}

/// Why a name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameProblem {
    /// It would vanish from the path.
    #[error("is empty")]
    Empty,
    /// `.` and `..`, which would leave the torrent's folder.
    #[error("is not a name but a direction")]
    Direction,
    /// Separators, the colon of Windows drives and streams, NUL and other control characters.
    #[error("contains {0:?}")]
    Character(char),
    /// BEP 3 asks for it.
    #[error("is not UTF-8")]
    NotUtf8,
    /// More than [`MAX_COMPONENT_LENGTH`].
    #[error("is {0} bytes long, more than {MAX_COMPONENT_LENGTH}")]
    TooLong(usize),
    /// Windows drops it, and so could make two names one.
    #[error("ends in a dot or a space")]
    End,
    /// `CON`, `nul.txt` and the like open a device on Windows.
    #[error("is the name of a device on Windows")]
    Device,
}

/// One component of a path, if it is safe to use as a name.
pub(super) fn checked_component(bytes: &[u8]) -> Result<&str, NameError> {
    str::from_utf8(bytes)
        .map_err(|_| NameProblem::NotUtf8)
        .and_then(|name| check(name).map(|()| name))
        .map_err(|problem| {
            let component = shortened(&String::from_utf8_lossy(bytes));
            NameError { component, problem }
        })
}

fn check(name: &str) -> Result<(), NameProblem> {
    let forbidden = |c: char| matches!(c, '/' | '\\' | ':') || c.is_control();
    if name.is_empty() {
        Err(NameProblem::Empty)
    } else if matches!(name, "." | "..") {
        Err(NameProblem::Direction)
    } else if let Some(character) = name.chars().find(|&c| forbidden(c)) {
        Err(NameProblem::Character(character))
    } else if name.len() > MAX_COMPONENT_LENGTH {
        Err(NameProblem::TooLong(name.len()))
    } else if name.ends_with(['.', ' ']) {
        Err(NameProblem::End)
    } else if is_device(name) {
        Err(NameProblem::Device)
    } else {
        Ok(())
    }
}

/// Whether Windows takes it for a device: in any case, with or without an extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" => true,
        stem => ["COM", "LPT"]
            .iter()
            .filter_map(|device| stem.strip_prefix(device))
            .any(|number| matches!(number.as_bytes(), [b'1'..=b'9'])),
    }
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
pub(super) fn check_distinct(files: &[File], case: Case) -> Result<(), MetainfoError> {
    // Padding is never written, and all padding of one length has the same path (BEP 47).
    let mut paths: Vec<(Vec<Cow<'_, str>>, &File)> = files
        .iter()
        .filter(|file| !file.padding)
        .map(|file| (file.path.iter().map(|name| case.fold(name)).collect(), file))
        .collect();
    // Sorted by components, a folder stands right in front of what is in it.
    paths.sort_by(|(one, _), (other, _)| one.cmp(other));
    let clash = paths.windows(2).find(|pair| pair[1].0.starts_with(&pair[0].0));
    clash.map_or(Ok(()), |pair| {
        let path = shortened(&pair[0].1.path.join("/"));
        Err(if pair[0].0 == pair[1].0 {
            MetainfoError::DuplicatePath(path)
        } else {
            MetainfoError::FileAndFolder(path)
        })
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
        let table: [(&[u8], NameProblem); 31] = [
            (b"", NameProblem::Empty),
            (b".", NameProblem::Direction),
            (b"..", NameProblem::Direction),
            (b"/x", NameProblem::Character('/')),
            (b"a/b", NameProblem::Character('/')),
            (b"../x", NameProblem::Character('/')),
            (b"\\x", NameProblem::Character('\\')),
            (b"\\\\server", NameProblem::Character('\\')),
            (b"..\\x", NameProblem::Character('\\')),
            (b"c:", NameProblem::Character(':')),
            (b"file:stream", NameProblem::Character(':')),
            (b"a\0b", NameProblem::Character('\0')),
            (b"a\nb", NameProblem::Character('\n')),
            (b"\x1b[31m", NameProblem::Character('\x1b')),
            (b"\x7f", NameProblem::Character('\x7f')),
            ("\u{85}".as_bytes(), NameProblem::Character('\u{85}')),
            (b"\xff", NameProblem::NotUtf8),
            (b"\xed\xa0\x80", NameProblem::NotUtf8),
            (long.as_bytes(), NameProblem::TooLong(256)),
            (b"a.", NameProblem::End),
            (b"a ", NameProblem::End),
            (b"...", NameProblem::End),
            (b" ", NameProblem::End),
            (b"CON", NameProblem::Device),
            (b"prn", NameProblem::Device),
            (b"Aux.c", NameProblem::Device),
            (b"NUL.tar.gz", NameProblem::Device),
            (b"con .txt", NameProblem::Device),
            (b"com1", NameProblem::Device),
            (b"COM9.log", NameProblem::Device),
            (b"lpt1.txt", NameProblem::Device),
        ];
        for (name, problem) in table {
            let error = checked_component(name).expect_err(&name.escape_ascii().to_string());
            assert_eq!(error.problem, problem, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn unusual_names_that_harm_nobody_pass() {
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
        let message = |name: &[u8]| checked_component(name).unwrap_err().to_string();
        assert_eq!(message(b".."), r#"".." is not a name but a direction"#);
        assert_eq!(message(b"a\x1b[2J"), r#""a\u{1b}[2J" contains '\u{1b}'"#);
        assert!(message(&b"x".repeat(1_000_000)).len() < 150);
    }

    fn clash(paths: &[&str], case: Case) -> Result<(), MetainfoError> {
        let file = |path: &&str| File {
            path: path.split('/').map(str::to_owned).collect(),
            length: 1,
            padding: path.starts_with(".pad"),
        };
        check_distinct(&paths.iter().map(file).collect::<Vec<_>>(), case)
    }

    #[test]
    fn two_files_never_share_a_path() {
        let duplicate = |path: &str| Err(MetainfoError::DuplicatePath(path.to_owned()));
        assert_eq!(clash(&["a", "b", "a"], Case::Sensitive), duplicate("a"));
        assert_eq!(clash(&["x/A.txt", "x/a.TXT"], Case::Folded), duplicate("x/A.txt"));
        assert_eq!(clash(&["x/A.txt", "x/a.TXT"], Case::Sensitive), Ok(()));
        assert_eq!(clash(&["Ä", "ä"], Case::Folded), duplicate("Ä"));
        assert_eq!(clash(&[".pad/7", "a", ".pad/7"], Case::Folded), Ok(()));
    }

    #[test]
    fn no_file_is_also_a_folder() {
        let both = |path: &str| Err(MetainfoError::FileAndFolder(path.to_owned()));
        assert_eq!(clash(&["a/b/c", "a-b", "a"], Case::Sensitive), both("a"));
        assert_eq!(clash(&["a/b", "a/b/c/d"], Case::Sensitive), both("a/b"));
        assert_eq!(clash(&["A", "a/b"], Case::Folded), both("A"));
        assert_eq!(clash(&["a.b", "a/b", "ab", "a-"], Case::Folded), Ok(()));
    }
}
