//! What the TCP pair adds to the listings of Kurose & Ross 2.7.2, one function for each addition.
//!
//! The number in brackets is a row of the table "What differs, and why" in docs/uppercase.md.
//! udp-upper repeats a few of these functions, so that each pair can be read on its own.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, ensure};
use clap::Parser;
use socket2::{SockAddr, Socket};

/// Answer each connection once, in upper case, forever
#[derive(Parser)]
#[command(version, after_help = "Example: server --port 12000")]
struct ServerArgs {
    /// IPv4 address to listen at; 0.0.0.0 is every address of this machine
    #[arg(long, value_name = "ADDR", default_value_t = Ipv4Addr::UNSPECIFIED)]
    bind: Ipv4Addr,
    /// TCP port; 0 lets the system choose
    #[arg(long, default_value_t = 12000)]
    port: u16,
    /// How long a client may stay silent while the others wait, such as 30s or 5m
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// Send one line to the TCP uppercase server and print its reply
#[derive(Parser)]
#[command(version, after_help = "Example: client localhost --port 12000")]
struct ClientArgs {
    /// Name or IPv4 address of the server
    #[arg(default_value = "localhost")]
    host: String,
    /// TCP port of the server
    #[arg(long, default_value_t = 12000)]
    port: u16,
}

/// \[1\] The address to listen at, and how long a client may stay silent.
pub fn server_args() -> Result<(SocketAddrV4, Duration)> {
    let ServerArgs { bind, port, timeout } = ServerArgs::parse();
    ensure!(!timeout.is_zero(), "a timeout of 0s would close every connection unheard");
    Ok((SocketAddrV4::new(bind, port), timeout))
}

/// \[1\] The address of the server.
pub fn client_args() -> Result<SocketAddr> {
    let ClientArgs { host, port } = ClientArgs::parse();
    // [2] The server listens on IPv4 only, and `localhost` may stand for ::1 first.
    (host.as_str(), port)
        .to_socket_addrs()
        .with_context(|| format!("look up {host}"))?
        .find(SocketAddr::is_ipv4)
        .with_context(|| format!("{host} has no IPv4 address"))
}

/// \[3\] Prints the error that ended the program.
pub fn exit_code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// \[3\] For `map_err`: adds to the system's error what was being done, and to what.
pub fn cannot(action: &str, object: impl Display) -> impl FnOnce(io::Error) -> Error {
    move |error| Error::new(error).context(format!("{action} {object}"))
}

/// \[4\] Python's `input`: prompts, and returns one line without its end.
pub fn input(prompt: &str) -> Result<String> {
    print!("{prompt}");
    io::stdout().flush()?;
    let mut line = String::new();
    let length = io::stdin().read_line(&mut line).context("read a line")?;
    ensure!(length > 0, "no line to send: the input is at its end");
    let text = line.strip_suffix('\n').unwrap_or(&line);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// \[5\] The text in what was received.
pub fn decode(received: &[u8]) -> Result<&str> {
    str::from_utf8(received).context("not UTF-8")
}

/// \[12\] Accepts until a client is there; only an error of the welcoming socket ends that.
/// \[13\] The client may then stay silent for `timeout`.
pub fn next_client(
    timeout: Duration,
    mut accept: impl FnMut() -> io::Result<(Socket, SockAddr)>,
) -> Result<(TcpStream, SocketAddr)> {
    loop {
        let (connection, client) = match accept() {
            Ok((connection, client)) => (TcpStream::from(connection), socket_address(&client)),
            Err(error) if concerns_one_client(&error) => continue,
            Err(error) => return Err(error).context("accept a connection"),
        };
        match connection.set_read_timeout(Some(timeout)) {
            Ok(()) => return Ok((connection, client)),
            Err(error) => eprintln!("{client}: set the timeout: {error}; closed"),
        }
    }
}

/// Whether the next accept may still succeed: a client disconnected before we accepted it. Systems
/// differ in what they call that; Wine says that it is not connected.
fn concerns_one_client(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | NotConnected | Interrupted)
}

/// Where `welcoming` listens: `bind` with port 0 lets the system choose.
pub fn local_addr(welcoming: &Socket) -> io::Result<SocketAddr> {
    welcoming.local_addr().map(|address| socket_address(&address))
}

fn socket_address(address: &SockAddr) -> SocketAddr {
    address.as_socket().expect("a socket for IPv4 has IPv4 addresses")
}

/// \[13\] For `map_err`: tells a client that stayed silent from a receive that failed.
pub fn silent(timeout: Duration) -> impl FnOnce(io::Error) -> Error {
    // A timeout of the socket is WouldBlock on Unix, TimedOut on Windows.
    move |error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            anyhow!("sent nothing within {}", humantime::format_duration(timeout))
        }
        _ => Error::new(error).context("receive the sentence"),
    }
}

/// \[14\] Reports an error of one connection; the server goes on with the next.
pub fn serve(client: SocketAddr, answer: impl FnOnce() -> Result<()>) {
    if let Err(error) = answer() {
        eprintln!("{client}: {error:#}; closed");
    }
}

/// \[15\] Nothing was sent: without this sign that nothing will be, both sides wait forever.
pub fn end_if_empty(sentence: &str, connection: &TcpStream) -> Result<()> {
    if sentence.is_empty() {
        connection.shutdown(Shutdown::Write).context("end the empty sentence")?;
    }
    Ok(())
}

/// \[16\] Nothing is a reply to an empty sentence only.
pub fn check_reply(length: usize, sentence: &str, server: SocketAddr) -> Result<()> {
    ensure!(length > 0 || sentence.is_empty(), "{server} closed the connection without a reply");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_disconnects_before_accept_does_not_end_the_service() {
        use ErrorKind::{ConnectionAborted, ConnectionReset, NotConnected, OutOfMemory};
        let failures = [ConnectionAborted, ConnectionReset, NotConnected, OutOfMemory];
        let mut results = failures.map(io::Error::from).into_iter();
        let accept = || Err(results.next().expect("the last error ends it"));
        let error = next_client(Duration::from_secs(1), accept).expect_err("nobody connects");
        let said = format!("accept a connection: {}", io::Error::from(OutOfMemory));
        assert_eq!(format!("{error:#}"), said);
    }
}
