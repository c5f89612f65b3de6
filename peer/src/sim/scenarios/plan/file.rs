//! A plan as a file in TOML: reading, checks, printing.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::DeTable;
use toml::{Spanned, Table, Value};

use super::{Arrivals, Begins, Class, MOST_NEIGHBORS, MOST_PEERS, Plan, Stay, Time};
use crate::sim::scenarios::Kind;
use crate::sim::scenarios::swarm::LONGEST;

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}{}: {what}", key.as_ref().map_or(String::new(), |key| format!(", `{key}`")))]
pub struct FileError {
    /// Counted from 1.
    pub line: usize,
    /// The key of the value, or the table.
    pub key: Option<String>,
    /// What is wrong.
    pub what: String,
}

impl FileError {
    fn at(text: &str, span: Option<Range<usize>>, what: &str) -> Self {
        let start = span.map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count();
        // A value may be on a line after its key.
        let before: Vec<_> = text.lines().take(line + 1).map(str::trim).collect();
        let begins = |line: &&str| line.starts_with(char::is_alphabetic) || line.starts_with("[[");
        let key = before.into_iter().rev().find(begins);
        let key = key.and_then(|line| line.split(['=', '#']).next()).map(str::trim);
        Self { line: line + 1, key: key.map(str::to_owned), what: what.trim().to_owned() }
    }
}

/// A value of a plan that makes no sense.
struct Senseless {
    /// `None`: of the whole plan.
    class: Option<usize>,
    key: &'static str,
    what: String,
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// If it is not one, or if one of its values makes no sense.
    pub fn from_toml(text: &str) -> Result<Self, FileError> {
        let plan: Self = toml::from_str(text)
            .map_err(|error| FileError::at(text, error.span(), error.message()))?;
        plan.check()
            .map_err(|senseless| FileError::at(text, span(text, &senseless), &senseless.what))?;
        Ok(plan)
    }

    /// The text of a file that gives this plan.
    pub fn to_toml(&self) -> String {
        let mut table = Table::try_from(self).expect("keys are texts, and values are in range");
        let classes = table.remove("class");
        let mut text = lines(&table);
        for class in classes.iter().flat_map(|classes| classes.as_array()).flatten() {
            // A scenario may have a class of no peers.
            if class.get("count") != Some(&Value::Integer(0)) {
                text += "\n[[class]]\n";
                text += &lines(class.as_table().expect("a class is a table"));
            }
        }
        text
    }

    /// Whether its values make sense, and it cannot take too much memory or time.
    fn check(&self) -> Result<(), Senseless> {
        let of_plan = |key, what| Senseless { class: None, key, what };
        let whole = |key, value: u32, least, most| {
            let check = Kind::Count(least, most).check(&value.to_string());
            check.map_err(|must| (key, format!("{value} {must}")))
        };
        whole("chunks", self.chunks, 1, MOST_CHUNKS)
            .and_then(|()| whole("runs", self.runs, 1, MOST_RUNS))
            .and_then(|()| self.duration.map_or(Ok(()), |time| is_short("duration", time)))
            .map_err(|(key, what)| of_plan(key, what))?;
        if self.classes.is_empty() {
            return Err(of_plan("class", "there must be at least one class".to_owned()));
        }
        let (mut names, mut peers) = (BTreeSet::new(), 0_u64);
        for (number, class) in self.classes.iter().enumerate() {
            let of_class = |(key, what)| Senseless { class: Some(number), key, what };
            if !names.insert(&class.name) {
                return Err(of_class(("name", format!("there is another class `{}`", class.name))));
            }
            class.check().map_err(of_class)?;
            whole("slots", class.slots, 0, MOST_NEIGHBORS)
                .and_then(|()| whole("neighbors", class.neighbors, 1, MOST_NEIGHBORS))
                .map_err(of_class)?;
            peers = class.peers().saturating_add(peers);
            if peers > u64::from(MOST_PEERS) {
                let what = format!(
                    "{peers} peers with those of the classes before: must be at most {MOST_PEERS}"
                );
                return Err(of_class((class.counted_by(), what)));
            }
        }
        let memory = self.memory(peers);
        if memory > MOST_MEMORY {
            let (memory, most) = (crate::units::size(memory), crate::units::size(MOST_MEMORY));
            let what = format!(
                "{peers} peers with {} chunks would take about {memory} of memory: must be at most {most}",
                self.chunks
            );
            return Err(of_plan("chunks", what));
        }
        Ok(())
    }

