//! Lab 12, Your own choker: the questions and answers of `peer ... --choker-cmd`, and games of the
//! tournament.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::id::PeerKey;
use fastrand::Rng;
use peer::choker::{AskChoker, Candidate, Choice, Question, free_rider};
use peer::sim::scenarios::Context as Chance;
use peer::sim::scenarios::tournament::{Game, Lineup, Played, Side, scores};

use crate::check::{ANSWER, Check, Context, Failure, START, Stop};
use crate::conversation::{Conversation, Silence};
use crate::hints;

const SECTION: &str = "Kurose & Ross 2.5";

#[rustfmt::skip]
pub(crate) const CHECKS: &[Check] = &[
    Check::new("answers", 2, SECTION, "answers each question with one line, and exits when stdin ends", answers),
    Check::new("known-peers", 2, SECTION, "names only candidates, each once, with shares in range", known_peers),
    Check::new("no-candidates", 1, SECTION, "answers a question without candidates", no_candidates),
    Check::new("in-time", 1, SECTION, "answers within 10 ms when there are 55 candidates", in_time),
    Check::new("as-a-seed", 1, SECTION, "serves an interested neighbor when it is a seed", as_a_seed),
    Check::new("beats-free-rider", 5, SECTION, "free riders among its peers finish later", beats_free_rider),
    Check::new("performance", 3, SECTION, "a swarm of its peers takes at most 1.3 times the bound", performance),
];

/// Rounds that a program is asked about, one after another.
const ROUNDS: u32 = 20;

/// Slots of the book's rule.
const SLOTS: usize = 4;

fn answers(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut program = start(context)?;
    let mut named = 0;
    for round in 1..=ROUNDS {
        let candidates = candidates(&mut context.rng, 8);
        let answer = ask(context, &mut program, &question(round, false, &candidates))?;
        let Some(list) = list(&answer) else {
            let expected = "a list in JSON, such as [{\"peer\": 3}]";
            return Err(Failure::new(expected, answer).hint(hints::ANSWER_IS_A_LIST).into());
        };
        named += list.len();
    }
    serves_some(named)?;
    program.close();
    let until = context.within(ANSWER);
    if program.running().wait(until)?.is_none() {
        let expected = format!("the program exits within {ANSWER:?} of the end of its stdin");
        return Err(Failure::new(expected, "it is still running").hint(hints::END_OF_STDIN).into());
    }
    Ok(())
}

fn known_peers(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut program = start(context)?;
    let mut named = 0;
    for round in 1..=ROUNDS {
        // Neighbors come and go, so that one of the last round is not always one of this.
        let count = context.rng.usize(1..12);
        let candidates = candidates(&mut context.rng, count);
        let question = question(round, round > ROUNDS / 2, &candidates);
        let answer = ask(context, &mut program, &question)?;
        if let Err(error) = question.read(&answer) {
            let peers: Vec<_> = candidates.iter().map(|candidate| candidate.peer.0).collect();
            let expected = format!("a choice from the peers {peers:?}, in round {round}");
            let got = format!("{answer}: {error}");
            return Err(Failure::new(expected, got).hint(hints::KNOWN_PEERS).into());
        }
        named += list(&answer).map_or(0, |list| list.len());
    }
    serves_some(named)
}

fn no_candidates(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut program = start(context)?;
    for (round, seeding) in [(0, false), (1, false), (2, true)] {
        let answer = ask(context, &mut program, &question(round, seeding, &[]))?;
        if list(&answer) != Some(Vec::new()) {
            let expected = format!("[] in round {round}, which has no candidates");
            return Err(Failure::new(expected, answer).hint(hints::NO_CANDIDATES).into());
        }
    }
    Ok(())
}

fn in_time(context: &mut Context<'_>) -> Result<(), Stop> {
    const IN_TIME: Duration = Duration::from_millis(10);
    let mut program = start(context)?;
    let (mut fastest, mut named) = (Duration::MAX, 0);
    for round in 1..=ROUNDS {
        let candidates = candidates(&mut context.rng, 55);
        let asked = Instant::now();
        let answer = ask(context, &mut program, &question(round, false, &candidates))?;
        fastest = fastest.min(asked.elapsed());
        named += list(&answer).map_or(0, |list| list.len());
    }
    serves_some(named)?;
    // The fastest counts: other programs of a busy machine delay answers, and hasten none.
    if fastest <= IN_TIME {
        return Ok(());
    }
    let got = format!("{fastest:.1?}, the fastest of {ROUNDS} answers");
    Err(Failure::new(format!("an answer within {IN_TIME:?}"), got).hint(hints::TOO_SLOW).into())
}

