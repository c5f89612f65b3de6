//! `peer create`: makes a .torrent of a file or a folder.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use common::metainfo::{self, CreateOptions, Metainfo};
use indicatif::{ProgressBar, ProgressStyle};

use crate::options::Create;
use crate::report::print_result;

/// Hashes what is there, writes the .torrent, and prints its info-hash and its name.
pub(crate) fn run(options: &Create) -> Result<()> {
    let Create { path, trackers, output, chunk_size, private } = options;
    let output = match output {
        Some(output) => output.clone(),
        None => default_output(path)?,
    };
    // Also at the end, but better before all is hashed.
    if output.symlink_metadata().is_ok() {
        return refuse_to_overwrite(&output);
    }

    let bar = progress_bar(path);
    let options = CreateOptions { trackers, piece_length: *chunk_size, private: *private };
    let bytes = metainfo::create(path, &options, &mut |hashed| bar.set_position(hashed));
    bar.finish_and_clear();
    let bytes = bytes.with_context(|| format!("cannot make a .torrent of {}", path.display()))?;
    let metainfo = Metainfo::from_bytes(&bytes).context("cannot read what was just made")?;

    write_new(&output, &bytes)?;
    print_result(format_args!("{}  {}", metainfo.info_hash, output.display()))
}

/// `NAME.torrent` in the current folder.
fn default_output(path: &Path) -> Result<PathBuf> {
    let cannot_read = || format!("cannot read {}", path.display());
    let resolved;
    let name = match path.file_name() {
        Some(name) => name,
        // Such as `..`: of the folder that it stands for.
        None => {
            resolved = path.canonicalize().with_context(cannot_read)?;
            resolved.file_name().with_context(|| format!("{} has no name", path.display()))?
        }
    };
    let mut file_name = OsString::from(name);
    file_name.push(".torrent");
    Ok(file_name.into())
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let cannot_write = || format!("cannot write {}", path.display());
    let mut file = match File::create_new(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return refuse_to_overwrite(path),
        created => created.with_context(cannot_write)?,
    };
    let written = file.write_all(bytes);
    if written.is_err() {
        // Half a .torrent is none. That it stays is the lesser trouble, so the first error counts.
        let _ = fs::remove_file(path);
    }
    written.with_context(cannot_write)
}

fn refuse_to_overwrite(path: &Path) -> Result<()> {
    bail!("{} exists: remove it, or name another file with -o", path.display())
}

/// Shown on stderr if that is a terminal. How much a folder holds is not known before.
fn progress_bar(path: &Path) -> ProgressBar {
    let (bar, template) = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            (ProgressBar::new(metadata.len()), "hashing {bar:30} {bytes} of {total_bytes}")
        }
        _ => (ProgressBar::no_length(), "hashing {spinner} {bytes}"),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("a valid template"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_torrent_is_named_after_what_it_is_of() {
        for (path, output) in
            [("hello.txt", "hello.txt.torrent"), ("a/b/", "b.torrent"), ("/a/b/.", "b.torrent")]
        {
            assert_eq!(default_output(Path::new(path)).unwrap(), Path::new(output), "{path}");
        }
        let here = std::env::current_dir().unwrap();
        let name = here.file_name().unwrap().to_str().unwrap();
        let output = default_output(Path::new(".")).unwrap();
        assert_eq!(output, PathBuf::from(format!("{name}.torrent")));
    }

    #[test]
    fn what_exists_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.torrent");
        fs::write(&path, "precious").unwrap();
        let error = write_new(&path, b"new").unwrap_err().to_string();
        assert!(error.ends_with("x.torrent exists: remove it, or name another file with -o"));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
