//! A tracker on loopback sockets, spoken to in bytes.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests of programs have files, sockets and clocks"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket,
};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::announce::http::{announce_url, decode_response};
use common::announce::udp::{Request, Response};
use common::announce::{AnnounceRequest, AnnounceResponse, Event, Family};
use common::id::{InfoHash, PeerId};
use tracker::server::{Config, Limits, Server, ServerError, StopHandle};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// How long a test waits for an answer that should come at once.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// A tracker on its own thread until the end of the test.
struct Tracker {
    addresses: Vec<SocketAddr>,
    stop: StopHandle,
    thread: Option<JoinHandle<Result<(), ServerError>>>,
}

impl Tracker {
    fn start(addresses: &[IpAddr], limits: Limits) -> Self {
        let addresses = addresses.to_vec();
        Self::with(&Config { addresses, limits, ..Config::default() })
    }

    /// Any free port instead of the one in the configuration.
    fn with(config: &Config) -> Self {
        let server = Server::bind(&Config { port: 0, ..config.clone() }).unwrap();
        let addresses = server.local_addresses().collect();
        let stop = server.stop_handle();
        Self { addresses, stop, thread: Some(std::thread::spawn(|| server.run())) }
    }

    fn v4() -> Self {
        Self::start(&[V4], Limits::default())
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addresses[0]).unwrap();
        stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        stream
    }

    /// Sends these bytes and reads the whole answer.
    fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        read_to_end(stream)
    }

    fn http(&self, address: SocketAddr, request: &AnnounceRequest) -> AnnounceResponse {
        let url = announce_url("/announce", request);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        write!(stream, "GET {url} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        let end_of_head = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        decode_response(&response[end_of_head + 4..]).unwrap()
    }

    fn udp(&self, address: SocketAddr, request: &AnnounceRequest) -> AnnounceResponse {
        let family = Family::of(address);
        let unspecified: IpAddr = match family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((unspecified, 0)).unwrap();
        socket.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        socket.connect(address).unwrap();
        let ask = |request: Request| {
            let mut buffer = [0; 2048];
            socket.send(&request.encode()).unwrap();
            let length = socket.recv(&mut buffer).unwrap();
            Response::decode(&buffer[..length], family).unwrap()
        };
        let Response::Connect { connection_id, .. } = ask(Request::Connect { transaction_id: 1 })
        else {
            panic!("a connect response");
        };
        let announce = request.clone();
        match ask(Request::Announce { connection_id, transaction_id: 2, announce }) {
            Response::Announce { transaction_id: 2, response } => response,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.stop.stop();
        let ended = self.thread.take().expect("it is taken here only").join();
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

fn read_to_end(mut stream: TcpStream) -> String {
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    String::from_utf8(response).unwrap()
}

/// As above; a reset is an end, too.
fn read_to_close(mut stream: TcpStream) -> String {
    let mut response = Vec::new();
    if let Err(error) = stream.read_to_end(&mut response) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    String::from_utf8(response).unwrap()
}

fn request(port: u16, left: u64) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([0xff; 20]),
        peer_id: PeerId(*b"-KR0001-abcdefghijkl"),
        port,
        uploaded: 0,
        downloaded: 0,
        left,
        event: Some(Event::Started),
        num_want: None,
        key: 7,
        tracker_id: None,
    }
}

const ANNOUNCE: &str = "GET /announce?info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A\
    &peer_id=-KR0001-abcdefghijkl&port=6881&left=0 HTTP/1.1\r\nHost: localhost\r\n\r\n";

const ANSWER: &str = "d8:completei1e10:incompletei0e8:intervali120e5:peers0:e";

#[test]
fn peers_meet_over_http_and_udp_on_one_port() {
    let tracker = Tracker::v4();
    let address = tracker.addresses[0];
    assert_eq!(tracker.http(address, &request(1001, 0)).peers, []);
    let over_udp = tracker.udp(address, &request(1002, 5));
    assert_eq!(over_udp.peers, [SocketAddr::new(V4, 1001)]);
    assert_eq!((over_udp.interval, over_udp.seeders, over_udp.leechers), (120, Some(1), Some(1)));
    let mut over_http = tracker.http(address, &request(1003, 5)).peers;
    over_http.sort();
    assert_eq!(over_http, [SocketAddr::new(V4, 1001), SocketAddr::new(V4, 1002)]);
}

#[test]
fn ipv6_peers_are_listed_as_such() {
    if let Err(error) = TcpListener::bind((V6, 0)) {
        // Past the test harness, which hides what a passing test prints.
        writeln!(std::io::stderr(), "NOT TESTED: no IPv6 loopback on this machine: {error}")
            .unwrap();
        return;
    }
    let tracker = Tracker::start(&[V4, V6], Limits::default());
    let [v4, v6] = tracker.addresses[..] else { panic!("two addresses") };
    assert_eq!(v4.port(), v6.port());
    tracker.http(v6, &request(1001, 5));
    assert_eq!(tracker.udp(v6, &request(1002, 5)).peers, [SocketAddr::new(V6, 1001)]);
    // Over UDP only the packet's own family, over HTTP both (BEP 7, 15).
    assert_eq!(tracker.udp(v4, &request(1003, 5)).peers, []);
    assert_eq!(tracker.http(v4, &request(1004, 5)).peers.len(), 3);
    assert_eq!(tracker.http(v6, &request(1005, 5)).peers.len(), 4);
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let tracker = Tracker::v4();
    let mut stream = tracker.connect();
    stream.set_nodelay(true).unwrap();
    for byte in ANNOUNCE.as_bytes() {
        stream.write_all(&[*byte]).unwrap();
    }
    let response = read_to_end(stream);
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.ends_with(ANSWER), "{response}");
}

