//! The HTTP client: for announces, and for a .torrent that is named by its URL.
//!
//! ureq does the protocol: servers send chunked answers, redirect, and often use TLS (HTTPS comes
//! with the feature `tls`). `connector.rs` opens the connections.

mod connector;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, anyhow};
use common::announce::readable;
use ureq::Agent;
use ureq::http::{StatusCode, header};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::Connector;

use crate::io_error;
use crate::url;
use connector::BoundConnector;

/// Most redirects followed. One to another path and one to https are usual.
pub(crate) const MAX_REDIRECTS: u32 = 5;

/// What a server answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    is_plain_text: bool,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The status of an answer that is of no use, with what the server says about it.
    pub(crate) fn refusal(&self) -> String {
        let said = self.body.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let said = readable(said);
        let said = said.trim();
        if self.is_plain_text && !said.is_empty() {
            format!("HTTP status {}: {said}", self.status)
        } else {
            format!("HTTP status {}", self.status)
        }
    }
}

/// An agent that connects from the address `bind`.
pub(crate) fn agent(bind: Option<IpAddr>) -> Agent {
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

/// Fetches `url`: at most `limit` bytes within `timeout`.
pub(crate) fn fetch(agent: &Agent, url: &str, limit: usize, timeout: Duration) -> Result<Answer> {
    url::check_port(url)?;
    let fetch = || {
        let request = agent.get(url).header("connection", "close");
        let mut answer = request.config().timeout_global(Some(timeout)).build().call()?;
        let content_type = answer.headers().get(header::CONTENT_TYPE);
        let is_plain_text =
            content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/plain"));
        let body = answer.body_mut().with_config().limit(limit as u64).read_to_vec()?;
        Ok(Answer { status: answer.status(), is_plain_text, body })
    };
    fetch().map_err(|error| explain(error, limit, timeout))
}

/// The error as a user would say it.
fn explain(error: ureq::Error, limit: usize, timeout: Duration) -> anyhow::Error {
    match error {
        ureq::Error::Io(error) => match io_error::describe(&error) {
            // In the words of rustls.
            text if text.contains("corrupt message") => {
                anyhow!("the server does not speak TLS: does its URL begin with http://?")
            }
            text => anyhow!(text),
        },
        ureq::Error::Timeout(_) => anyhow!("no answer within {timeout:?}"),
        ureq::Error::BodyExceedsLimit(_) => anyhow!("the answer is longer than {limit} bytes"),
        ureq::Error::TlsRequired => anyhow!("this program was built without https"),
        other => other.into(),
    }
}
