//! One exchange with a node: a request, its answers, and the end.
//!
//! The verb says what to ask and takes what is its own of the answers ([`Exchange`]); phases,
//! progress and notes are told here. When the node dies ([`Stop::Gone`]), [`super::context`] finds
//! another one and asks again: [`Exchange::request`] then leaves out what is done.

use std::pin::pin;

use super::{
    input::{FeedError, Input},
    output::Output,
    report::End,
    talk::Talk,
};
use crate::control::{
    client::{Answer, Answers, Client, ClientError, DataSender},
    protocol::{Failure, Outcome, Request, Response},
};

/// Where a verb prints.
#[derive(Debug)]
pub(crate) struct Console {
    /// Standard output.
    pub(crate) output: Output,
    /// Standard error.
    pub(crate) talk: Talk,
}

/// A verb's part of an exchange.
pub(crate) trait Exchange {
    /// The request, or what is left of it.
    fn request(&self) -> Request;

    /// Takes an answer that only this verb understands.
    ///
    /// # Errors
    /// The verb cannot go on.
    async fn answer(&mut self, answer: Answer, console: &mut Console) -> Result<(), End>;

    /// The node died: answers will come from the beginning of [`Self::request`].
    fn restart(&mut self) {}

    /// Input is to be sent, while the request asks for it.
    fn wants_input(&self) -> bool {
        false
    }

    /// What is sent: standard input, unless the verb has a file of its own.
    ///
    /// # Errors
    /// It cannot be opened.
    fn open_input(&self) -> Result<Input, Failure> {
        Ok(Input::standard())
    }

    /// The input can be read from its beginning again.
    fn reopens_input(&self) -> bool {
        false
    }
}

/// Why an exchange ended without an outcome.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The verb ends.
    End(End),
    /// The node is gone or of another version.
    Gone(ClientError),
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        Self::Gone(error)
    }
}

/// Sends the request and takes answers until the outcome.
pub(crate) async fn converse(
    client: &mut Client,
    exchange: &mut impl Exchange,
    input: Option<&mut Input>,
    console: &mut Console,
) -> Result<Outcome, Stop> {
    console.talk.begin();
    console.talk.input_is_read(input.is_some());
    client.send(&exchange.request()).await?;
    let (mut sender, mut answers) = client.split();
    let mut feeding = pin!(feed(input, &mut sender));
    let mut fed = false;
    loop {
        let answer = next(&mut answers, &mut feeding, &mut fed, &mut console.talk).await?;
        let response = match answer {
            Answer::Data(data) if data.is_empty() => continue,
            Answer::Data(_) => {
                console.talk.data_came();
                exchange.answer(answer, console).await.map_err(Stop::End)?;
                console.talk.data_came();
                continue;
            }
            Answer::Response(response) => response,
        };
        match response {
            Response::Done(outcome) => return Ok(outcome),
            Response::Failed(failure) => return Err(Stop::End(failure.into())),
            Response::Phase(phase) => console.talk.phase(phase.text),
            Response::Progress(progress) => console.talk.progress(progress),
            Response::Note(text) => console.talk.note(&text),
            other => {
                exchange.answer(Answer::Response(other), console).await.map_err(Stop::End)?;
            }
        }
    }
}

/// The next answer, while input is sent and phases are told.
async fn next(
    answers: &mut Answers<'_>,
    feeding: &mut (impl Future<Output = Result<(), FeedError>> + Unpin),
    fed: &mut bool,
    talk: &mut Talk,
) -> Result<Answer, Stop> {
    let mut answer = pin!(answers.next());
    loop {
        tokio::select! {
            answer = &mut answer => return Ok(answer?),
            sent = &mut *feeding, if !*fed => {
                *fed = true;
                talk.input_is_read(false);
                match sent {
                    Ok(()) => {}
                    Err(FeedError::Read(end)) => return Err(Stop::End(end)),
                    // The last answers tell whether it died or refused the rest.
                    Err(FeedError::Gone(error)) => tracing::debug!(%error, "input not taken"),
                }
            }
            () = talk.tick() => {}
        }
    }
}

async fn feed(input: Option<&mut Input>, sender: &mut DataSender<'_>) -> Result<(), FeedError> {
    match input {
        Some(input) => input.feed(sender).await,
        None => Ok(()),
    }
}

/// An exchange that is one request with one outcome.
#[derive(Debug)]
pub(crate) struct Ask(pub(crate) Request);

impl Exchange for Ask {
    fn request(&self) -> Request {
        self.0.clone()
    }

    async fn answer(&mut self, answer: Answer, _: &mut Console) -> Result<(), End> {
        tracing::debug!(?answer, "unexpected answer");
        Err(Failure::failed("the node gave an answer that does not belong to the question").into())
    }
}

#[cfg(test)]
mod tests;
