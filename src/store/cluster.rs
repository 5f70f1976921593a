//! The cluster: where its members are, and who we are there.
//!
//! This is known without the feature `etcd` too, so that a wrong `--etcd` is a sentence in every build.
//!
//! 1. A member is an address to connect to, `http://HOST:PORT` or `https://HOST:PORT`, and nothing more.
//! 2. A password comes from a file or from the environment. The naive place is the command line, or the
//!    address (`http://user:password@…`): there, `ps` shows it to every user of the machine.
//!
//! CONTRACT §6.
//!
//! Next: [`crate::watch`], the last room.

#[cfg(feature = "etcd")]
use std::fmt::{self, Debug, Formatter};
use std::path::PathBuf;

#[cfg(feature = "etcd")]
use anyhow::Context as _;

/// The variable that has the password where no file has it.
pub const PASSWORD: &str = "ETCD_PASSWORD";

/// A cluster, as the user describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Where its members listen, in the order in which they are tried: `http://HOST:PORT`, without a
    /// slash at the end. At least one.
    pub members: Vec<String>,
    /// What the keys of our pairs begin with there. Servers with the same prefix share their pairs.
    pub prefix: String,
    /// A file with the certificates, in PEM, that vouch for the members; those that the web trusts
    /// otherwise.
    pub ca: Option<PathBuf>,
    /// Who we are there, if the cluster asks.
    pub user: Option<String>,
    /// The file with this user's password; [`PASSWORD`] has it otherwise.
    pub password_file: Option<PathBuf>,
}

impl Default for Cluster {
    fn default() -> Self {
        Cluster {
            members: Vec::new(),
            prefix: "dbserver/".into(),
            ca: None,
            user: None,
            password_file: None,
        }
    }
}

/// A user and a password, which no output ever shows.
#[cfg(feature = "etcd")]
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

#[cfg(feature = "etcd")]
impl Debug for Login {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The members in `text`, which has commas between them.
///
/// # Errors
/// What is wrong with the first that is not a member, as the end of a sentence.
///
/// # Examples
/// ```
/// use dbserver::store::cluster::members;
///
/// let three = members("http://10.0.0.1:2379,http://10.0.0.2:2379,https://etcd.example:2379/")?;
/// assert_eq!(three[2], "https://etcd.example:2379");
/// assert!(members("10.0.0.1:2379").is_err());
/// # Ok::<(), String>(())
/// ```
pub fn members(text: &str) -> Result<Vec<String>, String> {
    let member = |text: &str| {
        let address = text.strip_suffix('/').unwrap_or(text);
        let rest = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
        let (host, port) = rest
            .and_then(|rest| rest.rsplit_once(':'))
            .ok_or_else(|| format!("{text:?} is not http://HOST:PORT"))?;
        if host.contains('@') {
            // The text may hold a password: it is not repeated.
            return Err("an address has no user and password: see --etcd-user".into());
        }
        let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let is_host = in_brackets.map_or_else(
            || !host.is_empty() && host.chars().all(is_name),
            |host| host.parse::<std::net::Ipv6Addr>().is_ok(),
        );
        if is_host && port.parse::<u16>().is_ok_and(|port| port > 0) {
            Ok(address.to_string())
        } else {
            Err(format!("{text:?} is not http://HOST:PORT"))
        }
    };
    text.split(',').map(member).collect()
}

#[cfg(feature = "etcd")]
impl Cluster {
    /// Who we are there, if the user has said so.
    ///
    /// # Errors
    /// Where the password is in neither of its places.
    pub(crate) fn login(&self) -> anyhow::Result<Option<Login>> {
        let Some(user) = self.user.clone() else { return Ok(None) };
        let password = match &self.password_file {
            Some(file) => std::fs::read_to_string(file)
                .map(|text| text.trim_end_matches(['\r', '\n']).to_string())
                .with_context(|| format!("--etcd-password-file: cannot read {}", file.display()))?,
            None => std::env::var(PASSWORD).with_context(|| {
                format!("--etcd-user: its password is expected in the variable {PASSWORD}, or in the file of --etcd-password-file")
            })?,
        };
        Ok(Some(Login { user, password }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_a_scheme_a_host_and_a_port() {
        for text in ["http://localhost:2379", "https://a-b.example:1/", "http://[::1]:65535"] {
            assert_eq!(members(text), Ok(vec![text.trim_end_matches('/').to_string()]));
        }
        for text in [
            "",
            "localhost:2379",
            "http://localhost",
            "http://localhost:0",
            "http://localhost:x",
            "http://:2379",
            "http://::1:2379",
            "http://[a]:2379",
            "ftp://localhost:2379",
            "http://localhost:2379/v3",
            "http://a:1,",
            "http://a:1, http://b:1",
        ] {
            assert!(members(text).unwrap_err().contains("is not http://HOST:PORT"), "{text:?}");
        }
        let sentence = members("http://me:secret@localhost:2379").unwrap_err();
        assert!(sentence.contains("--etcd-user") && !sentence.contains("secret"), "{sentence}");
    }
}
