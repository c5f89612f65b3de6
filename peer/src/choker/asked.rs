//! A choker outside of this library, such as another program: it gets each round as one line of JSON
//! and answers with another. The library holds the two lines and what they must be; how they travel,
//! and how long an answer may take, is up to the one that implements [`AskChoker`].
//!
//! It is asked at rounds only. Between rounds no peer loses its slot; a slot that becomes free goes
//! to the fastest peer that waits, so that as many are served as the last answer unchoked, and before
//! the first answer as many as there are slots. A round without an answer is as if it had not come.

use std::collections::BTreeSet;
use std::fmt;

use common::id::PeerKey;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::{Candidate, Choice, Choker, Occasion, Rules, Unchoke, UnchokeReason, ranked};

/// A choker outside of this library.
pub trait AskChoker: fmt::Debug + Send {
    /// Asks for the choice of a round. `None` if there is none, after telling the user why.
    fn ask(&mut self, question: &Question<'_>) -> Option<Choice>;
}

/// What it is told of a round.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Question<'a> {
    /// Counts from 1.
    pub round: u32,
    /// How many peers are to be served; the answer may unchoke more or fewer.
    pub slots: usize,
    /// Every piece is here: no peer can pay, and `rate` is what goes to the peer.
    pub seeding: bool,
    /// All connected peers.
    pub candidates: &'a [Candidate],
}

/// One peer in an answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    peer: PeerKey,
    #[serde(default = "one")]
    share: u32,
    why: Option<String>,
}

fn one() -> u32 {
    1
}

/// The greatest share of a peer.
const MAX_SHARE: u32 = 1_000_000;

/// The rest of a longer reason is left out.
const MAX_WHY: usize = 200;

/// A line that answers a question cannot be longer, in bytes.
pub const MAX_ANSWER: usize = 1024 * 1024;

/// Why an answer does not count.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum AnswerError {
    #[error("the answer is not a list such as [{{\"peer\":3,\"share\":1,\"why\":\"fast\"}}]: {0}")]
    Syntax(serde_json::Error),
    #[error("the answer is longer than {MAX_ANSWER} bytes")]
    TooLong,
    #[error("peer {0} is not a candidate")]
    Unknown(u64),
    #[error("peer {0} is in the answer twice")]
    Twice(u64),
    #[error("the share of peer {0} is {1}: must be from 1 to {MAX_SHARE}")]
    Share(u64, u32),
}

impl Question<'_> {
    /// As a line of JSON, without its end.
    pub fn line(&self) -> String {
        serde_json::to_string(self).expect("a question is plain data")
    }

    /// What an answer chooses.
    ///
    /// # Errors
    /// If it is no list of candidates, each once and with a share.
    pub fn read(&self, answer: &str) -> Result<Choice, AnswerError> {
        if answer.len() > MAX_ANSWER {
            return Err(AnswerError::TooLong);
        }
        let answers: Vec<Answer> = serde_json::from_str(answer).map_err(AnswerError::Syntax)?;
        let mut named = BTreeSet::new();
        let unchoke = |Answer { peer, share, why }| {
            if super::find(self.candidates, peer).is_none() {
                return Err(AnswerError::Unknown(peer.0));
            }
            if !named.insert(peer) {
                return Err(AnswerError::Twice(peer.0));
            }
            if !(1..=MAX_SHARE).contains(&share) {
                return Err(AnswerError::Share(peer.0, share));
            }
            let why = why.as_deref().unwrap_or("chosen");
            let text: String = why.chars().filter(|c| !c.is_control()).take(MAX_WHY).collect();
            Ok(Unchoke::with_share(peer, UnchokeReason::Other { text: text.into() }, share))
        };
        answers.into_iter().map(unchoke).collect()
    }
}

/// The choker that asks.
#[derive(Debug)]
pub(crate) struct Asked {
    asks: Box<dyn AskChoker>,
    slots: usize,
    /// How many peers are served between rounds if as many wait.
    serves: usize,
    round: u32,
    seeding: bool,
}

impl Asked {
    /// What explanations call it.
    pub(crate) const NAME: &str = "choker-cmd";

    pub(crate) fn new(asks: Box<dyn AskChoker>, rules: &Rules, seeding: bool) -> Self {
        Self { asks, slots: rules.slots, serves: rules.slots, round: 0, seeding }
    }

    /// Every piece is here. The same choker goes on, and is told.
    pub(crate) fn become_seed(&mut self) {
        self.seeding = true;
    }
}

