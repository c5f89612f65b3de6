//! What the UDP pair adds to the listings of Kurose & Ross 2.7.1, one function for each addition.
//!
//! The number in brackets is a row of the table "What differs, and why" in docs/uppercase.md.
//! tcp-upper repeats a few of these functions, so that each pair can be read on its own.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, ensure};
use clap::Parser;

/// Send each datagram back in upper case, forever
#[derive(Parser)]
#[command(version, after_help = "Example: server --port 12000")]
struct ServerArgs {
    /// IPv4 address to receive at; 0.0.0.0 is every address of this machine
    #[arg(long, value_name = "ADDR", default_value_t = Ipv4Addr::UNSPECIFIED)]
    bind: Ipv4Addr,
    /// UDP port; 0 lets the system choose
    #[arg(long, default_value_t = 12000)]
    port: u16,
}

/// Send one line to the UDP uppercase server and print its reply
#[derive(Parser)]
#[command(version, after_help = "Example: client localhost --port 12000")]
struct ClientArgs {
    /// Name or IPv4 address of the server
    #[arg(default_value = "localhost")]
    host: String,
    /// UDP port of the server
    #[arg(long, default_value_t = 12000)]
    port: u16,
    /// How long to wait for the reply, such as 500ms or 2s
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// \[1\] The address to receive at.
pub fn server_args() -> SocketAddrV4 {
    let args = ServerArgs::parse();
    SocketAddrV4::new(args.bind, args.port)
}

/// \[1\] The address of the server, and how long to wait for its reply.
pub fn client_args() -> Result<(SocketAddr, Duration)> {
    let ClientArgs { host, port, timeout } = ClientArgs::parse();
    // [2] The server receives on IPv4 only, and `localhost` may stand for ::1 first.
    let server = (host.as_str(), port)
        .to_socket_addrs()
        .with_context(|| format!("look up {host}"))?
        .find(SocketAddr::is_ipv4)
        .with_context(|| format!("{host} has no IPv4 address"))?;
    Ok((server, timeout))
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

/// \[5\] The text in a datagram, or `None` if it is not UTF-8.
pub fn decode(datagram: &[u8], client: SocketAddr) -> Option<&str> {
    str::from_utf8(datagram)
        .inspect_err(|error| eprintln!("{client}: not UTF-8 ({error}); dropped"))
        .ok()
}

/// \[7\] Receives until a datagram comes; only an error of the socket itself ends that.
pub fn next_datagram<T>(mut receive: impl FnMut() -> io::Result<T>) -> Result<T> {
    loop {
        match receive() {
            Err(error) if concerns_one_datagram(&error) => {
                eprintln!("receive a datagram: {error}; waiting for the next");
            }
            received => return received.context("receive a datagram"),
        }
    }
}

/// Whether the next receive may go well all the same. Windows reports as errors of the receive what
/// became of an earlier reply (its client is gone) and a datagram longer than the buffer.
fn concerns_one_datagram(error: &io::Error) -> bool {
    const WSAEMSGSIZE: i32 = 10040;
    const WSAENETRESET: i32 = 10052; // and 10054, which std knows as ConnectionReset
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::Interrupted)
        || cfg!(windows) && matches!(error.raw_os_error(), Some(WSAEMSGSIZE | WSAENETRESET))
}

/// \[8\] Reports a reply that was not sent; the other clients are served all the same.
pub fn report_unsent(sent: io::Result<usize>, client: SocketAddr) {
    if let Err(error) = sent {
        eprintln!("{client}: reply not sent: {error}");
    }
}

/// \[3\] For `map_err`, as `cannot`: the length may be why the system refused to send.
pub fn unsent(message: &str, server: SocketAddr) -> impl FnOnce(io::Error) -> Error {
    let bytes = message.len();
    move |error| Error::new(error).context(format!("send {bytes} bytes to {server}"))
}

/// \[9\] Lets a receive end after `timeout`.
pub fn wait_at_most(timeout: Duration, socket: &UdpSocket) -> Result<()> {
    socket.set_read_timeout(Some(timeout)).context("set the timeout")
}

/// \[9\] For `map_err`: tells a receive that took too long from one that failed.
pub fn no_reply(server: SocketAddr, timeout: Duration) -> impl FnOnce(io::Error) -> Error {
    // A timeout of the socket is WouldBlock on Unix, TimedOut on Windows.
    move |error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            let timeout = humantime::format_duration(timeout);
            anyhow!("no reply from {server} within {timeout}: no server, or a lost datagram")
        }
        _ => Error::new(error).context(format!("receive the reply of {server}")),
    }
}

/// \[10\] Reports a reply from another address. It is not refused: a server with several addresses
/// may answer from another than we asked.
pub fn report_other_sender(from: SocketAddr, server: SocketAddr) {
    if from != server {
        eprintln!("the reply is from {from}, the message went to {server}");
    }
}

/// \[11\] Refuses a message that no datagram carries.
pub fn check_length(message: &str) -> Result<()> {
    /// What one IPv4 packet carries: 65535 bytes less its own header (20) and UDP's (8).
    const MAX_MESSAGE: usize = 65_507;
    let length = message.len();
    ensure!(length <= MAX_MESSAGE, "{length} bytes: one datagram carries at most {MAX_MESSAGE}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_about_one_datagram_does_not_end_the_service() {
        let gone = io::Error::from(ErrorKind::ConnectionReset);
        let mut results = [Err(gone), Ok(5)].into_iter();
        let length = next_datagram(|| results.next().expect("a datagram is the last"));
        assert_eq!(length.expect("a datagram"), 5);
    }

    #[test]
    fn an_error_of_the_socket_ends_the_service() {
        let error = next_datagram::<()>(|| Err(ErrorKind::OutOfMemory.into())).expect_err("failed");
        let said = format!("receive a datagram: {}", io::Error::from(ErrorKind::OutOfMemory));
        assert_eq!(format!("{error:#}"), said);
    }
}
