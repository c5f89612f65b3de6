//! HTTP as far as a tracker needs it: bytes in, request out; response out (BEP 3, 48).
//!
//! A failed announce is a success of HTTP: status 200 and a bencoded `failure reason`, which
//! clients show to their users. Other statuses are for programs that are not BitTorrent clients.

use std::sync::Arc;

use httparse::Status;
use percent_encoding::percent_decode_str;

use common::announce::http::{AnnounceQuery, QueryError, parse_announce, parse_scrape};
use common::id::InfoHash;

/// Longest request head in bytes. An announce has about 400; one with a long `trackerid` and
/// cookies still fits.
pub const MAX_HEAD_LENGTH: usize = 8 * 1024;

/// Most header lines in a head.
const MAX_HEADERS: usize = 64;

/// A client's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `GET /announce?…`
    Announce(AnnounceQuery),
    /// `GET /scrape?…`: these torrents, at least one.
    Scrape(Vec<InfoHash>),
    /// `GET /`: usually from a browser.
    Home,
    /// `GET /NAME.torrent`: the file with this name.
    Torrent(String),
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// An announce or scrape with a wrong query.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// An unknown path.
    #[error(
        "this is a BitTorrent tracker: it has /announce and /scrape, and lists its swarms and \
         .torrent files at /"
    )]
    NotFound,
    /// The path of a .torrent file that is not on offer.
    #[error("this tracker has no such .torrent file: see the list at /")]
    NoSuchFile,
    /// A method other than GET.
    #[error("a tracker takes GET requests only")]
    Method,
    /// More than [`MAX_HEAD_LENGTH`] bytes or too many header lines.
    #[error("the request head is longer than {MAX_HEAD_LENGTH} bytes or {MAX_HEADERS} lines")]
    TooLong,
    /// The first byte is that of a TLS handshake (RFC 8446).
    #[error("a TLS handshake: this tracker's URL begins with http://, not https://")]
    Tls,
    /// Not HTTP.
    #[error("this is not an HTTP request: {0}")]
    Malformed(httparse::Error),
}

impl RequestError {
    /// The status line. A wrong query is for a BitTorrent client, which reads only the body of a
    /// success.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Query(_) => OK,
            Self::NotFound | Self::NoSuchFile => "404 Not Found",
            Self::Method => "405 Method Not Allowed\r\nAllow: GET",
            Self::TooLong => "431 Request Header Fields Too Large",
            Self::Tls | Self::Malformed(_) => "400 Bad Request",
        }
    }
}

/// Reads a request from the bytes received so far; `None` if it is not complete yet.
pub fn parse(head: &[u8]) -> Result<Option<Request>, RequestError> {
    if head.first() == Some(&TLS_HANDSHAKE) {
        return Err(RequestError::Tls);
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) if head.len() < MAX_HEAD_LENGTH => return Ok(None),
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err(RequestError::TooLong);
        }
        Err(error) => return Err(RequestError::Malformed(error)),
    }
    if request.method != Some("GET") {
        return Err(RequestError::Method);
    }
    let target = request.path.expect("a complete request has a target");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path {
        "/announce" => Ok(Some(Request::Announce(parse_announce(query.as_bytes())?))),
        "/scrape" => Ok(Some(Request::Scrape(parse_scrape(query.as_bytes())?))),
        "/" => Ok(Some(Request::Home)),
        _ => torrent_name(path).map(Request::Torrent).map(Some).ok_or(RequestError::NotFound),
    }
}

/// First byte of a client that speaks TLS: no method of HTTP begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// The file name in the path of a .torrent file. It may be any text: it is looked up in the
/// catalog, and never becomes a path.
fn torrent_name(path: &str) -> Option<String> {
    let name = percent_decode_str(path.strip_prefix('/')?).decode_utf8().ok()?;
    name.ends_with(TORRENT).then(|| name.into_owned())
}

/// How the name of a .torrent file ends.
pub const TORRENT: &str = ".torrent";

/// The status of an answer, also to a failed announce.
pub const OK: &str = "200 OK";

/// A whole response, after which the connection ends.
#[derive(Clone, Debug)]
pub struct Response {
    /// The head, and the body if it is short.
    start: Vec<u8>,
    /// The body of a file; all connections that send it share it.
    file: Option<Arc<[u8]>>,
}

impl Response {
    /// A short answer.
    pub fn new(status: &str, content_type: &str, body: &[u8]) -> Self {
        let head = head(status, content_type, body.len());
        Self { start: [head.as_bytes(), body].concat(), file: None }
    }

    /// A .torrent file.
    pub fn torrent(file: Arc<[u8]>) -> Self {
        let head = head(OK, "application/x-bittorrent", file.len());
        Self { start: head.into_bytes(), file: Some(file) }
    }

