//! What the checks of both labs ask of a client: `PROGRAM client HOST PORT`.

use std::time::{Duration, Instant};

use crate::check::{Context, Failure, Stop};
use crate::hints;
use crate::process::Running;

/// How long a client may wait for a reply before it ends with a message.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

/// The book's prompt, which may stand before the reply.
const PROMPT: &str = "Input lowercase sentence:";

/// Starts the client of a server at this port with a line to type.
pub(crate) fn start(context: &mut Context<'_>, port: u16, line: &str) -> Result<Running, Stop> {
    context.start(&["client", "127.0.0.1", &port.to_string()], &format!("{line}\n"))
}

/// Whether the client runs, for failures.
pub(crate) fn state(client: &mut Running) -> Result<String, Stop> {
    Ok(match client.ended()? {
        Some(status) => format!("the client has exited ({status})"),
        None => "the client is still running".to_owned(),
    })
}

/// The client ends with status 0, and the last thing that it prints is the reply.
pub(crate) fn prints(client: &mut Running, reply: &str, deadline: Instant) -> Result<(), Stop> {
    let expected = format!("the client prints {reply} and exits with status 0");
    let Some(status) = client.wait(deadline)? else {
        let got = format!("it is still running; so far it has printed {:?}", client.stdout());
        return Err(Failure::new(expected, got).into());
    };
    let printed = client.stdout();
    if status.success() && printed.trim_end().ends_with(reply) {
        return Ok(());
    }
    let got = format!("it printed {printed:?} and exited with {status}");
    let nothing = printed.replace(PROMPT, "").trim().is_empty();
    let hint = if nothing { hints::STANDARD_OUTPUT } else { hints::NOT_FROM_THE_SERVER };
    Err(Failure::new(expected, got).hint(hint).into())
}

/// The client says that there is no reply: it ends with a message and a status other than 0.
pub(crate) fn gives_up(
    client: &mut Running,
    deadline: Instant,
    hint: &'static str,
) -> Result<(), Stop> {
    let expected = format!(
        "within {PATIENCE:?} the client prints a message and exits with a status other than 0"
    );
    let Some(status) = client.wait(deadline)? else {
        return Err(Failure::new(expected, "it is still waiting").hint(hint).into());
    };
    let (printed, errors) = (client.stdout(), client.stderr().text());
    let silent = errors.trim().is_empty() && printed.replace(PROMPT, "").trim().is_empty();
    if !silent && !status.success() {
        return Ok(());
    }
    let message = if silent { "no message" } else { "a message" };
    let got = format!("{message}, and {status}");
    Err(Failure::new(expected, got).hint(hints::SAY_IT_FAILED).into())
}
