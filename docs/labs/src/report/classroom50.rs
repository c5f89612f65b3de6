//! Classroom 50's `result.json`, schema `classroom50/result/v1`.
//!
//! Most fields are about the submission; its runner hands them to the grader in environment
//! variables.

use std::env;
use std::time::SystemTime;

use anyhow::{Result, bail};
use serde::Serialize;

use super::{Outcome, Report};

#[derive(Serialize)]
struct Submitted {
    schema: &'static str,
    classroom: String,
    assignment: String,
    assignment_type: String,
    owner: String,
    submission: String,
    commit: String,
    release: String,
    review: String,
    /// UTC, as in ISO 8601.
    datetime: String,
    score: u32,
    #[serde(rename = "max-score")]
    max_score: u32,
    tests: Vec<Test>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Test {
    test_name: String,
    passed: bool,
    score: u32,
    max_score: u32,
}

/// Writes the report.
///
/// # Errors
/// When a variable is not set that the runner sets.
pub(crate) fn write(report: &Report) -> Result<String> {
    write_with(report, |name| env::var(name).ok().filter(|value| !value.is_empty()))
}

fn write_with(report: &Report, variable: impl Fn(&str) -> Option<String>) -> Result<String> {
    // The first that is set.
    let of = |names: &[&str]| match names.iter().find_map(|name| variable(name)) {
        Some(value) => Ok(value),
        None => bail!("--format classroom50 needs the variable {} in the environment", names[0]),
    };
    let submitted = Submitted {
        schema: "classroom50/result/v1",
        classroom: of(&["CLASSROOM"])?,
        assignment: of(&["ASSIGNMENT"])?,
        assignment_type: variable("ASSIGNMENT_TYPE").unwrap_or_else(|| "individual".to_owned()),
        owner: of(&["OWNER", "USERNAME"])?,
        submission: of(&["SUBMISSION_TAG"])?,
        commit: of(&["COMMIT_URL"])?,
        release: of(&["RELEASE_URL"])?,
        // Without it, the commit stands for the changes to review, as in their own example.
        review: of(&["REVIEW_URL", "COMMIT_URL"])?,
        datetime: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        score: report.score(),
        max_score: report.max_score(),
        tests: report.outcomes.iter().map(test).collect(),
    };
    Ok(serde_json::to_string_pretty(&submitted)? + "\n")
}

fn test(outcome: &Outcome) -> Test {
    Test {
        test_name: format!("{}: {}", outcome.check.id, outcome.check.name),
        passed: outcome.passed(),
        score: outcome.score(),
        max_score: outcome.check.points,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const VARIABLES: [&str; 7] = [
        "CLASSROOM",
        "ASSIGNMENT",
        "OWNER",
        "SUBMISSION_TAG",
        "COMMIT_URL",
        "RELEASE_URL",
        "REVIEW_URL",
    ];

    /// Every variable has its own name as its value.
    fn variable(name: &str) -> Option<String> {
        VARIABLES.contains(&name).then(|| name.to_owned())
    }

    #[test]
    fn the_fields_are_those_of_the_schema() {
        let text = write_with(&super::super::sample(), variable).unwrap();
        let mut result: Value = serde_json::from_str(&text).unwrap();
        let datetime = result["datetime"].take();
        humantime::parse_rfc3339(datetime.as_str().unwrap()).unwrap();
        assert_eq!(
            result,
            json!({
                "schema": "classroom50/result/v1",
                "classroom": "CLASSROOM",
                "assignment": "ASSIGNMENT",
                "assignment_type": "individual",
                "owner": "OWNER",
                "submission": "SUBMISSION_TAG",
                "commit": "COMMIT_URL",
                "release": "RELEASE_URL",
                "review": "REVIEW_URL",
                "datetime": null,
                "score": 2,
                "max-score": 3,
                "tests": [
                    {
                        "test-name": "upper: the server answers each text in upper case",
                        "passed": true,
                        "score": 2,
                        "max-score": 2,
                    },
                    {
                        "test-name": "unicode: letters outside ASCII are also changed to upper case",
                        "passed": false,
                        "score": 0,
                        "max-score": 1,
                    },
                ],
            })
        );
    }

    #[test]
    fn a_missing_variable_is_an_error_that_names_it() {
        for missing in ["CLASSROOM", "ASSIGNMENT", "OWNER", "SUBMISSION_TAG", "COMMIT_URL"] {
            let others = |name: &str| variable(name).filter(|_| name != missing);
            let error = write_with(&super::super::sample(), others).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("--format classroom50 needs the variable {missing} in the environment")
            );
        }
    }
}
