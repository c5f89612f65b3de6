//! Lab 11, Free riders, the missing piece, clustering: formulas and the simulator.

use crate::answers::{FORMULA, Key, SIMULATED, lines};
use crate::check::{Check, Context, Stop};
use crate::lab::simulate::simulate;
use crate::seed::bytes;

const SECTION: &str = "Kurose & Ross 2.5";

#[rustfmt::skip]
pub(crate) const CHECKS: &[Check] = &[
    Check::new("rider-formula", 3, SECTION, "what a free rider gets, by formula", |context| judge(context, rider_formula, FORMULA)),
    Check::new("rider-simulated", 2, SECTION, "what a free rider gets in the simulator", |context| judge(context, rider_simulated, SIMULATED)),
    Check::new("crowd-formula", 2, SECTION, "the mean time of a crowd with riders, by formula", |context| judge(context, crowd_formula, FORMULA)),
    Check::new("crowd-simulated", 2, SECTION, "the crowd's time in the simulator", |context| judge(context, crowd_simulated, SIMULATED)),
    Check::new("missing-formula", 2, SECTION, "how a swarm without a piece grows, by formula", |context| judge(context, missing_formula, FORMULA)),
    Check::new("missing-simulated", 2, SECTION, "how it grows in the simulator", |context| judge(context, missing_simulated, SIMULATED)),
    Check::new("clusters", 1, SECTION, "which peers fast peers trade with if the seed is fast", |context| judge(context, fast_seed, SIMULATED)),
    Check::new("no-clusters", 1, SECTION, "which peers fast peers trade with if the seed is slow", |context| judge(context, slow_seed, SIMULATED)),
];

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
    let mut key = Key::new();
    for more in [
        rider_formula,
        rider_simulated,
        crowd_formula,
        crowd_simulated,
        missing_formula,
        missing_simulated,
        fast_seed,
        slow_seed,
    ] {
        key.extend(more(&numbers));
    }
    lines(&key)
}

fn judge(
    context: &Context<'_>,
    key: impl FnOnce(&Numbers) -> Key,
    tolerance: f64,
) -> Result<(), Stop> {
    context.answers().judge(&key(&Numbers::of(context.student)), tolerance)
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

fn fast_seed(numbers: &Numbers) -> Key {
    clustering(numbers, "fast-seed", &[])
}

/// As slow as a slow peer.
fn slow_seed(numbers: &Numbers) -> Key {
    clustering(numbers, "slow-seed", &[("seed-upload", "20KB")])
}

fn clustering(numbers: &Numbers, name: &str, parameters: &[(&str, &str)]) -> Key {
    let rows = simulate("clustering", parameters, 1, numbers.rng_seed);
    Key::from([
        (format!("{name}-kept"), rows["kept by the fast class"]),
        (format!("{name}-ratio"), rows["the slowest class over the fastest"]),
    ])
}
