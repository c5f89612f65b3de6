//! The plot of a run as an SVG picture, which is readable when it is printed in gray.

use std::collections::BTreeSet;
use std::ops::Add;

use anyhow::Result;
use peer::sim::scenarios::{Figure, HeatMap, Panel, Run, Series, Timeline};
use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::FontTransform;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::lines_of;
use super::results::Results;

/// Of the whole picture, in pixels; so are all lengths here.
const WIDTH: i32 = 800;

/// What the legend takes of it.
const LEGEND: i32 = 180;

/// About as many characters fit the legend, and the whole width.
const LEGEND_COLUMNS: usize = 18;
const CAPTION_COLUMNS: usize = 118;

const MARGIN: i32 = 14;

/// Of a line of text, of a row of a timeline, and of a cell of a heat map.
const LINE: i32 = 18;
const ROW: i32 = 18;
const CELL: (i32, i32) = (120, 56);

/// The middle of a heat map's cell is to the right of its names.
const NAMES: i32 = 140;

/// What the labels of a chart take below it, and to its left.
const X_LABELS: i32 = 52;
const Y_LABELS: i32 = 66;

/// From dark to light, with a marker for each: shades alone are hard to tell apart in gray.
const SHADES: [RGBColor; 4] = [
    RGBColor(74, 124, 174),
    RGBColor(226, 146, 66),
    RGBColor(140, 184, 152),
    RGBColor(182, 182, 192),
];

/// What is black on it cannot be read, and what is white can.
const DARK: RGBColor = RGBColor(38, 84, 124);

/// The corners of the markers, around the point that they mark: square, triangle, diamond, and another triangle.
const MARKERS: [&[(i32, i32)]; 4] = [
    &[(-5, -5), (5, -5), (5, 5), (-5, 5)],
    &[(0, -7), (7, 6), (-7, 6)],
    &[(0, -7), (7, 0), (0, 7), (-7, 0)],
    &[(0, 7), (7, -6), (-7, -6)],
];

/// A line with more points has markers at some of them only.
const MARKED: usize = 12;

const GRID: RGBColor = RGBColor(225, 225, 225);

/// The plot of the first run of a scenario, with its source in the caption; `None` without a run.
pub(super) fn of(results: &Results) -> Result<Option<String>> {
    let Some(run) = results.outcome.runs.first() else { return Ok(None) };
    let source = results.scenario.anchor().source;
    of_run(run, &results.command(), &format!(" Source: {source}.")).map(Some)
}

/// The plot of a run of `peer simulate COMMAND`, whose caption ends so.
pub(super) fn of_run(run: &Run, command: &str, source: &str) -> Result<String> {
    svg(&run.plot, &format!("peer simulate {command}, random seed {}.{source}", run.seed))
}

/// One panel with a caption.
pub(super) fn of_panel(panel: Panel, caption: &str) -> Result<String> {
    svg(&[panel], caption)
}

/// Draws the panels one below the other, and the caption below all.
fn svg(panels: &[Panel], caption: &str) -> Result<String> {
    let caption = lines_of(caption, CAPTION_COLUMNS);
    let below = LINE * i32::try_from(caption.len()).expect("a caption is short") + MARGIN;
    let total = panels.iter().map(height).sum::<i32>() + below;
    let mut svg = String::new();
    let mut rest = SVGBackend::with_string(&mut svg, (WIDTH.unsigned_abs(), total.unsigned_abs()))
        .into_drawing_area();
    rest.fill(&WHITE)?;
    for panel in panels {
        let (area, below) = rest.split_vertically(height(panel));
        draw(&area, panel)?;
        rest = below;
    }
    for (number, line) in (0..).zip(caption) {
        rest.draw(&Text::new(line, (MARGIN, number * LINE + LINE / 2), text(15, HPos::Left)))?;
    }
    rest.present()?;
    drop(rest);
    Ok(svg)
}

fn height(panel: &Panel) -> i32 {
    let rows = |rows: &[String]| i32::try_from(rows.len()).expect("there are few rows");
    match &panel.figure {
        Figure::Lines(_) | Figure::LinesOverDoublings(_) | Figure::Points(_) => 420,
        Figure::HeatMap(map) => 3 * MARGIN + 2 * LINE + CELL.1 * rows(&map.names),
        Figure::Timeline(timeline) => 2 * MARGIN + X_LABELS + ROW * rows(&timeline.rows),
    }
}

