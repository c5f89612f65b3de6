//! Runs the grader, and writes programs for it to grade.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

/// A report in the grader's own JSON.
pub(crate) struct Graded {
    pub(crate) report: Value,
}

/// `labs` with these arguments.
pub(crate) fn labs(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_labs"));
    command.args(arguments);
    command
}

/// Grades the program of a command; further arguments may choose checks.
///
/// # Panics
/// When the grader does not grade.
pub(crate) fn grade(lab: &str, program: &str, options: &[&str]) -> Graded {
    let arguments = ["check", lab, "--program", program, "--format", "json"];
    Graded::by(labs(&arguments).args(options))
}

/// Grades a program in Python that stands in this folder.
pub(crate) fn grade_python(folder: &Path, lab: &str, program: &str, only: &[&str]) -> Graded {
    let file = write_python(folder, program);
    let options: Vec<_> = only.iter().flat_map(|id| ["--only", id]).collect();
    grade(lab, &python(&file, ""), &options)
}

/// Writes the program to a file of this folder.
pub(crate) fn write_python(folder: &Path, program: &str) -> PathBuf {
    let file = folder.join("student.py");
    fs::write(&file, program).expect("write a program");
    file
}

/// The command that runs a file with further arguments.
pub(crate) fn python(file: &Path, arguments: &str) -> String {
    /// The interpreter itself: `python3` may be a script that finds it, at a cost for each of the
    /// hundreds of programs that these tests start.
    static INTERPRETER: OnceLock<String> = OnceLock::new();
    let interpreter = INTERPRETER.get_or_init(|| {
        let find = ["-c", "import sys; print(sys.executable, end='')"];
        let output = Command::new("python3").args(find).output().expect("start python3");
        String::from_utf8(output.stdout).expect("UTF-8")
    });
    // Without the search for installed packages, which takes half of a start.
    format!("'{interpreter}' -S '{}' {arguments}", file.display())
}

/// A file of docs/labs.
pub(crate) fn in_labs(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a reference solution.
pub(crate) fn solution(file: &str) -> String {
    let path = in_labs("solutions").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Graded {
    /// What a grader with these arguments reports, in its own JSON.
    ///
    /// # Panics
    /// When it does not grade.
    pub(crate) fn by(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().expect("start labs");
        assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
        Self { report: serde_json::from_slice(&stdout).expect("JSON") }
    }

    pub(crate) fn points(&self) -> (u64, u64) {
        let number = |field: &str| self.report[field].as_u64().expect("a number");
        (number("score"), number("max_score"))
    }

    /// The ids of all checks.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.checks().iter().map(|check| text(&check["id"])).collect()
    }

    /// The ids of the checks that failed.
    pub(crate) fn failed(&self) -> Vec<String> {
        let failed = self.checks().iter().filter(|check| check["passed"] == false);
        failed.map(|check| text(&check["id"])).collect()
    }

    /// A field of the only check, or of the first one.
    pub(crate) fn first(&self, field: &str) -> String {
        text(&self.checks()[0][field])
    }

    /// What the report says of each check.
    pub(crate) fn checks(&self) -> &[Value] {
        self.report["checks"].as_array().expect("a list")
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
