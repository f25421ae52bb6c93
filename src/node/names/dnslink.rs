//! DNSLink: what a domain says that it stands for, taken as a hint.
//!
//! `_dnslink.DOMAIN` has a TXT record `dnslink=/ipns/k51...` (dnslink.dev). Whoever stands between us and the domain's name
//! server can change it, so it never decides alone: the first key that a domain named is remembered, and another one
//! later is refused until the user forgets the first (`shoal name rm /ipns/DOMAIN`). What the key then says is
//! verified as for every name. A domain that names a CID instead (`dnslink=/ipfs/...`) has no history here, and that is said.
//!
//! Nothing is asked on the `isolated` network, unless a name server was given (`SHOAL_DNS`).

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::RData,
};
use shoal_dag::name::escape;
use shoal_ledger::LedgerId;
use shoal_net::Network;

use super::book::Book;
use crate::{control::protocol::Failure, exit::Exit, node::Node};

/// How long a name server may take; a resolver asks twice within it.
const ANSWER_MAX: Duration = Duration::from_secs(6);

/// Records of one domain that are looked at.
const RECORDS_MAX: usize = 32;

/// What stands before the path in a record.
const PREFIX: &str = "dnslink=";

/// The name that a domain stands for.
///
/// # Errors
/// Exit 4 when it says none, 12 when it says another one than before.
pub async fn name_of(node: &Arc<Node>, domain: &str) -> Result<LedgerId, Failure> {
    let domain = domain.to_ascii_lowercase();
    let known = {
        let domain = domain.clone();
        node.names().ask(move |book| book.of_domain(&domain)).await?
    };
    let said = match (look_up(node, &domain).await, known) {
        (Ok(said), _) => said,
        // What it said before stands while nobody answers.
        (Err(_), Some(known)) => return Ok(known),
        (Err(failure), None) => return Err(failure),
    };
    match known {
        Some(known) if known != said => Err(changed(&domain, known, said)),
        Some(known) => Ok(known),
        None => {
            let remember = move |book: &Book| Ok(book.set_domain(&domain, Some(said))?);
            node.names().change(remember).await?;
            Ok(said)
        }
    }
}

fn changed(domain: &str, known: LedgerId, said: LedgerId) -> Failure {
    Failure::new(Exit::NotAllowed, format!("{domain} stood for {known}, and now says {said}"))
        .hint(format!("if its owner says so too: shoal name rm /ipns/{domain}, then ask again"))
}

/// Forgets what a domain stood for.
///
/// # Errors
/// Exit 4 when nothing was remembered.
pub async fn forget(node: &Arc<Node>, domain: &str) -> Result<LedgerId, Failure> {
    let domain = domain.to_ascii_lowercase();
    let forget = move |book: &Book| {
        let known = book.of_domain(&domain)?;
        let known = known.ok_or_else(|| super::unknown(&domain))?;
        book.set_domain(&domain, None)?;
        Ok(known)
    };
    node.names().change(forget).await
}

async fn look_up(node: &Arc<Node>, domain: &str) -> Result<LedgerId, Failure> {
    let asked = format!("_dnslink.{domain}.");
    let resolver = resolver(node, domain)?;
    let silent = || Failure::new(Exit::NotFound, format!("no name server answers for {domain}"));
    let answer = tokio::time::timeout(ANSWER_MAX, resolver.txt_lookup(asked)).await;
    let answer = answer.map_err(|_| silent())?.map_err(|error| {
        Failure::new(Exit::NotFound, format!("{domain} has no DNSLink: {error}"))
    })?;
    let texts = answer.answers().iter().filter_map(|record| match &record.data {
        RData::TXT(text) => Some(text.txt_data.concat()),
        _ => None,
    });
    said(domain, texts.take(RECORDS_MAX))
}

/// The one name that the records say; several are no hint.
fn said(domain: &str, texts: impl Iterator<Item = Vec<u8>>) -> Result<LedgerId, Failure> {
    let links = texts.filter_map(|text| {
        let text = String::from_utf8(text).ok()?;
        text.strip_prefix(PREFIX).map(str::to_owned)
    });
    let links: Vec<String> = links.collect();
    let [link] = &links[..] else {
        let count = links.len();
        return Err(Failure::new(
            Exit::NotFound,
            format!("{domain} has {count} DNSLinks, not one"),
        ));
    };
    let name = link.strip_prefix("/ipns/").map(|rest| rest.trim_end_matches('/'));
    let shown = escape(link.as_bytes());
    name.and_then(|name| name.parse().ok()).ok_or_else(|| {
        Failure::new(
            Exit::NotFound,
            format!("{domain} says {shown}, which is no name with a history"),
        )
        .hint("a CID can be used as it is")
    })
}

fn resolver(node: &Arc<Node>, domain: &str) -> Result<TokioResolver, Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::failed(format!("cannot ask for {domain}: {error}"))
    };
    let builder = match node.settings().dns {
        Some(server) => {
            let provider = TokioRuntimeProvider::default();
            TokioResolver::builder_with_config(only(server), provider)
        }
        None if node.settings().network == Network::Isolated => {
            return Err(Failure::new(
                Exit::NotAllowed,
                format!("{domain} is not looked up: the network is isolated"),
            )
            .hint("use the name's key, or give a name server with SHOAL_DNS"));
        }
        None => TokioResolver::builder_tokio().map_err(|error| unusable(&error))?,
    };
    builder.build().map_err(|error| unusable(&error))
}

fn only(server: SocketAddr) -> ResolverConfig {
    let mut connection = ConnectionConfig::udp();
    connection.port = server.port();
    let server = NameServerConfig::new(server.ip(), true, vec![connection]);
    ResolverConfig::from_parts(None, Vec::new(), vec![server])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w";

    fn told(texts: &[&str]) -> Result<LedgerId, Failure> {
        said("example.org", texts.iter().map(|text| text.as_bytes().to_vec()))
    }

    #[test]
    fn one_link_to_a_name_is_a_hint() {
        let link = format!("dnslink=/ipns/{KEY}/");
        assert_eq!(told(&["v=spf1 -all", &link]).unwrap().to_string(), KEY);
        for texts in [&[][..], &["v=spf1"], &[&link, &link], &["dnslink=/ipfs/bafkqaaa"]] {
            assert_eq!(told(texts).unwrap_err().exit, Exit::NotFound, "{texts:?}");
        }
        assert!(told(&["dnslink=/ipns/\u{1b}[2J"]).unwrap_err().message.contains("\\x1b"));
    }
}