fn draw(area: &DrawingArea<SVGBackend<'_>, Shift>, panel: &Panel) -> Result<()> {
    match &panel.figure {
        Figure::Lines(series) => axes(area, panel, series, true, LINEAR),
        Figure::LinesOverDoublings(series) => axes(area, panel, series, true, DOUBLINGS),
        Figure::Points(series) => axes(area, panel, series, false, LINEAR),
        Figure::HeatMap(map) => heat_map(area, panel, map),
        Figure::Timeline(timeline) => draw_timeline(area, panel, timeline),
    }
}

/// Series over two axes that begin at 0. What was measured has markers, and what was predicted is
/// dashed, or crosses where there are no lines.
fn axes(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    panel: &Panel,
    series: &[Series],
    connected: bool,
    scale: Scale,
) -> Result<()> {
    let placed = |series: &Series| -> Vec<(f64, f64)> {
        series.points.iter().map(|&(x, y)| ((scale.place)(x), y)).collect()
    };
    let all: Vec<_> = series.iter().flat_map(placed).collect();
    let most = |of: fn(&(f64, f64)) -> f64| all.iter().map(of).fold(1e-9, f64::max);
    let (x, y) = (most(|&(x, _)| x), most(|&(_, y)| y));
    let (left, legend) = area.split_horizontally(WIDTH - LEGEND);
    let mut chart = ChartBuilder::on(&left)
        .margin(MARGIN)
        .x_label_area_size(X_LABELS)
        .y_label_area_size(Y_LABELS)
        .build_cartesian_2d(-0.01 * x..1.02 * x, 0.0..1.06 * y)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(10)
        .y_labels(8)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(BLACK)
        .label_style((FONT, 17))
        .axis_desc_style((FONT, 18))
        .x_desc(&panel.x)
        .y_desc(&panel.y)
        .x_label_formatter(&|&x| (scale.label)(x))
        .y_label_formatter(&|&y| plain(y))
        .draw()?;
    let mut entries = Entries { area: &legend, top: MARGIN };
    for (number, measured) in series.iter().filter(|series| !series.predicted).enumerate() {
        let points = placed(measured);
        let thick = shade(number).stroke_width(4);
        // At each point, or at some of many, and not where those of the other lines are.
        let apart = if connected && points.len() > MARKED { points.len() / 6 } else { 1 };
        if connected {
            chart.draw_series([PathElement::new(points.clone(), thick)])?;
        }
        let marked = points.iter().skip((number % 4 + 2) * apart / 6).step_by(apart);
        chart.draw_series(marked.map(|&at| marker(at, number)))?;
        entries.add(&measured.name, |[from, middle, to]| {
            if connected {
                legend.draw(&PathElement::new([from, to], thick))?;
            }
            Ok(legend.draw(&marker(middle, number))?)
        })?;
    }
    let stroke = BLACK.stroke_width(2);
    let mut names = BTreeSet::new();
    for predicted in series.iter().filter(|series| series.predicted) {
        let points = placed(predicted);
        if connected {
            chart.draw_series([DashedPathElement::new(points, 7, 5, stroke)])?;
        } else {
            chart.draw_series(points.into_iter().map(|at| Cross::new(at, 7, stroke)))?;
        }
        if names.insert(&predicted.name) {
            entries.add(&predicted.name, |[from, middle, to]| {
                if connected {
                    Ok(legend.draw(&DashedPathElement::new([from, to], 7, 5, stroke))?)
                } else {
                    Ok(legend.draw(&Cross::new(middle, 7, stroke))?)
                }
            })?;
        }
    }
    Ok(())
}

/// Where an x stands on its axis, and what is written at a place there.
#[derive(Clone, Copy)]
struct Scale {
    place: fn(f64) -> f64,
    label: fn(f64) -> String,
}

const LINEAR: Scale = Scale { place: |x| x, label: plain };
const DOUBLINGS: Scale = Scale { place: f64::log2, label: |place| plain(place.exp2()) };

