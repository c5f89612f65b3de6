//! Lab 3, Loss and delay: a pinger over UDP, with time-outs and retransmission.
//!
//! `PROGRAM HOST PORT COUNT`. Each check says for every attempt of every ping when its echo comes, so
//! chance has no part in what a program meets; the seed decides the order and the delays.

mod output;
mod run;

use std::time::Duration;

use fastrand::Rng;

use crate::check::{Check, Context, Failure, Stop};
use crate::hints;
use crate::relay::{Link, milliseconds};
use output::Line;
use run::{ATTEMPTS, Run, TIMEOUT, run};

#[rustfmt::skip]
pub(crate) const CHECKS: &[Check] = &[
    Check::new("replies", 2, "Kurose & Ross 2.7.1", "sixty pings over a good link get replies, each sent right after the last reply", replies),
    Check::new("rtt", 3, "Kurose & Ross 3.5.3", "the RTTs are those of the link, even after a retransmission", rtt),
    Check::new("timeout", 2, "Kurose & Ross 3.4.1", "the program waits 200 ms for a reply", timeout),
    Check::new("retransmission", 3, "Kurose & Ross 3.4.1", "a ping without a reply is sent up to three times; one with a reply is not sent again", retransmission),
    Check::new("duplicates", 2, "Kurose & Ross 3.4.1", "a reply that comes twice counts once", duplicates),
    Check::new("late", 2, "Kurose & Ross 3.4.1 and 3.5.3", "a reply to an earlier attempt is a reply", late),
    Check::new("strangers", 1, "Kurose & Ross 3.2", "datagrams that are not replies are ignored, and do not extend the wait", strangers),
    Check::new("summary", 2, "Kurose & Ross 3.5.3", "the last line agrees with the lines before it and with what was sent", summary),
];

/// What a student can find out about the link of `labs relay --student ID`, for staff.
pub(crate) fn key(student: &str) -> String {
    let link = Link::of_student(student);
    let without_echo = 100.0 * (1.0 - (1.0 - link.loss).powi(2));
    let mean = milliseconds(link.delay + link.jitter / 2);
    let (shortest, longest) = (milliseconds(link.delay), milliseconds(link.delay + link.jitter));
    format!(
        "{link}\n\
         datagrams without an echo: {without_echo:.1}%\n\
         RTT: {shortest:.0} ms to {longest:.0} ms, {mean:.1} ms on average\n\
         duplicate echoes: {:.0}%\n",
        100.0 * link.duplicate
    )
}

fn replies(context: &mut Context<'_>) -> Result<(), Stop> {
    let run = run(context, 60, |_, _| vec![Duration::from_millis(1)], &[])?;
    run.judge_lines(hints::PING_AT_ONCE)
}

fn rtt(context: &mut Context<'_>) -> Result<(), Stop> {
    let losses = shuffled(&mut context.rng, &[0, 0, 0, 0, 0, 1, 1, 1, 1, 2]);
    let salt = context.rng.u64(..);
    let echoes = |ping, attempt| {
        // Shorter than the time-out by far more than another program on the machine takes.
        let mut rng = Rng::with_seed(salt ^ u64::from(ping) << 8 ^ u64::from(attempt));
        after_losses(&losses, ping, attempt, Duration::from_millis(rng.u64(10..=120)))
    };
    let run = run(context, 10, echoes, &[])?;
    run.judge_lines(hints::RTT)?;
    run.judge_rtts()
}

fn timeout(context: &mut Context<'_>) -> Result<(), Stop> {
    let run = run(context, 3, |_, _| Vec::new(), &[])?;
    run.judge_lines(hints::NO_TIMEOUT)?;
    judge_time_out(&run, 180.0, "when nothing is answered", hints::ONE_TIMEOUT_EACH)
}

fn retransmission(context: &mut Context<'_>) -> Result<(), Stop> {
    let losses = shuffled(&mut context.rng, &[0, 0, 1, 1, 2, 2, 3]);
    let echoes = |ping, attempt| after_losses(&losses, ping, attempt, Duration::from_millis(20));
    let run = run(context, 7, echoes, &[])?;
    for (ping, &lost) in (1..).zip(&losses) {
        let sent = run.probes.iter().filter(|probe| probe.ping == ping);
        let sent: Vec<_> = sent.map(|probe| probe.attempt).collect();
        let expected: Vec<_> = (1..=ATTEMPTS.min(lost + 1)).collect();
        if sent != expected {
            let expected = format!(
                "ping {ping}, whose first {lost} attempts get no reply, is sent as the \
                 attempts {expected:?}"
            );
            let got = format!("the attempts {sent:?}");
            return Err(Failure::new(expected, got).hint(hints::RETRANSMIT).into());
        }
    }
    run.judge_lines(hints::RETRANSMIT)
}

