//! Lab 10, Distribution time: the bounds of Kurose & Ross 2.5, the simulator, a real swarm.

use common::geometry::Geometry;
use fastrand::Rng;
use peer::demo::{CHUNK_SIZE, Ledger, SAMPLE_LENGTH, Setup};

use crate::answers::{EXACT, FORMULA, Key, SIMULATED, lines, wrong};
use crate::check::{Check, Context, Stop};
use crate::hints;
use crate::lab::simulate::simulate;
use crate::seed::bytes;

const SECTION: &str = "Kurose & Ross 2.5";

#[rustfmt::skip]
pub(crate) const CHECKS: &[Check] = &[
    Check::new("client-server", 2, SECTION, "the bound of client-server for three N", |context| judge(context, |numbers| formula(numbers, "cs"), FORMULA)),
    Check::new("p2p-low", 1, SECTION, "the bound of P2P with slow peers for three N", |context| judge(context, |numbers| formula(numbers, "p2p-low"), FORMULA)),
    Check::new("p2p-medium", 1, SECTION, "the bound of P2P with faster peers for three N", |context| judge(context, |numbers| formula(numbers, "p2p-medium"), FORMULA)),
    Check::new("p2p-high", 1, SECTION, "the bound of P2P with u = d for three N", |context| judge(context, |numbers| formula(numbers, "p2p-high"), FORMULA)),
    Check::new("server-limits", 1, SECTION, "the smallest N from which the server limits client-server", |context| judge(context, |numbers| formula(numbers, "server-limits-from"), EXACT)),
    Check::new("simulated", 3, SECTION, "the simulator's times for two N", |context| judge(context, simulated, SIMULATED)),
    Check::new("few-chunks", 2, SECTION, "the simulator's time with 8 chunks", |context| judge(context, few_chunks, SIMULATED)),
    Check::new("in-order", 1, SECTION, "the simulator's time with chunks in order", |context| judge(context, in_order, SIMULATED)),
    Check::new("swarm-bound", 1, SECTION, "the bound of the real swarm", |context| judge(context, swarm_bound, SIMULATED)),
    Check::new("swarm-measured", 2, SECTION, "the time of the real swarm", swarm_measured),
];

/// The numbers of a student, each from one byte of a hash of the ID, as in the starter.
struct Numbers {
    /// F, in bits.
    file: f64,
    /// u_s, d and the two smaller u, in bits a second.
    server: f64,
    download: f64,
    low: f64,
    medium: f64,
    small: u8,
    large: u8,
    rng_seed: u64,
    /// In bytes a second.
    upload_limit: u64,
}

impl Numbers {
    fn of(student: &str) -> Self {
        let byte = bytes(&format!("distribution-time {student}"));
        let some = |index: usize, count: u8| byte[index] % count;
        Self {
            file: f64::from(10 + some(0, 11)) * 1e9,
            server: f64::from(20 + 5 * some(1, 7)) * 1e6,
            download: f64::from(2 + some(2, 3)) * 1e6,
            low: f64::from(200 + 50 * u16::from(some(3, 5))) * 1e3,
            medium: f64::from(600 + 50 * u16::from(some(4, 7))) * 1e3,
            small: 6 + some(5, 7),
            large: 25 + some(6, 16),
            rng_seed: u64::from(byte[7]) << 8 | u64::from(byte[8]),
            upload_limit: (1500 + 500 * u64::from(some(9, 4))) * 1000,
        }
    }
}

/// What a student should find, for staff.
pub(crate) fn key(student: &str) -> String {
    let numbers = Numbers::of(student);
    let mut key = formulas(&numbers);
    for more in [simulated, few_chunks, in_order, swarm_bound] {
        key.extend(more(&numbers));
    }
    lines(&key) + "# swarm-measured: from swarm-bound to twice swarm-bound\n"
}

fn judge(
    context: &Context<'_>,
    key: impl FnOnce(&Numbers) -> Key,
    tolerance: f64,
) -> Result<(), Stop> {
    context.answers().judge(&key(&Numbers::of(context.student)), tolerance)
}

/// The formulas whose names begin so.
fn formula(numbers: &Numbers, begins: &str) -> Key {
    formulas(numbers).into_iter().filter(|(name, _)| name.starts_with(begins)).collect()
}

fn formulas(numbers: &Numbers) -> Key {
    let &Numbers { file, server, download, low, medium, .. } = numbers;
    let mut key = Key::new();
    for n in [10.0, 100.0, 1000.0_f64] {
        // K&R 2.5: the server sends N copies; the slowest peer must receive one.
        key.insert(format!("cs-{n}"), (n * file / server).max(file / download));
        for (name, upload) in [("low", low), ("medium", medium), ("high", download)] {
            // K&R 2.5: the server sends one copy, each peer receives one, and together all upload N.
            let together = n * file / (server + n * upload);
            let least = (file / server).max(file / download).max(together);
            key.insert(format!("p2p-{name}-{n}"), least);
        }
    }
    // The least N with N F / u_s > F / d.
    key.insert("server-limits-from".to_owned(), (server / download).floor() + 1.0);
    key
}

fn simulated(numbers: &Numbers) -> Key {
    let Numbers { small, large, rng_seed, .. } = numbers;
    let peers = format!("{small},{large}");
    let rows = simulate("kurose-ross", &[("peers", &peers)], 1, *rng_seed);
    let row = |name: &str, what: String| (name.to_owned(), rows[&what]);
    Key::from([
        row("sim-p2p-small", format!("P2P, N = {small}")),
        row("sim-p2p-large", format!("P2P, N = {large}")),
        row("sim-cs-large", format!("client-server, N = {large}")),
    ])
}

fn few_chunks(numbers: &Numbers) -> Key {
    // The same file, in 8 chunks instead of 800.
    one("sim-few-chunks", numbers, &[("chunks", "8"), ("chunk-size", "19200KiB")])
}

fn in_order(numbers: &Numbers) -> Key {
    one("sim-in-order", numbers, &[("order", "in-order")])
}

/// The time of one swarm, of the smaller of the two.
fn one(name: &str, Numbers { small, rng_seed, .. }: &Numbers, other: &[(&str, &str)]) -> Key {
    let peers = small.to_string();
    let parameters = [&[("peers", peers.as_str())], other].concat();
    let rows = simulate("kurose-ross", &parameters, 1, *rng_seed);
    Key::from([(name.to_owned(), rows[&format!("P2P, N = {small}")])])
}

/// `peer swarm --peers N --free-riders 0 --head-start 0 --upload-limit RATE`
fn swarm_bound(numbers: &Numbers) -> Key {
    let setup = Setup {
        peers: numbers.small.into(),
        free_riders: 0,
        upload_limit: Some(numbers.upload_limit),
        head_start: 0,
    };
    let geometry = Geometry::new(SAMPLE_LENGTH, CHUNK_SIZE.into()).expect("the demo's sample");
    // Who begins with which chunk is random, and here no peer has one.
    let members = setup.members(&geometry, &mut Rng::with_seed(0));
    let bounds = Ledger::new(geometry, members).bounds().expect("all have a limit");
    Key::from([("swarm-bound".to_owned(), bounds.peer_to_peer)])
}

fn swarm_measured(context: &mut Context<'_>) -> Result<(), Stop> {
    let bound = swarm_bound(&Numbers::of(context.student))["swarm-bound"];
    let measured = context.answers().get("swarm-measured")?;
    // The program prints a tenth of a second.
    if measured < bound - 0.1 || measured > 2.0 * bound {
        return Err(wrong("swarm-measured", measured, hints::SWARM_TIME));
    }
    Ok(())
}
