//! Lab 8, The whole file, rarest first: the program downloads a file from several scripted peers.
//!
//! `PROGRAM [--timeout SECONDS] TORRENT OUT HOST:PORT...`. Where it is free, every choice is right; the
//! statistics are in `order.rs`.

mod order;
mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use common::geometry::BLOCK_LENGTH;
use common::wire::Message;

use crate::check::{ANSWER, Check, Context, Failure, LIMIT, Stop};
use crate::hints;
use crate::torrent::Torrent;
use order::{PIECES, RUNS};
use scene::{Answer, Neighbor, Scene, start};

const SECTION: &str = "Kurose & Ross 2.5";
const BEP_3: &str = "BEP 3, peer protocol";

#[rustfmt::skip]
pub(crate) const CHECKS: &[Check] = &[
    Check::new("one-seed", 2, SECTION, "a file with a short last piece is downloaded from one seed", one_seed),
    Check::new("different-pieces", 2, SECTION, "each peer is asked only for what it has", different_pieces),
    Check::new("at-the-same-time", 2, SECTION, "three peers send at the same time, with 5 to 16 requests in flight to each", at_the_same_time),
    Check::new("rarest", 3, SECTION, "the pieces with the fewest copies are begun first", rarest),
    Check::new("haves", 1, SECTION, "copies announced later, by haves, count", haves),
    Check::new("left", 1, SECTION, "the copies of a neighbor that has left do not count", left),
    Check::new("random-ties", 2, SECTION, "equally rare pieces are begun in a different order in each run", random_ties),
    Check::new("in-progress-first", 1, "BEP 3, piece downloading strategy", "a piece is finished before another is begun with the same peer", in_progress_first),
    Check::new("no-duplicates", 1, SECTION, "no block is requested twice without a reason", no_duplicates),
    Check::new("choked", 1, BEP_3, "blocks discarded by a choke are requested from another peer, or later from the same one", choked),
    Check::new("leaves", 1, SECTION, "when a peer leaves, its blocks are requested from the others at once", leaves),
    Check::new("never-unchokes", 1, SECTION, "a peer that never unchokes, or never answers the handshake, does not delay the others", never_unchokes),
    Check::new("silent", 1, SECTION, "when a peer sends nothing, its blocks are requested from the others", silent),
    Check::new("false-block", 1, SECTION, "one of three peers sends false blocks: the file is complete, and the others stay connected", false_block),
];

/// Long enough for any download here when nothing delays it.
const SOON: Duration = Duration::from_secs(3);

const OUT: &str = "out.bin";

/// A torrent of [`PIECES`] whole pieces.
fn torrent(context: &mut Context<'_>, blocks_per_piece: u32) -> Rc<Torrent> {
    let piece = blocks_per_piece * BLOCK_LENGTH;
    Rc::new(Torrent::new(&mut context.rng, (PIECES * piece) as usize, piece))
}

fn seed() -> Neighbor {
    Neighbor::with(0..PIECES)
}

fn one_seed(context: &mut Context<'_>) -> Result<(), Stop> {
    let piece = 4 * BLOCK_LENGTH;
    let length = 9 * piece + context.rng.u32(1..piece);
    let torrent = Rc::new(Torrent::new(&mut context.rng, length as usize, piece));
    let mut scene = start(context, &torrent, vec![Neighbor::with(0..10)], OUT, &[])?;
    scene.judge_file(SOON, hints::LAST_PIECE)
}

fn different_pieces(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 4);
    let mut pieces: Vec<_> = (0..PIECES).collect();
    context.rng.shuffle(&mut pieces);
    let (first, rest) = pieces.split_at(6);
    let (second, third) = rest.split_at(6);
    let neighbors = vec![
        Neighbor::with([first, second].concat()),
        Neighbor::with([second, third].concat()),
        Neighbor::with([third, &first[..2]].concat()),
    ];
    let mut scene = start(context, &torrent, neighbors, OUT, &[])?;
    scene.judge_file(SOON, hints::HAVES)
}

fn at_the_same_time(context: &mut Context<'_>) -> Result<(), Stop> {
    /// One peer alone would need 192 of these, 2.9 s; three need 0.96 s, and half as much in reserve.
    const BLOCK_TIME: Duration = Duration::from_millis(15);
    let torrent = torrent(context, 12);
    let slow = || seed().answers(Answer::Every(BLOCK_TIME));
    let mut scene = start(context, &torrent, vec![slow(), slow(), slow()], OUT, &[])?;
    scene.judge_file(LIMIT, hints::AT_THE_SAME_TIME)?;
    for (number, neighbor) in scene.neighbors.iter().enumerate() {
        let most = neighbor.most_in_flight;
        if !(5..=16).contains(&most) {
            let expected = "a maximum of 5 to 16 requests in flight to each peer";
            let got = format!("{most} to peer {}", number + 1);
            return Err(Failure::new(expected, got).hint(hints::PIPELINE).into());
        }
    }
    let (first, last) = (scene.requests.first(), scene.requests.last());
    let (Some((first, ..)), Some((last, ..))) = (first, last) else {
        return Err(Failure::new("requests", "none").into());
    };
    let (took, third) = (*last - *first, BLOCK_TIME * 12 * PIECES / 3);
    if took > third * 3 / 2 {
        let expected =
            format!("{third:.1?} from the first request to the last, or up to half as much again");
        return Err(Failure::new(expected, format!("{took:.1?}"))
            .hint(hints::AT_THE_SAME_TIME)
            .into());
    }
    Ok(())
}

