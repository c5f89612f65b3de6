//! Lab 1, Datagrams: the UDP pair of Kurose & Ross 2.7.1.

use std::time::Duration;

use crate::check::{ANSWER, Check, Context, Failure, START, Server, Stop, show};
use crate::hints;
use crate::lab::client::{self, PATIENCE};
use crate::lab::texts::{reply, words};
use crate::process::Running;
use crate::sockets::Udp;

const SECTION: &str = "Kurose & Ross 2.7.1";

#[rustfmt::skip]
pub(crate) const CHECKS: &[Check] = &[
    Check::new("upper", 2, SECTION, "the server answers each text in upper case", upper),
    Check::new("unicode", 1, SECTION, "letters outside ASCII are also changed to upper case", unicode),
    Check::new("empty", 1, "Kurose & Ross 3.3", "an empty datagram is answered by an empty one", empty),
    Check::new("size", 2, SECTION, "2048 bytes are answered in full, and a longer datagram does no harm", size),
    Check::new("not-text", 1, SECTION, "the server survives bytes that are not UTF-8", not_text),
    Check::new("two-clients", 2, "Kurose & Ross 3.2", "two clients at once each get their own answers", two_clients),
    Check::new("client-sends", 2, SECTION, "the client sends the line in one datagram, without its line ending", client_sends),
    Check::new("client-prints", 2, SECTION, "the client prints the reply", client_prints),
    Check::new("no-server", 1, "Kurose & Ross 2.7.1 and 3.3", "a client without a server exits with a message", no_server),
    Check::new("wrong-sender", 1, "Kurose & Ross 3.2", "the client does not take a stranger's datagram for the reply", wrong_sender),
];

fn upper(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut server = context.udp_server("server")?;
    let client = Udp::bind()?;
    for _ in 0..10 {
        let text = words(&mut context.rng);
        exchange(context, &mut server, &client, text.as_bytes(), text.to_uppercase().as_bytes())?;
    }
    Ok(())
}

fn unicode(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut server = context.udp_server("server")?;
    let client = Udp::bind()?;
    let start = words(&mut context.rng);
    let text = format!("{start} größe straße");
    let answer = ask(context, &mut server, &client, text.as_bytes())?;
    // Unicode's full mapping, which Python, Java and Rust have, makes SS of ß. The simple mapping of
    // other languages keeps ß, or makes it the capital ẞ. All of them are upper case.
    let start = start.to_uppercase();
    let upper = |sharp: &str| format!("{start} GRÖ{sharp}E STRA{sharp}E");
    if ["SS", "ß", "ẞ"].iter().any(|sharp| upper(sharp).as_bytes() == answer) {
        return Ok(());
    }
    let expected = format!("\"{}\" for \"{text}\"", upper("SS"));
    let added = answer.trim_ascii_end().len() < answer.len();
    let hint = if added { hints::ADDED_LINE_END } else { hints::DECODE_BEFORE_UPPER };
    Err(Failure::new(expected, show(&answer)).hint(hint).into())
}

fn empty(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut server = context.udp_server("server")?;
    let client = Udp::bind()?;
    client.send(b"", server.port)?;
    match client.receive_while(context.within(ANSWER), || server.ended())? {
        Some((answer, _)) if answer.is_empty() => Ok(()),
        other => {
            let got = match other {
                Some((answer, _)) => show(&answer),
                None => no_answer(&mut server)?,
            };
            let expected = "a datagram of 0 bytes, as the answer to one of 0 bytes";
            Err(Failure::new(expected, got).hint(hints::EMPTY_DATAGRAM).into())
        }
    }
}

