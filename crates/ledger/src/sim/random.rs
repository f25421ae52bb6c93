//! Long runs of a name with readers, an owner, and adversaries, each from one seed.
//!
//! The owner publishes, hands over, and recovers. A thief with the owner's first key forks the
//! ledger. Old and foreign histories are served again, proofs arrive with a changed part, clocks jump
//! by a day either way, and entries claim the future. After each step every node is judged; at the
//! end all meet all, and must agree on a head or all hold the proof. `SHOAL_LEDGER_SEEDS` sets how
//! many seeds run, `SHOAL_LEDGER_STEPS` how long each is.

use super::dice::{Dice, setting};
use super::{ALL, Checks, Node};
use crate::chain::{Archive, Chain};
use crate::head::{HeadProof, prove};
use crate::reader::{Refusal, Status};
use crate::sample::*;

const READERS: usize = 4;
const LEN_MAX: u64 = 14;
const DAY_MS: u64 = 86_400_000;
const START_MS: u64 = 10 * DAY_MS;

struct World {
    dice: Dice,
    /// The owner's branch, and the seed of the active key.
    main: Chain,
    writer: u8,
    /// Whatever was ever published, by anybody.
    published: Vec<Chain>,
    nodes: Vec<Node>,
    thief: bool,
}

impl World {
    fn new(seed: u64, checks: Checks, thief: bool) -> Self {
        let main = begin(&[OWNER, 2]);
        let nodes = (0..READERS).map(|_| Node::new(checks)).collect();
        Self { dice: Dice(seed), published: vec![main.clone()], main, writer: OWNER, nodes, thief }
    }

    fn step(&mut self) -> Result<(), String> {
        match self.dice.roll(16) {
            0..=3 => self.publish(),
            4 => self.hand_over(),
            5 if self.dice.roll(4) == 0 => self.recover(),
            6 if self.thief => self.fork(),
            7 => return self.tamper(),
            8..=11 => return self.serve(),
            _ => return self.gossip(),
        }
        Ok(())
    }

    fn publish(&mut self) {
        if self.main.len() < LEN_MAX {
            // Some entries claim a time far ahead; the rest a second later than the one before.
            let ahead = if self.dice.roll(12) == 0 { 2 * DAY_MS } else { 1_000 };
            let time = self.main.tip().head().header().time_ms.max(START_MS) + ahead;
            let body = update(self.dice.roll(3) as u64);
            let draft = self.main.tip().draft(body, &key(self.writer).public(), time).unwrap();
            self.main.push(draft.sign(&[&key(self.writer)]).unwrap()).unwrap();
            self.published.push(self.main.clone());
        }
    }

    fn hand_over(&mut self) {
        let writers_now = self.main.tip().authority().writers().to_vec();
        if self.main.len() < LEN_MAX && writers_now.len() == 2 {
            let other = u8::from(writers_now[0] == key(self.writer).public());
            push(&mut self.main, self.writer, writers(other, &[], 0));
            let seeds = [OWNER, 2, 7, 8];
            let active = self.main.tip().authority().active();
            self.writer = seeds.into_iter().find(|seed| key(*seed).public() == active).unwrap();
            self.published.push(self.main.clone());
        }
    }

    fn recover(&mut self) {
        if self.main.len() < LEN_MAX && self.main.tip().authority().epoch().as_u64() < 2 {
            let opened = self.main.control_before(self.main.len()).unwrap();
            let base = opened + self.dice.roll((self.main.len() - opened) as usize) as u64;
            self.main = recover(&self.main, base, RECOVERY[0], &[7, 8]);
            self.writer = 7;
            self.published.push(self.main.clone());
        }
    }

    /// Somebody with the first key goes on from an old place of epoch 0.
    fn fork(&mut self) {
        let at = self.dice.roll(self.published.len());
        let mut branch = self.published[at].clone();
        let authority = branch.tip().authority();
        if branch.len() < LEN_MAX && authority.active() == key(OWNER).public() {
            push(&mut branch, OWNER, update(1_000 + self.dice.roll(2) as u64));
            self.published.push(branch);
        }
    }

    fn clock(&mut self) -> u64 {
        START_MS - DAY_MS + self.dice.roll(3) as u64 * DAY_MS
    }

    /// A node hears of something that was published, new or old.
    fn serve(&mut self) -> Result<(), String> {
        let (node, what) = (self.dice.roll(READERS), self.dice.roll(self.published.len()));
        let now_ms = self.clock();
        let branch = self.published[what].clone();
        self.judged(node, |node| node.meet(&branch, &[], now_ms))
    }

    fn gossip(&mut self) -> Result<(), String> {
        let (node, other) = (self.dice.roll(READERS), self.dice.roll(READERS));
        let now_ms = self.clock();
        let Some(branch) = self.nodes[other].branch.clone() else { return Ok(()) };
        let frauds = self.nodes[other].reader.frauds().to_vec();
        self.judged(node, |node| node.meet(&branch, &frauds, now_ms))
    }