#[test]
fn a_response_arrives_though_the_client_has_sent_too_much() {
    let tracker = Tracker::v4();
    // Closed with these bytes unread, the connection would be reset.
    let request = format!("{ANNOUNCE}{}", "x".repeat(30_000));
    assert!(tracker.exchange(request.as_bytes()).ends_with(ANSWER));
}

#[test]
fn a_client_that_has_closed_its_side_is_answered() {
    let tracker = Tracker::v4();
    let mut stream = tracker.connect();
    stream.write_all(ANNOUNCE.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(read_to_end(stream).ends_with(ANSWER));
}

#[test]
fn the_answer_to_a_wrong_request_says_why() {
    let tracker = Tracker::v4();
    let hex = "d69f91e6b2ae4c542468d1073a71d4ea13879a7f";
    for (request, status, body) in [
        (
            format!("GET /announce?info_hash={hex} HTTP/1.1\r\n\r\n"),
            "200 OK",
            "d14:failure reason72:info_hash has 40 bytes, expected 20: \
             send the raw hash, not its hex forme",
        ),
        ("GET /annonce?info_hash=x HTTP/1.1\r\n\r\n".into(), "404", "/announce and /scrape"),
        ("GET /../a.torrent HTTP/1.1\r\n\r\n".into(), "404", "no such .torrent file: see the list"),
        // The start of a ClientHello: not even its length is needed.
        ("\x16\x03".into(), "400", "begins with http://, not https://"),
        ("POST /announce HTTP/1.1\r\n\r\n".into(), "405", "GET requests only"),
        ("\x13BitTorrent protocol".into(), "400", "not an HTTP request: invalid token"),
        (format!("GET /{} HTTP/1.1\r\n", "a".repeat(8192)), "431", "longer than 8192 bytes"),
    ] {
        let response = tracker.exchange(request.as_bytes());
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{response}");
        assert!(response.contains(body), "{response}");
    }
}

#[test]
fn a_slow_client_is_closed_at_its_deadline_and_others_are_served_meanwhile() {
    let limits = Limits { request_time: Duration::from_secs(1), ..Limits::default() };
    let tracker = Tracker::start(&[V4], limits);
    let mut slow = tracker.connect();
    slow.write_all(b"GET /announce?").unwrap();
    assert!(tracker.exchange(ANNOUNCE.as_bytes()).ends_with(ANSWER));
    assert_eq!(read_to_close(slow), "");
}

/// The default bounds; only the deadline is longer than any test waits.
const NO_DEADLINE: Limits =
    Limits { connections: 900, connections_per_ip: 300, request_time: Duration::from_secs(3600) };

#[test]
fn half_sent_requests_do_not_lock_out_others_at_the_same_address() {
    let tracker = Tracker::start(&[V4], NO_DEADLINE);
    let mut held: Vec<_> = (0..300).map(|_| tracker.connect()).collect();
    for stream in &mut held {
        stream.write_all(b"GET /announce?").unwrap();
    }
    assert!(tracker.exchange(ANNOUNCE.as_bytes()).ends_with(ANSWER));
    // The oldest was closed for it; the others may still finish.
    assert_eq!(read_to_close(held.remove(0)), "");
    let mut next = held.remove(0);
    next.write_all(&ANNOUNCE.as_bytes()["GET /announce?".len()..]).unwrap();
    assert!(read_to_end(next).ends_with(ANSWER));
}

#[test]
fn answered_connections_that_stay_open_do_not_lock_out_others() {
    let limits = Limits { connections_per_ip: 3, ..NO_DEADLINE };
    let tracker = Tracker::start(&[V4], limits);
    // The tracker closes its side after the answer, these clients leave theirs open.
    let _held: Vec<_> = (0..3)
        .map(|_| {
            let mut stream = tracker.connect();
            stream.write_all(ANNOUNCE.as_bytes()).unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
            stream
        })
        .collect();
    assert!(tracker.exchange(ANNOUNCE.as_bytes()).ends_with(ANSWER));
}

#[test]
fn when_all_places_are_taken_the_oldest_connection_is_closed() {
    let limits = Limits { connections: 3, ..NO_DEADLINE };
    let tracker = Tracker::start(&[V4], limits);
    let mut held: Vec<_> = (0..3).map(|_| tracker.connect()).collect();
    assert!(tracker.exchange(ANNOUNCE.as_bytes()).ends_with(ANSWER));
    assert_eq!(read_to_close(held.remove(0)), "");
    // UDP has no connections.
    assert_eq!(tracker.udp(tracker.addresses[0], &request(1001, 5)).peers, []);
}

#[test]
fn invalid_packets_get_no_answer_and_do_no_harm() {
    let tracker = Tracker::v4();
    let socket = UdpSocket::bind((V4, 0)).unwrap();
    socket.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
    for length in 0..100 {
        socket.send_to(&vec![0xff; length], tracker.addresses[0]).unwrap();
    }
    // So the first answer is to what comes last.
    let connect = Request::Connect { transaction_id: 5 };
    socket.send_to(&connect.encode(), tracker.addresses[0]).unwrap();
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).unwrap();
    let response = Response::decode(&buffer[..length], Family::V4).unwrap();
    assert!(matches!(response, Response::Connect { transaction_id: 5, .. }), "{response:?}");
}

