//! Lab 2, Streams, second part: messages in a stream, which the book leaves to the reader.
//!
//! `PROGRAM framed-server PORT`: a message is its length in 4 bytes, big-endian, and then as many
//! bytes of text.

use std::thread;
use std::time::Duration;

use crate::check::{ANSWER, Check, Context, Failure, Server, Stop, show};
use crate::hints;
use crate::lab::streams::{how, open};
use crate::lab::texts::{words, words_with_umlaut};
use crate::sockets::{End, Tcp};

const SECTION: &str = "Kurose & Ross 2.7.2 and 3.5";

/// The longest message that a server must answer.
const LONGEST: u32 = 65_536;

/// The bytes of the length.
const PREFIX: usize = 4;

#[rustfmt::skip]
pub(crate) const CHECKS: &[Check] = &[
    Check::new("message", 1, SECTION, "the framed server answers a message with a message in upper case", message),
    Check::new("cuts", 3, SECTION, "a message may arrive cut at any byte", cuts),
    Check::new("together", 2, SECTION, "messages that arrive together are all answered, in order", together),
    Check::new("empty-message", 1, SECTION, "an empty message is answered by an empty one", empty_message),
    Check::new("longest", 1, SECTION, "a message of 65,536 bytes is answered in full", longest),
    Check::new("oversize", 1, SECTION, "the server closes the connection when a message is longer", oversize),
    Check::new("two-clients", 1, "Kurose & Ross 2.7.2", "a client that pauses in the middle of a message does not hold up the others", two_clients),
    Check::new("half-close", 1, SECTION, "what a client sent before it closed its sending side is answered", half_close),
    Check::new("leaves", 1, SECTION, "the server survives clients that leave in the middle of a message", leaves),
];

fn message(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut server = context.server(&["framed-server"], &[])?;
    let mut connection = open(context, &mut server)?;
    for _ in 0..2 {
        // The length counts bytes, not characters.
        let text = words_with_umlaut(&mut context.rng);
        connection.send(&framed(&text), context.within(ANSWER))?;
        answer(context, &mut server, &mut connection, &text, hints::BIG_ENDIAN)?;
    }
    Ok(())
}

fn cuts(context: &mut Context<'_>) -> Result<(), Stop> {
    /// Long enough for the server to receive the first part alone.
    const PAUSE: Duration = Duration::from_millis(15);
    let mut server = context.server(&["framed-server"], &[])?;
    let mut connection = open(context, &mut server)?;
    let text = words(&mut context.rng);
    let bytes = framed(&text);
    for cut in 1..bytes.len() {
        let (first, rest) = bytes.split_at(cut);
        connection.send(first, context.within(ANSWER))?;
        thread::sleep(PAUSE);
        connection.send(rest, context.within(ANSWER))?;
        let hint = hints::STREAM_HAS_NO_MESSAGES;
        answer(context, &mut server, &mut connection, &text, hint).map_err(|stop| {
            let how =
                format!("the message was sent in two parts of {cut} and {} bytes", rest.len());
            explain(stop, &how)
        })?;
    }
    for byte in &bytes {
        connection.send(&[*byte], context.within(ANSWER))?;
        thread::sleep(PAUSE);
    }
    answer(context, &mut server, &mut connection, &text, hints::STREAM_HAS_NO_MESSAGES)
        .map_err(|stop| explain(stop, "the message was sent byte by byte"))
}

fn together(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut server = context.server(&["framed-server"], &[])?;
    let mut connection = open(context, &mut server)?;
    let texts = [(); 3].map(|()| words(&mut context.rng));
    let bytes: Vec<u8> = texts.iter().flat_map(|text| framed(text)).collect();
    connection.send(&bytes, context.within(ANSWER))?;
    for (number, text) in (1..).zip(&texts) {
        answer(context, &mut server, &mut connection, text, hints::KEEP_THE_REST).map_err(
            |stop| explain(stop, &format!("message {number} of 3, all sent with one send")),
        )?;
    }
    Ok(())
}

fn empty_message(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut server = context.server(&["framed-server"], &[])?;
    let mut connection = open(context, &mut server)?;
    connection.send(&framed(""), context.within(ANSWER))?;
    answer(context, &mut server, &mut connection, "", hints::EMPTY_MESSAGE)?;
    connection.send(&framed("and on"), context.within(ANSWER))?;
    answer(context, &mut server, &mut connection, "and on", hints::EMPTY_MESSAGE)
}