fn size(context: &mut Context<'_>) -> Result<(), Stop> {
    /// The buffer of the book's listing.
    const WHOLE: usize = 2048;
    /// The largest datagram that macOS sends without a change of its settings is 9216 bytes.
    const LONG: usize = 9000;
    let mut server = context.udp_server("server")?;
    let client = Udp::bind()?;
    let text: String = (0..LONG).map(|_| context.rng.lowercase()).collect();
    let upper = text.to_uppercase();
    let answer = ask(context, &mut server, &client, &text.as_bytes()[..WHOLE])?;
    if answer != upper.as_bytes()[..WHOLE] {
        let expected = format!("{WHOLE} bytes in upper case, as the answer to {WHOLE} bytes");
        return Err(Failure::new(expected, show(&answer)).hint(hints::BUFFER_TOO_SMALL).into());
    }

    // A longer one may be cut, answered whole, or dropped; the next client must be served.
    client.send(text.as_bytes(), server.port)?;
    if let Some((answer, _)) = client.receive(context.within(Duration::from_millis(200)))?
        && !(answer.len() >= WHOLE && upper.as_bytes().starts_with(&answer))
    {
        let expected = format!(
            "for a datagram of {LONG} bytes: no answer, or its first {WHOLE} bytes or more in upper \
             case"
        );
        return Err(Failure::new(expected, show(&answer)).hint(hints::BUFFER_TOO_SMALL).into());
    }
    exchange(context, &mut server, &Udp::bind()?, b"still there?", b"STILL THERE?")
}

fn not_text(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut server = context.udp_server("server")?;
    let stranger = Udp::bind()?;
    let client = Udp::bind()?;
    // A byte that is never in UTF-8; the first half of ß; an overlong encoding.
    for bytes in [&b"\xff\xfe"[..], b"stra\xc3", b"\xc0\xaf"] {
        stranger.send(bytes, server.port)?;
        let text = words(&mut context.rng);
        let asked = ask(context, &mut server, &client, text.as_bytes());
        let answer = match asked {
            Err(Stop::Failed(failure)) => {
                let expected = format!("an answer to \"{text}\" after a datagram {}", show(bytes));
                let failure = Failure { expected, ..failure };
                return Err(failure.hint(hints::ONE_STRANGER).into());
            }
            other => other?,
        };
        if answer != text.to_uppercase().as_bytes() {
            let expected = format!("\"{}\"", text.to_uppercase());
            return Err(Failure::new(expected, show(&answer)).hint(hints::ONE_STRANGER).into());
        }
    }
    Ok(())
}

fn two_clients(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut server = context.udp_server("server")?;
    let clients = [Udp::bind()?, Udp::bind()?];
    let texts = [(); 4].map(|()| words(&mut context.rng));
    // All are sent before the first answer is received; texts 0 and 2 are of client 0.
    for (index, text) in texts.iter().enumerate() {
        clients[index % 2].send(text.as_bytes(), server.port)?;
    }
    for (index, client) in clients.iter().enumerate() {
        let mut missing: Vec<_> =
            texts.iter().skip(index).step_by(2).map(|text| text.to_uppercase()).collect();
        let own = missing.join("\" and \"");
        while !missing.is_empty() {
            let got = match client.receive_while(context.within(ANSWER), || server.ended())? {
                Some((answer, _)) => {
                    // UDP does not promise the order.
                    if let Some(at) = missing.iter().position(|text| text.as_bytes() == answer) {
                        missing.remove(at);
                        continue;
                    }
                    show(&answer)
                }
                None => no_answer(&mut server)?,
            };
            let expected = format!("\"{own}\" for client {} of 2", index + 1);
            return Err(Failure::new(expected, got).hint(hints::REPLY_ADDRESS).into());
        }
    }
    Ok(())
}

fn client_sends(context: &mut Context<'_>) -> Result<(), Stop> {
    let server = Udp::bind()?;
    let line = words(&mut context.rng);
    let mut client = client::start(context, server.port()?, &line)?;
    let (request, from) = request(context, &server, &mut client, &line)?;
    server.send(line.to_uppercase().as_bytes(), from)?;
    if request == line.as_bytes() {
        return Ok(());
    }
    let got = show(&request);
    Err(Failure::new(show(line.as_bytes()), got).hint(hints::LINE_END).into())
}

