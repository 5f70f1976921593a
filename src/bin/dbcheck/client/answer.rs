//! The answer: what a response said, and what was wrong with it.
//!
//! A checker that gave up at the first bare LF could say one thing about a server, and not ten.
//! So its reader goes on wherever the meaning is clear, and leaves a [`Fault`] with the place. The
//! checks of the http tier are what judges them.

/// The state of the connection at the end of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// More can come.
    Open,
    /// The peer has closed it.
    Closed,
    /// It is open, and nothing came for a while.
    Quiet,
}

/// How the end of a body was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// To HEAD, or with 204 or 304: there is none.
    NoBody,
    Length,
    Chunked,
    /// By the end of the connection.
    Close,
}

/// What part of a response a fault is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    StatusLine,
    LineEnd,
    Field,
    Framing,
}

/// Something that the reader had to look past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) flaw: Flaw,
    /// Where, in the bytes read.
    pub(crate) at: usize,
    pub(crate) sentence: String,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// 200 where there is no status line to say otherwise, 0 where there is one without a number.
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) framing: Framing,
    pub(crate) faults: Vec<Fault>,
    /// Where its body begins in the bytes read.
    pub(crate) body_at: usize,
    /// Where it ends.
    pub(crate) end: usize,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether it sends the client to another page, as forms do.
    pub(crate) fn is_redirect(&self) -> bool {
        matches!(self.status, 301 | 302 | 303 | 307 | 308)
    }

    pub(crate) fn is_refusal(&self) -> bool {
        (400..600).contains(&self.status)
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_str())
    }

    pub(crate) fn fault(&self, flaw: Flaw) -> Option<&Fault> {
        self.faults.iter().find(|fault| fault.flaw == flaw)
    }

    /// Notes what the reader looks past, and where in the bytes it is.
    pub(crate) fn flawed(&mut self, flaw: Flaw, at: usize, sentence: impl Into<String>) {
        self.faults.push(Fault { flaw, at, sentence: sentence.into() });
    }
}
