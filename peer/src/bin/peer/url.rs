//! What a URL says of the server.

use std::net::IpAddr;

use anyhow::{Result, ensure};

/// The parts of a URL that say how and where to connect.
pub(crate) struct Parts<'a> {
    pub(crate) scheme: &'a str,
    /// With brackets, if it is an IPv6 address.
    pub(crate) host: &'a str,
    pub(crate) port: Option<&'a str>,
}

impl<'a> Parts<'a> {
    /// `None` if it is no URL.
    pub(crate) fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        Some(Self { scheme, host, port })
    }
}

/// Whether it leads to the machine on which it is used.
pub(crate) fn is_loopback(url: &str) -> bool {
    Parts::of(url).is_some_and(|Parts { host, .. }| {
        let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
    })
}

/// ureq connects to the usual port if the one in the URL makes no sense.
pub(crate) fn check_port(url: &str) -> Result<()> {
    if let Some(port) = Parts::of(url).and_then(|parts| parts.port) {
        let is_valid = port.parse::<u16>().is_ok_and(|port| port > 0);
        ensure!(is_valid, "invalid port {port}: must be a number from 1 to 65535");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_url_is_recognized_by_its_host() {
        for url in ["http://127.0.0.1:6969/announce", "udp://[::1]:1", "http://LocalHost/announce"]
        {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["http://192.0.2.1:6969/127.0.0.1", "udp://localhost.example:1"] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
