//! Lab 9, Tit-for-tat: the program is a whole peer, and scripted neighbors send to it at set rates.
//!
//! `PROGRAM [--rechoke SECONDS] [--optimistic SECONDS] TORRENT DATA PORT [HOST:PORT...]`. What the neighbors
//! see are chokes and unchokes; the statistics about them are in `slots.rs`.

mod scene;
mod slots;

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use common::geometry::{BLOCK_LENGTH, Block};
use common::wire::Message;

use crate::check::{ANSWER, Check, Context, Failure, START, Stop};
use crate::hints;
use crate::peers::raw_message;
use crate::torrent::Torrent;
use scene::{Scene, start};
use slots::{PERIODS, WAITING, most_at_once, not_optimistic, off_rounds, unchoked_for};

const SECTION: &str = "Kurose & Ross 2.5";
const BEP_3: &str = "BEP 3, peer protocol";

#[rustfmt::skip]
pub(crate) const CHECKS: &[Check] = &[
    Check::new("verified-only", 2, BEP_3, "the program announces the pieces in DATA that have the right hash, and no others", verified_only),
    Check::new("uploads", 2, SECTION, "an unchoked neighbor gets the right bytes, including those of the last piece", uploads),
    Check::new("downloads-and-tells", 2, SECTION, "the program downloads, writes DATA, and sends a have to all", downloads_and_tells),
    Check::new("ignores-choked", 1, BEP_3, "requests from a choked neighbor are ignored, and it stays connected", ignores_choked),
    Check::new("at-most-five", 2, SECTION, "five interested neighbors are unchoked, and never more", at_most_five),
    Check::new("top-four", 3, SECTION, "the four that send fastest are unchoked", top_four),
    Check::new("follows-rates", 1, SECTION, "a neighbor that becomes fast is unchoked, and one that becomes slow is choked", follows_rates),
    Check::new("rounds", 1, SECTION, "interested neighbors are choked only at rounds", rounds),
    Check::new("optimistic", 2, SECTION, "the fifth changes every optimistic period, and each waiting neighbor gets a turn", optimistic),
    Check::new("free-slots", 1, SECTION, "a neighbor is unchoked within a round when fewer than five are interested", free_slots),
    Check::new("as-a-seed", 1, SECTION, "a complete program serves all in turn, at most five at a time", as_a_seed),
    Check::new("bad-requests", 1, BEP_3, "neighbors that request what cannot be sent are disconnected, and the others are served", bad_requests),
    Check::new("slow-reader", 1, "Kurose & Ross 3.5.5", "a neighbor that requests a lot and reads nothing does not hold up the others", slow_reader),
];

/// Neighbors of `top-four`: five of them, chosen without a look at their rates, are the fastest four and one
/// more with probability 10 / 2002 = 0.5 %.
const CROWD: usize = 14;

/// The seconds of a round where the check does not depend on it, and of the optimistic neighbor.
const QUICK: [f64; 2] = [0.3, 0.6];

/// Pieces of one short block: many fit into a round, so that rates are far apart.
const SMALL: u32 = 4096;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Whole pieces of four blocks, and a last one that is shorter.
fn torrent(context: &mut Context<'_>) -> Rc<Torrent> {
    let piece = 4 * BLOCK_LENGTH;
    Rc::new(Torrent::new(&mut context.rng, (5 * piece + BLOCK_LENGTH + 77) as usize, piece))
}

/// Enough small pieces that there is always something to request; the program has the first one, which no
/// neighbor has, so that all can be interested.
fn many_pieces<'c, 'p>(
    context: &'c mut Context<'p>,
    times: [f64; 2],
) -> Result<Scene<'c, 'p>, Stop> {
    const PIECES: u32 = 2000;
    let torrent = Rc::new(Torrent::new(&mut context.rng, (PIECES * SMALL) as usize, SMALL));
    let first = torrent.content[..SMALL as usize].to_vec();
    start(context, torrent, Some(&first), times)
}

impl Scene<'_, '_> {
    /// Neighbors that have all pieces but the first, are interested, and send at these rates, in blocks per
    /// second.
    fn join_senders(&mut self, rates: &[u32]) -> Result<(), Stop> {
        let pieces = self.torrent.geometry.piece_count();
        for _ in rates {
            self.join(1..pieces)?;
        }
        for (number, rate) in rates.iter().enumerate() {
            self.set_rate(number, *rate);
            self.peers.say(number, &[Message::Interested, Message::Unchoke]);
        }
        Ok(())
    }