#[test]
fn answers_to_sockets_that_are_gone_do_no_harm() {
    let tracker = Tracker::v4();
    let connect = Request::Connect { transaction_id: 1 }.encode();
    for _ in 0..100 {
        let gone = UdpSocket::bind((V4, 0)).unwrap();
        gone.send_to(&connect, tracker.addresses[0]).unwrap();
    }
    assert_eq!(tracker.udp(tracker.addresses[0], &request(1001, 5)).peers, []);
    assert!(tracker.exchange(ANNOUNCE.as_bytes()).ends_with(ANSWER));
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let tracker = Tracker::v4();
    let port = tracker.addresses[0].port();
    let config = Config { addresses: vec![V4], port, ..Config::default() };
    let error = Server::bind(&config).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on 127.0.0.1:{port}"));
}

/// A .torrent file with this many pieces.
fn torrent(pieces: usize) -> Vec<u8> {
    let (length, hashes) = (pieces * 16384, pieces * 20);
    let info = format!("d6:lengthi{length}e4:name11:lecture.bin12:piece lengthi16384e6:pieces");
    format!("d4:info{info}{hashes}:{}ee", "h".repeat(hashes)).into_bytes()
}

/// A tracker that offers the .torrent files in this folder, on one IPv4 address.
fn with_folder(folder: &Path, limits: Limits) -> Tracker {
    let torrents = Some(folder.to_owned());
    Tracker::with(&Config { addresses: vec![V4], torrents, limits, ..Config::default() })
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n\r\n")
}

