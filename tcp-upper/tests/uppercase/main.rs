//! Both uppercase pairs, end to end over loopback; this crate holds the tests of the UDP pair too.
//!
//! cargo builds the bins of every crate that has integration tests, and both crates' `server` to
//! the same place: with tests in one crate only, nothing is overwritten while tests run.

mod mixtures;
mod page;
mod programs;
mod tcp_survival;
mod udp_survival;
