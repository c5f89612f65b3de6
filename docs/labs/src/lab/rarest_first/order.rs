//! What the orders in which a program began pieces say about how it chooses them.

use std::collections::BTreeMap;

/// Pieces in the torrents of these checks, and runs of `random-ties`.
pub(crate) const PIECES: u32 = 16;
pub(crate) const RUNS: usize = 4;

/// The first piece that was begun although a rarer one was not, as (begun, rarer). `copies` has the
/// number of copies of each piece, all of which one peer has.
///
/// The null hypothesis is a program that does not look at the copies: it begins the pieces in an order of
/// its own, fixed or random. Which pieces are rare comes from the seed, so to it every assignment of the
/// copies is as likely as every other. With 16 pieces in four classes of four, one order in 16! / 4!^4 =
/// 63 million is right: one run is enough. In `haves` twelve pieces become common later, and to a program
/// that does not count haves all are equal: one order in 16! / (4! 12!) = 1820 is right. In `left` no order
/// is right that puts a class before another which only those that have left made common. A right program has no freedom but among equals, and never
/// loses the points.
pub(crate) fn out_of_order(begun: &[u32], copies: &[u32]) -> Option<(u32, u32)> {
    let of = |piece: u32| copies[piece as usize];
    begun.iter().enumerate().find_map(|(place, &piece)| {
        let rarer = begun[place..].iter().find(|&&later| of(later) < of(piece));
        rarer.map(|&rarer| (piece, rarer))
    })
}

/// What is not random about orders of equally rare pieces, one for each of [`RUNS`] runs.
///
/// Two null hypotheses. A program with a fixed order, such as the lowest number first, begins the same
/// piece at the same place of each run. One that draws only where it starts, and goes on in sequence,
/// begins piece n + 1 after piece n. With right programs both happen by chance: per pair of runs one equal
/// place in the mean, 6 in all; per run 15 / 16 successors, 3.75 in all; both close to a Poisson
/// distribution. The limits are so far above that a right program exceeds one in fewer than 1 of 10,000
/// runs; fixed orders have 96 equal places, sequences some 58 successors. A program that draws among
/// the two lowest numbers has more equal places than the limit in more than 99 of 100 runs. The test below samples all.
pub(crate) fn not_random(orders: &[Vec<u32>]) -> Option<String> {
    const MOST_EQUAL: usize = 20;
    const MOST_SUCCESSORS: usize = 16;
    let mut equal = 0;
    for (number, order) in orders.iter().enumerate() {
        for other in &orders[number + 1..] {
            equal += order.iter().zip(other).filter(|(a, b)| a == b).count();
        }
    }
    let follows = |pair: &[u32]| pair[1] == (pair[0] + 1) % PIECES;
    let successors = orders.iter().flat_map(|order| order.windows(2)).filter(|pair| follows(pair));
    let successors = successors.count();
    if equal > MOST_EQUAL {
        return Some(format!("two runs began the same piece at the same place {equal} times"));
    }
    (successors > MOST_SUCCESSORS)
        .then(|| format!("piece n + 1 was begun right after piece n {successors} times"))
}

/// How often each piece is in these sets.
pub(crate) fn count<'a>(sets: impl IntoIterator<Item = &'a [u32]>) -> Vec<u32> {
    let mut copies = BTreeMap::new();
    sets.into_iter().flatten().for_each(|piece| *copies.entry(*piece).or_default() += 1);
    (0..PIECES).map(|piece| copies.get(&piece).copied().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    const SAMPLES: u32 = 100_000;
    /// Of the samples: 1 in 10,000, and 1 in 100.
    const RIGHT_LOSES: u32 = SAMPLES / 10_000;
    const WRONG_KEEPS: u32 = SAMPLES / 100;

    fn shuffled(rng: &mut Rng) -> Vec<u32> {
        let mut pieces: Vec<_> = (0..PIECES).collect();
        rng.shuffle(&mut pieces);
        pieces
    }

    /// The program begins, each time, one of the `among` first pieces of its list.
    fn nearly(mut list: Vec<u32>, among: usize, rng: &mut Rng) -> Vec<u32> {
        let mut order = Vec::new();
        while !list.is_empty() {
            order.push(list.remove(rng.usize(..among.min(list.len()))));
        }
        order
    }

    #[test]
    fn rarest_first_keeps_the_points_and_orders_that_ignore_the_copies_lose_them() {
        let mut rng = Rng::with_seed(1);
        let mut kept = [0; 5];
        for _ in 0..SAMPLES {
            // Of `haves`, where the copies that a program does not count are those of twelve pieces.
            let later: Vec<u32> =
                shuffled(&mut rng).iter().map(|piece| 1 + u32::from(*piece < 12)).collect();
            kept[4] += u32::from(out_of_order(&shuffled(&mut rng), &later).is_none());

            let copies: Vec<u32> = shuffled(&mut rng).iter().map(|piece| 1 + piece / 4).collect();
            let of = |piece: &u32| copies[*piece as usize];
            let random = shuffled(&mut rng);
            let mut rarest = random.clone();
            rarest.sort_by_key(of);
            let mut commonest = rarest.clone();
            commonest.reverse();
            let in_order = (0..PIECES).collect();
            for (kept, order) in kept.iter_mut().zip([rarest, random, in_order, commonest]) {
                *kept += u32::from(out_of_order(&order, &copies).is_none());
            }
        }
        assert_eq!(kept[0], SAMPLES);
        assert!(kept[1..].iter().all(|kept| *kept < WRONG_KEEPS), "{kept:?}");
    }

    #[test]
    fn random_ties_keep_the_points_and_ties_by_a_rule_lose_them() {
        let mut rng = Rng::with_seed(2);
        let mut kept = [0; 4];
        for _ in 0..SAMPLES {
            let fixed = shuffled(&mut rng);
            let order = |program, rng: &mut Rng| match program {
                0 => shuffled(rng),
                1 => fixed.clone(),
                // It draws where it starts.
                2 => {
                    let start = rng.u32(..PIECES);
                    (0..PIECES).map(|n| (start + n) % PIECES).collect()
                }
                // It draws among the two lowest numbers.
                _ => nearly((0..PIECES).collect(), 2, rng),
            };
            for (program, kept) in kept.iter_mut().enumerate() {
                let orders: Vec<_> = (0..RUNS).map(|_| order(program, &mut rng)).collect();
                *kept += u32::from(not_random(&orders).is_none());
            }
        }
        assert!(SAMPLES - kept[0] < RIGHT_LOSES, "{kept:?}");
        assert!(kept[1..].iter().all(|kept| *kept < WRONG_KEEPS), "{kept:?}");
    }
}
