//! The etcd store: an engine whose pairs are kept by a majority of other machines.
//!
//! This server is then one of several in front of the same pairs, and keeps none of them itself. What
//! [`crate::store::file`] does with a journal, a sync and a lock, etcd does with Raft: a set is on the disks of a
//! majority before it counts, and a read asks the majority whether it is up to date.
//!
//! etcd speaks gRPC, and has a gateway that takes the same calls as JSON over HTTP/1.1. JSON has no
//! bytes, so keys and values are in base64:
//!
//! ```text
//!  set  POST /v3/kv/put    {"key":"ZGJzZXJ2ZXIvYQ==","value":"MQ=="}
//!  find POST /v3/kv/range  {"key":"ZGJzZXJ2ZXIvYQ=="}   →   {"kvs":[{"value":"MQ==", …}], …}
//! ```
//!
//! 1. A put whose outcome is unknown is never sent again: a copy that comes late would overwrite what
//!    somebody else has set since. The client is told that it may or may not be kept.
//! 2. Reads are linearizable, which is etcd's default. The naive `"serializable": true` is faster, as
//!    the member answers from what it has, and after a set at one member gives the old value at
//!    another.
//! 3. Nothing is cached here, for the same reason.
//!
//! CONTRACT §6; <https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/>.
//!
//! Next: [`crate::store::gateway`], which asks.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::json;

use crate::store::cluster::Cluster;
use crate::store::engine::{Engine, Failed};
use crate::store::gateway::{Again, Gateway, Trouble};

const RANGE: &str = "/v3/kv/range";
const PUT: &str = "/v3/kv/put";

/// Keys and values in an etcd cluster.
#[derive(Debug)]
pub struct EtcdStore {
    gateway: Gateway,
    prefix: String,
}

/// What etcd answers to a range, as far as we need it.
#[derive(Debug, Deserialize)]
struct Range {
    /// Left out where there is no such key.
    #[serde(default)]
    kvs: Vec<Pair>,
}

#[derive(Debug, Deserialize)]
struct Pair {
    /// Left out where it is empty.
    #[serde(default)]
    value: String,
}

impl EtcdStore {
    /// A store in this cluster, of which at least a majority is there.
    ///
    /// # Errors
    /// Where no member answers, or they want another user, or a file of `cluster` can't be read: a
    /// sentence that names the address or the file.
    pub fn open(cluster: &Cluster) -> anyhow::Result<Self> {
        let gateway = Gateway::new(cluster)?;
        let store = EtcdStore { gateway, prefix: cluster.prefix.clone() };
        // A read goes through all that a request will: an address, a user, a majority.
        store.read("").map_err(|trouble| {
            let members = cluster.members.join(", ");
            anyhow::anyhow!(
                "--etcd: nothing can be kept at {members}: {trouble}; is etcd running there, and a majority of its members?"
            )
        })?;
        Ok(store)
    }

    /// The value of `key`, if there is one.
    fn read(&self, key: &str) -> Result<Option<String>, Trouble> {
        let answer = self.gateway.ask(RANGE, &json!({ "key": self.encode(key) }), Again::Yes)?;
        decode(&answer).map_err(|error| Trouble::NotDone(format!("{error:#}")))
    }

    fn encode(&self, key: &str) -> String {
        BASE64.encode([&self.prefix, key].concat())
    }
}

impl Engine for EtcdStore {
    fn find(&self, key: &str, found: &mut dyn FnMut(&str)) -> Result<(), Failed> {
        let value =
            self.read(key).map_err(|trouble| Failed::NotRead(trouble.to_string().into()))?;
        if let Some(value) = value {
            found(&value);
        }
        Ok(())
    }

    fn set(&self, key: &str, value: &str) -> Result<(), Failed> {
        let pair = json!({ "key": self.encode(key), "value": BASE64.encode(value) });
        match self.gateway.ask(PUT, &pair, Again::No) {
            Ok(_) => Ok(()),
            Err(Trouble::NotDone(why)) => Err(Failed::NotKept(why.into())),
            Err(Trouble::Unknown(why)) => Err(Failed::Unknown(why.into())),
        }
    }
}

/// The value in the answer to a range.
///
/// # Errors
/// Where this is not such an answer, or the value is not text: somebody else has put it there.
fn decode(answer: &str) -> anyhow::Result<Option<String>> {
    let Range { kvs } = serde_json::from_str(answer).context("etcd's answer is not understood")?;
    let Some(pair) = kvs.into_iter().next() else { return Ok(None) };
    let bytes = BASE64.decode(pair.value).context("etcd's answer is not understood")?;
    String::from_utf8(bytes).map(Some).context("the value in etcd is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_gateway_answers() {
        let header =
            r#""header":{"cluster_id":"1","member_id":"2","revision":"3","raft_term":"4"}"#;
        for (rest, wanted) in [
            ("", Ok(None)),
            (r#","kvs":[]"#, Ok(None)),
            (
                r#","kvs":[{"key":"YQ==","version":"1","value":"MQA="}],"count":"1""#,
                Ok(Some("1\0")),
            ),
            (r#","kvs":[{"key":"YQ==","version":"1"}],"count":"1""#, Ok(Some(""))),
            (r#","kvs":[{"value":"/w=="}]"#, Err("the value in etcd is not UTF-8")),
            (r#","kvs":[{"value":"?"}]"#, Err("etcd's answer is not understood")),
            (r#","kvs":7"#, Err("etcd's answer is not understood")),
        ] {
            let found = decode(&format!("{{{header}{rest}}}"));
            match wanted {
                Ok(value) => assert_eq!(found.unwrap().as_deref(), value, "{rest}"),
                Err(sentence) => assert_eq!(found.unwrap_err().to_string(), sentence, "{rest}"),
            }
        }
    }
}