/// The pieces in four classes of equal size, drawn from the seed.
fn classes(context: &mut Context<'_>) -> [Vec<u32>; 4] {
    let mut pieces: Vec<_> = (0..PIECES).collect();
    context.rng.shuffle(&mut pieces);
    let mut classes = pieces.chunks(PIECES as usize / 4).map(<[u32]>::to_vec);
    [(); 4].map(|()| classes.next().expect("four times a quarter"))
}

fn rarest(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 2);
    let [_, two, three, four] = classes(context);
    let neighbors = vec![
        seed().choking(),
        Neighbor::with([&two[..], &three, &four].concat()).choking(),
        Neighbor::with([&three[..], &four].concat()).choking(),
        Neighbor::with(four).choking(),
    ];
    let mut scene = start(context, &torrent, neighbors, OUT, &[])?;
    scene.until_interested()?;
    judge_order(&mut scene, hints::RAREST)
}

fn haves(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 2);
    // By the bitfields all are equal.
    let [_, rest @ ..] = classes(context);
    let neighbors = vec![seed().choking(), Neighbor::with([]).choking()];
    let mut scene = start(context, &torrent, neighbors, OUT, &[])?;
    scene.until_interested()?;
    let common = rest.concat();
    let haves = common.iter().map(|piece| Message::Have(torrent.piece(*piece)));
    scene.peers.say(1, &haves.collect::<Vec<_>>());
    scene.neighbors[1].has = common;
    scene.until_interested()?;
    judge_order(&mut scene, hints::HAVES)
}

fn left(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 2);
    // At first 4, 2, 1 and 3 copies of each class; when two neighbors have left, 2, 2, 1 and 1.
    let [first, second, _, fourth] = classes(context);
    let neighbors = vec![
        seed().choking(),
        Neighbor::with([&first[..], &second].concat()).choking(),
        Neighbor::with([&first[..], &fourth].concat()).choking(),
        Neighbor::with([&first[..], &fourth].concat()).choking(),
    ];
    let mut scene = start(context, &torrent, neighbors, OUT, &[])?;
    scene.until_interested()?;
    for number in [2, 3] {
        scene.leave(number);
        scene.neighbors[number].has.clear();
    }
    scene.until_quiet()?;
    judge_order(&mut scene, hints::LEFT)
}

/// The first neighbor, which has everything, unchokes: the pieces are begun in the order of their copies
/// among all neighbors.
fn judge_order(scene: &mut Scene<'_, '_>, hint: &'static str) -> Result<(), Stop> {
    let copies = order::count(scene.neighbors.iter().map(|neighbor| &neighbor.has[..]));
    scene.unchoke(0);
    scene.judge_file(SOON, hint)?;
    let begun = scene.begun();
    let Some((piece, rarer)) = order::out_of_order(&begun, &copies) else { return Ok(()) };
    let of = |piece: u32| copies[piece as usize];
    let expected = "pieces in order of their copies among the neighbors, rarest first";
    let begun: Vec<_> = begun.iter().map(|piece| format!("{piece} ({})", of(*piece))).collect();
    let got = format!(
        "piece {piece}, which has {} copies, before piece {rarer}, which has {}; \
         the order was {}",
        of(piece),
        of(rarer),
        begun.join(", ")
    );
    Err(Failure::new(expected, got).hint(hint).into())
}

fn random_ties(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 1);
    let mut orders = Vec::new();
    for out in ["out1.bin", "out2.bin", "out3.bin", "out4.bin"] {
        let mut scene = start(context, &torrent, vec![seed()], out, &[])?;
        scene.judge_file(SOON, hints::TIES)?;
        orders.push(scene.begun());
    }
    assert_eq!(orders.len(), RUNS, "as the statistic was computed for");
    let Some(got) = order::not_random(&orders) else { return Ok(()) };
    let got = format!("{got}; the orders were {orders:?}");
    Err(Failure::new("four orders with random ties", got).hint(hints::TIES).into())
}

fn in_progress_first(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 4);
    let mut scene = start(context, &torrent, vec![seed()], OUT, &[])?;
    scene.judge_file(SOON, hints::IN_PROGRESS_FIRST)?;
    let mut requested: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for (_, _, block) in &scene.requests {
        let piece = block.piece().get();
        let unfinished = requested.iter().find(|(_, blocks)| blocks.len() < 4);
        if let Some((other, blocks)) = unfinished
            && !requested.contains_key(&piece)
        {
            let expected =
                format!("all blocks of piece {other} are requested before another piece is begun");
            let got = format!("piece {piece} was begun after {} of 4", blocks.len());
            return Err(Failure::new(expected, got).hint(hints::IN_PROGRESS_FIRST).into());
        }
        requested.entry(piece).or_default().insert(block.begin());
    }
    Ok(())
}

