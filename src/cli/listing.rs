//! Lists that the node sends in batches: names, versions, differences.
//!
//! A second node lists from the beginning; what was printed is passed over, as in `ls`.

use std::marker::PhantomData;

use super::{
    converse::{Console, Exchange},
    json::Line,
    report::{End, unexpected},
};
use crate::control::{
    client::Answer,
    protocol::{Request, Response},
};

/// One line of a list.
pub(crate) trait Item: Sized + std::fmt::Debug {
    /// The items of an answer, if it is one of this list.
    fn batch(response: Response) -> Option<Vec<Self>>;

    /// The line. No text of a stranger may stand in it unescaped.
    fn line(&self) -> String;

    /// The object of `--json`.
    fn object(&self) -> Line;
}

/// The exchange.
#[derive(Debug)]
pub(crate) struct Listing<T> {
    request: Request,
    printed: u64,
    seen: u64,
    items: PhantomData<T>,
}

impl<T: Item> Listing<T> {
    /// Prints what that request lists.
    pub(crate) const fn new(request: Request) -> Self {
        Self { request, printed: 0, seen: 0, items: PhantomData }
    }

    /// Lines printed.
    pub(crate) const fn printed(&self) -> u64 {
        self.printed
    }
}

impl<T: Item> Exchange for Listing<T> {
    fn request(&self) -> Request {
        self.request.clone()
    }

    fn restart(&mut self) {
        self.seen = 0;
    }

    async fn answer(&mut self, answer: Answer, console: &mut Console) -> Result<(), End> {
        let Answer::Response(response) = answer else {
            return Err(unexpected(&answer));
        };
        let items = T::batch(response).ok_or_else(|| unexpected(&"a list"))?;
        // A person who watches a terminal sees no moving line among the lines.
        console.talk.end();
        for item in &items {
            self.seen += 1;
            if self.seen <= self.printed {
                continue;
            }
            if console.output.is_json() {
                console.output.object(&item.object()).await?;
            } else {
                console.output.line(item.line().as_bytes()).await?;
            }
            self.printed += 1;
        }
        console.output.flush().await
    }
}
