//! TCPClient (Kurose & Ross 2.7.2): sends one line over a connection and prints what returns.
//!
//! docs/uppercase.md lays it beside docs/python/tcp_client.py, call by call.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;

/// Send one line to the TCP uppercase server and print its reply
#[derive(Parser)]
#[command(version, after_help = "Example: client localhost --port 12000")]
struct Args {
    /// Name or IPv4 address of the server
    #[arg(default_value = "localhost")]
    host: String,
    /// TCP port of the server
    #[arg(long, default_value_t = 12000)]
    port: u16,
}

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
    let mut socket = TcpStream::connect(server).with_context(|| format!("connect to {server}"))?;

    let sentence = input("Input lowercase sentence:")?;
    socket.write_all(sentence.as_bytes()).with_context(|| format!("send to {server}"))?;
    if sentence.is_empty() {
        // Nothing was sent: without this sign that nothing will be, both sides wait forever.
        socket.shutdown(Shutdown::Write).context("end the empty sentence")?;
    }

    let mut buffer = [0; 1024];
    let length =
        socket.read(&mut buffer).with_context(|| format!("receive the reply of {server}"))?;
    ensure!(length > 0 || sentence.is_empty(), "{server} closed the connection without a reply");
    println!("From Server: {}", String::from_utf8_lossy(&buffer[..length]));
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