/// Cells with their values, the darker the greater.
fn heat_map(area: &DrawingArea<SVGBackend<'_>, Shift>, panel: &Panel, map: &HeatMap) -> Result<()> {
    let (left, top) = (NAMES, MARGIN + 2 * LINE);
    let count = i32::try_from(map.names.len()).expect("there are few names");
    let middle = |number: i32, size: i32| number * size + size / 2;
    let centered = text(17, HPos::Center);
    let label = |label: &str, at| area.draw(&Text::new(label.to_owned(), at, centered.clone()));
    label(&panel.x, (left + count * CELL.0 / 2, MARGIN))?;
    let upright = centered.clone().transform(FontTransform::Rotate270);
    area.draw(&Text::new(panel.y.clone(), (MARGIN + 12, top + count * CELL.1 / 2), upright))?;
    for (row, (name, cells)) in (0..).zip(map.names.iter().zip(&map.cells)) {
        label(name, (left - 44, top + middle(row, CELL.1)))?;
        label(name, (left + middle(row, CELL.0), top - LINE / 2))?;
        for (column, &value) in (0..).zip(cells) {
            let corner = (left + column * CELL.0, top + row * CELL.1);
            let opposite = (corner.0 + CELL.0, corner.1 + CELL.1);
            let fill = DARK.mix(value);
            area.draw(&Rectangle::new([corner, opposite], fill.filled()))?;
            area.draw(&Rectangle::new([corner, opposite], BLACK))?;
            let color = if value > 0.5 { WHITE } else { BLACK };
            let at = (corner.0 + CELL.0 / 2, corner.1 + CELL.1 / 2);
            let percent = format!("{:.0} %", 100.0 * value);
            area.draw(&Text::new(percent, at, centered.clone().color(&color)))?;
        }
    }
    Ok(())
}

/// Bars in rows with names.
fn draw_timeline(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    panel: &Panel,
    timeline: &Timeline,
) -> Result<()> {
    let (left, legend) = area.split_horizontally(WIDTH - LEGEND);
    let end = timeline.bars.iter().map(|bar| bar.to).fold(1.0, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "there are few rows")]
    let row = |row: usize| row as f64;
    let mut chart = ChartBuilder::on(&left)
        .margin(MARGIN)
        .x_label_area_size(X_LABELS)
        .y_label_area_size(NAMES + LINE)
        .build_cartesian_2d(0.0..end, row(timeline.rows.len())..0.0)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .y_labels(0)
        .axis_style(BLACK)
        .label_style((FONT, 17))
        .axis_desc_style((FONT, 18))
        .x_desc(&panel.x)
        .y_desc(&panel.y)
        .x_label_formatter(&|x| plain(*x))
        .draw()?;
    chart.draw_series((0..timeline.rows.len()).map(|number| {
        PathElement::new([(0.0, row(number) + 0.5), (end, row(number) + 0.5)], GRID)
    }))?;
    chart.draw_series(timeline.rows.iter().enumerate().map(|(number, name)| {
        let style = text(15, HPos::Right);
        EmptyElement::at((0.0, row(number) + 0.5)) + Text::new(name.clone(), (-8, 0), style)
    }))?;
    for bar in &timeline.bars {
        let corners = [(bar.from, row(bar.row) + 0.12), (bar.to, row(bar.row) + 0.88)];
        chart.draw_series([Rectangle::new(corners, BAR_SHADES[bar.shade].filled())])?;
        chart.draw_series([Rectangle::new(corners, BLACK)])?;
    }
    let mut entries = Entries { area: &legend, top: MARGIN };
    for (name, shade) in timeline.shades.iter().zip(BAR_SHADES) {
        entries.add(name, |[from, _, to]| {
            let corners = [(from.0, from.1 - 6), (to.0, to.1 + 6)];
            legend.draw(&Rectangle::new(corners, shade.filled()))?;
            Ok(legend.draw(&Rectangle::new(corners, BLACK))?)
        })?;
    }
    Ok(())
}

/// Far apart in gray.
const BAR_SHADES: [RGBColor; 3] = [DARK, RGBColor(250, 214, 140), RGBColor(170, 170, 180)];

/// The legend at the right of a panel.
struct Entries<'a, 'b> {
    area: &'a DrawingArea<SVGBackend<'b>, Shift>,
    /// Where the next entry begins.
    top: i32,
}

