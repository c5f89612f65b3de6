//! TCPClient (Kurose & Ross 2.7.2). [3] is row 3 of the table in docs/uppercase.md.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;

use tcp_upper::{cannot, check_reply, client_args, end_if_empty, exit_code, input};

fn main() -> ExitCode {
    exit_code(run()) // [3]
}

fn run() -> anyhow::Result<()> {
    let server = client_args()?; // [1] [2]
    let mut client = TcpStream::connect(server).map_err(cannot("connect to", server))?; // [3]
    let sentence = input("Input lowercase sentence:")?; // [4]
    client.write_all(sentence.as_bytes()).map_err(cannot("send to", server))?; // [3]
    end_if_empty(&sentence, &client)?; // [15]
    let mut buffer = [0; 1024];
    let length = client.read(&mut buffer).map_err(cannot("receive the reply of", server))?; // [3]
    check_reply(length, &sentence, server)?; // [16]
    println!("From Server: {}", String::from_utf8_lossy(&buffer[..length])); // [6]
    Ok(())
}