    /// What may be sent next when `sent` bytes are; empty if those are all.
    pub fn unsent(&self, sent: usize) -> &[u8] {
        match sent.checked_sub(self.start.len()) {
            None => &self.start[sent..],
            Some(sent) => self.file.as_ref().map_or(&[], |file| &file[sent..]),
        }
    }

    /// Bytes of the file, if it is one.
    pub fn file_length(&self) -> Option<usize> {
        self.file.as_ref().map(|file| file.len())
    }
}

fn head(status: &str, content_type: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANNOUNCE: &str = "GET /announce?info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A\
        &peer_id=-KR0001-abcdefghijkl&port=6881&left=0 HTTP/1.1\r\nHost: localhost\r\n\r\n";

    #[test]
    fn a_request_is_complete_with_its_empty_line() {
        for end in 0..ANNOUNCE.len() {
            assert_eq!(parse(&ANNOUNCE.as_bytes()[..end]), Ok(None), "{end} bytes");
        }
        let Ok(Some(Request::Announce(announce))) = parse(ANNOUNCE.as_bytes()) else {
            panic!("an announce");
        };
        assert_eq!(announce.request.port, 6881);
    }

    #[test]
    fn the_path_selects_the_request() {
        let hash = "info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A";
        let get = |target: String| parse(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes());
        assert_eq!(get("/".into()), Ok(Some(Request::Home)));
        let Ok(Some(Request::Scrape(hashes))) = get(format!("/scrape?{hash}&{hash}")) else {
            panic!("a scrape");
        };
        assert_eq!(hashes.len(), 2);
        assert_eq!(get("/announce".into()), Err(QueryError::Missing("info_hash").into()));
        assert_eq!(get("/scrape".into()), Err(QueryError::FullScrape.into()));
        for path in ["/favicon.ico", "/announced", "/Announce", "//", "*", "/../etc/passwd"] {
            assert_eq!(get(path.into()), Err(RequestError::NotFound), "{path}");
        }
        // Each is one name, whatever is in it.
        for (path, name) in [
            ("/a.torrent", "a.torrent"),
            ("/a%20%C3%9F+%2e.torrent?x=y", "a ß+..torrent"),
            ("/%2e%2e/a.torrent", "../a.torrent"),
            ("//etc/a.torrent", "/etc/a.torrent"),
            ("/..%5Ca%00.torrent", "..\\a\0.torrent"),
        ] {
            assert_eq!(get(path.into()), Ok(Some(Request::Torrent(name.into()))), "{path}");
        }
        for path in ["/%ff.torrent", "/a.torrent/", "/a.TORRENT", "a.torrent", "/a.torrent%"] {
            assert_eq!(get(path.into()), Err(RequestError::NotFound), "{path}");
        }
    }

    #[test]
    fn other_methods_are_refused() {
        for method in ["POST", "HEAD", "PUT", "CONNECT", "get"] {
            let request = format!("{method} / HTTP/1.1\r\n\r\n");
            assert_eq!(parse(request.as_bytes()), Err(RequestError::Method), "{method}");
        }
    }

    #[test]
    fn a_head_without_end_is_refused_at_its_bound() {
        let mut head = b"GET /announce?".to_vec();
        head.resize(MAX_HEAD_LENGTH - 1, b'a');
        assert_eq!(parse(&head), Ok(None));
        head.push(b'a');
        assert_eq!(parse(&head), Err(RequestError::TooLong));

        let lines = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1));
        assert_eq!(parse(lines.as_bytes()), Err(RequestError::TooLong));
    }

    #[test]
    fn bytes_that_are_not_http_are_refused_at_once() {
        for bytes in [&b"\x13BitTorrent protocol"[..], b"GET / FTP/1.0\r\n"] {
            let refused = parse(bytes);
            assert!(matches!(refused, Err(RequestError::Malformed(_))), "{refused:?}");
        }
        assert_eq!(parse(b"\x16"), Err(RequestError::Tls));
    }

    #[test]
    fn a_response_says_how_long_it_is_and_that_it_is_the_last() {
        assert_eq!(
            str::from_utf8(Response::new(OK, "text/plain", b"de").unsent(0)).unwrap(),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\
             Connection: close\r\n\r\nde"
        );
    }

    #[test]
    fn a_file_is_sent_from_wherever_the_connection_stopped() {
        let response = Response::torrent(Arc::from(*b"d4:infode"));
        let mut whole = Vec::new();
        while let [byte, ..] = response.unsent(whole.len()) {
            whole.push(*byte);
        }
        assert_eq!(
            str::from_utf8(&whole).unwrap(),
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-bittorrent\r\nContent-Length: 9\r\n\
             Connection: close\r\n\r\nd4:infode"
        );
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"GET /announce?", &bytes[..], b" HTTP/1.1\r\n\r\n"].concat());
        }
    }
}
