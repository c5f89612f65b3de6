//! `peer create`: makes a .torrent of a file or a folder.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use common::metainfo::{CreateOptions, Metainfo};
use indicatif::{ProgressBar, ProgressStyle};

use crate::options::Create;
use crate::report::{print_result, say};
use crate::torrent_file;
use crate::url::is_loopback;

/// Hashes the file or folder, writes the .torrent, and prints its info-hash and its name.
pub(crate) fn run(options: &Create) -> Result<()> {
    let Create { path, trackers, output, chunk_size, private } = options;
    let output = match output {
        Some(output) => output.clone(),
        None => default_output(path)?,
    };
    if output.is_dir() {
        let (folder, file) = (output.display(), output.join(default_output(path)?));
        bail!("cannot write {folder}: it is a folder; name a file, such as -o {}", file.display());
    }
    // Checked again at the end, but better to know before hashing.
    if output.symlink_metadata().is_ok() {
        return refuse_to_overwrite(&output);
    }

    let bar = progress_bar(path);
    let options = CreateOptions { trackers, piece_length: *chunk_size, private: *private };
    let bytes = torrent_file::create(path, &options, &mut |hashed| bar.set_position(hashed));
    bar.finish_and_clear();
    let bytes = bytes.with_context(|| cannot_make(path))?;
    let metainfo = Metainfo::from_bytes(&bytes).context("cannot read what was just made")?;

    write_new(&output, &bytes)?;
    for url in trackers.iter().filter(|url| is_loopback(url)) {
        say(format_args!(
            "warning: other machines cannot reach the tracker {url}; \
             for them, name the tracker by its machine's address"
        ));
    }
    print_result(format_args!("{}  {}", metainfo.info_hash, output.display()))
}

/// `NAME.torrent` in the current folder.
fn default_output(path: &Path) -> Result<PathBuf> {
    let name = torrent_file::name_of(path).with_context(|| cannot_make(path))?;
    Ok(format!("{name}.torrent").into())
}

fn cannot_make(path: &Path) -> String {
    format!("cannot make a .torrent of {}", path.display())
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let cannot_write = || format!("cannot write {}", path.display());
    let mut file = match File::create_new(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return refuse_to_overwrite(path),
        created => created.with_context(cannot_write)?,
    };
    let written = file.write_all(bytes);
    if written.is_err() {
        // Half a .torrent is useless. If removing it fails too, the first error is the one to
        // report.
        let _ = fs::remove_file(path);
    }
    written.with_context(cannot_write)
}

fn refuse_to_overwrite(path: &Path) -> Result<()> {
    bail!("cannot write {}: it exists; remove it, or name another file with -o", path.display())
}

/// Shown on stderr if that is a terminal. The size of a folder is not known in advance.
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
    fn the_torrent_is_named_after_its_content() {
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
    fn an_existing_file_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.torrent");
        fs::write(&path, "precious").unwrap();
        let error = write_new(&path, b"new").unwrap_err().to_string();
        assert!(error.ends_with("x.torrent: it exists; remove it, or name another file with -o"));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
