//! The texts that checks send, from the student's seed.

use fastrand::Rng;

/// Some lower-case words in ASCII.
pub(crate) fn words(rng: &mut Rng) -> String {
    let words: Vec<String> = (0..rng.usize(2..5))
        .map(|_| (0..rng.usize(3..9)).map(|_| rng.lowercase()).collect())
        .collect();
    words.join(" ")
}

/// A reply that no client can know before it has come: capitals and digits.
pub(crate) fn reply(rng: &mut Rng) -> String {
    let word: String = (0..6).map(|_| rng.uppercase()).collect();
    word + &rng.u32(1000..10_000).to_string()
}

/// Some lower-case words with a letter outside ASCII, whose upper case is the same in all languages.
pub(crate) fn words_with_umlaut(rng: &mut Rng) -> String {
    words(rng) + " grün"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_texts_again() {
        let texts = |seed| {
            let mut rng = Rng::with_seed(seed);
            (words(&mut rng), words_with_umlaut(&mut rng), reply(&mut rng))
        };
        assert_eq!(texts(1), texts(1));
        assert_ne!(texts(1), texts(2));
    }

    #[test]
    fn words_change_in_upper_case_and_a_reply_does_not() {
        for seed in 0..100 {
            let mut rng = Rng::with_seed(seed);
            let words = words_with_umlaut(&mut rng);
            assert!(words.to_uppercase() != words && words.to_lowercase() == words, "{words}");
            let reply = reply(&mut rng);
            assert_eq!(reply, reply.to_uppercase());
        }
    }
}