fn as_a_seed(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut program = start(context)?;
    for round in 1..=ROUNDS / 4 {
        let mut candidates = candidates(&mut context.rng, 8);
        candidates[0].interested = true;
        // A seed receives nothing.
        candidates.iter_mut().for_each(|candidate| candidate.received = 0);
        let question = question(round, true, &candidates);
        let answer = ask(context, &mut program, &question)?;
        let chosen = |candidate: &Candidate| {
            question.read(&answer).is_ok_and(|choice| choice.unchoke(candidate.peer).is_some())
        };
        if !candidates.iter().any(|candidate| candidate.interested && chosen(candidate)) {
            let expected = "at least one interested neighbor while \"seeding\" is true";
            return Err(Failure::new(expected, answer).hint(hints::AS_A_SEED).into());
        }
    }
    Ok(())
}

fn list(answer: &str) -> Option<Vec<serde_json::Value>> {
    serde_json::from_str(answer).ok()
}

/// Whether neighbors were named over all rounds: a program that always answers `[]` does nothing wrong
/// and nothing at all.
fn serves_some(named: usize) -> Result<(), Stop> {
    if named > 0 {
        return Ok(());
    }
    let got = "only empty lists";
    Err(Failure::new("a choice of neighbors to serve", got).hint(hints::PERFORMANCE).into())
}

/// Games whose ratios are averaged.
const GAMES: u64 = 3;

/// How much longer riders must take. The null hypothesis: the rule does not look at what it gets, so
/// riders take as long as its own peers. A rule like that (`random`, `unchoke-all`) has ratios of .97 in
/// the mean with a deviation of .05, so the mean of three exceeds this in fewer than 1 of 100 runs.
/// That of the book's rule is 3.0 with a deviation of .4, and falls below in fewer than 1 of 10,000;
/// of the published rules `tyrant` has the least, 1.37 with .16. The test below computes both rates.
const LONGER: f64 = 1.06;

fn beats_free_rider(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut ratios = Vec::new();
    for seed in 0..GAMES {
        let game = Game { lineup: Lineup::Even, entries: [0, 1], seed };
        let riders = Side::Named(free_rider::STRATEGY);
        ratios.push(ratio(play(context, game, |of_x| [of_x, riders])?));
    }
    let mean = mean(&ratios);
    if mean >= LONGER {
        return Ok(());
    }
    let expected = format!(
        "15 free riders among 15 of its peers take at least {LONGER} times as long, on average over \
         {GAMES} games"
    );
    let got = format!("{mean:.3} times as long");
    Err(Failure::new(expected, got).hint(hints::TIT_FOR_TAT).into())
}

fn performance(context: &mut Context<'_>) -> Result<(), Stop> {
    const AT_MOST: f64 = 1.3;
    let mut played = Vec::new();
    for seed in 0..2 {
        let game = Game { lineup: Lineup::Alone, entries: [0, 0], seed };
        played.push(play(context, game, |of_x| [of_x, Side::Asked(Vec::new())])?);
    }
    let score = scores(1, &played)[0].performance.expect("it was played").mean;
    if score <= AT_MOST {
        return Ok(());
    }
    let expected = format!("30 of its peers take at most {AT_MOST} times the minimum time");
    let got = format!("{score:.2} times, on average over 2 games");
    Err(Failure::new(expected, got).hint(hints::PERFORMANCE).into())
}

/// The programs of a game have this long to start.
const START_OF_ALL: Duration = Duration::from_secs(30);

