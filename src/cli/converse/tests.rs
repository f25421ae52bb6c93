//! Tests of an exchange against a scripted node.
//!
//! The node's end is a socket pair and a script: what it says and when, and when it dies, is the
//! test's choice. No store and no network take part.

use std::{fs::File, io::Read as _, io::Seek as _};

use clap::Parser as _;
use tokio::{
    io::BufReader,
    net::{UnixStream, unix::OwnedReadHalf, unix::OwnedWriteHalf},
};

use super::*;
use crate::{
    cli::args::Cli,
    control::{
        frame::{self, Frame},
        protocol::{Hello, PROTOCOL_VERSION, Phase, Progress, Welcome},
    },
    exit::Exit,
};

/// The node's end of a connection.
struct Node {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Node {
    async fn request(&mut self) -> Request {
        match frame::read(&mut self.reader).await.unwrap() {
            Some(Frame::Message(request)) => request,
            other => panic!("no request but {other:?}"),
        }
    }

    async fn input(&mut self) -> Vec<u8> {
        let mut input = Vec::new();
        loop {
            match frame::read::<_, Request>(&mut self.reader).await.unwrap() {
                Some(Frame::Data(data)) if data.is_empty() => return input,
                Some(Frame::Data(data)) => input.extend_from_slice(&data),
                other => panic!("no data but {other:?}"),
            }
        }
    }

    async fn say(&mut self, response: Response) {
        frame::write_message(&mut self.writer, &response).await.unwrap();
    }

    async fn data(&mut self, data: &[u8]) {
        frame::write_data(&mut self.writer, data).await.unwrap();
    }
}

async fn connected() -> (Client, Node) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (reader, mut writer) = theirs.into_split();
    let mut reader = BufReader::new(reader);
    let serve = async {
        let hello: Option<Frame<Hello>> = frame::read(&mut reader).await.unwrap();
        assert!(matches!(hello, Some(Frame::Message(Hello { version: PROTOCOL_VERSION }))));
        let welcome = Welcome { version: PROTOCOL_VERSION, pid: 7, persistent: false };
        frame::write_message(&mut writer, &welcome).await.unwrap();
    };
    let (client, ()) = tokio::join!(Client::over(ours), serve);
    (client.unwrap(), Node { reader, writer })
}

fn console() -> (Console, File) {
    let globals = Cli::try_parse_from(["shoal", "-q", "id"]).unwrap().globals;
    let file = tempfile::tempfile().unwrap();
    let output = Output::over(file.try_clone().unwrap(), false, false);
    (Console { output, talk: Talk::new(&globals) }, file)
}