    fn set_rate(&mut self, number: usize, rate: u32) {
        self.neighbors[number].every = (rate > 0).then(|| Duration::from_secs(1) / rate);
    }

    /// A neighbor with nothing joins, is interested, and is unchoked.
    fn join_reader(&mut self) -> Result<usize, Stop> {
        let number = self.join([])?;
        self.peers.say(number, &[Message::Interested]);
        self.wait_for_unchoke(number, ANSWER)?;
        Ok(number)
    }

    fn wait_for_unchoke(&mut self, number: usize, time: Duration) -> Result<(), Stop> {
        if self.until(time, |scene| scene.neighbors[number].unchoked)? {
            return Ok(());
        }
        let expected = format!("an unchoke within {time:?}, since slots are free");
        Err(Failure::new(expected, "none").hint(hints::FREE_SLOT).into())
    }

    /// Requests these blocks, which come in order. Their bytes have a check of their own.
    fn read(&mut self, number: usize, blocks: &[Block], hint: &'static str) -> Result<(), Stop> {
        let before = self.neighbors[number].blocks.len();
        let requests: Vec<_> = blocks.iter().map(|block| Message::Request(*block)).collect();
        self.peers.say(number, &requests);
        let wanted = before + blocks.len();
        self.until(ANSWER, |scene| scene.neighbors[number].blocks.len() >= wanted)?;
        let got = &self.neighbors[number].blocks[before..];
        if got.iter().map(|(block, _)| block).eq(blocks) {
            return Ok(());
        }
        let expected = format!("the {} blocks that were requested, in order", blocks.len());
        let got = format!("{} blocks within {ANSWER:?}", got.len());
        Err(Failure::new(expected, got).hint(hint).into())
    }

    fn blocks(&self, piece: u32) -> Vec<Block> {
        self.torrent.geometry.blocks(self.torrent.piece(piece)).collect()
    }
}

fn verified_only(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context);
    let pieces = torrent.geometry.piece_count();
    // A false bit in some pieces, and the file ends in the middle of the last.
    let mut data = torrent.content.clone();
    let mut order: Vec<_> = (0..pieces - 1).collect();
    context.rng.shuffle(&mut order);
    let (bad, good) = order.split_at(2);
    for piece in bad {
        let middle = torrent.geometry.piece_offset(torrent.piece(*piece)) + u64::from(BLOCK_LENGTH);
        data[usize::try_from(middle).expect("it is in memory")] ^= 1;
    }
    data.truncate(data.len() - 100);
    let mut scene = start(context, torrent, Some(&data), QUICK)?;
    let number = scene.join([])?;
    scene.watch(Duration::from_millis(500))?;
    let told = &scene.neighbors[number].told;
    if told.iter().eq(good.iter().collect::<std::collections::BTreeSet<_>>()) {
        return Ok(());
    }
    let mut good = good.to_vec();
    good.sort_unstable();
    let expected = format!("a bitfield with the pieces {good:?}");
    Err(Failure::new(expected, format!("{told:?}")).hint(hints::VERIFIED).into())
}

fn uploads(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context);
    let mut scene = start(context, Rc::clone(&torrent), Some(&torrent.content), QUICK)?;
    let number = scene.join_reader()?;
    for piece in [1, torrent.geometry.piece_count() - 1] {
        let blocks = scene.blocks(piece);
        scene.read(number, &blocks, hints::UPLOAD)?;
    }
    let Some((block, _)) = scene.neighbors[number].blocks.iter().find(|(_, right)| !right) else {
        return Ok(());
    };
    let expected = "the bytes of the file";
    let got = format!("other bytes at {} of piece {}", block.begin(), block.piece());
    Err(Failure::new(expected, got).hint(hints::UPLOAD).into())
}