fn duplicates(context: &mut Context<'_>) -> Result<(), Stop> {
    let extra = context.rng.u64(10..20);
    let echoes = |_, _| [10, 10 + extra, 10 + 2 * extra].map(Duration::from_millis).to_vec();
    let run = run(context, 10, echoes, &[])?;
    run.judge_lines(hints::DUPLICATE)?;
    // A program that took a copy for the reply to the next ping sent the one after that too early.
    for pair in run.probes.windows(2) {
        if pair[0].echoed.first().is_none_or(|echoed| pair[1].at < *echoed) {
            let expected =
                format!("ping {} is sent after the reply to the one before", pair[1].ping);
            let got = format!("it was sent before the reply to ping {}", pair[0].ping);
            return Err(Failure::new(expected, got).hint(hints::DUPLICATE).into());
        }
    }
    Ok(())
}

fn late(context: &mut Context<'_>) -> Result<(), Stop> {
    // In the middle between the second attempt, after 200 ms, and the third, after 400 ms.
    let after = Duration::from_millis(context.rng.u64(290..=310));
    let run = run(context, 5, |_, _| vec![after], &[])?;
    run.judge_lines(hints::LATE)
}

fn strangers(context: &mut Context<'_>) -> Result<(), Stop> {
    let strange: [&[u8]; 5] = [b"hello", b"\xff\xfe", b"", b"1", b"999 1"];
    let losses = shuffled(&mut context.rng, &[0, 1, 1, 1]);
    let echoes = |ping, attempt| after_losses(&losses, ping, attempt, Duration::from_millis(20));
    let run = run(context, 4, echoes, &strange)?;
    run.judge_lines(hints::STRANGERS)?;
    // One that is too short was not prolonged, and costs its points elsewhere.
    judge_time_out(&run, 0.0, "when only strange datagrams come", hints::STRANGERS)
}

fn summary(context: &mut Context<'_>) -> Result<(), Stop> {
    let losses = shuffled(&mut context.rng, &[0, 0, 0, 1, 2, 3]);
    let extra = context.rng.u64(5..20);
    let echoes = |ping, attempt| {
        let after = Duration::from_millis(10 + extra * u64::from(ping));
        after_losses(&losses, ping, attempt, after)
    };
    let run = run(context, 6, echoes, &[])?;
    run.judge_lines(hints::SUMMARY)?;

    let of_reply = |line: &Line| match line {
        Line::Reply { rtt, .. } => Some(*rtt),
        Line::Lost { .. } => None,
    };
    let rtts: Vec<f64> = run.lines.iter().filter_map(of_reply).collect();
    let (pings, sent, replied) = (run.lines.len(), run.probes.len(), rtts.len());
    let least = rtts.iter().copied().fold(f64::INFINITY, f64::min);
    let most = rtts.iter().copied().fold(0.0, f64::max);
    let mean = rtts.iter().sum::<f64>() / replied as f64;
    let expected = format!(
        "{pings} pings, {sent} sent, {replied} replied, {} lost, rtt min/avg/max \
         {least:.1}/{mean:.1}/{most:.1} ms",
        pings - replied
    );
    let close = |[a, b, c]: [f64; 3]| {
        // The program may have computed with more digits than it printed.
        const ROUNDING: f64 = 0.2;
        [(a, least), (b, mean), (c, most)].iter().all(|(x, y)| (x - y).abs() <= ROUNDING)
    };
    let right = output::summary(&run.printed).is_some_and(|summary| {
        let counts = [summary.pings, summary.sent, summary.replied, summary.lost];
        counts.map(|count| count as usize) == [pings, sent, replied, pings - replied]
            && summary.rtt.is_some_and(close)
    });
    if right {
        return Ok(());
    }
    let got = run.printed.trim_end().lines().last().unwrap_or_default().to_owned();
    Err(Failure::new(expected, got).hint(hints::SUMMARY).into())
}

/// The time-out is not shorter than this, in milliseconds, and not longer than a loaded machine makes
/// of 200 ms.
fn judge_time_out(run: &Run, least: f64, when: &str, hint: &'static str) -> Result<(), Stop> {
    const MOST: f64 = 280.0;
    let time_out = run.time_out();
    if time_out.is_some_and(|time| (least..=MOST).contains(&time)) {
        return Ok(());
    }
    let expected = format!("{TIMEOUT:?} between two attempts of a ping {when}");
    let got = match time_out {
        Some(time) => format!("{time:.0} ms"),
        None => "no second attempt".to_owned(),
    };
    Err(Failure::new(expected, got).hint(hint).into())
}

/// How many attempts of each ping are lost, in an order of the seed's.
fn shuffled(rng: &mut Rng, losses: &[u32]) -> Vec<u32> {
    let mut losses = losses.to_vec();
    rng.shuffle(&mut losses);
    losses
}

/// The echo of an attempt: none for the first ones of a ping, as many as `losses` says.
fn after_losses(losses: &[u32], ping: u32, attempt: u32, after: Duration) -> Vec<Duration> {
    let index = usize::try_from(ping.wrapping_sub(1)).expect("a usize has 32 bits");
    let lost = losses.get(index).is_none_or(|lost| attempt <= *lost);
    if lost { Vec::new() } else { vec![after] }
}
