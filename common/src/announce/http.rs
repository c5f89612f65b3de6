//! Announce and scrape over HTTP: a query one way, a bencoded dictionary the other (BEP 3, 7, 23,
//! 48).
//!
//! An info-hash is 20 bytes of any value, so everything here works on bytes: a decoder of web
//! forms would force UTF-8 on it and turn a `+` into a space.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

use super::{
    AnnounceRequest, AnnounceResponse, Event, Family, MAX_INTERVAL, MAX_PEERS, ScrapeEntry,
    clamp_interval, is_dialable, read_compact, readable, write_compact,
};
use crate::bencode::{self, Dict, Value};
use crate::id::{InfoHash, PeerId};

/// Most bytes of an answer that are worth reading.
pub const MAX_RESPONSE_LENGTH: usize = 2 * 1024 * 1024;

/// What is escaped in a URL: everything but what RFC 3986 calls unreserved.
pub const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The URL of an announce: the torrent's announce URL with the request as its query.
pub fn announce_url(base: &str, request: &AnnounceRequest) -> String {
    let AnnounceRequest { port, uploaded, downloaded, left, key, .. } = request;
    let separator = if base.contains('?') { '&' } else { '?' };
    let info_hash = percent_encode(&request.info_hash.0, ESCAPED);
    let peer_id = percent_encode(&request.peer_id.0, ESCAPED);
    let url = format!(
        "{base}{separator}info_hash={info_hash}&peer_id={peer_id}&port={port}&uploaded={uploaded}\
         &downloaded={downloaded}&left={left}&compact=1&key={key:08x}"
    );
    let event = request.event.map(|event| format!("&event={}", event.name()));
    let num_want = request.num_want.map(|n| format!("&numwant={n}"));
    let tracker_id = request.tracker_id.as_ref();
    let tracker_id = tracker_id.map(|id| format!("&trackerid={}", percent_encode(id, ESCAPED)));
    [Some(url), event, num_want, tracker_id].into_iter().flatten().collect()
}

/// An announce as a tracker receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceQuery {
    /// The peer's report.
    pub request: AnnounceRequest,
    /// Whether it takes a compact list of peers, as all do that do not refuse it (BEP 23).
    pub compact: bool,
}

/// What is wrong with a query, worded for the author of the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A parameter without which there is no answer.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A common beginner's error.
    #[error("info_hash has 40 bytes, expected 20: send the raw hash, not its hex form")]
    HexInfoHash,
    /// An info-hash or peer id of another length.
    #[error("{name} has {length} bytes, expected 20")]
    Length {
        /// The parameter.
        name: &'static str,
        /// Its bytes after percent-decoding.
        length: usize,
    },
    /// Not a decimal number that fits 64 bits.
    #[error("{0} is not a decimal number")]
    Number(&'static str),
    /// Port 0, or more than 16 bits.
    #[error("port is not between 1 and 65535")]
    Port,
    /// A scrape that names no torrent asks for all of them.
    #[error("scrape needs an info_hash: a list of all torrents is not given")]
    FullScrape,
}

/// Reads the query of an announce, the part of the URL after the `?`.
///
/// `left` tells seeds from leechers: if it is missing or not a number, the announce fails. `ip` is
/// always ignored: a peer could name a victim, and the whole swarm would connect there. An unknown
/// `event` counts as none; `uploaded`, `downloaded`, `numwant` and `key` that make no sense count
/// as absent.
pub fn parse_announce(query: &[u8]) -> Result<AnnounceQuery, QueryError> {
    let query = Query::parse(query);
    let info_hash = InfoHash(query.twenty_bytes("info_hash")?);
    let peer_id = PeerId(query.twenty_bytes("peer_id")?);
    let port = query.number("port")?.ok_or(QueryError::Missing("port"))?;
    let port = u16::try_from(port).ok().filter(|&port| port != 0).ok_or(QueryError::Port)?;
    // Other values count as none; BEP 21's "paused" says nothing that `left` does not.
    let event = query.text("event");
    let event = Event::ALL.into_iter().find(|known| event == Some(known.name()));
    // No answer depends on these.
    let optional = |name| query.number(name).unwrap_or(None);
    let request = AnnounceRequest {
        info_hash,
        peer_id,
        port,
        uploaded: optional("uploaded").unwrap_or(0),
        downloaded: optional("downloaded").unwrap_or(0),
        left: query.number("left")?.ok_or(QueryError::Missing("left"))?,
        event,
        // A negative number is what some clients send for "the default".
        num_want: optional("numwant").map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
        // Any text will do as a key in HTTP; ours is eight hex digits.
        key: query.text("key").and_then(|key| u32::from_str_radix(key, 16).ok()).unwrap_or(0),
        tracker_id: query.value("trackerid").map(<[u8]>::to_vec),
    };
    Ok(AnnounceQuery { request, compact: query.value("compact") != Some(b"0") })
}

