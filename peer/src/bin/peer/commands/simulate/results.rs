//! The results of a scenario, as a table and as JSON.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use peer::sim::scenarios::{
    Accept, Anchor, Band, Expect, Parameters, Read, Row, Run, Scenario, Variation, rows,
};
use serde::Serialize;

/// What came of a scenario and of its variations.
#[derive(Serialize)]
pub(super) struct Results {
    pub(super) scenario: Scenario,
    pub(super) parameters: Parameters,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) variations: Vec<Varied>,
}

/// Some runs, and the verdict on them.
#[derive(Default, Serialize)]
pub(super) struct Outcome {
    pub(super) rows: Vec<Row>,
    pub(super) runs: Vec<Run>,
}

#[derive(Serialize)]
pub(super) struct Varied {
    pub(super) about: &'static str,
    /// What was to come of it.
    #[serde(skip)]
    pub(super) expect: &'static [Expect],
    pub(super) parameters: Parameters,
    /// Whether what had to come of it has.
    pub(super) met: bool,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

impl Outcome {
    pub(super) fn new(runs: Vec<Run>) -> Self {
        let rows = if runs.is_empty() { Vec::new() } else { rows(&runs) };
        Self { rows, runs }
    }
}

impl Varied {
    /// The verdict, and the rows.
    pub(super) fn table(&self) -> String {
        let Self { about, met, outcome, .. } = self;
        let verdict = if *met { "as it has to be" } else { "NOT AS IT HAS TO BE" };
        let rows = table(&outcome.rows, outcome.runs.len(), |row| match row.holds {
            None => "",
            Some(true) => "in band",
            Some(false) => "not in band",
        });
        format!("{}\n{rows}", super::wrap(&format!("With {about}: {verdict}"), 0))
    }
}

impl Results {
    pub(super) fn new(scenario: Scenario, parameters: &Parameters) -> Self {
        let (parameters, outcome) = (parameters.clone(), Outcome::default());
        Self { scenario, parameters, outcome, variations: Vec::new() }
    }

    /// What is run, and what it is held against.
    pub(super) fn heading(&self) -> String {
        let Anchor { source, read, says } = self.scenario.anchor();
        let heading = format!("{}: {}", self.command(), self.scenario.about);
        let anchor = format!("{source} ({}): {says}", how(read));
        format!("{}\n  {}", super::wrap(&heading, 0), super::wrap(&anchor, 2))
    }

    /// The scenario with those parameters that are not at their defaults.
    pub(super) fn command(&self) -> String {
        self.scenario.to_string() + &options(&self.parameters)
    }

    /// The rows.
    pub(super) fn table(&self) -> String {
        let Outcome { rows, runs } = &self.outcome;
        table(rows, runs.len(), |row| match row.holds {
            None => "",
            Some(true) => "holds",
            Some(false) => "MISSED",
        })
    }

    /// A variation was run.
    pub(super) fn vary(
        &mut self,
        variation: &Variation,
        parameters: Parameters,
        outcome: Outcome,
    ) -> &Varied {
        let met = variation.is_met(&outcome.rows);
        let Variation { about, expect, .. } = *variation;
        self.variations.push(Varied { about, expect, parameters, met, outcome });
        self.variations.last().expect("it was pushed")
    }

    /// What is not as it has to be.
    pub(super) fn missed(&self) -> Vec<String> {
        let rows = self.outcome.rows.iter().filter(|row| row.holds == Some(false));
        let rows = rows.map(|row| format!("{}: {}", self.scenario, row.what));
        let variations = self.variations.iter().filter(|varied| !varied.met);
        let variations =
            variations.map(|varied| format!("{} with {}", self.scenario, varied.about));
        rows.chain(variations).collect()
    }
}

/// Those parameters that are not at their defaults, as on the command line.
pub(super) fn options(parameters: &Parameters) -> String {
    let changed = parameters.iter().filter(|(known, text)| known.default != *text);
    changed.map(|(known, text)| format!(" --{} {text}", known.name)).collect()
}

/// The rows of so many runs, with a word on each.
pub(super) fn table(rows: &[Row], runs: usize, verdict: impl Fn(&Row) -> &'static str) -> String {
    let widest = rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
    let runs = peer::units::count(runs, "run");
    let has_bands = rows.iter().any(|row| row.accept.is_some());
    let heading = format!(
        "  {:<widest$}  {:>9} {:>9}  {:<19}  {}",
        "",
        "predicted",
        "measured",
        format!("range, {runs}"),
        if has_bands { "has to be" } else { "" }
    );
    let mut text = heading.trim_end().to_owned() + "\n";
    for row in rows {
        let predicted = row.predicted.map_or(String::new(), number);
        let measured = number(row.measured.mean);
        let range = format!("{} to {}", number(row.measured.least), number(row.measured.most));
        let unit = if row.unit.is_empty() { String::new() } else { format!(" {}", row.unit) };
        let band = match row.accept {
            None => String::new(),
            Some(Accept::Each(band)) => within(band),
            Some(Accept::Mean(band)) => format!("{} (mean)", within(band)),
        };
        let range = format!("{range}{unit}");
        let line = format!(
            "  {:<widest$}  {predicted:>9} {measured:>9}  {range:<19}  {band:<18} {}",
            row.what,
            verdict(row)
        );
        writeln!(text, "{}", line.trim_end()).expect("a String takes all");
    }
    text
}

/// What was read of a source.
pub(super) fn how(read: Read) -> &'static str {
    match read {
        Read::Text => "the text was read",
        Read::Abstract => "the abstract was read",
        Read::Derived => "derived",
    }
}

pub(super) fn within(Band { least, most }: Band) -> String {
    format!("{} to {}", number(least), number(most))
}

/// Four digits, or all of a number that has more before the point.
pub(super) fn number(value: f64) -> String {
    let digits = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 4")]
    let decimals = (3.0 - digits).clamp(0.0, 4.0) as usize;
    format!("{value:.decimals$}")
}

/// Writes results to a file.
pub(super) fn write_json(path: &Path, all: &(impl Serialize + ?Sized)) -> Result<()> {
    let write = || -> Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        serde_json::to_writer_pretty(&mut file, all)?;
        writeln!(file)?;
        file.flush()?;
        Ok(())
    };
    write().with_context(|| format!("cannot write the results to {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits_or_all_before_the_point() {
        for (value, text) in [
            (0.0, "0.000"),
            (0.217_39, "0.2174"),
            (-0.5, "-0.5000"),
            (1.0, "1.000"),
            (45.678, "45.68"),
            (1397.36, "1397"),
            (123_456.7, "123457"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