fn longest(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut server = context.server(&["framed-server"], &[])?;
    let mut connection = open(context, &mut server)?;
    let text: String = (0..LONGEST).map(|_| context.rng.lowercase()).collect();
    connection.send(&framed(&text), context.within(ANSWER))?;
    answer(context, &mut server, &mut connection, &text, hints::SEND_ALL)
}

fn oversize(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut server = context.server(&["framed-server"], &[])?;
    for length in [LONGEST + 1, u32::MAX] {
        let mut connection = open(context, &mut server)?;
        connection.send(&length.to_be_bytes(), context.within(ANSWER))?;
        let received = connection.receive(1, context.within(ANSWER))?;
        if received.bytes.is_empty() && received.end != End::Silent {
            continue;
        }
        let expected = format!("the connection is closed after the length {length}, without data");
        let got = format!("{}, then {}", show(&received.bytes), how(received.end));
        return Err(Failure::new(expected, got).hint(hints::CHECK_THE_LENGTH).into());
    }
    still_serves(context, &mut server, hints::SERVE_AGAIN)
}

fn two_clients(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut server = context.server(&["framed-server"], &[])?;
    let text = words(&mut context.rng);
    let bytes = framed(&text);
    let (first, rest) = bytes.split_at(bytes.len() - 1);
    let mut slow = open(context, &mut server)?;
    slow.send(first, context.within(ANSWER))?;
    still_serves(context, &mut server, hints::ONE_AT_A_TIME)?;
    slow.send(rest, context.within(ANSWER))?;
    answer(context, &mut server, &mut slow, &text, hints::ONE_AT_A_TIME)
}

fn half_close(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut server = context.server(&["framed-server"], &[])?;
    let mut connection = open(context, &mut server)?;
    let text = words(&mut context.rng);
    connection.send(&framed(&text), context.within(ANSWER))?;
    connection.half_close()?;
    answer(context, &mut server, &mut connection, &text, hints::HALF_CLOSE)?;
    let received = connection.receive(1, context.within(ANSWER))?;
    if received.end == End::Closed {
        return Ok(());
    }
    let expected = "the server closes the connection after the last answer";
    let got = format!("{}, then {}", show(&received.bytes), how(received.end));
    Err(Failure::new(expected, got).hint(hints::HALF_CLOSE).into())
}

fn leaves(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut server = context.server(&["framed-server"], &[])?;
    let bytes = framed("a message that does not arrive");
    for sent in [&bytes[..2], &bytes[..PREFIX], &bytes[..20]] {
        let mut closes = open(context, &mut server)?;
        closes.send(sent, context.within(ANSWER))?;
        drop(closes);
        let mut resets = open(context, &mut server)?;
        resets.send(sent, context.within(ANSWER))?;
        resets.reset()?;
    }
    still_serves(context, &mut server, hints::ONE_STRANGER)
}

fn framed(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("texts of checks are short");
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// A new client is served.
fn still_serves(
    context: &mut Context<'_>,
    server: &mut Server,
    hint: &'static str,
) -> Result<(), Stop> {
    let text = words(&mut context.rng);
    let mut connection = open(context, server)?;
    connection.send(&framed(&text), context.within(ANSWER))?;
    answer(context, server, &mut connection, &text, hint)
        .map_err(|stop| explain(stop, "another client"))
}

/// Receives the answer to a text and compares it.
fn answer(
    context: &Context<'_>,
    server: &mut Server,
    connection: &mut Tcp,
    text: &str,
    hint: &'static str,
) -> Result<(), Stop> {
    let expected = framed(&text.to_uppercase());
    let received = connection.receive(expected.len(), context.within(ANSWER))?;
    if received.bytes == expected {
        return Ok(());
    }
    let mut got = show(&received.bytes);
    if received.end != End::Complete {
        got = format!("{got}, then {}; {}", how(received.end), server.state()?);
    }
    Err(Failure::new(show(&expected), got).hint(hint).into())
}

/// Puts before what was expected how it was asked for.
fn explain(stop: Stop, how: &str) -> Stop {
    match stop {
        Stop::Failed(failure) => {
            Stop::Failed(Failure { expected: format!("{how}: {}", failure.expected), ..failure })
        }
        Stop::Grader(error) => Stop::Grader(error),
    }
}
