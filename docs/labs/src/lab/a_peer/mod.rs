//! Lab 7, A peer, byte by byte: the program downloads one piece from one scripted peer.
//!
//! `PROGRAM [--timeout SECONDS] TORRENT HOST PORT INDEX OUT`. Most checks unchoke at once and answer
//! every request, so that each tests one thing.

mod session;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::geometry::{BLOCK_LENGTH, Block};
use common::wire::Message;

use crate::check::{ANSWER, Check, Context, Failure, Stop, show};
use crate::hints;
use crate::peers::{Cut, What, bitfield, piece_message, raw_message};
use crate::torrent::Torrent;
use session::{END, PEER, QUIET, Session, said, start};

const BEP_3: &str = "BEP 3, peer protocol";

#[rustfmt::skip]
pub(crate) const CHECKS: &[Check] = &[
    Check::new("handshake", 2, BEP_3, "the handshake has the raw info hash, and zeros for the extensions", handshake),
    Check::new("interested-first", 1, BEP_3, "the program sends interested, and requests nothing while it is choked", interested_first),
    Check::new("whole-piece", 2, "Kurose & Ross 2.5", "a piece of many blocks is downloaded", whole_piece),
    Check::new("last-piece", 2, BEP_3, "the last piece, which is shorter and ends with a short block, is downloaded", last_piece),
    Check::new("every-cut", 2, "Kurose & Ross 2.7.2", "the stream may be cut anywhere", every_cut),
    Check::new("pipeline", 2, "Kurose & Ross 3.4.2; BEP 3, pipelining", "5 to 100 requests are in flight, each for a block, none twice", pipeline),
    Check::new("no-bitfield", 1, BEP_3, "without a bitfield, the program waits for the have", no_bitfield),
    Check::new("keep-alive-and-unknown", 1, BEP_3, "keep-alives and unknown messages are skipped", keep_alive_and_unknown),
    Check::new("choked-again", 2, BEP_3, "after a choke the program waits, then requests only what is missing", choked_again),
    Check::new("any-order", 1, BEP_3, "blocks may come in any order, even blocks that were not requested", any_order),
    Check::new("wrong-info-hash", 1, BEP_3, "a peer with another torrent or another protocol is refused", wrong_info_hash),
    Check::new("false-block", 1, BEP_3, "a piece with a wrong hash is refused, and OUT is not written", false_block),
    Check::new("bad-messages", 1, BEP_3, "absurd lengths, sizes and indices are refused", bad_messages),
    Check::new("gives-up", 1, "Kurose & Ross 2.7.2", "the program gives up when nothing useful comes", gives_up),
];

/// Three pieces of this many blocks each, the last one shorter; the one in the middle is downloaded.
fn torrent(context: &mut Context<'_>, blocks: u32) -> Rc<Torrent> {
    let piece = blocks * BLOCK_LENGTH;
    let length = 2 * piece + piece / 2 + 1;
    Rc::new(Torrent::new(&mut context.rng, length as usize, piece))
}

const MIDDLE: u32 = 1;

fn handshake(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 2);
    let session = start(context, Rc::clone(&torrent), MIDDLE, &[])?;
    let (protocol, rest) = session.handshake.split_at(20);
    let (reserved, rest) = rest.split_at(8);
    let info_hash = &rest[..20];
    for (what, expected, got) in [
        ("the name of the protocol", &b"\x13BitTorrent protocol"[..], protocol),
        ("eight bytes for extensions", &[0; 8][..], reserved),
        ("the info hash", &torrent.info_hash.0[..], info_hash),
    ] {
        if expected != got {
            let expected = format!("{what}: {}", show(expected));
            return Err(Failure::new(expected, show(got)).hint(hints::HANDSHAKE).into());
        }
    }
    Ok(())
}

fn interested_first(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 2);
    let mut session = start(context, torrent, MIDDLE, &[])?;
    session.peers.greet(PEER, 0..3);
    let mut interested = false;
    let mut time = ANSWER;
    while let Some(what) = session.next(time)? {
        match what {
            What::Message(Message::Interested) => interested = true,
            What::Message(Message::NotInterested) => interested = false,
            What::Message(Message::Request(_)) | What::Ended => {
                let expected = "the program waits for the unchoke";
                return Err(Failure::new(expected, said(&what)).hint(hints::CHOKED).into());
            }
            _ => {}
        }
        time = QUIET;
    }
    if !interested {
        let got = format!("nothing within {ANSWER:?}");
        return Err(Failure::new("the message interested", got).hint(hints::INTERESTED).into());
    }
    session.peers.say(PEER, &[Message::Unchoke]);
    if session.requests()?.is_empty() {
        return Err(Failure::new("requests after the unchoke", "none").into());
    }
    Ok(())
}