fn downloads_and_tells(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context);
    let pieces = torrent.geometry.piece_count();
    let mut scene = start(context, Rc::clone(&torrent), None, QUICK)?;
    scene.join([])?;
    scene.join(0..pieces)?;
    if !scene.neighbors[0].told.is_empty() {
        let got = format!("{:?}", scene.neighbors[0].told);
        return Err(Failure::new("no piece at the start", got).hint(hints::VERIFIED).into());
    }
    scene.set_rate(1, 100);
    scene.peers.say(1, &[Message::Unchoke]);
    let all = pieces as usize;
    scene.until(START, |scene| scene.neighbors.iter().all(|it| it.told.len() == all))?;
    let told: Vec<_> = scene.neighbors.iter().map(|it| it.told.len()).collect();
    if told != [all, all] {
        let expected = format!("haves for {all} pieces to each of two neighbors");
        return Err(Failure::new(expected, format!("{told:?}")).hint(hints::TELLS).into());
    }
    if scene.data()?.is_some_and(|data| data == torrent.content) {
        return Ok(());
    }
    let expected = "each piece is in DATA when its have arrives";
    Err(Failure::new(expected, "DATA is not the file").hint(hints::FLUSH).into())
}

fn ignores_choked(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context);
    let mut scene = start(context, Rc::clone(&torrent), Some(&torrent.content), QUICK)?;
    // Not interested, so choked.
    let number = scene.join([])?;
    let blocks = scene.blocks(0);
    scene.peers.say(number, &[Message::Request(blocks[0])]);
    scene.watch(Duration::from_millis(500))?;
    let neighbor = &scene.neighbors[number];
    if !neighbor.blocks.is_empty() || neighbor.ended {
        let got = if neighbor.ended { "it was disconnected" } else { "it got the block" };
        let expected = "a request from a choked neighbor is ignored";
        return Err(Failure::new(expected, got).hint(hints::IN_FLIGHT).into());
    }
    scene.peers.say(number, &[Message::Interested]);
    scene.wait_for_unchoke(number, ANSWER)?;
    scene.read(number, &blocks[1..], hints::IN_FLIGHT)
}

fn at_most_five(context: &mut Context<'_>) -> Result<(), Stop> {
    const INTERESTED: Range<usize> = 3..11;
    let mut scene = many_pieces(context, QUICK)?;
    for number in 0..INTERESTED.end {
        // The others could have taken slots by then.
        if number == INTERESTED.start {
            scene.watch(seconds(2.0 * QUICK[0]))?;
        }
        scene.join([])?;
        if INTERESTED.contains(&number) {
            scene.peers.say(number, &[Message::Interested]);
        }
    }
    let [from, _] = scene.watch(seconds(4.0 * QUICK[0]))?;
    let [settled, to] = scene.watch(Duration::from_secs(3))?;
    let most = most_at_once(&scene.changes, |number| INTERESTED.contains(&number), [from, to]);
    if most > 5 {
        let expected = "at most five interested neighbors unchoked at a time";
        return Err(Failure::new(expected, most.to_string()).hint(hints::FIVE).into());
    }
    let used: Duration =
        INTERESTED.map(|number| unchoked_for(&scene.changes, number, [settled, to])).sum();
    let slots = used.as_secs_f64() / (to - settled).as_secs_f64();
    if slots < 4.5 {
        let expected = "five of the eight interested neighbors are unchoked";
        let got = format!("{slots:.1} on average");
        return Err(Failure::new(expected, got).hint(hints::FIVE).into());
    }
    Ok(())
}

fn top_four(context: &mut Context<'_>) -> Result<(), Stop> {
    const ROUND: f64 = 0.6;
    const FAST: u32 = 24;
    // A sixth of that for the others; where the fast ones stand comes from the seed.
    let mut rates = [FAST / 6; CROWD];
    rates[..4].fill(FAST);
    context.rng.shuffle(&mut rates);
    let mut scene = many_pieces(context, [ROUND, 2.0 * ROUND])?;
    scene.join_senders(&rates)?;
    // The third round is over after four at most.
    scene.watch(seconds(4.0 * ROUND))?;
    let span @ [from, to] = scene.watch(seconds(5.0 * ROUND))?;
    for (number, rate) in rates.iter().enumerate().filter(|(_, rate)| **rate == FAST) {
        let share =
            unchoked_for(&scene.changes, number, span).as_secs_f64() / (to - from).as_secs_f64();
        // A delay of the machine may cost one round of five.
        if share < 0.75 {
            let expected = format!(
                "the four of {CROWD} that send {rate} blocks per second are unchoked from the third \
                 round on"
            );
            let got = format!("one of them was unchoked for {:.0}% of the time", 100.0 * share);
            return Err(Failure::new(expected, got).hint(hints::TOP_FOUR).into());
        }
    }
    Ok(())
}

