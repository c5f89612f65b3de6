//! HTTP as far as a tracker needs it: bytes in, request out; response out (BEP 3, 48).
//!
//! A failed announce is a success of HTTP: status 200 and a bencoded `failure reason`, which
//! clients show to their users. Other statuses are for programs that are not BitTorrent clients.

use httparse::Status;

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
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// An announce or scrape with a wrong query.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// An unknown path.
    #[error("this is a BitTorrent tracker: it has /announce and /scrape")]
    NotFound,
    /// A method other than GET.
    #[error("a tracker takes GET requests only")]
    Method,
    /// More than [`MAX_HEAD_LENGTH`] bytes or too many header lines.
    #[error("the request head is longer than {MAX_HEAD_LENGTH} bytes or {MAX_HEADERS} lines")]
    TooLong,
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
            Self::NotFound => "404 Not Found",
            Self::Method => "405 Method Not Allowed\r\nAllow: GET",
            Self::TooLong => "431 Request Header Fields Too Large",
            Self::Malformed(_) => "400 Bad Request",
        }
    }
}

/// Reads a request from the bytes received so far; `None` if it is not complete yet.
pub fn parse(head: &[u8]) -> Result<Option<Request>, RequestError> {
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
        _ => Err(RequestError::NotFound),
    }
}

/// The status of an answer, also to a failed announce.
pub const OK: &str = "200 OK";

/// A whole response, after which the connection ends.
pub fn response(status: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
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
        for bytes in
            [&b"\x13BitTorrent protocol"[..], b"\x16\x03\x01\x02\x00", b"GET / FTP/1.0\r\n"]
        {
            let refused = parse(bytes);
            assert!(matches!(refused, Err(RequestError::Malformed(_))), "{refused:?}");
        }
    }

    #[test]
    fn a_response_says_how_long_it_is_and_that_it_is_the_last() {
        assert_eq!(
            String::from_utf8(response(OK, b"de")).unwrap(),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\
             Connection: close\r\n\r\nde"
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
