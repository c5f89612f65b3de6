//! `labs bundle` writes an autograder that runs as Gradescope runs it.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use zip::ZipArchive;

use crate::grader::{labs, solution};

/// Unpacks the bundle of lab 5 as Gradescope does, runs it with a submission of these files, and
/// returns what is in `results.json`.
fn autograde(bundle_options: &[&str], submission: &[(&str, &str)]) -> Value {
    // One at a time: to pack programs that were built for debugging keeps a processor busy.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let bundle = at("bencode.zip");
    let arguments = ["bundle", "bencode", "-o", bundle.to_str().unwrap()];
    let output = labs(&arguments).args(bundle_options).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    ZipArchive::new(File::open(&bundle).unwrap()).unwrap().extract(at("source")).unwrap();
    fs::copy(at("source/run_autograder"), at("run_autograder")).unwrap();
    fs::create_dir(at("submission")).unwrap();
    for (name, text) in submission {
        fs::write(at("submission").join(name), text).unwrap();
    }
    let metadata =
        r#"{"id": 7, "users": [{"id": 1, "name": "Alice", "email": "alice@example.com"}]}"#;
    fs::write(at("submission_metadata.json"), metadata).unwrap();
    for script in ["source/setup.sh", "run_autograder"] {
        // Gradescope runs both from elsewhere.
        let output = Command::new(at(script)).current_dir(Path::new("/")).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {printed}");
    }
    serde_json::from_slice(&fs::read(at("results/results.json")).unwrap()).unwrap()
}

#[test]
fn the_only_script_of_a_submission_is_graded_with_the_seed_of_its_student() {
    let results =
        autograde(&[], &[("my bencode.py", &solution("05_bencode.py")), ("notes.md", "")]);
    assert_eq!(results["score"], 20, "{results:#}");
    assert_eq!(results["tests"].as_array().unwrap().len(), 16);
    assert_eq!(results["extra_data"]["student"], "alice@example.com");
}

#[test]
fn a_submission_in_any_language_has_a_student_sh() {
    let starts = "#!/bin/sh\nexec python3 \"${0%/*}/main.py\" \"$@\"\n";
    let files = [("student.sh", starts), ("main.py", &solution("05_bencode.py")), ("more.py", "")];
    let results = autograde(&[], &files);
    assert_eq!(results["score"], 20, "{results:#}");
}

#[test]
fn staff_can_say_how_a_program_starts() {
    let files = [("main.py", &*solution("05_bencode.py")), ("more.py", "")];
    let results = autograde(&["--program", "python3 './main.py'"], &files);
    assert_eq!(results["score"], 20, "{results:#}");
}

#[test]
fn a_submission_without_a_program_is_told_so() {
    for files in [&[("README.md", "")][..], &[("one.py", ""), ("two.py", "")]] {
        let results = autograde(&[], files);
        assert_eq!(results["score"], 0);
        let output = results["output"].as_str().unwrap();
        assert!(output.contains("student.sh") && output.contains("one .py file"), "{output}");
    }
    let results = autograde(&["--program", "./absent"], &[("one.py", "")]);
    assert!(results["output"].as_str().unwrap().contains("could not grade"), "{results:#}");
}
