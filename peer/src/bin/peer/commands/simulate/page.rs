//! The results as a page in Markdown with pictures, which an instructor can show.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use peer::sim::scenarios::{Accept, Expect, Figure, Panel, Row, Run};
use peer::units::count;

use super::results::{Outcome, Results, Varied, number, options, within};
use super::{plot, write as write_file};

/// How the page begins.
const BEGINNING: &str = "\
# What the simulator reproduces

`peer simulate` runs the peers of the network in virtual time: the same code decides which peers to serve and what to request, and a
simulated network carries the blocks. Each scenario below holds the simulator against a result that is published or that
follows from a formula. `peer simulate --list` lists them, `peer simulate NAME` runs one, and `peer simulate NAME --help` names
its parameters, so that you can ask what comes out with others.

**The network model.** Each peer has an uplink and a downlink with a rate and a delay; the network between them has no limits. An
uplink sends one block after another, and the connections that have something to send take turns. A downlink receives one block
after another. The model leaves out the room that other messages take on a link, TCP's slow start, and loss.

**How to read the results.** Each value is the mean of several runs with different random seeds, and the range of those runs. A
band says where the value has to be; *(mean)* says that the mean has to be there, otherwise each run has to. A control is the
same scenario with a mechanism switched off or another rule in its place: it has to miss the band, for a band that nothing
misses shows nothing. In the pictures, dashed lines and crosses are what was predicted, and the rest is what the run with the
first seed measured.

This command wrote the page; the same version of the program writes the same page:

```
peer simulate all --check --write-docs docs
```

| Scenario | Result |
|---|---|
";

/// Writes the page, and the pictures into a folder beside it.
pub(super) fn write(folder: &Path, all: &[Results]) -> Result<()> {
    let pictures = folder.join(PICTURES);
    let cannot = || format!("cannot create the folder {}", pictures.display());
    fs::create_dir_all(&pictures).with_context(cannot)?;
    for results in all {
        if let Some(svg) = plot::of(results)? {
            write_file(&pictures.join(format!("{}.svg", results.scenario)), &svg)?;
        }
    }
    write_file(&folder.join("reproductions.md"), &page(all))
}

const PICTURES: &str = "reproductions";

fn page(all: &[Results]) -> String {
    let row = |results: &Results| {
        let scenario = results.scenario;
        format!("| [{scenario}](#{scenario}) | {} |\n", scenario.about)
    };
    let contents: String = all.iter().map(row).collect();
    let sections: String = all.iter().map(section).collect();
    format!("{BEGINNING}{contents}{sections}")
}

fn section(results: &Results) -> String {
    let scenario = results.scenario;
    let Outcome { rows, runs } = &results.outcome;
    let (about, notes, command) = (scenario.about, scenario.notes(), results.command());
    let (number_of_runs, rows) = (count(runs.len(), "run"), table(rows));
    let mut text = format!(
        "\n## {scenario}\n\n**Reproduced:** {about}.\n\n{notes}\n\n\
         `peer simulate {command}`, {number_of_runs}:\n\n{rows}"
    );
    if let Some(run) = runs.first() {
        let picture = format!("\n![{}]({PICTURES}/{scenario}.svg)\n", alternative(run));
        text.push_str(&picture);
    }
    if !results.variations.is_empty() {
        text.push_str("\n| With | must be | was | as it must be |\n|---|---|---|---|\n");
        text.extend(results.variations.iter().map(variation));
    }
    text
}

/// What the picture shows, for those who do not see it.
fn alternative(run: &Run) -> String {
    let panel = |panel: &Panel| {
        let Panel { x, y, figure } = panel;
        let names: BTreeSet<&str> = match figure {
            Figure::Lines(series) | Figure::LinesOverDoublings(series) | Figure::Points(series) => {
                series.iter().map(|series| series.name.as_str()).collect()
            }
            Figure::HeatMap(map) => map.names.iter().map(String::as_str).collect(),
            Figure::Timeline(timeline) => timeline.shades.iter().map(String::as_str).collect(),
        };
        format!("{y}, over {x}: {}", names.into_iter().collect::<Vec<_>>().join("; "))
    };
    run.plot.iter().map(panel).collect::<Vec<_>>().join(". ")
}

fn variation(varied: &Varied) -> String {
    let Varied { about, expect, parameters, met, outcome } = varied;
    let (mut due, mut came) = (Vec::new(), Vec::new());
    for expect in *expect {
        due.push(match expect {
            Expect::Holds => "all in their bands".to_owned(),
            Expect::Misses(what) => format!("{}outside its band", named(what)),
            Expect::Ratio(what, band) => {
                let band = if band.most.is_infinite() {
                    format!("at least {}", number(band.least))
                } else {
                    within(*band)
                };
                format!("{}{band} times what is predicted", named(what))
            }
        });
        let judged: Vec<&Row> = expect.judged(&outcome.rows).collect();
        came.push(match expect {
            Expect::Holds => {
                let holds = judged.iter().filter(|row| row.holds == Some(true)).count();
                format!("{holds} of {}", judged.len())
            }
            Expect::Misses(_) => list(&judged, |row| number(row.measured.mean)),
            Expect::Ratio(..) => list(&judged, |row| row.ratio().map_or(String::new(), number)),
        });
    }
    let verdict = if *met { "yes" } else { "**no**" };
    format!(
        "| {about} (`{}`, {}) | {} | {} | {verdict} |\n",
        options(parameters).trim(),
        count(outcome.runs.len(), "run"),
        due.join("; "),
        came.join("; ")
    )
}

/// The rows that are meant: those whose names begin so.
fn named(what: &str) -> String {
    if what.is_empty() { String::new() } else { format!("{what}: ") }
}

fn list(rows: &[&Row], value: impl Fn(&Row) -> String) -> String {
    rows.iter().map(|row| value(row)).collect::<Vec<_>>().join(", ")
}

fn table(rows: &[Row]) -> String {
    let mut table =
        "| | predicted | measured | range | band | |\n|---|---:|---:|---|---|---|\n".to_owned();
    for Row { what, unit, predicted, measured, accept, holds, misses: _ } in rows {
        let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
        let predicted = predicted.map_or(String::new(), number);
        let band = match accept {
            None => String::new(),
            Some(Accept::Each(band)) => within(*band),
            Some(Accept::Mean(band)) => format!("{} (mean)", within(*band)),
        };
        let verdict = match holds {
            None => "",
            Some(true) => "in the band",
            Some(false) => "**outside**",
        };
        let (mean, least, most) = (measured.mean, measured.least, measured.most);
        writeln!(
            table,
            "| {what}{unit} | {predicted} | {} | {} to {} | {band} | {verdict} |",
            number(mean),
            number(least),
            number(most)
        )
        .expect("a String takes all");
    }
    table
}