fn follows_rates(context: &mut Context<'_>) -> Result<(), Stop> {
    const ROUND: f64 = 0.6;
    const FAST: u32 = 20;
    // One optimistic neighbor for the whole check: it changes only when it becomes one of the four.
    let mut scene = many_pieces(context, [ROUND, 1000.0 * ROUND])?;
    scene.join_senders(&[FAST, FAST, FAST, FAST, 0, 0, 0])?;
    scene.watch(seconds(5.0 * ROUND))?;
    for (number, rate) in [(0, 0), (1, 0), (4, FAST), (5, FAST)] {
        scene.set_rate(number, rate);
    }
    // Within three rounds, and the one that was in progress.
    scene.watch(seconds(4.0 * ROUND))?;
    let span @ [from, to] = scene.watch(seconds(2.0 * ROUND))?;
    let share = |number| {
        unchoked_for(&scene.changes, number, span).as_secs_f64() / (to - from).as_secs_f64()
    };
    let (fast, slow) = ([share(4), share(5)], [share(0), share(1)]);
    // One of the slow ones may be the optimistic neighbor.
    if fast.iter().all(|share| *share > 0.75) && slow.iter().any(|share| *share < 0.25) {
        return Ok(());
    }
    let expected = "three rounds after two fast neighbors stopped and two others began to send, the new \
                    ones are unchoked and the old ones are not, except an optimistic one";
    let percent =
        |shares: [f64; 2]| shares.map(|share| format!("{:.0}%", 100.0 * share)).join(", ");
    let got = format!("unchoked: new ones {}, old ones {}", percent(fast), percent(slow));
    Err(Failure::new(expected, got).hint(hints::LAST_ROUND).into())
}

fn rounds(context: &mut Context<'_>) -> Result<(), Stop> {
    const ROUND: f64 = 0.5;
    let mut scene = many_pieces(context, [ROUND, ROUND])?;
    scene.join_senders(&[0; 10])?;
    let [from, _] = scene.watch(seconds(17.0 * ROUND))?;
    if !scene.changes.iter().any(|change| change.unchoked) {
        return Err(Failure::new("unchokes", "none").hint(hints::FREE_SLOT).into());
    }
    let chokes = scene.changes.iter().filter(|change| !change.unchoked && change.at >= from);
    let chokes: Vec<_> = chokes.map(|choke| (choke.at - from).as_secs_f64() / ROUND).collect();
    let Some(off) = off_rounds(&chokes) else { return Ok(()) };
    let expected = format!("all chokes at the same point in a round of {ROUND} s");
    let got = format!("{off} of {} were not at the point where most were", chokes.len());
    Err(Failure::new(expected, got).hint(hints::AT_ROUNDS).into())
}

fn optimistic(context: &mut Context<'_>) -> Result<(), Stop> {
    const ROUND: f64 = 0.19;
    // Four that send, and two that wait.
    let mut rates = [30; 4 + WAITING];
    rates[4..].fill(0);
    let mut scene = many_pieces(context, [ROUND, 2.0 * ROUND])?;
    scene.join_senders(&rates)?;
    scene.watch(seconds(4.0 * ROUND))?;
    let [from, _] = scene.watch(seconds(2.0 * ROUND * f64::from(PERIODS)))?;
    let turns = scene.changes.iter().filter(|change| change.unchoked && change.neighbor >= 4);
    let turns: Vec<_> = turns
        .filter(|change| change.at >= from)
        .map(|change| (change.neighbor - 4, (change.at - from).as_secs_f64() / ROUND))
        .collect();
    let Some(got) = not_optimistic(&turns) else { return Ok(()) };
    let expected = format!(
        "in {PERIODS} periods of two rounds, each of the two neighbors that send nothing is \
         unchoked, for a period at a time"
    );
    Err(Failure::new(expected, got).hint(hints::OPTIMISTIC).into())
}

