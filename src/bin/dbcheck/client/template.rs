//! The template: what surrounds a key and a value in a body.
//!
//! It is made from one body, as words and what separates them. Some words are different each time,
//! a clock or a counter; these are found by asking more than once, and by the digits in them: two
//! answers within one second have the same clock. Comparing the text around a value byte by byte,
//! the naive way, calls each of these servers wrong in forty checks.
//!
//! The value itself must be there whole, in one of the [`Spellings`] that such a body may have.

/// A part of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Letters and digits.
    Word(String),
    /// One character that is none of these.
    Mark(char),
    /// White space, of any length: dumps break long lines.
    Space,
    Key,
    Value,
    /// A word that is a different one each time.
    Varies,
}

/// What surrounds a key and a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

/// How a value may be written inside a body, other than as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spellings {
    /// `\n` and `\"`, as in a dump.
    pub(crate) escapes: bool,
    /// `&lt;`, as in a page.
    pub(crate) entities: bool,
}

impl Template {
    /// The template of a body that holds this key, and this value, if there is one.
    pub(crate) fn of(body: &str, key: &str, value: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = body;
        while let Some(first) = rest.chars().next() {
            let (part, length) = if !value.is_empty() && rest.starts_with(value) {
                (Part::Value, value.len())
            } else if rest.starts_with(key) {
                (Part::Key, key.len())
            } else if first.is_alphanumeric() {
                let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
                let inside = [key, value].into_iter().filter(|text| !text.is_empty());
                let end = inside.filter_map(|text| rest[..end].find(text)).fold(end, usize::min);
                (Part::Word(rest[..end].into()), end)
            } else if first.is_whitespace() {
                let end = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
                (Part::Space, end)
            } else {
                (Part::Mark(first), first.len_utf8())
            };
            parts.push(part);
            rest = &rest[length..];
        }
        // The only word of a body is what it says, and no clock.
        if parts.len() > 1 {
            for part in &mut parts {
                if matches!(part, Part::Word(word) if word.contains(|c: char| c.is_ascii_digit())) {
                    *part = Part::Varies;
                }
            }
        }
        Template(parts)
    }

    /// This one, in which the words vary that differ in `other`. None where more than words
    /// differs.
    pub(crate) fn and(&self, other: &Template) -> Option<Self> {
        let is_word = |part: &Part| matches!(part, Part::Word(_) | Part::Varies);
        let both = |(one, other): (&Part, &Part)| match (one, other) {
            _ if one == other => Some(one.clone()),
            _ if is_word(one) && is_word(other) => Some(Part::Varies),
            _ => None,
        };
        let parts = self.0.iter().zip(&other.0).map(both).collect::<Option<Vec<_>>>();
        parts.filter(|_| self.0.len() == other.0.len()).map(Template)
    }

    /// Whether the text around the value is that of a dump, with quotes.
    pub(crate) fn has_quotes(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Mark(mark) if is_quote(*mark)))
    }

    /// Whether a body is this template, with this key and this value.
    pub(crate) fn fits(&self, body: &str, key: &str, value: &str, spellings: Spellings) -> bool {
        fits(&self.0, body, key, value, spellings)
    }

    /// The byte of a body at which its value should begin.
    pub(crate) fn value_at(&self, body: &str, key: &str) -> usize {
        let before: Vec<Part> =
            self.0.iter().take_while(|part| **part != Part::Value).cloned().collect();
        let plain = Spellings { escapes: false, entities: false };
        let mut starts = body.char_indices().map(|(at, _)| at).chain([body.len()]);
        starts.rfind(|&at| fits(&before, &body[..at], key, "", plain)).unwrap_or(0)
    }
}

fn is_quote(mark: char) -> bool {
    matches!(mark, '"' | '\'' | '`')
}