    /// Bytes that a run takes with so many peers, at most.
    fn memory(&self, peers: u64) -> u64 {
        let chunks = u64::from(self.chunks);
        let of_class = |class: &Class| {
            let neighbors = u64::from(class.neighbors).min(peers);
            let neighbors = neighbors * (NEIGHBOR_MEMORY + chunks / 8);
            class.peers() * (neighbors + chunks * CHUNK_MEMORY)
        };
        self.classes.iter().map(of_class).sum()
    }
}

impl Class {
    fn check(&self) -> Result<(), (&'static str, String)> {
        if let Some(count) = self.count {
            if self.counted_by() == "arrives" {
                return Err(("count", "`arrives` tells how many peers come".to_owned()));
            }
            let check = Kind::Count(1, MOST_PEERS).check(&count.to_string());
            check.map_err(|must| ("count", format!("{count} {must}")))?;
        }
        is_short("delay", self.delay)?;
        match &self.arrives {
            Arrivals::AtOnce => {}
            Arrivals::Evenly(time) => is_short("arrives", *time)?,
            Arrivals::Every(time) => {
                is_short("arrives", *time)?;
                is_short("arrives", Time(time.0 * self.count.unwrap_or(1)))?;
            }
            Arrivals::At(times) => {
                if times.is_empty() {
                    return Err(("arrives", "there must be at least one time".to_owned()));
                }
                times.iter().try_for_each(|&time| is_short("arrives", time))?;
            }
            Arrivals::Poisson { rate, until, decay } => {
                is_short("arrives", *until)?;
                if !(*rate > 0.0 && rate.is_finite()) {
                    return Err((
                        "arrives",
                        format!("rate {rate} must be more than 0 peers a second"),
                    ));
                }
                if decay.is_some_and(|decay| decay.0.is_zero()) {
                    return Err(("arrives", "decay 0s must be a time, such as 2h".to_owned()));
                }
            }
        }
        if let Begins::Random(part) = self.begins_with
            && !(0.0..=1.0).contains(&part)
        {
            return Err(("begins-with", format!("random {part} must be a number from 0 to 1")));
        }
        match self.stays {
            Stay::Forever => Ok(()),
            Stay::For(time) | Stay::Exponential(time) => is_short("stays", time),
        }
    }

    /// The key that says how many peers there are.
    fn counted_by(&self) -> &'static str {
        match self.arrives {
            Arrivals::AtOnce | Arrivals::Evenly(_) | Arrivals::Every(_) => "count",
            Arrivals::At(_) | Arrivals::Poisson { .. } => "arrives",
        }
    }

    /// How many peers there are, or are expected.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    fn peers(&self) -> u64 {
        match &self.arrives {
            Arrivals::AtOnce | Arrivals::Evenly(_) | Arrivals::Every(_) => {
                self.count.unwrap_or(1).into()
            }
            Arrivals::At(times) => times.len() as u64,
            Arrivals::Poisson { rate, until, decay } => {
                let until = until.0.as_secs_f64();
                let of_decay = |Time(decay): Time| {
                    let decay = decay.as_secs_f64();
                    -decay * (-until / decay).exp_m1()
                };
                (rate * decay.map_or(until, of_decay)).ceil() as u64
            }
        }
    }
}

fn is_short(key: &'static str, time: Time) -> Result<(), (&'static str, String)> {
    if time.0 <= LONGEST {
        return Ok(());
    }
    let hours = LONGEST.as_secs() / 3600;
    Err((key, format!("{time} must be at most {hours} hours")))
}

/// A line for each key, with inner tables in braces.
fn lines(table: &Table) -> String {
    table.iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
}

