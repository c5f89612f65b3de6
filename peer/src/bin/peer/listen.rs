//! The sockets on which peers connect to us.

use std::io;
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;

use anyhow::{Context, Result, bail};
pub(crate) use tracker::server::listen::bind;

use crate::report::say;

/// BEP 3: "try to listen on port 6881 and if that port is taken try 6882, then 6883, etc. and
/// give up after 6889". A class on one machine needs more, so we do not give up.
const PORTS: RangeInclusive<u16> = 6881..=6889;

/// How often a port of the system's choice is tried: it may be free for IPv4 but not for IPv6.
const PORT_ATTEMPTS: usize = 20;

/// Listens on the given address; without one, on the first free port of BEP 3 or else any, over
/// IPv4 and, where the machine has it, IPv6. Prints the addresses on stderr.
pub(crate) fn listen(address: Option<SocketAddr>) -> Result<Vec<TcpListener>> {
    let listeners = match address {
        Some(address) => {
            vec![bind(address).with_context(|| format!("cannot listen on {address}"))?]
        }
        None => {
            let ports = PORTS.chain(iter::repeat_n(0, PORT_ATTEMPTS));
            listen_on_first_free(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED, ports)?
        }
    };
    for listener in &listeners {
        let address = listener.local_addr().context("cannot look up our own address")?;
        say(format_args!("listening on {address}"));
    }
    Ok(listeners)
}

/// The address that we dial from: the one that we listen on, unless it is unspecified. The tracker
/// and the neighbors know us by it.
pub(crate) fn dial_from(address: Option<SocketAddr>) -> Option<IpAddr> {
    address.map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
}

/// Listens on the first of these ports that is free for IPv4 and IPv6; port 0 is any free one.
fn listen_on_first_free(
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    ports: impl IntoIterator<Item = u16>,
) -> Result<Vec<TcpListener>> {
    for port in ports {
        let listener = match bind((v4, port).into()) {
            Err(error) if is_taken(&error) => continue,
            result => result.with_context(|| format!("cannot listen on port {port}"))?,
        };
        let port = listener.local_addr().context("cannot look up our own address")?.port();
        match bind((v6, port).into()) {
            Ok(second) => return Ok(vec![listener, second]),
            Err(error) if is_taken(&error) => {}
            Err(error) => {
                log::info!("no IPv6: {error}");
                return Ok(vec![listener]);
            }
        }
    }
    bail!("cannot listen: no port is free")
}

fn is_taken(error: &io::Error) -> bool {
    // Windows reserves ranges of ports for itself.
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
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

    /// On loopback: a listener on all addresses would be open to the network.
    #[test]
    fn a_port_that_is_taken_is_skipped_and_port_0_is_any_free_one() {
        let taken = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let ports = [taken.local_addr().unwrap().port(), 0];
        let found = listen_on_first_free(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST, ports).unwrap();
        let found: Vec<_> = found.iter().map(|l| l.local_addr().unwrap().port()).collect();
        assert!(found.iter().all(|port| *port == found[0] && !ports.contains(port)), "{found:?}");
    }

    #[test]
    fn a_port_that_is_taken_is_an_error_that_names_it() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = first.local_addr().unwrap();
        let error = listen(Some(address)).unwrap_err();
        assert!(
            format!("{error:#}").starts_with(&format!("cannot listen on {address}: ")),
            "{error:#}"
        );
    }
}