fn fits(parts: &[Part], body: &str, key: &str, value: &str, spellings: Spellings) -> bool {
    let Some((part, parts)) = parts.split_first() else { return body.is_empty() };
    let goes_on = |rest: &str| fits(parts, rest, key, value, spellings);
    match part {
        Part::Word(word) => body.strip_prefix(word.as_str()).is_some_and(goes_on),
        // A dump takes the quotes that the value leaves it.
        Part::Mark(mark) if is_quote(*mark) => body.strip_prefix(is_quote).is_some_and(goes_on),
        Part::Mark(mark) => body.strip_prefix(*mark).is_some_and(goes_on),
        Part::Space => {
            let rest = body.trim_start();
            rest.len() < body.len() && goes_on(rest) || goes_on(body)
        }
        Part::Varies => {
            let end = body.find(|c: char| !c.is_alphanumeric()).unwrap_or(body.len());
            let ends = body[..end].char_indices().map(|(at, c)| at + c.len_utf8());
            ends.rev().any(|at| goes_on(&body[at..]))
        }
        Part::Key => {
            // It may have got quotes, or lost them: `{ a: 1 }` and `{ 'a b': 1 }` are one dump.
            let bare = body.strip_prefix(is_quote);
            let quoted = bare.and_then(|bare| {
                spelled(bare, key, spellings, &|rest| {
                    rest.strip_prefix(is_quote).is_some_and(goes_on).then_some(())
                })
            });
            quoted.is_some()
                || spelled(body, key, spellings, &|rest| goes_on(rest).then_some(())).is_some()
        }
        Part::Value => {
            spelled(body, value, spellings, &|rest| goes_on(rest).then_some(())).is_some()
        }
    }
}

/// Goes on after `text` at the beginning of `body`, in the first spelling with which that leads to
/// something.
fn spelled<T>(
    body: &str,
    text: &str,
    spellings: Spellings,
    go_on: &dyn Fn(&str) -> Option<T>,
) -> Option<T> {
    let read = |reader: fn(&str) -> Option<(char, &str)>| {
        let mut rest = body;
        for wanted in text.chars() {
            let (found, after) =
                reader(rest).or_else(|| Some((rest.chars().next()?, skip_one(rest))))?;
            if found != wanted {
                return None;
            }
            rest = after;
        }
        Some(rest)
    };
    let escapes = || if spellings.escapes { read(escape) } else { None };
    let entities = || if spellings.entities { read(entity) } else { None };
    let plain = body.strip_prefix(text).and_then(go_on);
    plain.or_else(|| go_on(escapes()?)).or_else(|| go_on(entities()?))
}

fn skip_one(text: &str) -> &str {
    let mut characters = text.chars();
    characters.next();
    characters.as_str()
}

/// A character that is written with a backslash, and what follows it.
fn escape(text: &str) -> Option<(char, &str)> {
    let rest = text.strip_prefix('\\')?;
    let letter = rest.chars().next()?;
    let hex = |digits: usize| {
        let number = rest.get(1..=digits)?;
        Some((u32::from_str_radix(number, 16).ok()?, &rest[digits + 1..]))
    };
    let character = match letter {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'v' => '\u{b}',
        'f' => '\u{c}',
        'b' => '\u{8}',
        '0' => '\0',
        'x' => return hex(2).and_then(|(number, rest)| Some((char::from_u32(number)?, rest))),
        'u' => {
            let (high, rest) = hex(4)?;
            if !(0xd800..0xdc00).contains(&high) {
                return Some((char::from_u32(high)?, rest));
            }
            let low = u32::from_str_radix(rest.strip_prefix("\\u")?.get(..4)?, 16).ok()?;
            let pair = 0x1_0000 + ((high - 0xd800) << 10) + low.checked_sub(0xdc00)?;
            return Some((char::from_u32(pair)?, &rest[6..]));
        }
        mark if mark.is_ascii_punctuation() => mark,
        _ => return None,
    };
    Some((character, skip_one(rest)))
}