fn whole_piece(context: &mut Context<'_>) -> Result<(), Stop> {
    // No multiple of the block: every piece ends with a short one.
    let piece = 23 * BLOCK_LENGTH + context.rng.u32(1..BLOCK_LENGTH);
    let length = 3 * piece as usize - 5;
    let torrent = Rc::new(Torrent::new(&mut context.rng, length, piece));
    let mut session = start(context, torrent, MIDDLE, &[])?;
    session.open();
    session.serve()?;
    session.judge_piece(hints::BLOCKS)
}

fn last_piece(context: &mut Context<'_>) -> Result<(), Stop> {
    let piece = 8 * BLOCK_LENGTH;
    let length = 2 * piece + 4 * BLOCK_LENGTH + context.rng.u32(1..BLOCK_LENGTH);
    let torrent = Rc::new(Torrent::new(&mut context.rng, length as usize, piece));
    let mut session = start(context, torrent, 2, &[])?;
    session.open();
    session.serve()?;
    session.judge_piece(hints::LAST_PIECE)
}

fn every_cut(context: &mut Context<'_>) -> Result<(), Stop> {
    // One byte at a time, from the first to the last.
    let small = Rc::new(Torrent::new(&mut context.rng, 512, 512));
    let rng = context.rng.fork();
    let mut session = start(context, small, 0, &[])?;
    session.peers.cut(PEER, Cut::Head(usize::MAX, rng));
    session.open();
    session.serve()?;
    session.judge_piece(hints::STREAM_HAS_NO_MESSAGES)?;

    // After each byte up to the block, and inside of the block.
    let torrent = torrent(context, 8);
    let rng = context.rng.fork();
    let mut session = start(context, Rc::clone(&torrent), MIDDLE, &[])?;
    session.peers.cut(PEER, Cut::Head(Message::PIECE_HEAD + 1, rng));
    session.open();
    session.serve()?;
    session.judge_piece(hints::STREAM_HAS_NO_MESSAGES)?;

    // The handshake and the first messages in one write, then all blocks in one.
    let mut session = start(context, Rc::clone(&torrent), MIDDLE, &[])?;
    let mut bytes = session.peers.handshake(PEER, torrent.info_hash).encode().to_vec();
    bitfield(&torrent, 0..3).encode(&mut bytes);
    Message::Unchoke.encode(&mut bytes);
    session.peers.send(PEER, &bytes);
    loop {
        let requests = session.requests()?;
        if requests.is_empty() {
            return session.judge_piece(hints::KEEP_THE_REST);
        }
        let messages = requests.iter().map(|block| piece_message(*block, torrent.bytes(*block)));
        session.peers.send(PEER, &messages.collect::<Vec<_>>().concat());
    }
}

fn pipeline(context: &mut Context<'_>) -> Result<(), Stop> {
    const LEAST: usize = 5;
    const MOST: usize = 100;
    let torrent = torrent(context, 120);
    let mut session = start(context, Rc::clone(&torrent), MIDDLE, &[])?;
    session.open();
    let mut missing = torrent.geometry.block_count(torrent.piece(MIDDLE)) as usize;
    let mut requested = BTreeSet::new();
    let mut in_flight = session.requests()?;
    let mut new = in_flight.clone();
    loop {
        for block in new.drain(..) {
            if block.piece().get() != MIDDLE || !requested.insert(block) {
                let why = if block.piece().get() == MIDDLE { "again" } else { "of another piece" };
                let got = format!("a request for {} at {}, {why}", block.length(), block.begin());
                let expected = format!("each block of piece {MIDDLE} is requested once");
                return Err(Failure::new(expected, got).hint(hints::REQUESTED_TWICE).into());
            }
        }
        let least = LEAST.min(missing);
        if !(least..=MOST).contains(&in_flight.len()) {
            let expected =
                format!("{least} to {MOST} requests in flight while {missing} blocks are missing");
            let got = in_flight.len().to_string();
            return Err(Failure::new(expected, got).hint(hints::PIPELINE).into());
        }
        if missing == 0 {
            return session.judge_piece(hints::BLOCKS);
        }
        session.peers.send_block(PEER, in_flight.remove(0));
        missing -= 1;
        // The request that takes its place, if one is needed to have enough.
        while in_flight.len() < LEAST.min(missing)
            && let Some(what) = session.next(Duration::from_secs(1))?
        {
            if let What::Message(Message::Request(block)) = what {
                in_flight.push(block);
                new.push(block);
            }
        }
    }
}