fn written(mut file: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Takes data, and asks with the count of bytes that it has.
#[derive(Debug)]
struct Taking(u64);

impl Exchange for Taking {
    fn request(&self) -> Request {
        let wait = crate::control::protocol::Wait { idle_ms: 1 };
        Request::Cat { target: Vec::new(), range: Some((self.0, u64::MAX)), wait }
    }

    async fn answer(&mut self, answer: Answer, console: &mut Console) -> Result<(), End> {
        let Answer::Data(data) = answer else { panic!("no data but {answer:?}") };
        self.0 += data.len() as u64;
        console.output.bytes(&data).await
    }
}

#[tokio::test]
async fn data_goes_to_output_between_phases() {
    let (mut client, mut node) = connected().await;
    let (mut console, file) = console();
    let mut taking = Taking(0);
    let script = async {
        node.request().await;
        node.say(Response::Phase(Phase { text: "looking".into() })).await;
        node.data(b"one ").await;
        node.data(b"").await;
        node.say(Response::Progress(Progress::default())).await;
        node.data(b"two").await;
        node.say(Response::Done(Outcome::Read { bytes: 7 })).await;
    };
    let (ended, ()) = tokio::join!(converse(&mut client, &mut taking, None, &mut console), script);
    assert!(matches!(ended, Ok(Outcome::Read { bytes: 7 })));
    console.output.flush().await.unwrap();
    assert_eq!(written(file), b"one two");
}

#[tokio::test]
async fn a_second_node_goes_on_where_the_first_died() {
    let (mut console, file) = console();
    let mut taking = Taking(0);

    let (mut client, mut node) = connected().await;
    let script = async {
        node.request().await;
        node.data(b"one ").await;
        drop(node);
    };
    let (ended, ()) = tokio::join!(converse(&mut client, &mut taking, None, &mut console), script);
    assert!(matches!(ended, Err(Stop::Gone(_))));

    let (mut client, mut node) = connected().await;
    let script = async {
        let Request::Cat { range, .. } = node.request().await else { panic!("another request") };
        assert_eq!(range, Some((4, u64::MAX)));
        node.data(b"two").await;
        node.say(Response::Done(Outcome::Read { bytes: 3 })).await;
    };
    let (ended, ()) = tokio::join!(converse(&mut client, &mut taking, None, &mut console), script);
    assert!(ended.is_ok());
    console.output.flush().await.unwrap();
    assert_eq!(written(file), b"one two");
}

#[tokio::test]
async fn a_failure_arrives_as_it_was_born() {
    let (mut client, mut node) = connected().await;
    let (mut console, _file) = console();
    let told = Failure::new(Exit::Corrupt, "a block is corrupt").hint("fetch it again");
    let script = async {
        node.request().await;
        node.say(Response::Failed(told.clone())).await;
    };
    let mut ask = Ask(Request::Id);
    let (ended, ()) = tokio::join!(converse(&mut client, &mut ask, None, &mut console), script);
    let Err(Stop::End(End::Failed(failure))) = ended else { panic!("not failed: {ended:?}") };
    assert_eq!(failure, told);
}

#[tokio::test]
async fn an_answer_to_another_question_is_refused() {
    let (mut client, mut node) = connected().await;
    let (mut console, _file) = console();
    let script = async {
        node.request().await;
        node.say(Response::Pins(Vec::new())).await;
    };
    let mut ask = Ask(Request::Id);
    let (ended, ()) = tokio::join!(converse(&mut client, &mut ask, None, &mut console), script);
    assert!(matches!(ended, Err(Stop::End(End::Failed(_)))), "{ended:?}");
}

#[tokio::test]
async fn input_is_sent_while_answers_are_read() {
    let (mut client, mut node) = connected().await;
    let (mut console, _file) = console();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|at| at as u8).collect();
    let mut input = Input::of(std::io::Cursor::new(sent.clone()));
    let script = async {
        node.request().await;
        // More answers than a socket holds: a client that only sent would stand still.
        for _ in 0..20_000 {
            node.say(Response::Progress(Progress::default())).await;
        }
        let got = node.input().await;
        node.say(Response::Done(Outcome::Nothing)).await;
        got
    };
    let mut ask = Ask(Request::Id);
    let exchange = converse(&mut client, &mut ask, Some(&mut input), &mut console);
    let (ended, got) = tokio::join!(exchange, script);
    assert!(matches!(ended, Ok(Outcome::Nothing)));
    assert!(input.begun());
    assert!(got == sent, "the bytes differ");
}

#[tokio::test]
async fn a_node_that_refuses_the_rest_of_the_input_is_heard() {
    let (mut client, mut node) = connected().await;
    let (mut console, _file) = console();
    let mut input = Input::of(std::io::repeat(7));
    let script = async {
        node.request().await;
        node.say(Response::Failed(Failure::failed("the disk is full"))).await;
    };
    let mut ask = Ask(Request::Id);
    let exchange = converse(&mut client, &mut ask, Some(&mut input), &mut console);
    let (ended, ()) = tokio::join!(exchange, script);
    let Err(Stop::End(End::Failed(failure))) = ended else { panic!("not failed: {ended:?}") };
    assert_eq!(failure.message, "the disk is full");
}
