//! Runs `PROGRAM decode` and `PROGRAM encode`, and compares what comes with what should.

use std::time::Duration;

use common::bencode::Value;
use serde_json::Value as Json;

use crate::check::{Context, Failure, Finished, Stop, show};
use crate::hints;

/// A program has this long from its start to its end, for a few bytes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The program decodes the value to the same one in JSON.
pub(crate) fn decodes(
    context: &mut Context<'_>,
    value: &Value<'_>,
    hint: &'static str,
) -> Result<(), Stop> {
    let (input, right) = (value.encode(), json(value));
    let expected = format!("{right} for {}", show(&input));
    let Some(finished) = context.run(&["decode"], &input, PATIENCE)? else {
        return Err(still_runs(context, expected));
    };
    match printed(&finished) {
        Ok(json) if json == right => Ok(()),
        Ok(json) => Err(Failure::new(expected, json.to_string()).hint(hint).into()),
        Err(got) => Err(Failure::new(expected, got).hint(hint).into()),
    }
}

/// What the program prints for this bencode, right or not, if it ends without an error.
pub(crate) fn decoded(context: &mut Context<'_>, input: &[u8]) -> Result<Vec<u8>, Stop> {
    let expected = format!("{} decoded, so that the check can encode it again", show(input));
    match context.run(&["decode"], input, PATIENCE)? {
        None => Err(still_runs(context, expected)),
        Some(Finished { status, stdout, .. }) if status.success() => Ok(stdout),
        Some(Finished { status, .. }) => Err(Failure::new(expected, status.to_string()).into()),
    }
}

/// The program encodes this JSON to these bytes.
pub(crate) fn encodes(
    context: &mut Context<'_>,
    json: &[u8],
    right: &[u8],
    hint: &'static str,
) -> Result<(), Stop> {
    let expected = format!("{} for {}", show(right), show(json));
    let Some(finished) = context.run(&["encode"], json, PATIENCE)? else {
        return Err(still_runs(context, expected));
    };
    if finished.status.success() && finished.stdout == right {
        return Ok(());
    }
    let got = format!("{}, and {}", show(&finished.stdout), finished.status);
    Err(Failure::new(expected, got).hint(hint).into())
}

/// The program refuses this input: exit status 1, one line on stderr, and nothing on stdout.
pub(crate) fn refuses(
    context: &mut Context<'_>,
    command: &str,
    input: &[u8],
    hint: &'static str,
) -> Result<(), Stop> {
    let of_input = format!("{command} of {}", show(input));
    judge_refusal(context, &[command], input, &of_input, hint)
}

/// As [`refuses`], for any arguments; the text says in a failure what was refused.
pub(crate) fn judge_refusal(
    context: &mut Context<'_>,
    arguments: &[&str],
    input: &[u8],
    of_input: &str,
    hint: &'static str,
) -> Result<(), Stop> {
    let expected = format!("{of_input}: exit status 1, one line on stderr and nothing on stdout");
    let Some(finished) = context.run(arguments, input, PATIENCE)? else {
        return Err(still_runs(context, expected));
    };
    let lines = finished.stderr.lines().filter(|line| !line.trim().is_empty()).count();
    if finished.status.code() == Some(1) && finished.stdout.is_empty() && lines == 1 {
        return Ok(());
    }
    let status = finished.status;
    let got = format!("{status}, lines on stderr: {lines}, on stdout: {}", show(&finished.stdout));
    let hint = if status.success() {
        hint
    } else if lines > 1 {
        hints::UNCAUGHT
    } else {
        hints::REFUSE
    };
    Err(Failure::new(expected, got).hint(hint).into())
}

/// The failure of a program that does not end in time.
pub(crate) fn still_runs(context: &Context<'_>, expected: String) -> Stop {
    if context.is_over() {
        let got = "the check ran out of time; each start of the program takes some of it";
        return Failure::new(expected, got).into();
    }
    let got = format!("it is still running after {PATIENCE:?}");
    Failure::new(expected, got).hint(hints::READ_TO_THE_END).into()
}

/// The JSON that a program has printed.
///
/// # Errors
/// What it did instead, for failures.
pub(crate) fn printed(finished: &Finished) -> Result<Json, String> {
    let Finished { status, stdout, .. } = finished;
    if !status.success() {
        return Err(format!("{status}, and {} on stdout", show(stdout)));
    }
    serde_json::from_slice(stdout).map_err(|error| {
        let printed = show(stdout);
        format!("{printed} on stdout, which is not one JSON value in UTF-8: {error}")
    })
}

/// The value in JSON as the sheet has it: a character for each byte.
pub(crate) fn json(value: &Value<'_>) -> Json {
    match value {
        Value::Integer(integer) => (*integer).into(),
        Value::Bytes(bytes) => Json::String(characters(bytes)),
        Value::List(values) => values.iter().map(json).collect(),
        Value::Dict(dict) => {
            Json::Object(dict.iter().map(|(key, value)| (characters(key), json(value))).collect())
        }
    }
}

/// U+0000 to U+00FF for the values of a byte.
fn characters(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_a_character_and_the_order_of_keys_does_not_matter() {
        let decoded = |input: &[u8]| json(&common::bencode::decode(input).unwrap());
        let parsed: Json = serde_json::from_str(r#"{"b": [-7, {}], "a": "\u00ff€"}"#).unwrap();
        assert_ne!(decoded(b"d1:a1:\xff1:bli-7edeee"), parsed);
        let parsed: Json = serde_json::from_str(r#"{"b": [-7, {}], "a": "\u00ffA"}"#).unwrap();
        assert_eq!(decoded(b"d1:a2:\xffA1:bli-7edeee"), parsed);
    }
}