/// Where the key is in a text that was read; or the class, if it lacks the key.
fn span(text: &str, senseless: &Senseless) -> Option<Range<usize>> {
    let file = DeTable::parse(text).ok()?;
    let key_in = |table: &DeTable<'_>| {
        table.keys().find(|key| *key.get_ref() == senseless.key).map(Spanned::span)
    };
    let Some(number) = senseless.class else { return key_in(file.get_ref()) };
    let class = file.get_ref().get("class").and_then(|classes| classes.get_ref().get(number))?;
    class.get_ref().as_table().and_then(key_in).or_else(|| Some(class.span()))
}

/// As for the scenarios.
const MOST_CHUNKS: u32 = 100_000;

/// As on the command line.
const MOST_RUNS: u32 = 10_000;

/// Bytes: several runs at a time have to fit into a usual machine.
const MOST_MEMORY: u64 = 3_000_000_000;

/// Bytes that a peer takes for each neighbor, beside what that has.
const NEIGHBOR_MEMORY: u64 = 2000;

/// Bytes that a peer takes for each chunk: how many neighbors have it, and what has arrived of it.
const CHUNK_MEMORY: u64 = 24;

#[cfg(test)]
mod tests {
    use super::super::Rate;
    use super::*;
    use crate::sim::scenarios::{Context, Parameters, Scenario, kurose_ross, runs};

    const SMALL: &str = r#"
chunks = 8
chunk-size = "64KiB"

[[class]]
name = "seed"
up = "100kB/s"
down = "1MB/s"
begins-with = "everything"

[[class]]
name = "peer"
count = 3
up = "50kB/s"
down = "1MB/s"
"#;

    /// The file with one line changed.
    fn with(line: &str, other: &str) -> String {
        assert_eq!(SMALL.matches(line).count(), 1, "{line}");
        SMALL.replace(line, other)
    }

    #[test]
    fn what_a_file_leaves_out_is_as_for_the_scenarios() {
        let plan = Plan::from_toml(SMALL).unwrap();
        let [seed, peer] = &plan.classes[..] else { panic!("{plan:?}") };
        assert_eq!(*seed, Class::seed(100_000, 1_000_000));
        assert_eq!(*peer, Class { count: Some(3), ..Class::new("peer", 50_000, 1_000_000) });
        assert_eq!(plan, Plan::new(8, 64 * 1024).classes(plan.classes.clone()));
    }

    #[test]
    fn every_form_of_a_value_reads_back_from_the_file_that_is_printed() {
        let time = |seconds| Time(std::time::Duration::from_secs_f64(seconds));
        let poisson = |decay| Arrivals::Poisson { rate: 0.1, until: time(600.0), decay };
        let arrivals = [
            Arrivals::AtOnce,
            Arrivals::Evenly(time(90.0)),
            Arrivals::Every(time(0.123_456_789)),
            Arrivals::At(vec![time(0.0), time(7.5)]),
            poisson(None),
            poisson(Some(time(3600.0))),
        ];
        let begins =
            [Begins::Nothing, Begins::Everything, Begins::AllButOne, Begins::Random(1.0 / 3.0)];
        let stays = [Stay::Forever, Stay::For(Time::ZERO), Stay::Exponential(time(1800.0))];
        let classes = arrivals.iter().enumerate().map(|(number, arrives)| Class {
            arrives: arrives.clone(),
            begins_with: begins[number % begins.len()],
            stays: stays[number % stays.len()],
            up: Rate(43_690),
            delay: time(0.25),
            slots: 7,
            neighbors: 20,
            choker: "random".parse().unwrap(),
            order: "in-order".parse().unwrap(),
            strict_priority: "always".parse().unwrap(),
            ..Class::new(&format!("class-{number}"), 1, 2)
        });
        let plan =
            Plan::new(3, 16 * 1024).classes(classes.collect::<Vec<_>>()).lasts(time(5000.0).0);
        let plan = Plan { runs: 4, rng_seed: 9, measure: plan.measure[1..3].to_vec(), ..plan };
        let text = plan.to_toml();
        println!("{text}");
        assert_eq!(Plan::from_toml(&text), Ok(plan));
    }

