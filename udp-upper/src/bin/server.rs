//! UDPServer (Kurose & Ross 2.7.1). [3] is row 3 of the table in docs/uppercase.md.

use std::net::UdpSocket;
use std::process::ExitCode;

use udp_upper::{cannot, decode, exit_code, next_datagram, report_unsent, server_args};

fn main() -> ExitCode {
    exit_code(run()) // [3]
}

fn run() -> anyhow::Result<()> {
    let address = server_args(); // [1]
    let server = UdpSocket::bind(address).map_err(cannot("bind UDP", address))?; // [3]
    eprintln!("listening on {}", server.local_addr()?);
    println!("The server is ready to receive");
    let mut buffer = [0; 2048];
    loop {
        let (length, client) = next_datagram(|| server.recv_from(&mut buffer))?; // [7]
        let Some(message) = decode(&buffer[..length], client) else { continue }; // [5]
        let reply = message.to_uppercase();
        let sent = server.send_to(reply.as_bytes(), client);
        report_unsent(sent, client); // [8]
    }
}
