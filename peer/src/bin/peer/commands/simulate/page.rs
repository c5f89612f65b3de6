//! The results as a page in Markdown, which an instructor can show.

use std::fmt::Write as _;

use peer::sim::scenarios::{Accept, Anchor, Row};
use peer::units::count;

use super::results::{Results, how, number, within};

/// How the page begins.
const BEGINNING: &str = "\
# What the simulator reproduces

The peers of `peer simulate` are those of the network: the same code decides, in virtual time. Each scenario below is held \
against something that is published or that follows from a formula. Every measured value comes from several runs with \
different random seeds; a band says where it has to be, and a control, with the mechanism switched off or another rule in its \
place, has to miss it.

`peer simulate --page FILE` wrote this page.
";

/// The page about these results.
pub(super) fn page(all: &[Results]) -> String {
    let mut page = BEGINNING.to_owned();
    for results in all {
        let Anchor { source, read, says } = results.scenario.anchor();
        let about = results.scenario.about;
        let command = results.command();
        let text = format!(
            "\n## {}\n\n{}: {}.\n\nSource: {source} ({}). It says: {says}.\n\n`peer simulate {command}`, {}:\n\n{}",
            results.scenario,
            results.scenario,
            about,
            how(read),
            count(results.outcome.runs.len(), "run"),
            table(&results.outcome.rows),
        );
        page.push_str(&text);
        for varied in &results.variations {
            let verdict = if varied.met { "as it has to be" } else { "**not as it has to be**" };
            let runs = count(varied.outcome.runs.len(), "run");
            let rows = table(&varied.outcome.rows);
            write!(page, "\nWith {} ({runs}): {verdict}.\n\n{rows}", varied.about)
                .expect("a String takes all");
        }
    }
    page
}

fn table(rows: &[Row]) -> String {
    let mut table =
        "| | predicted | measured | range | has to be | |\n|---|---:|---:|---|---|---|\n"
            .to_owned();
    for Row { what, unit, predicted, measured, accept, holds, misses: _ } in rows {
        let predicted = predicted.map_or(String::new(), number);
        let band = match accept {
            None => String::new(),
            Some(Accept::Each(band)) => within(*band),
            Some(Accept::Mean(band)) => format!("{} (mean)", within(*band)),
        };
        let verdict = match holds {
            None => "",
            Some(true) => "in its band",
            Some(false) => "outside",
        };
        let (mean, least, most) = (measured.mean, measured.least, measured.most);
        writeln!(
            table,
            "| {what} | {predicted} | {} {unit} | {} to {} | {band} | {verdict} |",
            number(mean),
            number(least),
            number(most)
        )
        .expect("a String takes all");
    }
    table
}
