//! UDPClient (Kurose & Ross 2.7.1): sends one line in one datagram and prints the one that returns.
//!
//! docs/uppercase.md lays it beside docs/python/udp_client.py, call by call.

use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;

/// Send one line to the UDP uppercase server and print its reply
#[derive(Parser)]
#[command(version, after_help = "Example: client localhost --port 12000")]
struct Args {
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

/// What one IPv4 packet carries: 65535 bytes less its own header (20) and UDP's (8).
const MAX_MESSAGE: usize = 65_507;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    // The server listens on IPv4 only, and `localhost` may stand for ::1 first.
    let server = (args.host.as_str(), args.port)
        .to_socket_addrs()
        .with_context(|| format!("look up {}", args.host))?
        .find(SocketAddr::is_ipv4)
        .with_context(|| format!("{} has no IPv4 address", args.host))?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("bind a UDP port")?;
    socket.set_read_timeout(Some(args.timeout)).context("set the timeout")?;

    let message = input("Input lowercase sentence:")?;
    let length = message.len();
    ensure!(length <= MAX_MESSAGE, "{length} bytes: one datagram carries at most {MAX_MESSAGE}");
    socket
        .send_to(message.as_bytes(), server)
        .with_context(|| format!("send {length} bytes to {server}"))?;

    let mut buffer = [0; 2048];
    let (length, from) =
        socket.recv_from(&mut buffer).map_err(|error| no_reply(error, server, args.timeout))?;
    if from != server {
        // Not refused: a server with several addresses may answer from another than we asked.
        eprintln!("the reply is from {from}, the message went to {server}");
    }
    println!("{}", String::from_utf8_lossy(&buffer[..length]));
    Ok(())
}

/// Python's `input`: prompts, and returns one line without its end.
fn input(prompt: &str) -> Result<String> {
    print!("{prompt}");
    io::stdout().flush()?;
    let mut line = String::new();
    let length = io::stdin().read_line(&mut line).context("read a line")?;
    ensure!(length > 0, "no line to send: the input is at its end");
    let text = line.strip_suffix('\n').unwrap_or(&line);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn no_reply(error: io::Error, server: SocketAddr, timeout: Duration) -> anyhow::Error {
    // A timeout of the socket is WouldBlock on Unix, TimedOut on Windows.
    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
        let timeout = humantime::format_duration(timeout);
        return anyhow!("no reply from {server} within {timeout}: no server, or a lost datagram");
    }
    anyhow!(error).context(format!("receive the reply of {server}"))
}