fn ratio(played: Played) -> f64 {
    let [own, riders] = played.seconds;
    riders / own
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn mean(ratios: &[f64]) -> f64 {
    ratios.iter().sum::<f64>() / ratios.len() as f64
}

/// Plays a game in which each peer of the first side has a process of the student's program.
fn play(
    context: &mut Context<'_>,
    game: Game,
    sides: impl FnOnce(Side) -> [Side; 2],
) -> Result<Played, Stop> {
    let [own, _] = game.peers();
    let lost = Arc::new(AtomicU32::new(0));
    let mut asked: Vec<Box<dyn AskChoker>> = Vec::new();
    let programs = (0..own).map(|_| context.converse()).collect::<Result<Vec<_>, _>>()?;
    for mut program in programs {
        // As in a tournament, a program has time to start. The limit of the check does not count here:
        // so many processes take long to start on a busy machine.
        let started = program.ask(question(0, false, &[]).line(), Instant::now() + START_OF_ALL);
        started.map_err(|silence| no_answer(&mut program, silence, START_OF_ALL))?;
        asked.push(Box::new(Student { program, lost: Arc::clone(&lost) }));
    }
    let chance = &mut Chance { seed: game.seed, follow: &mut () };
    Ok(game.play(sides(Side::Asked(asked)), chance).expect("nothing interrupts it"))
}

/// The program of one peer.
#[derive(Debug)]
struct Student {
    program: Conversation,
    /// Rounds that the programs of a game have lost because there was no answer in time.
    lost: Arc<AtomicU32>,
}

/// From so many lost rounds on, the programs of a game lose all others: those that hang would keep the
/// grader for long.
const MOST_LOST: u32 = 5;

impl AskChoker for Student {
    /// Virtual time stands still meanwhile, so a slow machine costs a program nothing.
    fn ask(&mut self, question: &Question<'_>) -> Option<Choice> {
        const PATIENCE: Duration = Duration::from_secs(1);
        if self.lost.load(Ordering::Relaxed) >= MOST_LOST {
            return None;
        }
        match self.program.ask(question.line(), Instant::now() + PATIENCE) {
            Ok(answer) => question.read(&answer).ok(),
            Err(Silence::Ended) => None,
            Err(Silence::TooLate) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

fn start(context: &mut Context<'_>) -> Result<Conversation, Stop> {
    let mut program = context.converse()?;
    // It may need a moment to start; `no-candidates` looks at the answer.
    let first = program.ask(question(0, false, &[]).line(), context.within(START));
    first.map_err(|silence| no_answer(&mut program, silence, START))?;
    Ok(program)
}

fn ask(
    context: &Context<'_>,
    program: &mut Conversation,
    question: &Question<'_>,
) -> Result<String, Stop> {
    let answer = program.ask(question.line(), context.within(ANSWER));
    answer.map_err(|silence| no_answer(program, silence, ANSWER))
}

fn no_answer(program: &mut Conversation, silence: Silence, time: Duration) -> Stop {
    let (got, hint) = match silence {
        Silence::TooLate => (format!("no line within {time:?}"), hints::FLUSH_ANSWERS),
        Silence::Ended => match program.running().ended() {
            Ok(Some(status)) => (format!("the program has exited ({status})"), hints::LINE_BY_LINE),
            Ok(None) => ("it has closed its stdin or stdout".to_owned(), hints::LINE_BY_LINE),
            Err(error) => return error.into(),
        },
    };
    Failure::new("a line for each question", got).hint(hint).into()
}

fn question(round: u32, seeding: bool, candidates: &[Candidate]) -> Question<'_> {
    Question { round, slots: SLOTS, seeding, candidates }
}

/// Neighbors in the middle of a download, with keys that do not begin at 0.
fn candidates(rng: &mut Rng, count: usize) -> Vec<Candidate> {
    let mut key = rng.u64(1..50);
    let candidate = |_| {
        key += rng.u64(1..9);
        let sends = rng.bool();
        let bytes = if sends { 16_384 * rng.u64(1..100) } else { 0 };
        Candidate {
            peer: PeerKey(key),
            interested: rng.u8(..4) > 0,
            unchoked: rng.bool(),
            snubbed: false,
            since_block: sends.then(|| Duration::from_millis(rng.u64(1..10_000))),
            rate: bytes / 10,
            received: bytes,
            sent: 16_384 * rng.u64(..50),
            haves: rng.u32(..10),
            pending: rng.bool(),
        }
    };
    (0..count).map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use peer::choker::{Strategy, mainline, propshare, random, textbook, unchoke_all};

    use super::*;

    /// In how many of so many runs of the check a rule gets the points, from games that were played.
    fn passes(rule: Strategy, runs: u32) -> u32 {
        const PLAYED: u64 = 40;
        let ratios: Vec<f64> = (100..100 + PLAYED)
            .map(|seed| {
                let game = Game { lineup: Lineup::Even, entries: [0, 1], seed };
                let sides = [Side::Named(rule), Side::Named(free_rider::STRATEGY)];
                ratio(game.play(sides, &mut Chance { seed, follow: &mut () }).unwrap())
            })
            .collect();
        let mut rng = Rng::with_seed(1);
        let pass = |_: &u32| {
            let drawn: Vec<_> = (0..GAMES).map(|_| ratios[rng.usize(..ratios.len())]).collect();
            mean(&drawn) >= LONGER
        };
        u32::try_from((0..runs).filter(pass).count()).unwrap()
    }

    #[test]
    fn tit_for_tat_loses_the_points_in_fewer_than_1_of_10_000_runs() {
        for rule in [textbook::STRATEGY, mainline::STRATEGY, propshare::STRATEGY] {
            assert!(passes(rule, 100_000) > 99_990, "{}", rule.name);
        }
    }

    #[test]
    fn a_rule_that_does_not_look_at_what_it_gets_keeps_them_in_fewer_than_1_of_100() {
        for rule in [random::STRATEGY, unchoke_all::STRATEGY, free_rider::STRATEGY] {
            let passes = passes(rule, 100_000);
            assert!(passes < 1000, "{}: {passes}", rule.name);
        }
    }
}
