//! Sets of small numbers, and the search that the picker is made of.
//!
//! A [`BitSet`] is words of 64 bits with a summary bit per word, so that [`search`] finds a member
//! common to several sets by looking at one summary word per 4,096 numbers: at most 32 of them
//! for all slots of a swarm. Sets grow as numbers are added; what is beyond the end is absent.

/// A set of numbers below some thousands.
#[derive(Debug, Clone, Default)]
pub(crate) struct BitSet {
    words: Vec<u64>,
    summary: Vec<u64>,
    count: u32,
}

impl BitSet {
    /// Adds a number; whether it was new.
    pub(crate) fn set(&mut self, number: u32) -> bool {
        let (word, bit) = (number as usize / 64, 1u64 << (number % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
            self.summary.resize(word / 64 + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.summary[word / 64] |= 1 << (word % 64);
        self.count += u32::from(new);
        new
    }

    /// Removes a number; whether it was there.
    pub(crate) fn clear(&mut self, number: u32) -> bool {
        let (word, bit) = (number as usize / 64, 1u64 << (number % 64));
        let Some(value) = self.words.get_mut(word).filter(|value| **value & bit != 0) else {
            return false;
        };
        *value &= !bit;
        if *value == 0 {
            self.summary[word / 64] &= !(1 << (word % 64));
        }
        self.count -= 1;
        true
    }

    pub(crate) fn has(&self, number: u32) -> bool {
        self.word(number as usize / 64) & (1 << (number % 64)) != 0
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The numbers, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(at as u32 * 64 + bit)
            })
        })
    }

    fn word(&self, at: usize) -> u64 {
        self.words.get(at).copied().unwrap_or(0)
    }
}

/// The first number from `start` on, going round at the end, that is in all of `sets` and not in
/// `except`.
pub(crate) fn search(start: u32, sets: &[&BitSet], except: &BitSet) -> Option<u32> {
    let found = search_from(start, sets, except);
    if found.is_some() || start == 0 {
        return found;
    }
    search_from(0, sets, except)
}

fn search_from(start: u32, sets: &[&BitSet], except: &BitSet) -> Option<u32> {
    let end = sets.iter().map(|set| set.words.len()).min().unwrap_or(0);
    let common = |at: usize| sets.iter().fold(!except.word(at), |all, set| all & set.word(at));
    let mut at = start as usize / 64;
    if at < end {
        let value = common(at) & (!0 << (start % 64));
        if value != 0 {
            return Some((at * 64) as u32 + value.trailing_zeros());
        }
    }
    at += 1;
    while at < end {
        let group = at / 64;
        let summary = sets.iter().fold(!0 << (at % 64), |all, set| all & set.summary[group]);
        if summary == 0 {
            at = (group + 1) * 64;
            continue;
        }
        at = group * 64 + summary.trailing_zeros() as usize;
        let value = common(at);
        if value != 0 {
            return Some((at * 64) as u32 + value.trailing_zeros());
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    use super::*;

    fn of(numbers: &BTreeSet<u32>) -> BitSet {
        let mut set = BitSet::default();
        for number in numbers {
            assert!(set.set(*number));
            assert!(!set.set(*number));
        }
        set
    }

    fn numbers() -> impl Strategy<Value = BTreeSet<u32>> {
        let near = prop_oneof![0u32..130, 4_090u32..4_100, 8_000u32..9_000];
        proptest::collection::btree_set(near, 0..40)
    }

    proptest! {
        #[test]
        fn search_is_the_next_common_number(
            a in numbers(), b in numbers(), not in numbers(), start in 0u32..9_000,
        ) {
            let common: BTreeSet<u32> =
                a.intersection(&b).copied().filter(|number| !not.contains(number)).collect();
            let want = common.range(start..).next().or_else(|| common.first()).copied();
            prop_assert_eq!(search(start, &[&of(&a), &of(&b)], &of(&not)), want);
        }

        #[test]
        fn clearing_undoes_setting(a in numbers(), b in numbers()) {
            let mut set = of(&a);
            for number in &b {
                prop_assert_eq!(set.clear(*number), a.contains(number));
            }
            let left: BTreeSet<u32> = a.difference(&b).copied().collect();
            prop_assert_eq!(set.count() as usize, left.len());
            prop_assert_eq!(
                search(0, &[&set], &BitSet::default()), left.first().copied()
            );
        }
    }
}
