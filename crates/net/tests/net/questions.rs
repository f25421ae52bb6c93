//! Questions over `/shoal/ledger/1`: answers, and every way not to get one.
//!
//! Each question must end in exactly one answer event. Peers that do not speak the protocol, say
//! too much, nothing or garbage are strangers from stock libp2p.

use std::io;
use std::time::{Duration, Instant};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, ping, request_response};
use shoal_net::{AskError, NetEvent, PeerId, QuestionId};

use super::node::{Node, pair};
use super::stranger::Stranger;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/shoal/ledger/1");
const OURS_MAX: usize = 64;
const THEIRS_PER_PEER_MAX: usize = 8;
const ANSWER_BYTES_MAX: usize = 512 << 10;

async fn expect_answer(node: &mut Node, question: QuestionId) -> Result<Vec<u8>, AskError> {
    node.expect(|event| match event {
        NetEvent::Answer { question: of, result, .. } if of == question => Some(result),
        _ => None,
    })
    .await
}

async fn expect_question(node: &mut Node) -> (PeerId, QuestionId, Vec<u8>) {
    node.expect(|event| match event {
        NetEvent::Question { from, question, bytes } => Some((from, question, bytes)),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn both_sides_ask_and_answer() {
    let (mut a, _, mut b, _) = pair().await;
    for (asker, other) in [(&mut a, &mut b)] {
        exchange(asker, other).await;
        exchange(other, asker).await;
    }
}

async fn exchange(asker: &mut Node, other: &mut Node) {
    let longest = vec![5; 8 << 10];
    let asked = asker.net.question(other.id(), longest.clone()).await;
    let (from, question, bytes) = expect_question(other).await;
    assert_eq!((from, bytes), (asker.id(), longest));
    let answer = vec![9; ANSWER_BYTES_MAX];
    other.net.answer(question, answer.clone()).await;
    assert_eq!(expect_answer(asker, asked).await, Ok(answer));
    // A second answer is nobody's.
    other.net.answer(question, vec![1]).await;
    let asked = asker.net.question(other.id(), Vec::new()).await;
    let (_, question, bytes) = expect_question(other).await;
    assert!(bytes.is_empty());
    other.net.answer(question, Vec::new()).await;
    assert_eq!(expect_answer(asker, asked).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_peer_that_is_not_connected_is_dialled() {
    let mut a = Node::new(&[]).await;
    // The table knows it, the driver was told of it just now, or nobody knows it.
    let mut known = Node::new(&[]).await;
    known.net.dial(a.id(), vec![a.addr.clone()]).await;
    let a_at_known = known.expect_up(a.id()).await;
    let known_at_a = a.expect_up(known.id()).await;
    a.expect_known(1).await;
    known.net.disconnect(a_at_known);
    a.expect_down(known_at_a).await;
    let mut told = Node::new(&[]).await;
    a.net.dial(told.id(), vec![told.addr.clone()]).await;
    for other in [&mut told, &mut known] {
        let asked = a.net.question(other.id(), vec![1]).await;
        let (_, question, _) = expect_question(other).await;
        other.net.answer(question, vec![2]).await;
        assert_eq!(expect_answer(&mut a, asked).await, Ok(vec![2]));
    }
    for unknown in [PeerId::random(), a.id()] {
        let asked = a.net.question(unknown, vec![1]).await;
        assert_eq!(expect_answer(&mut a, asked).await, Err(AskError::Unreachable));
    }
}

#[tokio::test]
async fn a_node_that_only_lives_for_one_command_asks_too() {
    let mut server = Node::new(&[]).await;
    let mut client = Node::with(&[&server], |config| {
        config.short_lived = true;
        config.server = false;
        config.listen.clear();
    })
    .await;
    client.expect_up(server.id()).await;
    let asked = client.net.question(server.id(), vec![3]).await;
    let (from, question, _) = expect_question(&mut server).await;
    assert_eq!(from, client.id());
    server.net.answer(question, vec![4]).await;
    assert_eq!(expect_answer(&mut client, asked).await, Ok(vec![4]));
}

#[tokio::test]
async fn a_peer_without_the_protocol_says_so() {
    let stranger = Stranger::new(ping::Behaviour::default(), |_, _| {}).await;
    let mut a = Node::new(&[]).await;
    a.net.dial(stranger.id, vec![stranger.addr.clone()]).await;
    let asked = a.net.question(stranger.id, vec![1]).await;
    assert_eq!(expect_answer(&mut a, asked).await, Err(AskError::Unsupported));
}

#[tokio::test]
async fn what_is_not_answered_ends_by_the_deadline() {
    let deadline = Duration::from_millis(500);
    let mut a = Node::with(&[], |config| config.question_deadline = deadline).await;
    let mut b = Node::new(&[&a]).await;
    a.expect_up(b.id()).await;
    let begun = Instant::now();
    let asked = a.net.question(b.id(), vec![1]).await;
    let (_, question, _) = expect_question(&mut b).await;
    assert_eq!(expect_answer(&mut a, asked).await, Err(AskError::TimedOut));
    assert!(begun.elapsed() >= deadline, "{:?}", begun.elapsed());
    // Nobody waits for it any more, and the next question is none the worse for it.
    b.net.answer(question, vec![7]).await;
    let asked = a.net.question(b.id(), vec![2]).await;
    let (_, question, _) = expect_question(&mut b).await;
    b.net.answer(question, vec![8]).await;
    assert_eq!(expect_answer(&mut a, asked).await, Ok(vec![8]));
}

#[tokio::test]
async fn a_connection_that_ends_takes_its_questions_with_it() {
    let (mut a, _, mut b, a_at_b) = pair().await;
    let asked = a.net.question(b.id(), vec![1]).await;
    expect_question(&mut b).await;
    b.net.disconnect(a_at_b);
    assert_eq!(expect_answer(&mut a, asked).await, Err(AskError::Broken));
}

#[tokio::test]
async fn shutdown_answers_what_is_open() {
    let (mut a, _, mut b, _) = pair().await;
    let mut open = vec![a.net.question(b.id(), vec![1]).await];
    expect_question(&mut b).await;
    open.push(a.net.question(b.id(), vec![2]).await);
    a.net.shutdown().await;
    let answers = a.rest().await.into_iter().filter_map(|event| match event {
        NetEvent::Answer { question, result, .. } => Some((question, result)),
        _ => None,
    });
    let mut answers: Vec<_> = answers.collect();
    answers.sort_by_key(|(question, _)| *question);
    let broken: Vec<_> = open.into_iter().map(|id| (id, Err(AskError::Broken))).collect();
    assert_eq!(answers, broken);
}

#[tokio::test]
async fn questions_that_are_too_many_or_too_long_are_refused() {
    let (mut a, _, mut b, _) = pair().await;
    let asked = a.net.question(b.id(), vec![0; (8 << 10) + 1]).await;
    assert_eq!(expect_answer(&mut a, asked).await, Err(AskError::Broken));
    let mut asked = Vec::new();
    for n in 0..=OURS_MAX {
        asked.push(a.net.question(b.id(), vec![n as u8]).await);
    }
    assert_eq!(expect_answer(&mut a, asked[OURS_MAX]).await, Err(AskError::TooMany));
    // The other side hears as many as one peer may ask; the rest ends at once.
    for _ in 0..OURS_MAX - THEIRS_PER_PEER_MAX {
        let broken = a.expect(|event| match event {
            NetEvent::Answer { result, .. } => Some(result),
            _ => None,
        });
        assert_eq!(broken.await, Err(AskError::Broken));
    }
    for _ in 0..THEIRS_PER_PEER_MAX {
        let (_, question, bytes) = expect_question(&mut b).await;
        b.net.answer(question, bytes).await;
        let answer = a.expect(|event| match event {
            NetEvent::Answer { result, .. } => Some(result),
            _ => None,
        });
        assert_eq!(answer.await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_sent() {
    let (mut a, _, mut b, _) = pair().await;
    let asked = a.net.question(b.id(), vec![1]).await;
    let (_, question, _) = expect_question(&mut b).await;
    b.net.answer(question, vec![0; ANSWER_BYTES_MAX + 1]).await;
    assert_eq!(expect_answer(&mut a, asked).await, Err(AskError::Broken));
}

/// Says these bytes to every question, without any frame.
#[derive(Debug, Clone)]
struct Raw(Vec<u8>);

impl request_response::Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        _: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&self.0).await
    }
}

fn raw(answer: &[u8]) -> request_response::Behaviour<Raw> {
    let protocols = [(PROTOCOL, request_response::ProtocolSupport::Full)];
    let config = request_response::Config::default();
    request_response::Behaviour::with_codec(Raw(answer.to_vec()), protocols, config)
}

#[tokio::test]
async fn garbage_and_oversize_answers_are_refused() {
    let too_long = (ANSWER_BYTES_MAX as u32 + 1).to_le_bytes();
    let said = [
        (&b""[..], Err(AskError::Broken)),
        (b"\x05", Err(AskError::Broken)),
        (b"\x05\0\0\0abcd", Err(AskError::Broken)),
        (&too_long, Err(AskError::Broken)),
        (b"\xff\xff\xff\xff", Err(AskError::Broken)),
        (b"\x02\0\0\0ab", Ok(b"ab".to_vec())),
    ];
    let mut a = Node::new(&[]).await;
    for (answer, expected) in said {
        let stranger = Stranger::new(raw(answer), |behaviour, event| {
            if let request_response::Event::Message {
                message: request_response::Message::Request { channel, request, .. },
                ..
            } = event
            {
                assert_eq!(request, b"\x01\0\0\0?", "the documented frame");
                behaviour.send_response(channel, Vec::new()).unwrap();
            }
        })
        .await;
        a.net.dial(stranger.id, vec![stranger.addr.clone()]).await;
        let asked = a.net.question(stranger.id, b"?".to_vec()).await;
        assert_eq!(expect_answer(&mut a, asked).await, expected, "{answer:?}");
    }
}

#[tokio::test]
async fn garbage_and_oversize_questions_are_never_seen() {
    let mut a = Node::new(&[]).await;
    let target = a.full_addr();
    let too_long = ((8_u32 << 10) + 1).to_le_bytes();
    for said in [&b""[..], b"\x05", b"\x05\0\0\0abcd", &too_long, b"\xff\xff\xff\xff"] {
        let mut asker = raw(b"");
        asker.send_request_with_addresses(&a.id(), said.to_vec(), vec![target.clone()]);
        let (sender, mut ended) = tokio::sync::mpsc::channel(1);
        let stranger = Stranger::new(asker, move |_, event| {
            let ended = match event {
                request_response::Event::Message {
                    message: request_response::Message::Response { response, .. },
                    ..
                } => response.is_empty(),
                request_response::Event::OutboundFailure { .. } => true,
                _ => return,
            };
            sender.try_send(ended).unwrap();
        })
        .await;
        assert_eq!(ended.recv().await, Some(true), "no answer to {said:?}");
        drop(stranger);
    }
    // The next event of this kind is a good one.
    let mut asker = Node::new(&[&a]).await;
    asker.expect_up(a.id()).await;
    asker.net.question(a.id(), vec![1]).await;
    assert_eq!(expect_question(&mut a).await.0, asker.id());
}
