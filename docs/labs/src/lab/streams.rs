//! Lab 2, Streams, first part: the TCP pair of Kurose & Ross 2.7.2.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use crate::check::{ANSWER, Check, Context, Failure, START, Server, Stop, show};
use crate::hints;
use crate::lab::client::{self, PATIENCE};
use crate::lab::texts::{reply, words, words_with_umlaut};
use crate::process::Running;
use crate::sockets::{self, End, Tcp, accept, connect};

const SECTION: &str = "Kurose & Ross 2.7.2";

#[rustfmt::skip]
pub(crate) const CHECKS: &[Check] = &[
    Check::new("sentence", 2, SECTION, "the server answers a sentence in upper case", sentence),
    Check::new("next-client", 1, SECTION, "the server serves one client after another, even after one that sends nothing", next_client),
    Check::new("client-sends", 1, SECTION, "the client connects and sends the sentence", client_sends),
    Check::new("client-prints", 2, SECTION, "the client prints the reply", client_prints),
    Check::new("no-server", 1, SECTION, "a client that cannot connect exits with a message", no_server),
    Check::new("no-reply", 1, SECTION, "the client notices that the server closed without a reply", no_reply),
];

fn sentence(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut server = context.server(&["server"], &[])?;
    let text = words_with_umlaut(&mut context.rng);
    exchange(context, &mut server, &text, hints::DECODE_BEFORE_UPPER)
}

fn next_client(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut server = context.server(&["server"], &[])?;
    let [first, second, third, fourth] = [(); 4].map(|()| words(&mut context.rng));
    exchange(context, &mut server, &first, hints::SERVE_AGAIN)?;
    exchange(context, &mut server, &second, hints::SERVE_AGAIN)?;
    // This one leaves before it has sent anything, and the next one crashes.
    drop(open(context, &mut server)?);
    exchange(context, &mut server, &third, hints::SERVE_AGAIN)?;
    open(context, &mut server)?.reset()?;
    exchange(context, &mut server, &fourth, hints::SERVE_AGAIN)
}

fn client_sends(context: &mut Context<'_>) -> Result<(), Stop> {
    let line = words(&mut context.rng);
    let (_client, mut connection, _) = accept_client(context, &line)?;
    let got = receive_sentence(context, &mut connection, &line)?;
    if got == line.as_bytes() {
        return Ok(());
    }
    Err(Failure::new(show(line.as_bytes()), show(&got)).into())
}

fn client_prints(context: &mut Context<'_>) -> Result<(), Stop> {
    let (line, reply) = (words(&mut context.rng), reply(&mut context.rng));
    let (mut client, mut connection, _) = accept_client(context, &line)?;
    receive_sentence(context, &mut connection, &line)?;
    connection.send(format!("{reply}\n").as_bytes(), context.within(ANSWER))?;
    drop(connection);
    client::prints(&mut client, &reply, context.within(ANSWER))
}

fn no_server(context: &mut Context<'_>) -> Result<(), Stop> {
    let line = words(&mut context.rng);
    // A program that never connects would pass the rest.
    drop(accept_client(context, &line)?);
    let mut client = client::start(context, sockets::free_port()?, &line)?;
    client::gives_up(&mut client, context.within(PATIENCE), hints::SAY_IT_FAILED)
}

fn no_reply(context: &mut Context<'_>) -> Result<(), Stop> {
    let line = words(&mut context.rng);
    let (mut client, mut connection, _) = accept_client(context, &line)?;
    receive_sentence(context, &mut connection, &line)?;
    drop(connection);
    client::gives_up(&mut client, context.within(PATIENCE), hints::EMPTY_RECEIVE)
}

/// A connection to the student's server.
pub(crate) fn open(context: &Context<'_>, server: &mut Server) -> Result<Tcp, Stop> {
    if let Some(connection) = connect(server, context.within(START))? {
        return Ok(connection);
    }
    Err(server.not_ready("accepts TCP connections")?)
}

/// Connects, sends a sentence, and compares the answer.
fn exchange(
    context: &Context<'_>,
    server: &mut Server,
    text: &str,
    hint: &'static str,
) -> Result<(), Stop> {
    let mut connection = open(context, server)?;
    // The book's server wants one receive and does not ask for a line end; others read a line.
    connection.send(format!("{text}\n").as_bytes(), context.within(ANSWER))?;
    let upper = text.to_uppercase();
    let answer = connection.receive(upper.len(), context.within(ANSWER))?;
    if answer.bytes == upper.as_bytes() {
        return Ok(());
    }
    let got = match answer.end {
        End::Complete => show(&answer.bytes),
        end => format!("{}, then {}; {}", show(&answer.bytes), how(end), server.state()?),
    };
    let expected = format!("\"{upper}\" for \"{text}\"");
    Err(Failure::new(expected, got).hint(hint).into())
}

/// How a receive ended before all bytes were there, for failures.
pub(crate) fn how(end: End) -> String {
    match end {
        End::Complete => "nothing unexpected".to_owned(),
        End::Closed => "the connection was closed".to_owned(),
        End::Reset => "the connection was reset".to_owned(),
        End::Silent => format!("nothing more within {ANSWER:?}"),
    }
}

/// Starts the student's client and accepts its connection. The listener stays open until the check
/// ends.
fn accept_client(
    context: &mut Context<'_>,
    line: &str,
) -> Result<(Running, Tcp, TcpListener), Stop> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut client = client::start(context, listener.local_addr()?.port(), line)?;
    match accept(&listener, context.within(START), || client.ended())? {
        Some(connection) => Ok((client, connection, listener)),
        None => {
            let expected = format!("the client connects within {START:?} of its start");
            let got = format!("no connection; {}", client::state(&mut client)?);
            Err(Failure::new(expected, got).into())
        }
    }
}

/// What the client sends, without a line end: as much as the sentence has, and what comes at once
/// after it.
fn receive_sentence(
    context: &Context<'_>,
    connection: &mut Tcp,
    line: &str,
) -> Result<Vec<u8>, Stop> {
    const AT_ONCE: Duration = Duration::from_millis(100);
    let mut got = connection.receive(line.len(), context.within(ANSWER))?.bytes;
    got.extend(connection.receive(64, context.within(AT_ONCE))?.bytes);
    while got.last().is_some_and(|byte| b"\r\n".contains(byte)) {
        got.pop();
    }
    Ok(got)
}
