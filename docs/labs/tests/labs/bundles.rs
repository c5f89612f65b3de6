//! `labs bundle` writes an autograder that runs as Gradescope runs it.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use zip::ZipArchive;

use crate::grader::{in_labs, labs, solution};

/// Packs the bundle of a lab, unpacks it as Gradescope does, runs it with a submission of these files, and
/// returns what is in `results.json`.
fn autograde(bundle: &[&str], submission: &[(&str, &str)]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let zip = folder.path().join("bundle.zip");
    pack(bundle, &zip);
    run(&zip, submission)
}

fn pack(bundle: &[&str], zip: &Path) {
    // One at a time: to pack programs that were built for debugging keeps a processor busy.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let output = labs(&["bundle", "-o", zip.to_str().unwrap()]).args(bundle).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn run(zip: &Path, submission: &[(&str, &str)]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    ZipArchive::new(File::open(zip).unwrap()).unwrap().extract(at("source")).unwrap();
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
fn a_submission_is_the_only_script_or_has_a_student_sh() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bencode.zip");
    pack(&["bencode"], &bundle);

    let reference = solution("05_bencode.py");
    let results = run(&bundle, &[("my bencode.py", &reference), ("notes.md", "")]);
    assert_eq!(results["score"], 20, "{results:#}");
    assert_eq!(results["tests"].as_array().unwrap().len(), 16);
    assert_eq!(results["extra_data"]["student"], "alice@example.com");

    let starts = "#!/bin/sh\nexec python3 \"${0%/*}/main.py\" \"$@\"\n";
    let files = [("student.sh", starts), ("main.py", &reference), ("more.py", "")];
    let results = run(&bundle, &files);
    assert_eq!(results["score"], 20, "{results:#}");

    for files in [&[("README.md", "")][..], &[("one.py", ""), ("two.py", "")]] {
        let results = run(&bundle, files);
        assert_eq!(results["score"], 0);
        let output = results["output"].as_str().unwrap();
        assert!(output.contains("student.sh") && output.contains("one .py file"), "{output}");
    }
}

#[test]
fn staff_can_say_how_a_program_starts() {
    let files = [("main.py", &*solution("05_bencode.py")), ("more.py", "")];
    let results = autograde(&["bencode", "--program", "python3 './main.py'"], &files);
    assert_eq!(results["score"], 20, "{results:#}");
    let results = autograde(&["bencode", "--program", "./absent"], &[("one.py", "")]);
    assert!(results["output"].as_str().unwrap().contains("could not grade"), "{results:#}");
}

#[test]
fn answers_are_the_only_text_and_are_those_of_the_student() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("distribution-time.zip");
    pack(&["distribution-time"], &bundle);

    let reference = in_labs("solutions").join("10_distribution_time.py");
    let formulas =
        Command::new("python3").arg(reference).arg("alice@example.com").output().unwrap();
    let formulas = String::from_utf8(formulas.stdout).unwrap();
    let results = run(&bundle, &[("my answers.txt", &formulas), ("chart.svg", "")]);
    assert_eq!(results["score"], 6, "{results:#}");

    let results = run(&bundle, &[("chart.svg", "")]);
    assert!(results["output"].as_str().unwrap().contains("one .txt file"), "{results:#}");
}
