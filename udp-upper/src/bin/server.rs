//! UDPServer (Kurose & Ross 2.7.1): sends each datagram back in upper case.
//!
//! docs/uppercase.md lays it beside docs/python/udp_server.py, call by call.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

/// Send each datagram back in upper case, forever
#[derive(Parser)]
#[command(version, after_help = "Example: server --port 12000")]
struct Args {
    /// IPv4 address to receive at; 0.0.0.0 is every address of this machine
    #[arg(long, value_name = "ADDR", default_value_t = Ipv4Addr::UNSPECIFIED)]
    bind: Ipv4Addr,
    /// UDP port; 0 lets the system choose
    #[arg(long, default_value_t = 12000)]
    port: u16,
}

fn main() -> ExitCode {
    let Err(error) = run(&Args::parse());
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

fn run(args: &Args) -> Result<Infallible> {
    let address = SocketAddrV4::new(args.bind, args.port);
    let socket = UdpSocket::bind(address).with_context(|| format!("bind UDP {address}"))?;
    eprintln!("listening on {}", socket.local_addr()?);
    println!("The server is ready to receive");

    let mut buffer = [0; 2048];
    loop {
        let (length, client) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if concerns_one_datagram(&error) => {
                eprintln!("receive a datagram: {error}; waiting for the next");
                continue;
            }
            Err(error) => return Err(error).context("receive a datagram"),
        };
        // Full Unicode, as Python's upper(): "straße" becomes "STRASSE".
        match str::from_utf8(&buffer[..length]) {
            Ok(message) => {
                if let Err(error) = socket.send_to(message.to_uppercase().as_bytes(), client) {
                    eprintln!("{client}: reply not sent: {error}");
                }
            }
            Err(error) => eprintln!("{client}: not UTF-8 ({error}); dropped"),
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