fn no_duplicates(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 4);
    // Slow at the end too, when a program could be tempted.
    let slow = || seed().answers(Answer::Every(Duration::from_millis(15)));
    let mut scene = start(context, &torrent, vec![slow(), slow(), seed()], OUT, &[])?;
    scene.judge_file(SOON, hints::DUPLICATES)?;
    let mut requested = BTreeMap::new();
    for (_, peer, block) in &scene.requests {
        if let Some(before) = requested.insert(*block, *peer) {
            let got = format!(
                "the block at {} of piece {} was requested from peer {} and from peer {}",
                block.begin(),
                block.piece(),
                before + 1,
                peer + 1
            );
            let expected = "each block is requested once while all peers answer";
            return Err(Failure::new(expected, got).hint(hints::DUPLICATES).into());
        }
    }
    Ok(())
}

fn choked(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 4);
    let neighbors = vec![seed().answers(Answer::Later), seed().choking()];
    let mut scene = start(context, &torrent, neighbors, OUT, &[])?;
    scene.until_quiet()?;
    scene.answer(0, 2);
    scene.choke(0);
    scene.until_quiet()?;
    scene.unchoke(1);
    scene.judge_file(SOON, hints::FREE_AGAIN)?;
    drop(scene);

    let neighbors = vec![seed().answers(Answer::Later)];
    let mut scene = start(context, &torrent, neighbors, "out2.bin", &[])?;
    scene.until_quiet()?;
    scene.answer(0, 2);
    scene.choke(0);
    scene.until_quiet()?;
    scene.neighbors[0].answers = Answer::AtOnce;
    scene.unchoke(0);
    scene.judge_file(SOON, hints::FREE_AGAIN)
}

fn leaves(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 4);
    let neighbors = vec![seed().answers(Answer::Later), seed()];
    let mut scene = start(context, &torrent, neighbors, OUT, &[])?;
    // The second has sent everything else, and has nothing to do.
    scene.until_quiet()?;
    scene.leave(0);
    // Far less than the 20 s after which a peer that does not answer is given up.
    scene.judge_file(SOON, hints::FREE_AGAIN)
}

fn never_unchokes(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 4);
    let neighbors = vec![seed().choking(), seed().mute(), seed()];
    let mut scene = start(context, &torrent, neighbors, OUT, &[])?;
    scene.judge_file(SOON, hints::WITHOUT_WAITING)
}

fn silent(context: &mut Context<'_>) -> Result<(), Stop> {
    /// The 2 s of the option, as long again for a program that looks seldom, and some for a slow machine:
    /// less than the 4 s after which it would give up would be unfair to one that looks every 2 s.
    const TIME: Duration = Duration::from_millis(4500);
    let torrent = torrent(context, 4);
    let neighbors = vec![seed().answers(Answer::Later), seed()];
    let mut scene = start(context, &torrent, neighbors, OUT, &["--timeout", "2"])?;
    scene.judge_file(TIME, hints::SILENT)
}

fn false_block(context: &mut Context<'_>) -> Result<(), Stop> {
    // More blocks in a piece than one peer is asked for at once: pieces come from several.
    const PIECES: u32 = 4;
    let piece = 24 * BLOCK_LENGTH;
    let torrent = Rc::new(Torrent::new(&mut context.rng, (PIECES * piece) as usize, piece));
    let seed = || Neighbor::with(0..PIECES);
    let honest = || seed().answers(Answer::Every(Duration::from_millis(5)));
    let liar = seed().answers(Answer::False).choking();
    let mut scene = start(context, &torrent, vec![honest(), liar, honest()], OUT, &[])?;
    let asked = |neighbor: &Neighbor| neighbor.most_in_flight > 0;
    scene.until(ANSWER, |scene| asked(&scene.neighbors[0]) && asked(&scene.neighbors[2]))?;
    scene.unchoke(1);
    // Until the first honest peer is disconnected: by then the file must be complete.
    scene.until(LIMIT, |scene| scene.neighbors[0].ended || scene.neighbors[2].ended)?;
    let sent = |scene: &Scene<'_, '_>| scene.neighbors[0].sent + scene.neighbors[2].sent;
    let before = sent(&scene);
    scene.judge_file(SOON, hints::LIAR)?;
    if scene.neighbors[1].sent == 0 {
        return Err(Failure::new("requests to all three peers", "none to the one that lies").into());
    }
    if sent(&scene) > before {
        let expected = "both honest peers stay connected until the file is complete";
        let got = format!("one was disconnected {} blocks earlier", sent(&scene) - before);
        return Err(Failure::new(expected, got).hint(hints::LIAR).into());
    }
    Ok(())
}