    fn judged(&mut self, node: usize, act: impl FnOnce(&mut Node)) -> Result<(), String> {
        let before = self.nodes[node].clone();
        act(&mut self.nodes[node]);
        self.nodes[node].judge(&before)
    }

    /// A proof with one part changed, or of another ledger, is refused and changes nothing.
    fn tamper(&mut self) -> Result<(), String> {
        let what = self.dice.roll(self.published.len());
        let node = self.dice.roll(READERS);
        let mut reader = self.nodes[node].reader.clone();
        let Some(mut proof) = prove(&self.published[what], reader.have().as_ref()) else {
            return Ok(());
        };
        if !self.change(&mut proof) {
            return Ok(());
        }
        let before = reader.have();
        match reader.accept(&proof, u64::MAX) {
            Err(_) if reader.have() == before => Ok(()),
            other => Err(format!("took a changed proof: {other:?}")),
        }
    }

    /// Whether there was something to change.
    fn change(&mut self, proof: &mut HeadProof) -> bool {
        let other = crate::Hash::from_bytes([self.dice.roll(256) as u8; 32]);
        let lists = [&mut proof.peaks, &mut proof.common.to_head, &mut proof.common.to_have];
        match self.dice.roll(5) {
            list @ 0..3 => match lists.into_iter().nth(list).and_then(|list| list.last_mut()) {
                Some(hash) => *hash = other,
                None => return false,
            },
            3 => {
                // A bit of the head's block, signature included.
                let mut block = proof.head.block().to_vec();
                let bit = self.dice.roll(block.len() * 8);
                block[bit / 8] ^= 1 << (bit % 8);
                let Ok(head) = crate::Entry::decode(block) else { return false };
                proof.head = head;
            }
            _ => proof.common.root = other,
        }
        true
    }

    /// Everybody meets everybody with good clocks; then all agree, or all know of the fork.
    fn converge(&mut self) -> Result<(), String> {
        for _ in 0..2 {
            for (node, other) in (0..READERS * READERS).map(|i| (i / READERS, i % READERS)) {
                let frauds = self.nodes[other].reader.frauds().to_vec();
                if let Some(branch) = self.nodes[other].branch.clone() {
                    self.judged(node, |node| node.meet(&branch, &frauds, u64::MAX))?;
                }
            }
        }
        let forked = |node: &Node| {
            node.reader.status(0) == Status::Forked && !node.reader.frauds().is_empty()
        };
        let heads: Vec<_> = self.nodes.iter().map(|node| node.reader.have()).collect();
        let agree = heads.iter().all(|head| *head == heads[0]);
        if agree || self.nodes.iter().all(forked) {
            return Ok(());
        }
        Err(format!("neither agree nor all know of the fork: {:?}", self.nodes))
    }
}

fn run(seed: u64, checks: Checks, thief: bool) -> Result<World, String> {
    let mut world = World::new(seed, checks, thief);
    for step in 0..setting("SHOAL_LEDGER_STEPS", 80) {
        world.step().map_err(|what| format!("step {step}: {what}"))?;
    }
    world.converge()?;
    Ok(world)
}

#[test]
fn with_an_honest_owner_nobody_is_ever_accused() {
    for seed in 0..setting("SHOAL_LEDGER_SEEDS", 25) {
        let world = run(seed, ALL, false).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        let frauds: Vec<_> = world.nodes.iter().flat_map(|node| node.reader.frauds()).collect();
        assert_eq!(frauds, Vec::<&crate::Fraud>::new(), "seed {seed}");
    }
}

#[test]
fn with_a_thief_readers_never_go_back_and_prove_what_they_see() {
    let (mut forked, mut recovered) = (0, 0);
    for seed in 0..setting("SHOAL_LEDGER_SEEDS", 25) {
        let world = run(seed, ALL, true).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        let of = |status| world.nodes.iter().any(|node| node.reader.status(0) == status);
        forked += u64::from(of(Status::Forked));
        recovered += u64::from(world.main.tip().authority().epoch().as_u64() > 0);
    }
    assert!(forked > 2 && recovered > 2, "{forked} forked, {recovered} recovered: too tame");
}

#[test]
fn a_broken_node_is_caught_within_a_few_seeds() {
    for checks in [Checks { fork: false, ..ALL }, Checks { extend: false, ..ALL }] {
        let caught = (0..25).any(|seed| run(seed, checks, true).is_err());
        assert!(caught, "{checks:?}");
    }
}

#[test]
fn another_ledgers_history_is_foreign() {
    let mut node = Node::new(ALL);
    let foreign = Chain::begin(genesis_draft(2, &[2], 0).sign(&[&key(2)]).unwrap()).unwrap();
    node.meet(&foreign, &[], u64::MAX);
    assert_eq!(node.position(), None);
    let proof = prove(&foreign, None).unwrap();
    assert_eq!(node.reader.accept(&proof, u64::MAX), Err(Refusal::Foreign));
}
