//! Announces over HTTP and, with the feature `tls`, HTTPS (BEP 3).
//!
//! ureq does the protocol: trackers send chunked answers, redirect, and often use TLS.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use common::announce::http::{MAX_RESPONSE_LENGTH, ResponseError, announce_url, decode_response};
use common::announce::{AnnounceRequest, AnnounceResponse};
use ureq::Agent;
use ureq::http::StatusCode;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::Connector;

use super::connector::BoundConnector;
use crate::io_error;

/// Most redirects followed. One to another path and one to https are usual.
const MAX_REDIRECTS: u32 = 5;

/// An agent that connects from the address `bind`.
pub(super) fn agent(bind: Option<IpAddr>) -> Agent {
    let config = Agent::config_builder()
        // A proxy would announce its own address instead of ours.
        .proxy(None)
        .max_redirects(MAX_REDIRECTS)
        // Some trackers send a failure reason with a status of 4xx.
        .http_status_as_error(false)
        // The next announce is many minutes away.
        .max_idle_connections(0)
        .user_agent(concat!("peer/", env!("CARGO_PKG_VERSION")))
        .build();
    let connector = ().chain(BoundConnector(bind));
    #[cfg(feature = "tls")]
    let connector = connector.chain(ureq::unversioned::transport::RustlsConnector::default());
    Agent::with_parts(config, connector, DefaultResolver::default())
}

/// Announces to the tracker at `url`.
pub(super) fn announce(
    agent: &Agent,
    url: &str,
    request: &AnnounceRequest,
    timeout: Duration,
) -> Result<AnnounceResponse> {
    let (status, body) = fetch(agent, &announce_url(url, request), timeout)
        .map_err(|error| explain(error, timeout))?;
    match decode_response(&body) {
        Err(ResponseError::Failure(reason)) => bail!("the tracker says: {reason}"),
        Err(_) if !status.is_success() => bail!("HTTP status {status}"),
        decoded => Ok(decoded?),
    }
}

fn fetch(
    agent: &Agent,
    url: &str,
    timeout: Duration,
) -> Result<(StatusCode, Vec<u8>), ureq::Error> {
    let request = agent.get(url).header("connection", "close");
    let mut answer = request.config().timeout_global(Some(timeout)).build().call()?;
    let body = answer.body_mut().with_config().limit(MAX_RESPONSE_LENGTH as u64).read_to_vec()?;
    Ok((answer.status(), body))
}