/// Reads the query of a scrape: the torrents asked for, at least one.
pub fn parse_scrape(query: &[u8]) -> Result<Vec<InfoHash>, QueryError> {
    let query = Query::parse(query);
    let hashes = query.values("info_hash").map(|value| twenty_bytes("info_hash", value));
    let hashes: Vec<_> = hashes.map(|hash| hash.map(InfoHash)).collect::<Result<_, _>>()?;
    if hashes.is_empty() { Err(QueryError::FullScrape) } else { Ok(hashes) }
}

/// The parameters of a query in their order, percent-decoded.
struct Query<'a>(Vec<[Cow<'a, [u8]>; 2]>);

impl<'a> Query<'a> {
    fn parse(query: &'a [u8]) -> Self {
        let parameters = query.split(|&byte| byte == b'&').map(|parameter| {
            let mut parts = parameter.splitn(2, |&byte| byte == b'=');
            let mut part = || Cow::from(percent_decode(parts.next().unwrap_or_default()));
            [part(), part()]
        });
        Self(parameters.collect())
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |[key, _]| **key == *name.as_bytes()).map(|[_, value]| &**value)
    }

    fn value(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.value(name).and_then(|value| str::from_utf8(value).ok())
    }

    fn number(&self, name: &'static str) -> Result<Option<u64>, QueryError> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let digits = str::from_utf8(value).ok().filter(|text| !text.starts_with('+'));
        digits.and_then(|text| text.parse().ok()).map(Some).ok_or(QueryError::Number(name))
    }

    fn twenty_bytes(&self, name: &'static str) -> Result<[u8; 20], QueryError> {
        twenty_bytes(name, self.value(name).ok_or(QueryError::Missing(name))?)
    }
}

fn twenty_bytes(name: &'static str, value: &[u8]) -> Result<[u8; 20], QueryError> {
    value.try_into().map_err(|_| {
        if name == "info_hash" && value.len() == 40 && value.iter().all(u8::is_ascii_hexdigit) {
            QueryError::HexInfoHash
        } else {
            QueryError::Length { name, length: value.len() }
        }
    })
}

/// The body of the answer to an announce.
///
/// Compact, IPv4 peers go under `peers` and IPv6 peers under `peers6` (BEP 23, 7); otherwise all
/// are dictionaries under `peers`, without the peer ids, which no client needs in order to connect.
pub fn encode_response(response: &AnnounceResponse, compact: bool) -> Vec<u8> {
    let [v4, v6] = [Family::V4, Family::V6].map(|family| write_compact(&response.peers, family));
    let listed: &[SocketAddr] = if compact { &[] } else { &response.peers };
    let ips: Vec<_> = listed.iter().map(|peer| peer.ip().to_string()).collect();
    let peers = if compact {
        Value::Bytes(&v4)
    } else {
        let peers = listed.iter().zip(&ips).map(|(peer, ip)| {
            let port = Value::Integer(peer.port().into());
            Value::dict([(&b"ip"[..], Value::Bytes(ip.as_bytes())), (b"port", port)])
        });
        Value::List(peers.collect())
    };
    let integer = |n: u32| Value::Integer(n.into());
    let warning = response.warning.as_ref().map(|text| Value::Bytes(text.as_bytes()));
    let peers6 = (compact && !v6.is_empty()).then_some(Value::Bytes(&v6));
    Value::dict_of_present([
        (b"interval", Some(integer(response.interval))),
        (b"min interval", response.min_interval.map(integer)),
        (b"complete", response.seeders.map(integer)),
        (b"incomplete", response.leechers.map(integer)),
        (b"warning message", warning),
        (b"tracker id", response.tracker_id.as_deref().map(Value::Bytes)),
        (b"peers", Some(peers)),
        (b"peers6", peers6),
    ])
    .encode()
}

