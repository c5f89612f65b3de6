//! `labs bundle`: a lab as an autograder for Gradescope, in a zip file.
//!
//! The file has `setup.sh` and `run_autograder`, which Gradescope runs in a container, and this program
//! as it was built, with those of the workspace that the lab's checks run. It has no solutions.

use std::env;
use std::fs::{self, File};
use std::io::{self, Cursor, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::lab::Lab;
use crate::options::Bundle;
use crate::program::Program;
use crate::submission::Takes;

const SETUP: &str = include_str!("bundle/setup.sh");
const RUN: &str = include_str!("bundle/run_autograder");

/// Writes the bundle.
///
/// # Errors
/// On a system whose programs do not run in Gradescope's containers, when a program is missing, and
/// when the file cannot be written.
pub(crate) fn bundle(options: &Bundle) -> Result<()> {
    let linux = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    ensure!(linux, "Gradescope runs Linux on x86-64: make the bundle on such a machine");
    let lab = options.lab;
    let program = options.program.as_deref();
    let is_run = lab.takes == Takes::Program;
    ensure!(is_run || program.is_none(), "{}: answers are graded, so no --program", lab.name);
    let mut zip = Cursor::new(Vec::new());
    write(&mut zip, lab, program)?;
    let file = &options.output;
    fs::write(file, zip.into_inner()).with_context(|| format!("write {}", file.display()))
}

fn write(to: impl Write + Seek, lab: &Lab, program: Option<&str>) -> Result<()> {
    let quoted = |text| shlex::try_quote(text).context("a command holds no zero byte");
    let takes = match lab.takes {
        Takes::Program => "program",
        Takes::Answers => "answers",
    };
    // In the script, an empty word means that the submission decides.
    let run = RUN
        .replace("@LAB@", &quoted(lab.name)?)
        .replace("@TAKES@", takes)
        .replace("@PROGRAM@", &quoted(program.unwrap_or_default())?);
    let mut zip = ZipWriter::new(to);
    for (name, text) in [("setup.sh", SETUP), ("run_autograder", &run)] {
        zip.start_file(name, executable())?;
        zip.write_all(text.as_bytes())?;
    }
    add_program(&mut zip, "labs", &env::current_exe()?)?;
    for name in lab.programs {
        let program = Program::of_workspace(name)?;
        add_program(&mut zip, name, Path::new(program.name()))?;
    }
    zip.finish()?;
    Ok(())
}

fn add_program(zip: &mut ZipWriter<impl Write + Seek>, name: &str, path: &Path) -> Result<()> {
    zip.start_file(format!("bin/{name}"), executable())?;
    let mut program = File::open(path).with_context(|| path.display().to_string())?;
    io::copy(&mut program, zip)?;
    Ok(())
}

fn executable() -> SimpleFileOptions {
    SimpleFileOptions::default().unix_permissions(0o755)
}
