//! TCPServer (Kurose & Ross 2.7.2): answers each connection once, in upper case, and closes it.
//!
//! docs/uppercase.md lays it beside docs/python/tcp_server.py, call by call.

use std::convert::Infallible;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use socket2::{Domain, Socket, Type};

/// Answer each connection once, in upper case, forever
#[derive(Parser)]
#[command(version, after_help = "Example: server --port 12000")]
struct Args {
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

fn main() -> ExitCode {
    let Err(error) = run(&Args::parse());
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

fn run(args: &Args) -> Result<Infallible> {
    ensure!(!args.timeout.is_zero(), "a timeout of 0s would close every connection unheard");
    // `TcpListener::bind` would set SO_REUSEADDR on Unix and a longer queue than listen(1).
    let address = SocketAddrV4::new(args.bind, args.port);
    let welcoming = Socket::new(Domain::IPV4, Type::STREAM, None).context("create a socket")?;
    welcoming.bind(&address.into()).with_context(|| format!("bind TCP {address}"))?;
    welcoming.listen(1).with_context(|| format!("listen on TCP {address}"))?;
    let welcoming = TcpListener::from(welcoming);
    eprintln!("listening on {}", welcoming.local_addr()?);
    println!("The server is ready to receive");

    loop {
        let (connection, client) = match welcoming.accept() {
            Ok(accepted) => accepted,
            Err(error) if concerns_one_client(&error) => continue,
            Err(error) => return Err(error).context("accept a connection"),
        };
        if let Err(error) = answer(connection, args.timeout) {
            eprintln!("{client}: {error:#}; closed");
        }
    }
}

/// Answers what one receive returns: of a longer sentence, or of one that comes in pieces, that is
/// its beginning. An empty sentence gets an empty answer.
fn answer(mut connection: TcpStream, timeout: Duration) -> Result<()> {
    connection.set_read_timeout(Some(timeout)).context("set the timeout")?;
    let mut buffer = [0; 1024];
    let length = connection.read(&mut buffer).map_err(|error| silence(error, timeout))?;
    // Full Unicode, as Python's upper(): "straße" becomes "STRASSE".
    let sentence = str::from_utf8(&buffer[..length]).context("not UTF-8")?;
    connection.write_all(sentence.to_uppercase().as_bytes()).context("send the reply")
}

fn silence(error: io::Error, timeout: Duration) -> anyhow::Error {
    // A timeout of the socket is WouldBlock on Unix, TimedOut on Windows.
    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
        return anyhow!("sent nothing within {}", humantime::format_duration(timeout));
    }
    anyhow!(error).context("receive the sentence")
}

/// Whether the next accept may still succeed: a client disconnected before we accepted it.
fn concerns_one_client(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
