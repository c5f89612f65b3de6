//! Announces over HTTP and, with the feature `tls`, HTTPS (BEP 3).

use std::time::Duration;

use anyhow::{Result, bail};
use common::announce::http::{MAX_RESPONSE_LENGTH, ResponseError, announce_url, decode_response};
use common::announce::{AnnounceRequest, AnnounceResponse};
use ureq::Agent;

use crate::http_client;

/// Announces to the tracker at `url`.
pub(super) fn announce(
    agent: &Agent,
    url: &str,
    request: &AnnounceRequest,
    timeout: Duration,
) -> Result<AnnounceResponse> {
    let answer =
        http_client::fetch(agent, &announce_url(url, request), MAX_RESPONSE_LENGTH, timeout)?;
    match decode_response(&answer.body) {
        Err(ResponseError::Failure(reason)) => bail!("the tracker says: {reason}"),
        Err(_) if !answer.status.is_success() => bail!(answer.refusal()),
        decoded => Ok(decoded?),
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
    use crate::http_client::{MAX_REDIRECTS, agent};

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
            (
                status("404 Not Found\r\nContent-Type: text/plain", "try /announce\n..."),
                "HTTP status 404 Not Found: try /announce",
            ),
            (ok("<html>"), "the tracker's answer is not bencode: "),
            (ok(""), "the tracker's answer is not bencode: "),
            (ok("d5:peers0:e"), "the tracker's answer has no usable entry `interval`"),
            ("\0\x01garbage\r\n\r\n".into(), "protocol: "),
            (String::new(), ""),
        ] {
            let said = format!("{:#}", ask(&answering(answer.clone()).0).unwrap_err());
            assert!(said.starts_with(error), "{answer:?}: {said}");
            assert!(said.matches("byte 0").count() < 2, "said twice: {said}");
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
        assert_eq!(error, "the answer is longer than 2097152 bytes");
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
        let us = std::net::IpAddr::from([127, 0, 0, 5]);
        announce(&agent(Some(us)), &url, &request(None), LONG).unwrap();
        assert_eq!(seen.recv().unwrap(), us);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn an_http_tracker_with_an_https_url_is_an_error_that_says_so() {
        let (url, _) = answering("HTTP/1.1 400 Bad Request\r\n\r\n");
        let error = ask(&url.replace("http:", "https:")).unwrap_err().to_string();
        assert_eq!(error, "the server does not speak TLS: does its URL begin with http://?");
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn without_tls_https_is_refused_with_a_reason() {
        let (url, _) = answering(ok("d8:intervali9ee"));
        let error = ask(&url.replace("http:", "https:")).unwrap_err().to_string();
        assert_eq!(error, "this program was built without https");
    }
}
