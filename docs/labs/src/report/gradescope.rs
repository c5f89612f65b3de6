//! Gradescope's `results.json`.
//!
//! The fields are those of Gradescope's autograder specification. Its `leaderboard` is optional and
//! left out: these labs have no ranking.

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Outcome, Report, text};

#[derive(Serialize)]
struct Results {
    score: u32,
    /// In seconds.
    execution_time: f64,
    output: String,
    output_format: &'static str,
    test_output_format: &'static str,
    test_name_format: &'static str,
    visibility: &'static str,
    stdout_visibility: &'static str,
    extra_data: Value,
    tests: Vec<Test>,
}

#[derive(Serialize)]
struct Test {
    score: u32,
    max_score: u32,
    status: &'static str,
    name: &'static str,
    name_format: &'static str,
    /// Shown before the name, and what tests are ordered by.
    number: String,
    output: String,
    output_format: &'static str,
    tags: [&'static str; 1],
    visibility: &'static str,
    extra_data: Value,
}

/// Nothing in a report is Markdown or HTML: bytes of a student's program may be in it.
const TEXT: &str = "text";
const VISIBLE: &str = "visible";

/// Writes the report.
///
/// # Errors
/// None that a report can cause.
pub(crate) fn write(report: &Report) -> Result<String> {
    let lab = report.lab;
    let results = Results {
        score: report.score(),
        execution_time: report.seconds,
        output: format!("Lab {}: {}, --student {}", lab.number, lab.title, report.student),
        output_format: TEXT,
        test_output_format: TEXT,
        test_name_format: TEXT,
        visibility: VISIBLE,
        // What the harness prints is for staff.
        stdout_visibility: "hidden",
        extra_data: json!({ "lab": lab.name, "student": report.student }),
        tests: (1..)
            .zip(&report.outcomes)
            .map(|(n, outcome)| test(lab.number, n, outcome))
            .collect(),
    };
    Ok(serde_json::to_string_pretty(&results)? + "\n")
}

fn test(lab: u32, number: u32, outcome: &Outcome) -> Test {
    Test {
        score: outcome.score(),
        max_score: outcome.check.points,
        status: if outcome.passed() { "passed" } else { "failed" },
        name: outcome.check.name,
        name_format: TEXT,
        number: format!("{lab}.{number}"),
        output: text::details(outcome),
        output_format: TEXT,
        tags: [outcome.check.id],
        visibility: VISIBLE,
        extra_data: json!({ "id": outcome.check.id, "seconds": outcome.seconds }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields that Gradescope knows, with what each may be.
    fn known(field: &str, value: &Value) -> bool {
        let one_of = |values: &[&str]| value.as_str().is_some_and(|value| values.contains(&value));
        match field {
            "score" | "max_score" | "execution_time" => value.as_f64().is_some_and(|n| n >= 0.0),
            "output" | "name" | "number" => value.is_string(),
            "output_format" | "test_output_format" | "test_name_format" | "name_format" => {
                one_of(&["text", "html", "simple_format", "md", "ansi"])
            }
            "visibility" | "stdout_visibility" => {
                one_of(&["hidden", "after_due_date", "after_published", "visible"])
            }
            "status" => one_of(&["passed", "failed"]),
            "tags" => value.as_array().is_some_and(|tags| tags.iter().all(Value::is_string)),
            "extra_data" => value.is_object(),
            "tests" => value.is_array(),
            _ => false,
        }
    }

    #[test]
    fn every_field_is_one_that_gradescope_knows() {
        let results: Value =
            serde_json::from_str(&write(&super::super::sample()).unwrap()).unwrap();
        let top = results.as_object().unwrap();
        let tests = results["tests"].as_array().unwrap();
        for (field, value) in top.iter().chain(tests.iter().flat_map(|t| t.as_object().unwrap())) {
            assert!(known(field, value), "{field}: {value}");
        }
        assert_eq!((top.len(), tests.len()), (10, 2));
        // A test that has one of these must not have the top-level's fields, and the reverse.
        assert!(tests.iter().all(|test| test.get("tests").is_none() && test["max_score"].is_u64()));
        assert!(top.get("max_score").is_none());
    }

    #[test]
    fn the_score_is_the_sum_of_the_tests() {
        let results: Value =
            serde_json::from_str(&write(&super::super::sample()).unwrap()).unwrap();
        let tests = results["tests"].as_array().unwrap();
        let sum: u64 = tests.iter().map(|test| test["score"].as_u64().unwrap()).sum();
        assert_eq!(results["score"], sum);
        assert_eq!(
            (&tests[0]["status"], &tests[1]["status"]),
            (&json!("passed"), &json!("failed"))
        );
        assert_eq!(tests[1]["number"], "1.2");
        assert!(tests[1]["output"].as_str().unwrap().contains("hint      decode before upper()"));
    }
}