#[test]
fn torrent_files_are_listed_and_sent_and_new_ones_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = torrent(3);
    std::fs::write(folder.path().join("week 1.torrent"), &file).unwrap();
    let tracker = with_folder(folder.path(), Limits::default());
    let list = tracker.exchange(get("/").as_bytes());
    assert!(list.contains("<a href=\"/week%201.torrent\">/week 1.torrent</a>"), "{list}");
    let response = tracker.exchange(get("/week%201.torrent").as_bytes());
    assert_eq!(
        response,
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-bittorrent\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{}",
            file.len(),
            str::from_utf8(&file).unwrap()
        )
    );
    assert!(tracker.exchange(get("/2.torrent").as_bytes()).starts_with("HTTP/1.1 404 "));
    std::fs::write(folder.path().join("2.torrent"), &file).unwrap();
    let deadline = Instant::now() + READ_TIMEOUT;
    while !tracker.exchange(get("/2.torrent").as_bytes()).starts_with("HTTP/1.1 200 ") {
        assert!(Instant::now() < deadline, "the new file is not found");
    }
}

#[test]
fn many_downloads_at_once_arrive_whole_and_announces_do_not_wait_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = torrent(100_000);
    std::fs::write(folder.path().join("big.torrent"), &file).unwrap();
    let tracker = with_folder(folder.path(), NO_DEADLINE);
    // None of these reads yet.
    let mut downloads: Vec<_> = (0..50).map(|_| tracker.connect()).collect();
    for stream in &mut downloads {
        stream.write_all(get("/big.torrent").as_bytes()).unwrap();
    }
    for _ in 0..100 {
        assert!(tracker.exchange(ANNOUNCE.as_bytes()).ends_with(ANSWER));
    }
    for mut stream in downloads {
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        assert!(response.ends_with(&file));
    }
}

/// Longer than the buffers of a connection: a client that does not read does not get all of it.
const LONG: usize = 500_000;

/// A client whose download has begun.
fn begin_download(tracker: &Tracker) -> TcpStream {
    let mut stream = tracker.connect();
    stream.write_all(get("/long.torrent").as_bytes()).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    stream
}

/// Whether the rest of a download arrives.
fn ends_well(mut download: TcpStream) -> bool {
    let mut response = Vec::new();
    download.read_to_end(&mut response).is_ok() && response.ends_with(&torrent(LONG))
}

#[test]
fn slow_downloads_have_half_of_the_places_and_more_time() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("long.torrent"), torrent(LONG)).unwrap();
    let request_time = Duration::from_secs(2);
    let limits = Limits { connections_per_ip: 4, request_time, ..Limits::default() };
    let tracker = with_folder(folder.path(), limits);
    let downloads: Vec<_> = (0..4).map(|_| begin_download(&tracker)).collect();
    let others: Vec<_> = (0..3).map(|_| tracker.connect()).collect();
    assert!(tracker.exchange(ANNOUNCE.as_bytes()).ends_with(ANSWER));
    // The others are closed at their deadline, if they were not evicted for the newest.
    others.into_iter().for_each(|other| assert_eq!(read_to_close(other), ""));
    let ends: Vec<bool> = downloads.into_iter().map(ends_well).collect();
    assert_eq!(ends, [false, false, true, true]);
}

#[test]
fn a_line_is_sent_for_each_peer_that_joins_and_nobody_has_to_read_it() {
    let (sender, lines) = sync_channel(1);
    let notices = Some(sender);
    let tracker = Tracker::with(&Config { addresses: vec![V4], notices, ..Config::default() });
    for port in 1001..1100 {
        tracker.http(tracker.addresses[0], &request(port, 5));
    }
    let first = lines.recv_timeout(READ_TIMEOUT).unwrap();
    assert_eq!(first, "ffffffff: 127.0.0.1:1001 joined (0 seeds, 1 downloading)");
    // It wakes for this, and does not wait until it looks for silent peers 10 s after its start.
    assert_eq!(lines.recv_timeout(Duration::from_secs(8)).unwrap(), "and 98 more");
}

#[test]
fn a_folder_that_does_not_exist_is_an_error_that_names_it() {
    let torrents = Some("no/such/folder".into());
    let config = Config { addresses: vec![V4], port: 0, torrents, ..Config::default() };
    let error = Server::bind(&config).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the folder no/such/folder");
}
