//! What a scenario measures, what was predicted, and the verdict on several runs.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::plot::Panel;

/// Where a measured value has to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// The lower end.
    pub least: f64,
    /// The upper end.
    pub most: f64,
}

impl Band {
    /// A band with both ends included.
    pub const fn new(least: f64, most: f64) -> Self {
        Self { least, most }
    }

    /// Within this part of 1 around 1, for a measured value divided by the predicted one.
    pub const fn within(deviation: f64) -> Self {
        Self { least: 1.0 - deviation, most: 1.0 + deviation }
    }

    /// The band around a predicted value, where this one is around 1.
    #[must_use]
    pub fn times(self, predicted: f64) -> Self {
        Self { least: self.least * predicted, most: self.most * predicted }
    }

    /// Whether the value is in the band.
    pub fn contains(self, value: f64) -> bool {
        (self.least..=self.most).contains(&value)
    }
}

/// A value over several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub most: f64,
}

impl Spread {
    /// Of one value or more.
    #[expect(clippy::cast_precision_loss, reason = "there are few values")]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<_> = values.into_iter().collect();
        Self {
            mean: values.iter().sum::<f64>() / values.len() as f64,
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4} ({:.4} to {:.4})", self.mean, self.least, self.most)
    }
}

/// Which values have to be in a band.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// That of each run.
    Each(Band),
    /// The mean over the runs: a single one varies more than the band is wide.
    Mean(Band),
}

/// A value that one run measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// What it is; the same in every run.
    pub what: String,
    /// Its unit; empty for a ratio or a number.
    pub unit: String,
    /// What the formula gives, where there is one.
    pub predicted: Option<f64>,
    /// The value.
    pub measured: f64,
    /// Where it has to be; `None` if it is only for information.
    pub accept: Option<Accept>,
}

impl Measure {
    /// A value that is only for information.
    pub fn new(what: impl Into<String>, unit: &str, measured: f64) -> Self {
        Self { what: what.into(), unit: unit.to_owned(), predicted: None, measured, accept: None }
    }

    /// The same with what a formula gives.
    #[must_use]
    pub fn predicted(self, predicted: f64) -> Self {
        Self { predicted: Some(predicted), ..self }
    }

    /// The same, which has to be here.
    #[must_use]
    pub fn accept(self, accept: Accept) -> Self {
        Self { accept: Some(accept), ..self }
    }
}

/// What a run gives with one random seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The random seed.
    pub seed: u64,
    /// In the order in which they are shown.
    pub measures: Vec<Measure>,
    /// The panels of its plot.
    pub plot: Vec<Panel>,
    /// The same for two runs only if all blocks arrived in the same order, at the same times.
    pub digest: u64,
}

/// A measured value over several runs, with the verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What it is.
    pub what: String,
    /// Its unit.
    pub unit: String,
    /// What the formula gives; the mean, where it follows from what the run drew.
    pub predicted: Option<f64>,
    /// Over the runs.
    pub measured: Spread,
    /// Where it has to be, over the runs: the mean of the bands.
    pub accept: Option<Accept>,
    /// Whether it is; `None` if it is only for information.
    pub holds: Option<bool>,
    /// Whether it misses: no run is in its band, or the mean is not. One run outside is no miss yet.
    #[serde(skip)]
    pub misses: bool,
}

impl Row {
    /// The mean over what was predicted.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.measured.mean / self.predicted?)
    }
}

/// The rows of these runs. A run may lack a value: where no peer completes, none has a time.
pub fn rows(runs: &[Run]) -> Vec<Row> {
    let mut rows: Vec<Vec<&Measure>> = Vec::new();
    for measure in runs.iter().flat_map(|run| &run.measures) {
        match rows.iter_mut().find(|row| row[0].what == measure.what) {
            Some(row) => row.push(measure),
            None => rows.push(vec![measure]),
        }
    }
    rows.iter().map(|all| row(all)).collect()
}

fn row(all: &[&Measure]) -> Row {
    let measured = Spread::of(all.iter().map(|measure| measure.measured));
    let predicted: Option<Vec<f64>> = all.iter().map(|measure| measure.predicted).collect();
    let mean_band = |bands: &[Band]| {
        let least = Spread::of(bands.iter().map(|band| band.least)).mean;
        let most = Spread::of(bands.iter().map(|band| band.most)).mean;
        Band { least, most }
    };
    let accepts: Option<Vec<Accept>> = all.iter().map(|measure| measure.accept).collect();
    let bands: Option<Vec<Band>> = accepts.as_ref().map(|accepts| {
        let band = |accept: &Accept| match accept {
            Accept::Each(band) | Accept::Mean(band) => *band,
        };
        accepts.iter().map(band).collect()
    });
    let (accept, holds, misses) = match (accepts.as_deref(), bands) {
        (Some([Accept::Each(_), ..]), Some(bands)) => {
            let pairs = bands.iter().zip(all);
            let inside = pairs.filter(|(band, measure)| band.contains(measure.measured)).count();
            (Some(Accept::Each(mean_band(&bands))), Some(inside == all.len()), inside == 0)
        }
        (Some([Accept::Mean(_), ..]), Some(bands)) => {
            let band = mean_band(&bands);
            let holds = band.contains(measured.mean);
            (Some(Accept::Mean(band)), Some(holds), !holds)
        }
        _ => (None, None, false),
    };
    Row {
        what: all[0].what.clone(),
        unit: all[0].unit.clone(),
        predicted: predicted.map(|predicted| Spread::of(predicted).mean),
        measured,
        accept,
        holds,
        misses,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(values: &[f64], accept: fn(Band) -> Accept) -> Vec<Run> {
        let run = |(seed, &value): (u64, &f64)| Run {
            seed,
            measures: vec![
                Measure::new("time", "s", value)
                    .predicted(10.0)
                    .accept(accept(Band::within(0.1).times(10.0))),
                Measure::new("peers", "", 3.0),
            ],
            plot: Vec::new(),
            digest: 0,
        };
        (0..).zip(values).map(run).collect()
    }

    #[test]
    fn each_value_or_the_mean_has_to_be_in_the_band() {
        for (values, each, mean) in [
            ([9.5, 10.5], true, true),
            ([8.5, 10.5], false, true),
            ([8.5, 8.7], false, false),
            ([11.0, 11.0], true, true),
            ([f64::NAN, 10.0], false, false),
        ] {
            assert_eq!(rows(&runs(&values, Accept::Each))[0].holds, Some(each), "{values:?}");
            assert_eq!(rows(&runs(&values, Accept::Mean))[0].holds, Some(mean), "{values:?}");
        }
    }

    #[test]
    fn a_control_misses_a_band_only_if_no_run_is_in_it() {
        for (values, each, mean) in
            [([8.5, 10.5], false, false), ([8.5, 8.7], true, true), ([8.5, 11.5], true, false)]
        {
            assert_eq!(rows(&runs(&values, Accept::Each))[0].misses, each, "{values:?}");
            assert_eq!(rows(&runs(&values, Accept::Mean))[0].misses, mean, "{values:?}");
        }
    }

    #[test]
    fn a_row_has_the_mean_and_the_range_and_what_was_predicted() {
        let rows = rows(&runs(&[9.0, 12.0], Accept::Each));
        assert_eq!((rows[0].what.as_str(), rows[0].unit.as_str()), ("time", "s"));
        assert_eq!(rows[0].measured, Spread { mean: 10.5, least: 9.0, most: 12.0 });
        assert_eq!(rows[0].predicted, Some(10.0));
        assert_eq!((rows[1].predicted, rows[1].accept, rows[1].holds), (None, None, None));
    }
}
