//! The report as JSON, for other programs.

use anyhow::Result;
use serde::Serialize;

use super::{Outcome, Report};

#[derive(Serialize)]
struct Json<'a> {
    lab: &'a str,
    number: u32,
    student: &'a str,
    score: u32,
    max_score: u32,
    seconds: f64,
    checks: Vec<JsonCheck<'a>>,
}

#[derive(Serialize)]
struct JsonCheck<'a> {
    id: &'a str,
    name: &'a str,
    section: &'a str,
    passed: bool,
    score: u32,
    max_score: u32,
    seconds: f64,
    /// What was expected; this and the next three are absent if the check passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    got: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<&'a str>,
}

/// Writes the report.
///
/// # Errors
/// None that a report can cause.
pub(crate) fn write(report: &Report) -> Result<String> {
    let json = Json {
        lab: report.lab.name,
        number: report.lab.number,
        student: &report.student,
        score: report.score(),
        max_score: report.max_score(),
        seconds: report.seconds,
        checks: report.outcomes.iter().map(check).collect(),
    };
    Ok(serde_json::to_string_pretty(&json)? + "\n")
}

fn check(outcome: &Outcome) -> JsonCheck<'_> {
    let trouble = outcome.trouble.as_ref();
    JsonCheck {
        id: outcome.check.id,
        name: outcome.check.name,
        section: outcome.check.section,
        passed: outcome.passed(),
        score: outcome.score(),
        max_score: outcome.check.points,
        seconds: outcome.seconds,
        expected: trouble.map(|trouble| trouble.failure.expected.as_str()),
        got: trouble.map(|trouble| trouble.failure.got.as_str()),
        hint: trouble.and_then(|trouble| trouble.failure.hint),
        stderr: trouble.map(|trouble| trouble.stderr.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_check_that_failed_says_why() {
        let report: Value = serde_json::from_str(&write(&super::super::sample()).unwrap()).unwrap();
        assert_eq!(
            (&report["lab"], &report["score"], &report["max_score"]),
            (&json!("datagrams"), &json!(2), &json!(3))
        );
        assert_eq!(report["checks"][0]["passed"], true);
        assert_eq!(report["checks"][0].get("expected"), None);
        assert_eq!(
            report["checks"][1],
            json!({
                "id": "unicode",
                "name": "letters outside ASCII are also changed to upper case",
                "section": "Kurose & Ross 2.7.1",
                "passed": false,
                "score": 0,
                "max_score": 1,
                "seconds": 0.25,
                "expected": "\"STRASSE\"",
                "got": "no answer",
                "hint": "decode before upper()",
                "stderr": "Traceback\nUnicodeDecodeError\n",
            })
        );
    }
}