/// The error as a user of trackers would say it.
fn explain(error: ureq::Error, timeout: Duration) -> anyhow::Error {
    match error {
        ureq::Error::Io(error) => anyhow!(io_error::describe(&error)),
        ureq::Error::Timeout(_) => anyhow!("no answer within {timeout:?}"),
        ureq::Error::BodyExceedsLimit(_) => ResponseError::TooLong.into(),
        ureq::Error::TlsRequired => anyhow!("this program was built without https"),
        other => other.into(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;

    use super::super::tests::announce as request;
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// A tracker that answers every request with `respond`: the URL to announce to, and the heads
    /// of the requests that it received.
    pub(crate) fn scripted(
        mut respond: impl FnMut(&mut TcpStream) + Send + 'static,
    ) -> (String, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/announce", listener.local_addr().unwrap());
        let (got, heads) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(&mut stream).lines().map_while(Result::ok);
                let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
                // A test may ignore them.
                let _ = got.send(head.join("\n"));
                respond(&mut stream);
            }
        });
        (url, heads)
    }

    /// A tracker that answers every request with these bytes.
    pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> (String, Receiver<String>) {
        let answer = answer.into();
        // The client may close before it has read all.
        scripted(move |stream| drop(stream.write_all(&answer)))
    }

    fn ask(url: &str) -> Result<AnnounceResponse> {
        announce(&agent(None), url, &request(None), LONG)
    }

    pub(crate) fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn every_form_of_http_answer_is_understood() {
        let body = "d8:intervali9e5:peers6:\x7f\0\0\x01\x1a1e";
        for answer in [
            ok(body),
            format!("HTTP/1.0 200 OK\r\n\r\n{body}"),
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 5\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                &body[..5],
                body.len() - 5,
                &body[5..]
            ),
        ] {
            let response = ask(&answering(answer).0).unwrap();
            assert_eq!(response.peers, ["127.0.0.1:6705".parse().unwrap()]);
        }
    }

    #[test]
    fn the_request_closes_the_connection_and_names_the_program() {
        let (url, heads) = answering(ok("d8:intervali9ee"));
        ask(&url).unwrap();
        let head = heads.recv().unwrap().to_ascii_lowercase();
        assert!(head.starts_with("get /announce?info_hash=hhhhhhhhhhhhhhhhhhhh&"), "{head}");
        assert!(head.contains("\nconnection: close"), "{head}");
        assert!(head.contains("\nuser-agent: peer/"), "{head}");
    }

    #[test]
    fn odd_values_become_usable() {
        let (url, _) = answering(ok("d8:intervali-5e5:peers5:12345e"));
        let response = ask(&url).unwrap();
        assert_eq!((response.interval, response.peers), (1, vec![]));
    }

    #[test]
    fn an_error_says_what_went_wrong() {
        let status = |status, body| format!("HTTP/1.1 {status}\r\n\r\n{body}");
        for (answer, error) in [
            (ok("d14:failure reason7:go awaye"), "the tracker says: go away"),
            (
                status("400 Bad Request", "d14:failure reason7:go awaye"),
                "the tracker says: go away",
            ),
            (status("404 Not Found", "<html>"), "HTTP status 404 Not Found"),
            (ok("<html>"), "the tracker's answer is not bencode: "),
            (ok(""), "the tracker's answer is not bencode: "),
            (ok("d5:peers0:e"), "the tracker's answer has no usable entry `interval`"),
            ("\0\x01garbage\r\n\r\n".into(), "protocol: "),
            (String::new(), ""),
        ] {
            let said = ask(&answering(answer.clone()).0).unwrap_err().to_string();
            assert!(said.starts_with(error), "{answer:?}: {said}");
        }
    }

    #[test]
    fn a_redirect_is_followed_but_not_forever() {
        let (url, _) = answering(ok("d8:intervali9ee"));
        let (there, _) = answering(format!("HTTP/1.1 302 Found\r\nLocation: {url}\r\n\r\n"));
        assert_eq!(ask(&there).unwrap().interval, 9);

        let (url, heads) =
            answering("HTTP/1.1 302 Found\r\nLocation: /announce\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(ask(&url).unwrap_err().to_string(), "too many redirects");
        assert_eq!(heads.try_iter().count(), MAX_REDIRECTS as usize + 1);
    }

    #[test]
    fn an_endless_answer_is_cut_off() {
        let (url, _) = scripted(|stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'd'; 4096]).is_ok() {}
        });
        let error = ask(&url).unwrap_err().to_string();
        assert_eq!(error, "the tracker's answer is longer than 2097152 bytes");
    }

    #[test]
    fn a_silent_tracker_times_out() {
        // The system accepts for a listener that does not.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/announce", listener.local_addr().unwrap());
        let timeout = Duration::from_millis(50);
        let error = announce(&agent(None), &url, &request(None), timeout).unwrap_err();
        assert_eq!(error.to_string(), "no answer within 50ms");
    }

    /// Other systems have only one loopback address.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_tracker_sees_the_chosen_address() {
        let (see, seen) = channel();
        let (url, _) = scripted(move |stream| {
            see.send(stream.peer_addr().unwrap().ip()).unwrap();
            stream.write_all(ok("d8:intervali9ee").as_bytes()).unwrap();
        });
        let us = IpAddr::from([127, 0, 0, 5]);
        announce(&agent(Some(us)), &url, &request(None), LONG).unwrap();
        assert_eq!(seen.recv().unwrap(), us);
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn without_tls_https_is_refused_with_a_reason() {
        let (url, _) = answering(ok("d8:intervali9ee"));
        let error = ask(&url.replace("http:", "https:")).unwrap_err().to_string();
        assert_eq!(error, "this program was built without https");
    }
}
