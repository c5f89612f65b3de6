//! `labs table`: the reports of a class side by side.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// What the table takes from a report in the grader's own JSON.
#[derive(Deserialize)]
struct Report {
    lab: String,
    student: String,
    score: u32,
    max_score: u32,
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Check {
    id: String,
    passed: bool,
}

/// Reads reports that `labs check --format json` wrote. Returns a line for each student, and then how
/// many lost each check.
///
/// # Errors
/// When a file cannot be read, is no such report, or is of another lab than the first.
pub(crate) fn table(files: &[PathBuf]) -> Result<String> {
    let mut reports: Vec<Report> = Vec::new();
    for file in files {
        let name = || file.display().to_string();
        let bytes = fs::read(file).with_context(name)?;
        let report = serde_json::from_slice(&bytes).context("not a report from `--format json`");
        let report: Report = report.with_context(name)?;
        if let Some(first) = reports.first() {
            let (this, first) = (&report.lab, &first.lab);
            ensure!(this == first, "{}: a report of {this}, not of {first}", name());
        }
        reports.push(report);
    }
    reports.sort_by(|a, b| a.student.cmp(&b.student));
    Ok(text(&reports))
}

fn text(reports: &[Report]) -> String {
    let width = |names: &mut dyn Iterator<Item = usize>| names.max().unwrap_or(0);
    let students = reports.iter().map(|report| report.student.chars().count());
    let wide = width(&mut students.chain(["student".len()]));
    let mut text = format!("{:<wide$}  points  lost\n", "student");
    // In the order of the checks.
    let mut lost_by: Vec<(&str, usize)> = Vec::new();
    let mut place = BTreeMap::new();
    for Report { student, score, max_score, checks, .. } in reports {
        let lost = checks.iter().filter(|check| !check.passed).map(|check| &*check.id);
        let points = format!("{score}/{max_score}");
        let line =
            format!("{student:<wide$}  {points:>6}  {}", lost.collect::<Vec<_>>().join(", "));
        text.push_str(line.trim_end());
        text.push('\n');
        for check in checks {
            let at = *place.entry(&check.id).or_insert_with(|| {
                lost_by.push((&check.id, 0));
                lost_by.len() - 1
            });
            lost_by[at].1 += usize::from(!check.passed);
        }
    }
    let all = reports.len();
    let wide = width(&mut lost_by.iter().map(|(id, _)| id.len()));
    let _ = writeln!(text, "\nlost by (of {all})");
    for (id, count) in lost_by.iter().filter(|(_, count)| *count > 0) {
        let _ = writeln!(text, "  {id:<wide$}  {count}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(student: &str, lab: &str, passed: [bool; 2]) -> String {
        let [a, b] = passed;
        let score = 2 * u32::from(a) + u32::from(b);
        format!(
            r#"{{"lab": "{lab}", "student": "{student}", "score": {score}, "max_score": 3, "more": 1,
                "checks": [{{"id": "upper", "passed": {a}}}, {{"id": "no-server", "passed": {b}}}]}}"#
        )
    }

    fn of(reports: &[String]) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let files = (0..reports.len()).map(|index| folder.path().join(format!("{index}.json")));
        let files: Vec<_> = files.collect();
        files.iter().zip(reports).for_each(|(file, text)| fs::write(file, text).unwrap());
        table(&files)
    }

    #[test]
    fn a_line_for_each_student_and_the_checks_that_were_lost() {
        let reports = [
            report("bob", "datagrams", [true, false]),
            report("alice@example.com", "datagrams", [true, true]),
            report("carol", "datagrams", [false, false]),
        ];
        let expected = "\
student            points  lost
alice@example.com     3/3
bob                   2/3  no-server
carol                 0/3  upper, no-server

lost by (of 3)
  upper      1
  no-server  2
";
        assert_eq!(of(&reports).unwrap(), expected);
    }

    #[test]
    fn reports_of_two_labs_and_other_files_are_refused() {
        let passed = [true, true];
        let two = [report("bob", "datagrams", passed), report("bob", "streams", passed)];
        let error = format!("{:#}", of(&two).unwrap_err());
        assert!(error.contains("1.json: a report of streams, not of datagrams"), "{error}");
        let error = format!("{:#}", of(&["{}".to_owned()]).unwrap_err());
        assert!(error.contains("0.json: not a report from `--format json`"), "{error}");
    }
}
