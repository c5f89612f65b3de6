//! UDPClient (Kurose & Ross 2.7.1). [3] is row 3 of the table in docs/uppercase.md.

use std::net::UdpSocket;
use std::process::ExitCode;

use udp_upper::{
    cannot, check_length, client_args, exit_code, input, no_reply, report_other_sender, unsent,
    wait_at_most,
};

fn main() -> ExitCode {
    exit_code(run()) // [3]
}

fn run() -> anyhow::Result<()> {
    let (server, timeout) = client_args()?; // [1] [2]
    let client = UdpSocket::bind("0.0.0.0:0").map_err(cannot("bind", "a UDP port"))?; // [3]
    wait_at_most(timeout, &client)?; // [9]
    let message = input("Input lowercase sentence:")?; // [4]
    check_length(&message)?; // [11]
    client.send_to(message.as_bytes(), server).map_err(unsent(&message, server))?; // [3]
    let mut buffer = [0; 2048];
    let (length, from) = client.recv_from(&mut buffer).map_err(no_reply(server, timeout))?; // [9]
    report_other_sender(from, server); // [10]
    println!("{}", String::from_utf8_lossy(&buffer[..length])); // [6]
    Ok(())
}