impl Choker for Asked {
    fn rechoke(&mut self, occasion: Occasion, candidates: &[Candidate], rng: &mut Rng) -> Choice {
        if occasion == Occasion::Round {
            self.round += 1;
            let Self { round, slots, seeding, .. } = *self;
            if let Some(choice) = self.asks.ask(&Question { round, slots, seeding, candidates }) {
                self.serves = choice.unchoked.len();
                return choice;
            }
        }
        let waiting = candidates.iter().filter(|c| c.interested && !c.unchoked);
        Choice::keep_and_fill(self.serves, candidates, &mut ranked(waiting, rng))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use super::super::tests::{Neighbors, a_to_h, interested, not_chosen};
    use super::*;

    /// Answers with these lines, one a round; then with nothing.
    #[derive(Debug)]
    struct Lines(VecDeque<&'static str>);

    impl AskChoker for Lines {
        fn ask(&mut self, question: &Question<'_>) -> Option<Choice> {
            question.read(self.0.pop_front()?).ok()
        }
    }

    fn answering(lines: &[&'static str]) -> Neighbors<Asked> {
        let lines = Lines(lines.iter().copied().collect());
        Neighbors::new(Asked::new(Box::new(lines), &Rules::default(), false), &a_to_h())
    }

    #[test]
    fn a_round_follows_the_answer() {
        let mut neighbors = answering(&[
            r#"[{"peer":1,"share":3,"why":"I like B"},{"peer":7}]"#,
            r#" [ {"why":null,"peer":0} ] "#,
            "[]",
        ]);
        assert_eq!(neighbors.round(), "BH");
        assert_eq!((neighbors.share('B'), neighbors.share('H')), (3, 1));
        let other = |text: &'static str| Ok(UnchokeReason::Other { text: text.into() });
        assert_eq!(neighbors.reason('B'), other("I like B"));
        assert_eq!(neighbors.reason('H'), other("chosen"));
        assert_eq!(neighbors.reason('A'), not_chosen());
        assert_eq!(neighbors.round(), "A");
        assert_eq!(neighbors.round(), "");
    }

    #[test]
    fn a_round_without_an_answer_takes_no_slot_from_a_peer_and_gives_only_free_ones() {
        let mut neighbors = answering(&[r#"[{"peer":1,"share":3}]"#, "nonsense"]);
        for _ in 0..3 {
            assert_eq!((neighbors.round(), neighbors.share('B')), ("B".to_owned(), 3));
        }
        // Where no answer ever comes, peers are served nevertheless.
        assert_eq!(answering(&[]).round(), "ABCD");
    }

    #[test]
    fn between_rounds_as_many_are_served_as_in_the_last_answer() {
        let mut neighbors = answering(&[r#"[{"peer":1},{"peer":2}]"#, "[]"]);
        assert_eq!(neighbors.join(interested('I')), "ABCD", "four slots before the first answer");
        assert_eq!(neighbors.round(), "BC");
        assert_eq!(neighbors.leave('B'), "AC");
        assert_eq!(neighbors.reason('A'), Ok(UnchokeReason::FreeSlot));
        assert_eq!(neighbors.join(interested('J')), "AC");
        assert_eq!(neighbors.round(), "");
        assert_eq!(neighbors.leave('A'), "", "it serves no peer");
    }

    #[test]
    fn a_question_is_a_line_with_all_that_a_choker_knows() {
        let since_block = Some(Duration::from_millis(1500));
        let candidates = [
            Candidate { rate: 80, received: 7, sent: 9, haves: 2, since_block, ..interested('D') },
            Candidate { since_block: None, snubbed: true, ..interested('E') },
        ];
        let line = Question { round: 2, slots: 4, seeding: false, candidates: &candidates }.line();
        assert_eq!(
            line,
            concat!(
                r#"{"round":2,"slots":4,"seeding":false,"candidates":[{"peer":3,"interested":true,"#,
                r#""unchoked":false,"snubbed":false,"since_block":1.5,"rate":80,"received":7,"#,
                r#""sent":9,"haves":2,"pending":false},{"peer":4,"interested":true,"#,
                r#""unchoked":false,"snubbed":true,"since_block":null,"rate":0,"received":0,"#,
                r#""sent":0,"haves":0,"pending":false}]}"#,
            )
        );
    }

    #[test]
    fn a_wrong_answer_says_what_is_wrong() {
        let candidates = a_to_h();
        let question = Question { round: 1, slots: 4, seeding: false, candidates: &candidates };
        let deep = "[".repeat(100_000);
        let long = " ".repeat(MAX_ANSWER) + "[]";
        for (answer, error) in [
            ("", "the answer is not a list such as [{\"peer\":3,\"share\":1,\"why\":\"fast\"}]: "),
            ("{}", "the answer is not a list"),
            ("[3]", "the answer is not a list"),
            (r#"[{"peer":-1}]"#, "the answer is not a list"),
            (r#"[{"peer":3,"shares":2}]"#, "the answer is not a list"),
            (r#"[{"peer":3,"share":4294967296}]"#, "the answer is not a list"),
            (&deep, "the answer is not a list"),
            (&long, "the answer is longer than 1048576 bytes"),
            (r#"[{"peer":8}]"#, "peer 8 is not a candidate"),
            (r#"[{"peer":3},{"peer":3}]"#, "peer 3 is in the answer twice"),
            (r#"[{"peer":3,"share":0}]"#, "the share of peer 3 is 0: must be from 1 to 1000000"),
            (r#"[{"peer":3,"share":1000001}]"#, "the share of peer 3 is 1000001: must be"),
        ] {
            let told = question.read(answer).unwrap_err().to_string();
            assert!(told.starts_with(error), "{told}");
        }
    }

    #[test]
    fn a_reason_is_short_and_holds_nothing_that_a_terminal_obeys() {
        let candidates = a_to_h();
        let question = Question { round: 1, slots: 4, seeding: false, candidates: &candidates };
        let answer = format!(r#"[{{"peer":3,"why":"\u001b[2J{}"}}]"#, "x".repeat(1000));
        let choice = question.read(&answer).unwrap();
        let text = "[2J".to_owned() + &"x".repeat(MAX_WHY - 3);
        assert_eq!(choice.unchoked[0].reason, UnchokeReason::Other { text: text.into() });
    }
}