/// The body that tells a peer that its request failed, and why.
pub fn encode_failure(reason: &str) -> Vec<u8> {
    Value::dict([(&b"failure reason"[..], Value::Bytes(reason.as_bytes()))]).encode()
}

/// The body of the answer to a scrape (BEP 48).
pub fn encode_scrape(entries: &BTreeMap<InfoHash, ScrapeEntry>) -> Vec<u8> {
    let files = entries.iter().map(|(hash, entry)| {
        let numbers = Value::dict([
            (&b"complete"[..], Value::Integer(entry.seeders.into())),
            (b"downloaded", Value::Integer(entry.completed.into())),
            (b"incomplete", Value::Integer(entry.leechers.into())),
        ]);
        (&hash.0[..], numbers)
    });
    Value::dict([(&b"files"[..], Value::dict(files))]).encode()
}

/// An answer that gives no peers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// The tracker understood and refused; the text is its own.
    #[error("the tracker says: {0}")]
    Failure(String),
    /// More than [`MAX_RESPONSE_LENGTH`].
    #[error("the tracker's answer is longer than {MAX_RESPONSE_LENGTH} bytes")]
    TooLong,
    /// Often a web page: the URL is not a tracker's.
    #[error("the tracker's answer is not bencode")]
    Bencode(#[from] bencode::DecodeError),
    /// Bencode, but no dictionary.
    #[error("the tracker's answer is not a dictionary")]
    NotADictionary,
    /// An entry is missing, or is of the wrong type.
    #[error("the tracker's answer has no usable entry `{0}`")]
    Entry(&'static str),
}

/// Reads the body of the answer to an announce, in all the forms that trackers give it.
///
/// Keys in any order; `peers` and `peers6` as a string or as a list, also an empty one. Addresses
/// that can be no peer are left out; an interval out of bounds is clamped.
pub fn decode_response(body: &[u8]) -> Result<AnnounceResponse, ResponseError> {
    if body.len() > MAX_RESPONSE_LENGTH {
        return Err(ResponseError::TooLong);
    }
    let value = bencode::decode(body)?;
    let answer = value.as_dict().ok_or(ResponseError::NotADictionary)?;
    let text = |key| answer.get(key).and_then(Value::as_bytes).map(readable);
    let number = |key| answer.get(key).and_then(Value::as_integer);
    let count = |key| number(key).and_then(|n| u32::try_from(n).ok());

    if let Some(reason) = text(b"failure reason") {
        return Err(ResponseError::Failure(reason));
    }
    let mut peers = read_peers(answer, "peers", Family::V4)?;
    peers.extend(read_peers(answer, "peers6", Family::V6)?);
    peers.truncate(MAX_PEERS);
    Ok(AnnounceResponse {
        interval: clamp_interval(number(b"interval").ok_or(ResponseError::Entry("interval"))?),
        min_interval: count(b"min interval").map(|seconds| seconds.min(MAX_INTERVAL)),
        seeders: count(b"complete"),
        leechers: count(b"incomplete"),
        peers,
        warning: text(b"warning message"),
        tracker_id: answer.get(b"tracker id").and_then(Value::as_bytes).map(<[u8]>::to_vec),
    })
}

fn read_peers(
    answer: &Dict<'_>,
    key: &'static str,
    family: Family,
) -> Result<Vec<SocketAddr>, ResponseError> {
    match answer.get(key.as_bytes()) {
        None => Ok(Vec::new()),
        Some(Value::Bytes(list)) => Ok(read_compact(list, family)),
        Some(Value::List(list)) => {
            let peers = list.iter().filter_map(read_peer).filter(|&peer| is_dialable(peer));
            Ok(peers.take(MAX_PEERS).collect())
        }
        Some(Value::Integer(_) | Value::Dict(_)) => Err(ResponseError::Entry(key)),
    }
}

/// A peer in the form of a dictionary. BEP 3 allows a name instead of an address; names are
/// ignored, so that strangers cannot make us resolve names of their choice.
fn read_peer(peer: &Value<'_>) -> Option<SocketAddr> {
    let peer = peer.as_dict()?;
    let ip: IpAddr = str::from_utf8(peer.get(b"ip")?.as_bytes()?).ok()?.parse().ok()?;
    let port = u16::try_from(peer.get(b"port")?.as_integer()?).ok()?;
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use proptest::prelude::*;

    use super::*;
    use crate::announce::samples::{bytes, request, requests, response};

    /// A query that lacks nothing, but for the parameters that stand in front and so win.
    fn query(front: &str) -> String {
        format!(
            "{front}&info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A\
             &peer_id=-KR0001-abcdefghijkl&port=6881&left=0"
        )
    }

    #[test]
    fn percent_encoding_leaves_only_unreserved_bytes_alone() {
        for (hex, escaped) in [
            (
                "123456789abcdef123456789abcdef123456789a",
                "%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A",
            ),
            (
                "d69f91e6b2ae4c542468d1073a71d4ea13879a7f",
                "%D6%9F%91%E6%B2%AELT%24h%D1%07%3Aq%D4%EA%13%87%9A%7F",
            ),
            ("2b2025263d00ff417e2f", "%2B%20%25%26%3D%00%FFA~%2F"),
        ] {
            assert_eq!(percent_encode(&bytes(hex), ESCAPED).to_string(), escaped);
            let query = format!("x={escaped}");
            assert_eq!(Query::parse(query.as_bytes()).value("x"), Some(&bytes(hex)[..]));
        }
        assert_eq!(Query::parse(b"x=%c3%A9%").value("x"), Some(&b"\xc3\xa9%"[..]));
    }

    #[test]
    fn a_literal_plus_is_no_space() {
        let query = query("info_hash=++++++++++++++++++++");
        let announce = parse_announce(query.as_bytes()).unwrap();
        assert_eq!(announce.request.info_hash, InfoHash([b'+'; 20]));
    }

    #[test]
    fn the_announce_url_carries_the_request() {
        let request =
            AnnounceRequest { uploaded: 1, downloaded: 2, num_want: Some(30), ..request() };
        assert_eq!(
            announce_url("http://127.0.0.1:6969/announce", &request),
            "http://127.0.0.1:6969/announce?\
             info_hash=%D6%9F%91%E6%B2%AELT%24h%D1%07%3Aq%D4%EA%13%87%9A%7F\
             &peer_id=-KR0001-abcdefghijkl&port=6881&uploaded=1&downloaded=2&left=92063\
             &compact=1&key=deadbeef&event=started&numwant=30"
        );
        let url = announce_url("http://host/announce?passkey=1", &request);
        assert!(url.starts_with("http://host/announce?passkey=1&info_hash="), "{url}");
    }

    #[test]
    fn the_error_for_a_wrong_query_names_the_parameter() {
        let hash = "d69f91e6b2ae4c542468d1073a71d4ea13879a7f";
        for (front, error) in [
            (
                format!("info_hash={hash}"),
                "info_hash has 40 bytes, expected 20: send the raw hash, not its hex form",
            ),
            ("info_hash=short".into(), "info_hash has 5 bytes, expected 20"),
            (format!("peer_id={hash}"), "peer_id has 40 bytes, expected 20"),
            ("port=0".into(), "port is not between 1 and 65535"),
            ("port=65536".into(), "port is not between 1 and 65535"),
            ("port=+80".into(), "port is not a decimal number"),
            ("left=-1".into(), "left is not a decimal number"),
            ("left=18446744073709551616".into(), "left is not a decimal number"),
        ] {
            let error = Err(error.to_string());
            let answer = parse_announce(query(&front).as_bytes());
            assert_eq!(answer.map_err(|e| e.to_string()), error, "{front}");
        }
        assert_eq!(parse_announce(b""), Err(QueryError::Missing("info_hash")));
        assert_eq!(parse_scrape(b""), Err(QueryError::FullScrape));
        let scrape = format!("info_hash={hash}");
        assert_eq!(parse_scrape(scrape.as_bytes()), Err(QueryError::HexInfoHash));
    }

    #[test]
    fn optional_parameters_that_make_no_sense_count_as_absent() {
        let plain = parse_announce(query("").as_bytes()).unwrap();
        assert_eq!((plain.request.num_want, plain.request.event), (None, None));
        for front in [
            "numwant=-1",
            "numwant=many",
            "event=paused",
            "event=",
            "key=+",
            "ip=10.0.0.1",
            "uploaded=18446744073709551616",
            "uploaded=-1",
            "downloaded=NaN",
        ] {
            assert_eq!(parse_announce(query(front).as_bytes()), Ok(plain.clone()), "{front}");
        }
        let many = parse_announce(query("numwant=99999999999").as_bytes()).unwrap();
        assert_eq!(many.request.num_want, Some(u32::MAX));
    }

    #[test]
    fn only_compact_0_asks_for_dictionaries() {
        for (front, compact) in [("", true), ("compact=1", true), ("compact=0", false)] {
            assert_eq!(parse_announce(query(front).as_bytes()).unwrap().compact, compact);
        }
    }

    #[test]
    fn answers_have_the_bytes_of_the_specifications() {
        let mut body = b"d8:completei1e10:incompletei1e8:intervali1800e5:peers6:".to_vec();
        body.extend(bytes("7f0000011ae1"));
        body.push(b'e');
        let answer = AnnounceResponse { seeders: Some(1), ..response(&["127.0.0.1:6881"]) };
        assert_eq!(encode_response(&answer, true), body);
        assert_eq!(decode_response(&body), Ok(answer));

        let v6 = encode_response(&response(&["[2001:db8::1]:6881"]), true);
        let mut tail = b"5:peers0:6:peers618:".to_vec();
        tail.extend(bytes("20010db80000000000000000000000011ae1"));
        tail.push(b'e');
        assert!(v6.ends_with(&tail), "{}", v6.escape_ascii());

        let body = b"d14:failure reason20:unregistered torrente";
        assert_eq!(encode_failure("unregistered torrent"), body);
        assert_eq!(
            decode_response(body),
            Err(ResponseError::Failure("unregistered torrent".into()))
        );
    }

    #[test]
    fn a_scrape_has_an_entry_for_each_torrent() {
        assert_eq!(parse_scrape(query("").as_bytes()).unwrap().len(), 1);
        let entry = ScrapeEntry { seeders: 7, completed: 42, leechers: 3 };
        assert_eq!(
            encode_scrape(&BTreeMap::from([(InfoHash([b'h'; 20]), entry)])),
            b"d5:filesd20:hhhhhhhhhhhhhhhhhhhhd8:completei7e10:downloadedi42e10:incompletei3eeee"
        );
    }

    #[test]
    fn peers_are_read_in_every_form_that_trackers_use() {
        let peers = |body: &[u8]| decode_response(body).unwrap().peers;
        let loopback = ["127.0.0.1:6881".parse().unwrap()];
        let none: [SocketAddr; 0] = [];
        assert_eq!(peers(b"d8:intervali9e5:peersld2:ip9:127.0.0.14:porti6881eeee"), loopback);
        assert_eq!(
            peers(
                b"d8:intervali9e5:peersld2:ip9:127.0.0.17:peer id1:x4:porti6881ee\
                  d2:ip9:localhost4:porti1eed2:ip9:127.0.0.14:porti65537eei7eee"
            ),
            loopback
        );
        // Unsorted, with half an entry at the end.
        assert_eq!(peers(b"d5:peers8:\x7f\0\0\x01\x1a\xe1\x7f\x008:intervali9ee"), loopback);
        assert_eq!(peers(b"d8:intervali9ee"), none);
        assert_eq!(peers(b"d8:intervali9e5:peers0:6:peers60:e"), none);
        assert_eq!(peers(b"d8:intervali9e5:peersle6:peers6lee"), none);
        assert_eq!(
            peers(b"d8:intervali9e5:peersld2:ip3:::14:porti80eeee"),
            ["[::1]:80".parse().unwrap()]
        );
    }

    #[test]
    fn addresses_that_no_peer_can_have_are_left_out() {
        for entry in ["000000000050", "e00000010050", "ffffffff0050", "7f0000010000"] {
            let entry = bytes(entry);
            let body = [&b"d8:intervali9e5:peers6:"[..], &entry, b"e"].concat();
            assert_eq!(decode_response(&body).unwrap().peers, [], "{entry:?}");
        }
        let body = b"d8:intervali9e5:peersld2:ip7:ff02::14:porti80eed2:ip2:::4:porti80eeee";
        assert_eq!(decode_response(body).unwrap().peers, []);
    }

    #[test]
    fn an_interval_is_moved_into_its_bounds() {
        for (sent, taken) in [("-5", 1), ("0", 1), ("9", 9), ("9999999999", MAX_INTERVAL)] {
            let body = format!("d8:intervali{sent}ee");
            assert_eq!(decode_response(body.as_bytes()).unwrap().interval, taken, "{sent}");
        }
    }

    #[test]
    fn the_error_for_a_bad_answer_says_why() {
        for (body, error) in [
            (&b"<html>"[..], "the tracker's answer is not bencode"),
            (b"le", "the tracker's answer is not a dictionary"),
            (b"de", "the tracker's answer has no usable entry `interval`"),
            (b"d8:intervali9e5:peersi1ee", "the tracker's answer has no usable entry `peers`"),
            (b"d14:failure reason8:go\naway\xffe", "the tracker says: go away\u{fffd}"),
        ] {
            let answer = decode_response(body).unwrap_err().to_string();
            assert!(answer.starts_with(error), "{answer}");
        }
        let source = decode_response(b"<html>").unwrap_err().source().map(ToString::to_string);
        assert_eq!(source.as_deref(), Some("byte 0: unexpected byte '<'"));
        let endless = vec![b'd'; MAX_RESPONSE_LENGTH + 1];
        assert_eq!(decode_response(&endless), Err(ResponseError::TooLong));
    }

    prop_compose! {
        fn responses()(
            interval in 1..=MAX_INTERVAL,
            min_interval in prop::option::of(0..=MAX_INTERVAL),
            [seeders, leechers] in any::<[Option<u32>; 2]>(),
            v4 in prop::collection::vec(any::<([u8; 4], u16)>(), 0..20),
            v6 in prop::collection::vec(any::<([u8; 16], u16)>(), 0..20),
            warning in prop::option::of("[a-z ]{0,40}"),
            tracker_id in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        ) -> AnnounceResponse {
            let v4 = v4.into_iter().map(SocketAddr::from);
            let peers = v4.chain(v6.into_iter().map(SocketAddr::from));
            let peers = peers.filter(|&peer| is_dialable(peer)).collect();
            AnnounceResponse {
                interval, min_interval, seeders, leechers, peers, warning, tracker_id,
            }
        }
    }

    proptest! {
        #[test]
        fn a_request_reads_back_as_written(
            request in requests(),
            tracker_id in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        ) {
            let request = AnnounceRequest { tracker_id, ..request };
            let url = announce_url("http://localhost/announce", &request);
            let query = url.split_once('?').unwrap().1;
            let expected = AnnounceQuery { request, compact: true };
            prop_assert_eq!(parse_announce(query.as_bytes()), Ok(expected));
        }

        #[test]
        fn a_response_reads_back_as_written(response in responses(), compact: bool) {
            prop_assert_eq!(decode_response(&encode_response(&response, compact)), Ok(response));
        }

        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_announce(&bytes);
            let _ = parse_scrape(&bytes);
            let _ = decode_response(&bytes);
            let _ = decode_response(&[b"d8:intervali1e5:peers", &bytes[..]].concat());
        }
    }
}
