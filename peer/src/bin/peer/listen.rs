//! The sockets on which peers connect to us.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;

use anyhow::{Context, Result, bail};
pub(crate) use tracker::server::listen::bind;

use crate::report::say;

/// BEP 3: "try to listen on port 6881 and if that port is taken try 6882, then 6883, etc. and
/// give up after 6889".
const PORTS: RangeInclusive<u16> = 6881..=6889;

/// Listens on the given address; without one, on the first free port of BEP 3, over IPv4 and, where
/// the machine has it, IPv6. Prints the addresses on stderr.
pub(crate) fn listen(address: Option<SocketAddr>) -> Result<Vec<TcpListener>> {
    let listeners = match address {
        Some(address) => {
            vec![bind(address).with_context(|| format!("listen on {address}"))?]
        }
        None => listen_on_first_free()?,
    };
    for listener in &listeners {
        let address = listener.local_addr().context("look up our own address")?;
        say(format_args!("listening on {address}"));
    }
    Ok(listeners)
}

/// The address that we dial from: the one that we listen on, unless it is unspecified. The tracker
/// and the neighbors know us by it.
pub(crate) fn dial_from(address: Option<SocketAddr>) -> Option<IpAddr> {
    address.map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
}

fn listen_on_first_free() -> Result<Vec<TcpListener>> {
    for port in PORTS {
        let v4 = match bind((Ipv4Addr::UNSPECIFIED, port).into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => continue,
            result => result.with_context(|| format!("listen on port {port}"))?,
        };
        match bind((Ipv6Addr::UNSPECIFIED, port).into()) {
            Ok(v6) => return Ok(vec![v4, v6]),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => {
                log::info!("no IPv6: {error}");
                return Ok(vec![v4]);
            }
        }
    }
    bail!("ports {} to {} are taken: choose one with --listen", PORTS.start(), PORTS.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_dial_from_the_address_that_we_listen_on_unless_it_is_unspecified() {
        let from = |text: &str| dial_from(Some(text.parse().unwrap()));
        assert_eq!(from("127.0.0.5:0"), Some(IpAddr::from([127, 0, 0, 5])));
        assert_eq!(from("0.0.0.0:6881"), None);
        assert_eq!(dial_from(None), None);
    }

    #[test]
    fn a_port_that_is_taken_is_an_error_that_names_it() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = first.local_addr().unwrap();
        let error = listen(Some(address)).unwrap_err();
        assert!(format!("{error:#}").starts_with(&format!("listen on {address}: ")), "{error:#}");
    }
}