    #[test]
    fn an_error_names_the_line_and_the_key() {
        for (line, other, error) in [
            ("chunks = 8", "chunks 8", "line 2, `chunks 8`: key with no value, expected `=`"),
            (
                "chunks = 8",
                "chunks = 0",
                "line 2, `chunks`: 0 must be a whole number from 1 to 100000",
            ),
            (
                "chunks = 8",
                "chunks = -1",
                "line 2, `chunks`: invalid value: integer `-1`, expected u32",
            ),
            (
                "chunks = 8",
                "chunks = 8\nduration = \"101h\"",
                "line 3, `duration`: 4days 5h must be at most 100 hours",
            ),
            (
                "chunks = 8",
                "chunks = 8\nruns = 0",
                "line 3, `runs`: 0 must be a whole number from 1 to 10000",
            ),
            (
                "chunks = 8",
                "chunks = 8\nmeasure = [\n  \"all\",\n  \"none\",\n]",
                "line 5, `measure`: unknown variant `none`, expected one of `complete`, ",
            ),
            (
                "\"64KiB\"",
                "\"65KiB\"",
                "line 3, `chunk-size`: `65KiB` must be a multiple of 16KiB up to 64MiB",
            ),
            (
                "\"64KiB\"",
                "64",
                "line 3, `chunk-size`: invalid type: integer `64`, expected a string",
            ),
            (
                "count = 3",
                "count = 3\ncolor = 1",
                "line 14, `color`: unknown field `color`, expected one of `name`, `count`, ",
            ),
            ("up = \"50kB/s\"", "", "line 11, `[[class]]`: missing field `up`"),
            (
                "name = \"peer\"",
                "name = \"seed\"",
                "line 12, `name`: there is another class `seed`",
            ),
            (
                "count = 3",
                "count = 0",
                "line 13, `count`: 0 must be a whole number from 1 to 20000",
            ),
            (
                "count = 3",
                "count = 20000",
                "line 13, `count`: 20001 peers with those of the classes before: must be at most 20000",
            ),
            (
                "\"50kB/s\"",
                "\"fast\"",
                "line 14, `up`: `fast` must be bytes a second, such as 500KB or 2MB",
            ),
            (
                "\"50kB/s\"",
                "\"0kB/s\"",
                "line 14, `up`: `0kB/s` must be bytes a second, such as 500KB or 2MB",
            ),
            (
                "count = 3",
                "choker = \"fair\"",
                "line 13, `choker`: unknown choker `fair`: must be one of textbook, ",
            ),
            (
                "count = 3",
                "slots = 1000000",
                "line 13, `slots`: 1000000 must be a whole number from 0 to 40000",
            ),
            (
                "count = 3",
                "neighbors = 0",
                "line 13, `neighbors`: 0 must be a whole number from 1 to 40000",
            ),
            (
                "count = 3",
                "arrives = \"soon\"",
                "line 13, `arrives`: unknown variant `soon`, expected one of `at-once`, ",
            ),
            (
                "count = 3",
                "arrives = { every = \"soon\" }",
                "line 13, `arrives`: `soon` must be a time, such as 90s or 1h 30m",
            ),
            (
                "count = 3",
                "count = 9000\narrives = { every = \"1m\" }",
                "line 14, `arrives`: 6days 6h must be at most 100 hours",
            ),
            (
                "count = 3",
                "arrives = { at = [] }",
                "line 13, `arrives`: there must be at least one time",
            ),
            (
                "count = 3",
                "count = 3\narrives = { at = [\"1s\"] }",
                "line 13, `count`: `arrives` tells how many peers come",
            ),
            (
                "count = 3",
                "arrives = { poisson = { rate = -1.0, until = \"1h\" } }",
                "line 13, `arrives`: rate -1 must be more than 0 peers a second",
            ),
            (
                "count = 3",
                "arrives = { poisson = { rate = inf, until = \"1h\" } }",
                "line 13, `arrives`: rate inf must be more than 0 peers a second",
            ),
            (
                "count = 3",
                "arrives = { poisson = { rate = 1e300, until = \"1h\" } }",
                "line 13, `arrives`: 18446744073709551615 peers with those of the classes before",
            ),
            (
                "count = 3",
                "arrives = { poisson = { rate = 1.0, until = \"1h\", decay = \"0s\" } }",
                "line 13, `arrives`: decay 0s must be a time, such as 2h",
            ),
            (
                "count = 3",
                "begins-with = { random = 1.5 }",
                "line 13, `begins-with`: random 1.5 must be a number from 0 to 1",
            ),
            (
                "count = 3",
                "begins-with = { random = nan }",
                "line 13, `begins-with`: random NaN must be a number from 0 to 1",
            ),
            (
                "count = 3",
                "stays = { for = \"101h\" }",
                "line 13, `stays`: 4days 5h must be at most 100 hours",
            ),
            (
                "count = 3",
                "delay = \"101h\"",
                "line 13, `delay`: 4days 5h must be at most 100 hours",
            ),
        ] {
            let said = Plan::from_toml(&with(line, other)).unwrap_err().to_string();
            assert!(said.starts_with(error), "{other}: {said}");
        }
        let without = SMALL.split("[[").next().unwrap();
        assert_eq!(Plan::from_toml(without).unwrap_err().what, "missing field `class`");
        let none = format!("class = []\n{without}");
        let said = Plan::from_toml(&none).unwrap_err().to_string();
        assert_eq!(said, "line 1, `class`: there must be at least one class");
    }