impl Entries<'_, '_> {
    /// Adds a name, and a sample at the place that is given: its left end, middle and right end.
    fn add(
        &mut self,
        name: &str,
        sample: impl FnOnce([(i32, i32); 3]) -> Result<()>,
    ) -> Result<()> {
        let middle = self.top + LINE / 2;
        sample([(0, middle), (16, middle), (32, middle)])?;
        for line in lines_of(name, LEGEND_COLUMNS) {
            let at = (42, self.top + LINE / 2);
            self.area.draw(&Text::new(line, at, text(16, HPos::Left)))?;
            self.top += LINE;
        }
        self.top += LINE / 2;
        Ok(())
    }
}

fn shade(number: usize) -> RGBColor {
    SHADES[number % SHADES.len()]
}

/// Another shape for each series, and for the next four the shapes in other shades.
fn marker<C, DB: DrawingBackend>(
    at: C,
    number: usize,
) -> <EmptyElement<C, DB> as Add<Polygon<(i32, i32)>>>::Output {
    let corners = MARKERS[(number + number / SHADES.len()) % MARKERS.len()];
    EmptyElement::at(at) + Polygon::new(corners, shade(number))
}

const FONT: &str = "sans-serif";

/// Centered vertically.
fn text(size: i32, horizontally: HPos) -> TextStyle<'static> {
    TextStyle::from((FONT, size)).pos(Pos::new(horizontally, VPos::Center))
}

/// A number without the noise of its last digits.
fn plain(value: f64) -> String {
    // Plus zero, so that minus zero has no sign.
    format!("{}", (value * 1e6).round() / 1e6 + 0.0)
}

#[cfg(test)]
mod tests {
    use peer::sim::scenarios::Bar;

    use super::*;

    fn drawn(figure: Figure) -> String {
        svg(&[Panel::new("the x", "the y", figure)], "a caption").unwrap()
    }

    #[test]
    fn every_figure_is_drawn_with_its_labels_and_its_caption() {
        let series = || {
            let measured = Series::measured("measured", vec![(1.0, 2.0), (4.0, 8.0)]);
            vec![measured, Series::predicted("predicted", vec![(1.0, 2.0), (4.0, 7.0)])]
        };
        let names = vec!["slow".to_owned(), "fast".to_owned()];
        let map = HeatMap { names: names.clone(), cells: vec![vec![0.75, 0.25], vec![0.5, 0.5]] };
        let mut timeline = Timeline::new(names, &["regular", "optimistic"]);
        timeline.bars.push(Bar { row: 1, shade: 1, from: 2.0, to: 5.0 });
        for (figure, words) in [
            (Figure::Lines(series()), ["measured", "predicted"]),
            (Figure::LinesOverDoublings(series()), ["measured", "predicted"]),
            (Figure::Points(series()), ["measured", "predicted"]),
            (Figure::HeatMap(map), ["75 %", "slow"]),
            (Figure::Timeline(timeline), ["optimistic", "fast"]),
        ] {
            let svg = drawn(figure.clone());
            for word in ["the x", "the y", "a caption"].into_iter().chain(words) {
                let found = svg.lines().filter(|line| line.trim() == word).count();
                assert!(found >= 1, "{figure:?} lacks {word}: {svg}");
            }
        }
    }

    #[test]
    fn predictions_with_the_same_name_have_one_entry_in_the_legend() {
        let predicted = |y| Series::predicted("predicted", vec![(0.0, y), (1.0, y)]);
        let svg = drawn(Figure::Lines(vec![predicted(1.0), predicted(2.0)]));
        assert_eq!(svg.lines().filter(|line| line.trim() == "predicted").count(), 1, "{svg}");
    }

    #[test]
    fn a_figure_without_values_is_drawn_as_well() {
        let nothing = Series::measured("nothing", Vec::new());
        let zero = Series::measured("zero", vec![(0.0, 0.0)]);
        for figure in [
            Figure::Lines(vec![nothing, zero.clone()]),
            Figure::Points(vec![zero]),
            Figure::HeatMap(HeatMap { names: Vec::new(), cells: Vec::new() }),
            Figure::Timeline(Timeline::new(vec!["one".to_owned()], &["regular"])),
        ] {
            assert!(drawn(figure).ends_with("</svg>\n"));
        }
    }

    #[test]
    fn numbers_at_the_axes_have_no_noise() {
        for (value, text) in [(0.1 + 0.2, "0.3"), (-0.0, "0"), (1500.0, "1500"), (0.0625, "0.0625")]
        {
            assert_eq!(plain(value), text);
        }
    }
}