fn no_bitfield(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 4);
    let mut session = start(context, Rc::clone(&torrent), MIDDLE, &[])?;
    session.peers.shake_hands(PEER, torrent.info_hash);
    session.peers.say(PEER, &[Message::Unchoke]);
    for has in ["no piece", "another piece"] {
        if let [block, ..] = session.unwanted_requests()?[..] {
            let expected = format!("no request while the peer has announced {has}");
            let got = format!("a request for piece {}", block.piece());
            return Err(Failure::new(expected, got).hint(hints::HAVES).into());
        }
        let next = if has == "no piece" { MIDDLE - 1 } else { MIDDLE };
        session.peers.say(PEER, &[Message::Have(torrent.piece(next))]);
    }
    session.serve()?;
    session.judge_piece(hints::HAVES)
}

fn keep_alive_and_unknown(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 4);
    let mut session = start(context, Rc::clone(&torrent), MIDDLE, &[])?;
    // BEP 10's handshake, BEP 6's allowed fast, BEP 5's port, and a number that nobody uses.
    let strange = [
        vec![0; 4],
        raw_message(20, b"\x00d1:md11:ut_metadatai1eee"),
        raw_message(17, &0_u32.to_be_bytes()),
        raw_message(9, &6881_u16.to_be_bytes()),
        raw_message(200, &[0xff; 3000]),
        raw_message(21, &[]),
    ]
    .concat();
    session.peers.shake_hands(PEER, torrent.info_hash);
    session.peers.send(PEER, &strange);
    session.peers.say(PEER, &[bitfield(&torrent, 0..3), Message::Unchoke]);
    session.serve_with([].into(), |peers, block| {
        peers.send(PEER, &strange);
        peers.send_block(PEER, block);
    })?;
    session.judge_piece(hints::UNKNOWN_MESSAGES)
}

fn choked_again(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 16);
    let mut session = start(context, Rc::clone(&torrent), MIDDLE, &[])?;
    session.open();
    let requests = session.requests()?;
    let Some(first) = requests.get(..requests.len().min(3)).filter(|first| !first.is_empty())
    else {
        return Err(Failure::new("requests after the unchoke", "none").into());
    };
    let sent: BTreeSet<Block> = first.iter().copied().collect();
    first.iter().for_each(|block| session.peers.send_block(PEER, *block));
    session.peers.say(PEER, &[Message::Choke]);
    // These may have been in flight when the choke came.
    session.unwanted_requests()?;
    if let [block, ..] = session.unwanted_requests()?[..] {
        let got = format!("a request for {} at {}", block.length(), block.begin());
        return Err(Failure::new("no request after a choke", got).hint(hints::CHOKED).into());
    }
    session.peers.say(PEER, &[Message::Unchoke]);
    let requests = session.requests()?;
    if let Some(block) = requests.iter().find(|block| sent.contains(block)) {
        let got = format!("a request for the block at {}, which was sent", block.begin());
        return Err(Failure::new("requests for missing blocks", got).hint(hints::MISSING).into());
    }
    if requests.is_empty() {
        let failure = Failure::new("requests for the missing blocks after the unchoke", "none");
        return Err(failure.hint(hints::MISSING).into());
    }
    session.serve_with(requests.into(), |peers, block| peers.send_block(PEER, block))?;
    session.judge_piece(hints::MISSING)
}

fn any_order(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 16);
    let mut rng = context.rng.fork();
    let mut session = start(context, Rc::clone(&torrent), MIDDLE, &[])?;
    session.open();
    let garbage = |index: u32, begin: u32, length: u32| {
        let block = torrent.geometry.block(index, begin, length).expect("it is in the piece");
        piece_message(block, &vec![0x55; length as usize])
    };
    loop {
        let mut requests = session.requests()?;
        if requests.is_empty() {
            return session.judge_piece(hints::ANY_ORDER);
        }
        // Not the order of the requests, which a shuffle of two may leave.
        requests.reverse();
        rng.shuffle(&mut requests[1..]);
        for block in requests {
            if block.piece().get() != MIDDLE || block.length() < 2 {
                let expected = format!("requests for the blocks of piece {MIDDLE}");
                let (piece, begin, length) = (block.piece(), block.begin(), block.length());
                let got = format!("one for {length} bytes at {begin} of piece {piece}");
                return Err(Failure::new(expected, got).hint(hints::BLOCKS).into());
            }
            // The same place of another piece, and ranges that no one requests.
            session.peers.send(PEER, &garbage(MIDDLE - 1, block.begin(), block.length()));
            session.peers.send(PEER, &garbage(MIDDLE, block.begin() + 1, block.length() - 1));
            session.peers.send_block(PEER, block);
            // And what is here already.
            session.peers.send(PEER, &garbage(MIDDLE, block.begin(), block.length()));
        }
    }
}