/// A character that is written as an entity of HTML, and what follows it.
fn entity(text: &str) -> Option<(char, &str)> {
    let rest = text.strip_prefix('&')?;
    let (name, after) = rest.split_once(';')?;
    let number =
        |digits: &str, base| u32::from_str_radix(digits, base).ok().and_then(char::from_u32);
    let character = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        _ => {
            let digits = name.strip_prefix('#')?;
            match digits.strip_prefix(['x', 'X']) {
                Some(hex) => number(hex, 16)?,
                None => number(digits, 10)?,
            }
        }
    };
    Some((character, after))
}

/// Whether a text is somewhere in a body, and is not a part of a longer word.
pub(crate) fn stands_in(body: &str, text: &str, spellings: Spellings) -> bool {
    let ends_word = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    body.char_indices().any(|(at, _)| {
        ends_word(body[..at].chars().next_back())
            && spelled(&body[at..], text, spellings, &|rest| {
                ends_word(rest.chars().next()).then_some(())
            })
            .is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Spellings = Spellings { escapes: true, entities: true };
    const PLAIN: Spellings = Spellings { escapes: false, entities: false };

    #[test]
    fn knows_a_body_with_another_key_value_and_clock() {
        for (learned, body, key, value) in [
            ("k1 is v1.", "a is b.", "a", "b"),
            ("[12:03:44] got k1: v1", "[9:00:07] got a: b c", "a", "b c"),
            ("v1 (v1, request 7)", "b=1 (b=1, request 112)", "a", "b=1"),
            ("{ k1: 'v1' }", "{ a: 'b' }", "a", "b"),
            ("{ k1: 'v1' }", "{\n  'a b': 'x'\n}", "a b", "x"),
            ("{ k1: 'v1' }", "{ a: \"it's\" }", "a", "it's"),
            ("{'k1': 'v1'}", "{'a': 'one\\ntwo \\\\ \\u00e9'}", "a", "one\ntwo \\ é"),
            ("<p>v1</p>", "<p>a &lt; b &amp;&#39;</p>", "k", "a < b &'"),
            ("id 3fa9 of v1", "id abcd of x", "k", "x"),
        ] {
            let template = Template::of(learned, "k1", "v1");
            assert!(template.fits(body, key, value, ALL), "{template:?} {body}");
            assert!(!template.fits(body, key, &value[1..], ALL), "{template:?} {body}");
            assert!(!template.fits(body, key, &format!("{value}2"), ALL), "{template:?} {body}");
        }
    }

    #[test]
    fn a_value_that_is_changed_is_none() {
        let template = Template::of("k1: v1.", "k1", "v1");
        assert!(!template.fits("a: 1&b=2.", "a", "1", ALL));
        assert!(!template.fits("a: &lt;.", "a", "<", PLAIN));
        assert!(!template.fits("a: \\n.", "a", "\n", PLAIN));
        // Backslashes that nobody has escaped are as good as those that somebody has.
        let template = Template::of("'v1'", "k1", "v1");
        assert!(template.fits("'a\\n'", "a", "a\\n", ALL));
        assert!(template.fits("'a\\\\n'", "a", "a\\n", ALL));
    }

    #[test]
    fn a_word_that_differs_between_two_answers_varies() {
        let learned = |body| Template::of(body, "k1", "v1");
        let both = learned("by Ada: v1").and(&learned("by Bob: v1")).unwrap();
        assert!(both.fits("by Eve: x", "k", "x", PLAIN));
        assert!(!both.fits("of Eve: x", "k", "x", PLAIN));
        assert_eq!(learned("v1 here").and(&learned("here: v1")), None);
        assert_eq!(both.value_at("by Eve: x", "k"), 8);
    }

    #[test]
    fn finds_a_text_that_stands_alone() {
        assert!(stands_in("a=1&b=2", "1", PLAIN));
        assert!(!stands_in("a=12", "1", PLAIN));
        assert!(!stands_in("a=12", "2", PLAIN));
        assert!(stands_in("['a\\tb']", "a\tb", ALL));
    }
}
