//! What an acknowledgement promises, and whether a store that was opened again keeps it.
//!
//! A [`Fact`] is something that can be asked of a store, and its answer. While an operation is under way
//! the old answer and the new one are both right; from its acknowledgement on only the new one is.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use shoal_dag::{Bytes, Cid};
use shoal_store::Store;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Question {
    /// The bytes of a block.
    Block(Vec<u8>),
    /// The bytes of a block, as a peer gets them.
    Public(Vec<u8>),
    /// Whether a root is pinned.
    Pin(Vec<u8>),
    /// The content of a whole file, by its root.
    Whole(Vec<u8>),
    Record(&'static str, Vec<u8>),
    Secret(&'static str),
    /// A file that the user has.
    File(PathBuf),
}

/// An answer; `None` is nothing.
pub(crate) type Answer = Option<Bytes>;

/// A question and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Fact {
    pub(crate) question: Question,
    pub(crate) answer: Answer,
}

impl Fact {
    pub(crate) fn block(cid: &Cid, answer: Option<&Bytes>) -> Self {
        Self { question: Question::Block(cid.to_bytes()), answer: answer.cloned() }
    }

    pub(crate) fn public(cid: &Cid, answer: Option<&Bytes>) -> Self {
        Self { question: Question::Public(cid.to_bytes()), answer: answer.cloned() }
    }

    pub(crate) fn pin(cid: &Cid, is_pinned: bool) -> Self {
        let answer = is_pinned.then(Bytes::new);
        Self { question: Question::Pin(cid.to_bytes()), answer }
    }

    pub(crate) fn whole(root: &Cid, answer: Option<Bytes>) -> Self {
        Self { question: Question::Whole(root.to_bytes()), answer }
    }

    pub(crate) fn record(ns: &'static str, key: &[u8], answer: Option<&[u8]>) -> Self {
        let answer = answer.map(Bytes::copy_from_slice);
        Self { question: Question::Record(ns, key.to_vec()), answer }
    }

    pub(crate) fn secret(name: &'static str, answer: Option<Bytes>) -> Self {
        Self { question: Question::Secret(name), answer }
    }

    pub(crate) fn file(path: PathBuf, answer: Option<Bytes>) -> Self {
        Self { question: Question::File(path), answer }
    }
}

impl Question {
    fn name(&self) -> String {
        let (what, bytes) = match self {
            Self::Block(bytes) => ("block", bytes),
            Self::Public(bytes) => ("public block", bytes),
            Self::Pin(bytes) => ("pin", bytes),
            Self::Whole(bytes) => ("whole file", bytes),
            other => return format!("{other:?}"),
        };
        format!("{what} {}", Cid::try_from(bytes.as_slice()).unwrap())
    }

    fn ask(&self, store: &Store) -> Result<Answer, String> {
        let cid = |bytes: &[u8]| Cid::try_from(bytes).unwrap();
        let said = |error: &dyn std::error::Error| error.to_string();
        match self {
            Self::Block(bytes) => store.get(&cid(bytes)).map_err(|error| said(&error)),
            Self::Public(bytes) => store.get_public(&cid(bytes)).map_err(|error| said(&error)),
            Self::Pin(bytes) => {
                let pin = store.pinned(&cid(bytes)).map_err(|error| said(&error))?;
                Ok(pin.map(|_| Bytes::new()))
            }
            Self::Whole(bytes) => {
                let whole = store.whole_file(&cid(bytes)).map_err(|error| said(&error))?;
                let read = |path: PathBuf| fs::read(path).map_err(|error| said(&error));
                Ok(whole.map(|whole| read(whole.path)).transpose()?.map(Bytes::from))
            }
            Self::Record(ns, key) => {
                let value = store.record(ns, key).map_err(|error| said(&error))?;
                Ok(value.map(Bytes::from))
            }
            Self::Secret(name) => {
                let secret = store.secret(name).map_err(|error| said(&error))?;
                Ok(secret.map(Bytes::from))
            }
            Self::File(path) => Ok(fs::read(path).ok().map(Bytes::from)),
        }
    }
}

/// The answers that are right now; none where any is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected(BTreeMap<Question, Vec<Answer>>);

impl Expected {
    /// These are not promised any more.
    pub(crate) fn withdraw(&mut self, questions: &[Question]) {
        self.0.extend(questions.iter().map(|question| (question.clone(), Vec::new())));
    }

    /// An operation that promises these facts is under way.
    pub(crate) fn begin(&mut self, facts: &[Fact]) {
        for fact in facts {
            match self.0.get_mut(&fact.question) {
                // Nobody promised the old answer: it may be any.
                Some(answers) if answers.is_empty() => {}
                Some(answers) if answers.contains(&fact.answer) => {}
                Some(answers) => answers.push(fact.answer.clone()),
                None => {
                    let answers = match &fact.answer {
                        Some(_) => vec![None, fact.answer.clone()],
                        None => Vec::new(),
                    };
                    self.0.insert(fact.question.clone(), answers);
                }
            }
        }
    }

    /// It is acknowledged.
    pub(crate) fn acknowledge(&mut self, facts: &[Fact]) {
        for fact in facts {
            self.0.insert(fact.question.clone(), vec![fact.answer.clone()]);
        }
    }

    /// Asks a store everything; says what it answers wrongly.
    pub(crate) fn wrong(&self, store: &Store) -> Vec<String> {
        let mut wrong = Vec::new();
        for (question, answers) in &self.0 {
            let show = |answer: &Answer| match answer {
                None => "nothing".to_owned(),
                Some(bytes) => {
                    format!("{} bytes {:02x?}", bytes.len(), &bytes[..bytes.len().min(4)])
                }
            };
            // A file that the user was not promised is as far as it came.
            let is_open = matches!(question, Question::File(_)) && answers.len() > 1;
            if is_open || answers.is_empty() {
                continue;
            }
            let right: Vec<_> = answers.iter().map(show).collect();
            match question.ask(store) {
                Ok(answer) if answers.contains(&answer) => {}
                Ok(answer) => {
                    wrong.push(format!("{}: {} not {right:?}", question.name(), show(&answer)));
                }
                Err(error) => wrong.push(format!("{}: {error}, not {right:?}", question.name())),
            }
        }
        wrong
    }

    /// Those that only the index and its journal know.
    pub(crate) fn of_journal(&self) -> Self {
        let is_row =
            |question: &Question| matches!(question, Question::Pin(_) | Question::Record(..));
        let rows = self.0.iter().filter(|(question, _)| is_row(question));
        Self(rows.map(|(question, answers)| (question.clone(), answers.clone())).collect())
    }

    /// How many facts only one answer is right for.
    pub(crate) fn certain(&self) -> usize {
        self.0.values().filter(|answers| answers.len() == 1).count()
    }
}
