//! Lab 11, Free riders, the missing piece, clustering: formulas and the simulator.

use std::time::Duration;

use crate::answers::Key;
use crate::check::{Check, Context, Stop};
use crate::lab::simulate::simulate;
use crate::seed::bytes;

const SECTION: &str = "Kurose & Ross 2.5";

/// For the longest simulation on a slow machine; no student's program is waited for.
const LIMIT: Duration = Duration::from_secs(10);

/// Of what is computed: the student rounds.
const FORMULA: f64 = 0.01;

/// Of what the simulator measures, which prints four digits.
const SIMULATED: f64 = 0.02;

pub(crate) const CHECKS: &[Check] = &[
    check("rider-formula", 3, "what a free rider gets, by formula", |context| {
        context.judge(&rider_formula(&Numbers::of(context.student)), FORMULA)
    }),
    check("rider-simulated", 2, "what a free rider gets in the simulator", |context| {
        context.judge(&rider_simulated(&Numbers::of(context.student)), SIMULATED)
    }),
    check("crowd-formula", 2, "the mean time of a crowd with riders, by formula", |context| {
        context.judge(&crowd_formula(&Numbers::of(context.student)), FORMULA)
    }),
    check("crowd-simulated", 2, "the crowd in the simulator", |context| {
        context.judge(&crowd_simulated(&Numbers::of(context.student)), SIMULATED)
    }),
    check("missing-formula", 2, "how a swarm without a piece grows, by formula", |context| {
        context.judge(&missing_formula(&Numbers::of(context.student)), FORMULA)
    }),
    check("missing-simulated", 2, "how it grows in the simulator", |context| {
        context.judge(&missing_simulated(&Numbers::of(context.student)), SIMULATED)
    }),
    check("clusters", 1, "with whom fast peers trade if the seed is fast", |context| {
        context.judge(&clustering(&Numbers::of(context.student), "fast-seed", &[]), SIMULATED)
    }),
    check("no-clusters", 1, "with whom fast peers trade if the seed is slow", |context| {
        context.judge(&clustering(&Numbers::of(context.student), "slow-seed", SLOW), SIMULATED)
    }),
];

const SLOW: &[(&str, &str)] = &[("seed-upload", "20KB")];

const fn check(
    id: &'static str,
    points: u32,
    name: &'static str,
    run: fn(&mut Context<'_>) -> Result<(), Stop>,
) -> Check {
    Check { id, name, points, section: SECTION, limit: LIMIT, run }
}

/// The numbers of a student, each from one byte of a hash of the ID, as in the starter.
struct Numbers {
    contributors: u8,
    peers: u8,
    riders: u8,
    /// In tenths.
    load: u8,
    rng_seed: u64,
}

impl Numbers {
    fn of(student: &str) -> Self {
        let byte = bytes(&format!("free-riders {student}"));
        Self {
            contributors: 20 + byte[0] % 31,
            peers: 40 + byte[1] % 31,
            riders: 10 + byte[2] % 16,
            load: 13 + byte[3] % 7,
            rng_seed: u64::from(byte[4]) << 8 | u64::from(byte[5]),
        }
    }

    fn load(&self) -> f64 {
        f64::from(self.load) / 10.0
    }
}

/// What a student is to find, for staff.
pub(crate) fn key(student: &str) -> String {
    let numbers = Numbers::of(student);
    let mut key = clustering(&numbers, "fast-seed", &[]);
    key.extend(clustering(&numbers, "slow-seed", SLOW));
    for more in [
        rider_formula,
        rider_simulated,
        crowd_formula,
        crowd_simulated,
        missing_formula,
        missing_simulated,
    ] {
        key.extend(more(&numbers));
    }
    key.iter().map(|(name, number)| format!("{name} = {number}\n")).collect()
}

fn named<const N: usize>(numbers: [(&str, f64); N]) -> Key {
    numbers.map(|(name, number)| (name.to_owned(), number)).into()
}

/// Each contributor has n neighbors, the others and the rider. It serves k of them by their rates, and
/// picks the other s - k at random from the n - k that are left.
fn rider_formula(numbers: &Numbers) -> Key {
    let n = f64::from(numbers.contributors);
    let part = |s: f64, k: f64| (s - k) * n / (n - k) / s;
    named([("rider-formula-textbook", part(5.0, 4.0)), ("rider-formula-mainline", part(4.0, 3.0))])
}

fn rider_simulated(numbers: &Numbers) -> Key {
    let contributors = numbers.contributors.to_string();
    let textbook = [("contributors", contributors.as_str())];
    let mainline = [("choker", "mainline"), ("by-rate", "3"), ("serves", "4")];
    let gets =
        |parameters: &[_]| simulate("free-rider", parameters, 4, numbers.rng_seed)["a rider gets"];
    named([
        ("rider-sim-textbook", gets(&textbook)),
        ("rider-sim-mainline", gets(&[&textbook[..], &mainline].concat())),
    ])
}

/// N F over the sum of all uploads, with the default rates of the scenario.
fn crowd_formula(Numbers { peers, riders, .. }: &Numbers) -> Key {
    let (file, upload, seeds) = (200.0 * 128.0 * 1024.0, 81_920.0, 5.0);
    let (n, riders) = (f64::from(*peers), f64::from(*riders));
    named([("crowd-formula", n * file / ((n - riders + seeds) * upload))])
}

fn crowd_simulated(Numbers { peers, riders, rng_seed, .. }: &Numbers) -> Key {
    let (peers, riders) = (peers.to_string(), riders.to_string());
    let rows = simulate("riders", &[("peers", &peers), ("riders", &riders)], 1, *rng_seed);
    named([
        ("crowd-sim", rows[&format!("mean time, {riders} riders")]),
        ("crowd-sim-ratio", rows[&format!("rider over honest, {riders} riders")]),
    ])
}

/// Each chunk that the seed sends lets one peer leave, and `load` peers come meanwhile.
fn missing_formula(numbers: &Numbers) -> Key {
    const SEED: f64 = 0.1;
    const CLUB: f64 = 150.0;
    let growth = (numbers.load() - 1.0) * SEED;
    named([("missing-formula", growth), ("missing-doubles", CLUB / growth)])
}

fn missing_simulated(numbers: &Numbers) -> Key {
    let load = numbers.load().to_string();
    let growth = |parameters: &[_]| {
        let rows = simulate("missing-piece", parameters, 1, numbers.rng_seed);
        rows[&format!("growth, λ = {load} U_s")]
    };
    let leave = ("load", load.as_str());
    named([
        ("missing-sim", growth(&[leave])),
        ("missing-sim-stays", growth(&[leave, ("stays", "1.5")])),
    ])
}

fn clustering(numbers: &Numbers, name: &str, parameters: &[(&str, &str)]) -> Key {
    let rows = simulate("clustering", parameters, 1, numbers.rng_seed);
    Key::from([
        (format!("{name}-kept"), rows["kept by the fast class"]),
        (format!("{name}-ratio"), rows["the slowest class over the fastest"]),
    ])
}
