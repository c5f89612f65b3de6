//! The student's command, as words.

use std::env;
use std::io::{self, ErrorKind};
use std::path::{self, Path};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A command that starts the student's program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    words: Vec<String>,
}

impl Program {
    /// Splits the command as a shell would. The program will run in another folder, so every word
    /// that names a file of this one becomes an absolute path.
    ///
    /// # Errors
    /// When there is no word, a quote is open, or the program is a path without a file.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut words =
            shlex::split(text).with_context(|| format!("--program {text}: unclosed quote"))?;
        ensure!(!words.is_empty(), "--program must name a program");
        for (index, word) in words.iter_mut().enumerate() {
            let is_path = word.contains(['/', path::MAIN_SEPARATOR]);
            // A bare program name is looked up in PATH, not in the current folder, as in a shell.
            if index == 0 && !is_path {
                continue;
            }
            let exists = Path::new(word.as_str()).exists();
            ensure!(exists || index > 0, "--program {word}: no such file");
            if exists {
                let absolute = path::absolute(&word).with_context(|| word.clone())?;
                *word = absolute.to_str().context("the current folder is not UTF-8")?.to_owned();
            }
        }
        Ok(Self { words })
    }

    /// A program of this workspace, which cargo puts beside the grader, or beside it in the folder of
    /// another profile.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn of_workspace(name: &str) -> io::Result<Self> {
        let grader = env::current_exe()?;
        let folder = grader.parent().expect("a file is in a folder");
        let file = format!("{name}{}", env::consts::EXE_SUFFIX);
        let folders = [folder, &folder.join("../release"), &folder.join("../debug")];
        let found = folders.iter().map(|folder| folder.join(&file)).find(|path| path.exists());
        let path = found.as_ref().and_then(|path| path.to_str()).ok_or_else(|| {
            let folder = folder.display();
            let how = format!("build it: cargo build --release -p {name}");
            io::Error::new(ErrorKind::NotFound, format!("no program {file} in {folder}; {how}"))
        })?;
        Ok(Self { words: vec![path.to_owned()] })
    }

    /// The command with further arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).args(arguments);
        command
    }

    /// The program's name, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.words[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Program::parse(text).unwrap().words
    }

    #[test]
    fn words_are_split_as_in_a_shell() {
        assert_eq!(words("java -cp 'my classes' Main"), ["java", "-cp", "my classes", "Main"]);
        for bad in ["", "  ", "python3 'x"] {
            assert!(Program::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn words_that_name_files_become_absolute() {
        // Tests run in the folder of the crate.
        let here = env::current_dir().unwrap();
        let manifest = here.join("Cargo.toml").to_str().unwrap().to_owned();
        assert_eq!(words("python3 Cargo.toml absent"), ["python3", &manifest, "absent"]);
        assert_eq!(words("./Cargo.toml")[..], [manifest]);
    }

    #[test]
    fn a_path_without_a_file_is_an_error() {
        let error = Program::parse("./absent.sh").unwrap_err().to_string();
        assert_eq!(error, "--program ./absent.sh: no such file");
    }
}