    #[test]
    fn a_swarm_that_would_take_too_much_memory_is_refused_and_the_largest_that_is_promised_is_not()
    {
        let large = |chunks: u32| {
            with("count = 3", "count = 9999").replace("chunks = 8", &format!("chunks = {chunks}"))
        };
        assert_eq!(Plan::from_toml(&large(1000)).map(|plan| plan.chunks), Ok(1000));
        let said = Plan::from_toml(&large(100_000)).unwrap_err().to_string();
        let error = "line 2, `chunks`: 10000 peers with 100000 chunks would take about 3";
        assert!(said.starts_with(error), "{said}");
    }

    #[test]
    fn any_text_is_a_plan_or_an_error() {
        use proptest::prelude::*;
        let lines: Vec<_> =
            SMALL.lines().chain(["arrives = {", "[class]", "x = [[", "=\u{e9}"]).collect();
        proptest!(|(picked in prop::collection::vec(prop::sample::select(lines), 0..12))| {
            let _ = Plan::from_toml(&picked.join("\n"));
        });
    }

    /// A scenario's plan, run from the file that is printed.
    fn digest_from_file(scenario: Scenario, parameters: &Parameters) -> Option<u64> {
        let plan = Plan::from_toml(&scenario.plan(parameters)?.to_toml()).unwrap();
        Some(plan.run(&mut Context { seed: 1, follow: &mut () }).unwrap().digest)
    }

    #[test]
    fn the_file_of_a_scenario_gives_the_same_run_as_the_scenario() {
        let mut expressed = 0;
        for &scenario in Scenario::ALL {
            let mut parameters = scenario.short();
            for (parameter, text) in scenario.short().iter() {
                // Of a sweep the first value alone.
                if let Some((first, _)) = text.split_once(',') {
                    parameters.set(parameter.name, first).unwrap();
                }
            }
            // Nothing here depends on the results, so a shorter file will do.
            let _ = parameters.set("chunks", "30");
            let itself = || scenario.run(&parameters, &mut Context { seed: 1, follow: &mut () });
            let digests = runs(0..2, |from_file| {
                if from_file == 1 {
                    digest_from_file(scenario, &parameters)
                } else {
                    Some(itself().unwrap().digest)
                }
            });
            let [Some(digest), Some(mut from_file)] = digests[..] else { continue };
            if scenario == kurose_ross::SCENARIO {
                // Its other swarm has a server in place of the seed.
                let server = parameters.with(&[("choker", "free-rider")]);
                from_file = from_file.rotate_left(1) ^ digest_from_file(scenario, &server).unwrap();
            }
            assert_eq!(digest, from_file, "{scenario}");
            expressed += 1;
        }
        assert_eq!(expressed, 13, "of all scenarios but the demonstration");
    }
}
