//! TCPServer (Kurose & Ross 2.7.2). [3] is row 3 of the table in docs/uppercase.md.

use std::io::{Read, Write};
use std::process::ExitCode;

use socket2::{Domain, Socket, Type};
use tcp_upper::{cannot, decode, exit_code, local_addr, next_client, serve, server_args, silent};

fn main() -> ExitCode {
    exit_code(run()) // [3]
}

fn run() -> anyhow::Result<()> {
    let (address, timeout) = server_args()?; // [1]
    let welcoming =
        Socket::new(Domain::IPV4, Type::STREAM, None).map_err(cannot("create", "a socket"))?; // [3]
    welcoming.bind(&address.into()).map_err(cannot("bind TCP", address))?; // [3]
    welcoming.listen(1).map_err(cannot("listen on TCP", address))?; // [3]
    eprintln!("listening on {}", local_addr(&welcoming)?);
    println!("The server is ready to receive");
    let mut buffer = [0; 1024];
    loop {
        let (mut connection, client) = next_client(timeout, || welcoming.accept())?; // [12] [13]
        serve(client, || {
            let length = connection.read(&mut buffer).map_err(silent(timeout))?; // [13]
            let reply = decode(&buffer[..length])?.to_uppercase(); // [5]
            connection.write_all(reply.as_bytes()).map_err(cannot("send", "the reply")) // [3]
        }); // [14]
    }
}
