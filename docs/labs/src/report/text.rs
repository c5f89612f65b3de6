//! The report for people: a line for each check, what went wrong below it, the score last.

use std::fmt::Write;

use super::{Outcome, Report};

/// Writes the report.
pub(crate) fn write(report: &Report) -> String {
    let mut text = String::new();
    let lab = report.lab;
    let _ = writeln!(text, "Lab {}: {}, --student {}\n", lab.number, lab.title, report.student);
    let width = report.outcomes.iter().map(|outcome| outcome.check.id.len()).max().unwrap_or(0);
    for outcome in &report.outcomes {
        let check = outcome.check;
        let verdict = if outcome.passed() { "ok" } else { "FAILED" };
        let points = format!("{}/{}", outcome.score(), check.points);
        let _ = writeln!(text, "{verdict:<6}  {:<width$}  {points}  {}", check.id, check.name);
        for line in details(outcome).lines() {
            let _ = writeln!(text, "        {line}");
        }
    }
    let _ = writeln!(text, "\n{}/{}", report.score(), report.max_score());
    text
}

/// What went wrong and where to read about it; empty if nothing did.
pub(crate) fn details(outcome: &Outcome) -> String {
    let Some(trouble) = &outcome.trouble else { return String::new() };
    let failure = &trouble.failure;
    let mut text = format!("expected  {}\ngot       {}\n", failure.expected, failure.got);
    for (index, line) in trouble.stderr.lines().enumerate() {
        let label = if index == 0 { "stderr" } else { "" };
        let _ = writeln!(text, "{label:<8}  {line}");
    }
    if let Some(hint) = failure.hint {
        let _ = writeln!(text, "hint      {hint}");
    }
    let _ = writeln!(text, "see       {}", outcome.check.section);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_says_what_was_expected_what_came_and_where_to_read() {
        let expected = "\
Lab 1: Datagrams, --student alice

ok      upper    2/2  the server answers each text in upper case
FAILED  unicode  0/1  letters outside ASCII are also changed to upper case
        expected  \"STRASSE\"
        got       no answer
        stderr    Traceback
                  UnicodeDecodeError
        hint      decode before upper()
        see       Kurose & Ross 2.7.1

2/3
";
        assert_eq!(write(&super::super::sample()), expected);
    }
}
