//! `peer simulate tournament`: chokers of the library and programs of the user against each other.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use peer::choker::{AskChoker, Strategy};
use peer::sim::scenarios::tournament::{self, Game, Lineup, Played, RUNS, Score, Side};
use peer::sim::scenarios::{Context, Figure, Follow, Panel, Series, Spread, Stopped};
use peer::units::count;
use serde::Serialize;

use super::plot;
use super::results::{number, write_json};
use super::runner::Runner;
use crate::choker_program::Starter;
use crate::node::Ended;
use crate::options::{Entrant, Flags, Tournament};
use crate::report::print_result;

/// One that plays.
enum Player {
    Named(Strategy),
    Program { name: String, starter: Starter },
}

/// What is written.
#[derive(Serialize)]
struct Results {
    /// In the order of the table.
    entries: Vec<Line>,
    games: Vec<GameLine>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    #[serde(flatten)]
    score: Score,
}

/// A game with names in place of numbers.
#[derive(Serialize)]
struct GameLine {
    lineup: Lineup,
    seed: u64,
    names: [String; 2],
    seconds: [f64; 2],
}

/// Plays all games, and prints how each did.
pub(super) fn run(runner: &mut Runner, flags: &Flags, options: &Tournament) -> Result<Ended> {
    ensure!(
        !flags.check && flags.write_docs.is_none(),
        "a tournament has no bands to check or to show"
    );
    ensure!(flags.choker_cmd.is_none(), "a program enters a tournament as one of its entries");
    let players = players(options, flags.choker_cmd_timeout)?;
    let runs = flags.runs.unwrap_or(RUNS);
    let seeds = flags.rng_seed..flags.rng_seed + runs;
    let games = seeds.flat_map(|seed| tournament::games(players.len(), seed)).collect();
    let played =
        runner.run_each("tournament", games, |game, follow| play(game, &players, follow))?;
    let scores = tournament::scores(players.len(), &played);
    print_result(table(&players, &scores, runs))?;
    if let Some(picture) = &flags.plot {
        super::write(picture, &plot(&players, &scores, runs)?)?;
    }
    if let Some(path) = &flags.json {
        write(path, &players, scores, &played)?;
    }
    Ok(if runner.stop().is_stopped() { Ended::Incomplete } else { Ended::Complete })
}

/// The players. Each program is started once, so that a wrong name is an error at once.
fn players(options: &Tournament, timeout: Duration) -> Result<Vec<Player>> {
    let all = || Strategy::ALL.iter().copied().map(Entrant::Named).collect();
    let entries = if options.entries.is_empty() { all() } else { options.entries.clone() };
    ensure!(entries.len() > 1, "a tournament needs at least two chokers");
    let mut players: Vec<Player> = Vec::new();
    for entry in entries {
        let player = match entry {
            Entrant::Named(strategy) => Player::Named(strategy),
            Entrant::Program(command) => {
                let name = command.to_string();
                let starter = Starter::new(&command, name.clone(), timeout);
                starter.start(1).with_context(|| format!("`{name}` is no choker by name"))?;
                Player::Program { name, starter }
            }
        };
        if players.iter().any(|other| other.to_string() == player.to_string()) {
            bail!("{player} is entered twice");
        }
        players.push(player);
    }
    Ok(players)
}

fn play(game: Game, players: &[Player], follow: &mut dyn Follow) -> Result<Played, Stopped> {
    let side = |entry: usize, peers| -> Result<Side> {
        Ok(match &players[entry] {
            Player::Named(strategy) => Side::Named(*strategy),
            Player::Program { starter, .. } => {
                let programs = starter.start(peers)?.into_iter();
                Side::Asked(
                    programs.map(|program| Box::new(program) as Box<dyn AskChoker>).collect(),
                )
            }
        })
    };
    let ([x, y], [peers_of_x, peers_of_y]) = (game.entries, game.peers());
    let sides = side(x, peers_of_x).and_then(|of_x| Ok([of_x, side(y, peers_of_y)?]));
    let sides = sides.map_err(|error| Stopped::Impossible(format!("{error:#}")))?;
    game.play(sides, &mut Context { seed: game.seed, follow })
}

fn table(players: &[Player], scores: &[Score], runs: u64) -> String {
    let names: Vec<String> = scores.iter().map(|score| players[score.entry].to_string()).collect();
    let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let runs = count(usize::try_from(runs).expect("at most 10,000"), "run");
    let mut text = format!(
        "Mean and range over {runs}, the most robust first\n\
         {:<widest$}  {:<25}  {:<25}  performance (less is better)\n",
        "", "robustness", "aggressiveness"
    );
    for (name, Score { robustness, aggressiveness, performance, .. }) in names.iter().zip(scores) {
        let [robustness, aggressiveness, performance] = [robustness, aggressiveness, performance]
            .map(|spread| spread.map_or(String::new(), range));
        let line =
            format!("{name:<widest$}  {robustness:<25}  {aggressiveness:<25}  {performance}");
        writeln!(text, "{}", line.trim_end()).expect("a String takes all");
    }
    text
}

/// Robustness, and how fast a swarm is: of both, more is better.
fn plot(players: &[Player], scores: &[Score], runs: u64) -> Result<String> {
    let point = |score: &Score| {
        let at = (score.robustness?.mean, score.performance?.mean.recip());
        Some(Series::measured(players[score.entry].to_string(), vec![at]))
    };
    let points = scores.iter().filter_map(point).collect();
    let (x, y) = ("robustness (part of games won)", "the bound over the mean time alone");
    let panel = Panel::new(x, y, Figure::Points(points));
    plot::of_panel(
        panel,
        &format!("peer simulate tournament, {runs} runs: the mean of each choker."),
    )
}

fn range(Spread { mean, least, most }: Spread) -> String {
    format!("{} ({} to {})", number(mean), number(least), number(most))
}

fn write(path: &Path, players: &[Player], scores: Vec<Score>, played: &[Played]) -> Result<()> {
    let name = |entry: usize| players[entry].to_string();
    let entries = scores.into_iter().map(|score| Line { name: name(score.entry), score }).collect();
    let games = played.iter().map(|&Played { game: Game { lineup, entries, seed }, seconds }| {
        GameLine { lineup, seed, names: entries.map(name), seconds }
    });
    write_json(path, &Results { entries, games: games.collect() })
}

impl fmt::Display for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(strategy) => f.write_str(strategy.name),
            Self::Program { name, .. } => f.write_str(name),
        }
    }
}