fn client_prints(context: &mut Context<'_>) -> Result<(), Stop> {
    let server = Udp::bind()?;
    let (line, reply) = (words(&mut context.rng), reply(&mut context.rng));
    let mut client = client::start(context, server.port()?, &line)?;
    let (_, from) = request(context, &server, &mut client, &line)?;
    server.send(reply.as_bytes(), from)?;
    client::prints(&mut client, &reply, context.within(ANSWER))
}

fn no_server(context: &mut Context<'_>) -> Result<(), Stop> {
    // The port is open, so that the system does not tell the client that it is not.
    let silent = Udp::bind()?;
    let line = words(&mut context.rng);
    let mut client = client::start(context, silent.port()?, &line)?;
    request(context, &silent, &mut client, &line)?;
    client::gives_up(&mut client, context.within(PATIENCE), hints::NO_TIMEOUT)
}

fn wrong_sender(context: &mut Context<'_>) -> Result<(), Stop> {
    const STRANGER: &str = "FROM A STRANGER";
    let (server, stranger) = (Udp::bind()?, Udp::bind()?);
    let (line, reply) = (words(&mut context.rng), reply(&mut context.rng));
    let mut client = client::start(context, server.port()?, &line)?;
    let (_, from) = request(context, &server, &mut client, &line)?;
    stranger.send(STRANGER.as_bytes(), from)?;
    server.send(reply.as_bytes(), from)?;

    let port = stranger.port()?;
    let expected = format!(
        "the client ignores what did not come from the server, or says on stderr that the reply came \
         from port {port}"
    );
    let got = match client.wait(context.within(ANSWER))? {
        None => "it is still waiting, although the server has answered".to_owned(),
        // A server with two addresses may answer from the other one, so a client may accept what
        // came, as ours does, if it tells the user where it came from.
        Some(status) if status.success() => {
            let fooled = client.stdout().contains(STRANGER);
            if !fooled || client.stderr().text().contains(&port.to_string()) {
                return Ok(());
            }
            format!("it printed {:?}", client.stdout())
        }
        Some(status) => format!("it exited with {status}"),
    };
    Err(Failure::new(expected, got).hint(hints::OTHER_SENDER).into())
}

/// Asks the server, and compares the answer.
fn exchange(
    context: &Context<'_>,
    server: &mut Server,
    client: &Udp,
    text: &[u8],
    expected: &[u8],
) -> Result<(), Stop> {
    let answer = ask(context, server, client, text)?;
    if answer == expected {
        return Ok(());
    }
    let failure = Failure::new(show(expected), show(&answer));
    let with_line_end = answer.trim_ascii_end() == expected;
    Err(if with_line_end { failure.hint(hints::ADDED_LINE_END) } else { failure }.into())
}

/// The server's answer.
fn ask(
    context: &Context<'_>,
    server: &mut Server,
    client: &Udp,
    text: &[u8],
) -> Result<Vec<u8>, Stop> {
    client.send(text, server.port)?;
    match client.receive_while(context.within(ANSWER), || server.ended())? {
        Some((answer, _)) => Ok(answer),
        None => {
            let expected = format!("an answer to {}", show(text));
            Err(Failure::new(expected, no_answer(server)?).into())
        }
    }
}

fn no_answer(server: &mut Server) -> Result<String, Stop> {
    Ok(match server.ended()? {
        None => format!("no answer within {ANSWER:?}"),
        Some(_) => format!("no answer; {}", server.state()?),
    })
}

/// What the client sends, and its port.
fn request(
    context: &Context<'_>,
    server: &Udp,
    client: &mut Running,
    line: &str,
) -> Result<(Vec<u8>, u16), Stop> {
    if let Some(received) = server.receive_while(context.within(START), || client.ended())? {
        return Ok(received);
    }
    let expected = format!("the client sends \"{line}\" within {START:?} of its start");
    Err(Failure::new(expected, format!("no datagram; {}", client::state(client)?)).into())
}