fn free_slots(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut scene = many_pieces(context, [1.0, 2.0])?;
    for _ in 0..4 {
        let number = scene.join([])?;
        scene.peers.say(number, &[Message::Interested]);
        // A round, and something for the machine.
        scene.wait_for_unchoke(number, seconds(1.3))?;
    }
    Ok(())
}

fn as_a_seed(context: &mut Context<'_>) -> Result<(), Stop> {
    const NEIGHBORS: usize = 9;
    let torrent = torrent(context);
    let mut scene = start(context, Rc::clone(&torrent), Some(&torrent.content), [0.2, 0.4])?;
    for number in 0..NEIGHBORS {
        scene.join([])?;
        scene.peers.say(number, &[Message::Interested]);
    }
    scene.watch(seconds(0.8))?;
    // Some twenty periods, of which each can serve five others.
    let span = scene.watch(Duration::from_secs(8))?;
    let most = most_at_once(&scene.changes, |_| true, span);
    let never =
        (0..NEIGHBORS).filter(|number| unchoked_for(&scene.changes, *number, span).is_zero());
    let never = never.count();
    if most <= 5 && never == 0 {
        return Ok(());
    }
    let expected = format!(
        "each of {NEIGHBORS} neighbors is served within 20 periods, at most five at a time"
    );
    let got = format!("{never} were never served, and up to {most} were served at a time");
    Err(Failure::new(expected, got).hint(hints::SEED).into())
}

fn bad_requests(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context);
    // The first two pieces.
    let data = torrent.content[..8 * BLOCK_LENGTH as usize].to_vec();
    let mut scene = start(context, Rc::clone(&torrent), Some(&data), QUICK)?;
    let good = scene.join_reader()?;
    let blocks = scene.blocks(0);
    let request = |fields: [u32; 3]| raw_message(6, fields.map(u32::to_be_bytes).as_flattened());
    for (why, bytes) in [
        ("requests a piece that the program does not have", request([4, 0, BLOCK_LENGTH])),
        ("requests bytes beyond the end", request([0, 4 * BLOCK_LENGTH - 8, 16])),
        ("requests 32 KiB", request([0, 0, 2 * BLOCK_LENGTH])),
        ("requests a piece that does not exist", request([1000, 0, BLOCK_LENGTH])),
        ("announces a message of 4 GB", vec![0xff; 4]),
    ] {
        let bad = scene.join_reader()?;
        scene.peers.send(bad, &bytes);
        judge_disconnected(&mut scene, bad, why)?;
        scene.read(good, &blocks[..1], hints::OTHERS)?;
    }
    let bad = scene.connect()?;
    let mut other = torrent.info_hash;
    other.0[0] ^= 1;
    scene.peers.shake_hands(bad, other);
    judge_disconnected(&mut scene, bad, "has another info hash")?;
    scene.read(good, &blocks, hints::OTHERS)
}

fn judge_disconnected(scene: &mut Scene<'_, '_>, bad: usize, why: &str) -> Result<(), Stop> {
    if scene.until(ANSWER, |scene| scene.neighbors[bad].ended)? {
        return Ok(());
    }
    let expected = format!("a neighbor that {why} is disconnected");
    Err(Failure::new(expected, "it was not").hint(hints::BAD_NEIGHBOR).into())
}

fn slow_reader(context: &mut Context<'_>) -> Result<(), Stop> {
    /// More than the buffers of two sockets hold, and as many as real clients have in flight.
    const REQUESTS: usize = 500;
    let piece = 16 * BLOCK_LENGTH;
    let torrent = Rc::new(Torrent::new(&mut context.rng, 40 * piece as usize, piece));
    let mut scene = start(context, Rc::clone(&torrent), Some(&torrent.content), QUICK)?;
    let good = scene.join_reader()?;
    let slow = scene.join_reader()?;
    scene.peers.stop_reading(slow);
    let requests = torrent.geometry.pieces().flat_map(|piece| torrent.geometry.blocks(piece));
    let requests: Vec<_> = requests.take(REQUESTS).map(Message::Request).collect();
    scene.peers.say(slow, &requests);
    for piece in 0..10 {
        let blocks = scene.blocks(piece);
        scene.read(good, &blocks, hints::SLOW_READER)?;
        scene.watch(Duration::from_millis(150))?;
    }
    Ok(())
}
