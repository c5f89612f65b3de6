//! What the plot of a run shows, as values. The program draws it.

use serde::{Deserialize, Serialize};

/// One picture of a plot: its axes, each with its unit, and what is in them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Panel {
    /// The label of the horizontal axis.
    pub x: String,
    /// The label of the vertical axis.
    pub y: String,
    /// What the panel shows.
    pub figure: Figure,
}

/// What a panel shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Values that are connected.
    Lines(Vec<Series>),
    /// The same over a horizontal axis on which each doubling is a step of the same width.
    LinesOverDoublings(Vec<Series>),
    /// Values on their own.
    Points(Vec<Series>),
    /// A square of parts of 1.
    HeatMap(HeatMap),
    /// What is the case from one time to another.
    Timeline(Timeline),
}

/// A line, or some points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// For the legend.
    pub name: String,
    /// Whether it was predicted.
    pub predicted: bool,
    /// In the order of x.
    pub points: Vec<(f64, f64)>,
}

/// A square of parts of 1: of what each row has, what goes to each column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeatMap {
    /// The names of the rows, from the top, and of the columns.
    pub names: Vec<String>,
    /// Row by row.
    pub cells: Vec<Vec<f64>>,
}

/// What is the case from one time to another, in several rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// The names of the rows, from the top.
    pub rows: Vec<String>,
    /// What the shades of the bars mean.
    pub shades: Vec<String>,
    /// In the order in which they end.
    pub bars: Vec<Bar>,
}

/// A bar of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// The number of its row.
    pub row: usize,
    /// The number of its shade.
    pub shade: usize,
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
}

impl Panel {
    /// A panel with these axes.
    pub fn new(x: &str, y: &str, figure: Figure) -> Self {
        Self { x: x.to_owned(), y: y.to_owned(), figure }
    }
}

impl Series {
    /// What a run measured.
    pub fn measured(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), predicted: false, points }
    }

    /// What was predicted. Several such series may have one name in the legend.
    pub fn predicted(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), predicted: true, points }
    }
}

impl Timeline {
    /// A timeline without bars.
    pub fn new(rows: Vec<String>, shades: &[&str]) -> Self {
        let shades = shades.iter().map(|shade| (*shade).to_owned()).collect();
        Self { rows, shades, bars: Vec::new() }
    }
}

/// The same points with seconds as hours.
pub(super) fn in_hours(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.into_iter().map(|(at, value)| (at / 3600.0, value)).collect()
}

/// What part of these values is at most so great, as steps.
#[expect(clippy::cast_precision_loss, reason = "there are few values")]
pub(super) fn cumulated(mut values: Vec<f64>) -> Vec<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let part = |count: usize| count as f64 / values.len() as f64;
    let steps = (0..).zip(&values).flat_map(|(n, &at)| [(at, part(n)), (at, part(n + 1))]);
    std::iter::once((0.0, 0.0)).chain(steps).collect()
}