fn wrong_info_hash(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 2);
    let mut other = torrent.info_hash;
    other.0[19] ^= 1;
    let mut session = start(context, Rc::clone(&torrent), MIDDLE, &[])?;
    session.peers.shake_hands(PEER, other);
    serve_a_liar(&mut session)?;
    session.judge_refusal("the peer has another info hash", END, hints::OTHER_TORRENT)?;

    let mut session = start(context, Rc::clone(&torrent), MIDDLE, &[])?;
    let mut handshake = session.handshake;
    handshake[..20].copy_from_slice(b"\x13BitTorrent protocoX");
    session.peers.send(PEER, &handshake);
    serve_a_liar(&mut session)?;
    session.judge_refusal("the peer has another protocol", END, hints::OTHER_TORRENT)
}

/// The rest of a session in which the program should not take part.
fn serve_a_liar(session: &mut Session<'_, '_>) -> Result<(), Stop> {
    let all = bitfield(&session.torrent, 0..session.torrent.geometry.piece_count());
    session.peers.say(PEER, &[all, Message::Unchoke]);
    session.serve()
}

fn false_block(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 4);
    let bad = context.rng.u32(..4) * BLOCK_LENGTH;
    let mut session = start(context, torrent, MIDDLE, &[])?;
    session.open();
    let mut sent = false;
    session.serve_with([].into(), |peers, block| {
        if block.begin() == bad {
            sent = true;
            peers.send_false_block(PEER, block);
        } else {
            peers.send_block(PEER, block);
        }
    })?;
    if !sent {
        return Err(Failure::new("requests for all blocks", "none for one of them").into());
    }
    session.judge_refusal("one bit of the piece is wrong", END, hints::HASH)
}

fn bad_messages(context: &mut Context<'_>) -> Result<(), Stop> {
    let torrent = torrent(context, 2);
    for (why, message, hint) in [
        ("a message of 4 GB", vec![0xff; 4], hints::ABSURD_LENGTH),
        ("a bitfield that is too long", raw_message(5, &[0xe0, 0]), hints::SIZES),
        ("a bitfield that is too short", raw_message(5, &[]), hints::SIZES),
        ("a have of 5 bytes", raw_message(4, &[0, 0, 0, 1, 0]), hints::SIZES),
        ("a have of a piece that does not exist", raw_message(4, &[0, 0, 0, 3]), hints::SIZES),
    ] {
        let mut session = start(context, Rc::clone(&torrent), MIDDLE, &[])?;
        session.peers.shake_hands(PEER, torrent.info_hash);
        session.peers.send(PEER, &message);
        // What a peer says that goes on as if nothing had been.
        session.peers.say(PEER, &[Message::Have(torrent.piece(MIDDLE)), Message::Unchoke]);
        session.serve()?;
        // It waits as long as a program that reads on; the limit is for all of these.
        session.judge_refusal(why, Duration::from_millis(500), hint)?;
    }
    Ok(())
}

fn gives_up(context: &mut Context<'_>) -> Result<(), Stop> {
    /// The time-out that the program is given, and how much later it may end.
    const SECONDS: Duration = Duration::from_secs(3);
    const LATER: Duration = Duration::from_millis(1500);
    let torrent = torrent(context, 4);

    let mut session = start(context, Rc::clone(&torrent), MIDDLE, &["--timeout", "3"])?;
    session.open();
    let requests = session.requests()?;
    let Some(block) = requests.first() else {
        return Err(Failure::new("requests after the unchoke", "none").into());
    };
    session.peers.send_block(PEER, *block);
    session.peers.close(PEER);
    session.judge_refusal("the peer closes", LATER, hints::PEER_CLOSES)?;

    // Choked for good, with keep-alives in the second half.
    let mut session = start(context, Rc::clone(&torrent), MIDDLE, &["--timeout", "3"])?;
    session.peers.greet(PEER, 0..3);
    let began = Instant::now();
    while began.elapsed() < SECONDS + LATER {
        match session.next(Duration::from_millis(500))? {
            Some(What::Ended) => break,
            Some(_) => {}
            None => session.peers.say(PEER, &[Message::KeepAlive]),
        }
    }
    session.judge_refusal("the peer never unchokes", LATER / 3, hints::PATIENCE)
}
